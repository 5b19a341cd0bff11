"""The claims of the messages that campus sends (LTI Core 1.3; Deep Linking 2.0; Submission Review 1.0)."""

import time
from typing import Any
from urllib.parse import urlencode

from .course import Course, Link
from .courses import Courses
from .errands import Choose, Errand, LookAt, Open
from .gradebook import LineItem
from .people import Person, short_roles
from .registry import Registry
from .scopes import AGS_SCOPE, MEMBERS
from .selections import Selections
from .variables import substitute, values

TARGETS = ("iframe", "window")


def lti(name: str) -> str:
    """The full name of an LTI claim: `lti("roles")`."""
    return "https://purl.imsglobal.org/spec/lti/claim/" + name


def ags(name: str) -> str:
    """The full name of a claim of Assignment and Grade Services: `ags("endpoint")`."""
    return "https://purl.imsglobal.org/spec/lti-ags/claim/" + name


def dl(name: str) -> str:
    """The full name of a claim of Deep Linking: `dl("deep_linking_settings")`."""
    return "https://purl.imsglobal.org/spec/lti-dl/claim/" + name


def nrps(name: str) -> str:
    """The full name of a claim of Names and Role Provisioning: `nrps("namesroleservice")`."""
    return "https://purl.imsglobal.org/spec/lti-nrps/claim/" + name


class Messages:
    """Writes messages.

    :param registry: the platform and the tool.
    :param courses: what the messages are about.
    :param selections: remembers the deep linking requests, whose answers are awaited.
    """

    def __init__(self, registry: Registry, courses: Courses, selections: Selections) -> None:
        self._registry = registry
        self._courses = courses
        self._selections = selections

    def claims(self, person: Person, errand: Errand, nonce: str, target: str) -> dict[str, Any]:
        """All claims of a message, valid from now.

        :param nonce: the tool's, from its authentication request.
        :param target: `iframe` or `window`: where the tool is going to stand.
        """
        claims = self._common(person, errand, nonce, target)
        match errand:
            case Open():
                return claims | self._open(person, errand)
            case Choose():
                return claims | self._choose(person, errand)
            case LookAt():
                return claims | self._look_at(person, errand)

    # What all messages have

    def _common(self, person: Person, errand: Errand, nonce: str, target: str) -> dict[str, Any]:
        config, course = self._registry.config, errand.course
        behaviour = config.behaviour
        now = int(time.time())
        return {
            "iss": config.issuer,
            "aud": config.client_id,
            "azp": config.client_id,
            "sub": person.sub,
            "iat": now + 0.25 if behaviour.fractional_iat else now,
            "exp": now + config.behaviour.lifetime,
            "nonce": nonce,
            "name": person.name,
            "given_name": person.given,
            "family_name": person.family,
            "email": person.email,
            "locale": person.locale,
            lti("version"): "1.3.0",
            lti("deployment_id"): config.deployment_id,
            lti("target_link_uri"): errand.target_link_uri(config),
            lti("roles"): short_roles(person.roles) if behaviour.short_roles else list(person.roles),
            lti("context"): {
                "id": course.id,
                "label": course.label,
                "title": course.title,
                "type": ["http://purl.imsglobal.org/vocab/lis/v2/course#CourseOffering"],
            },
            lti("launch_presentation"): {
                "document_target": target,
                "locale": person.locale,
                "return_url": self._return_url(errand),
            },
            **self._platform(),
            **self._roster(course),
        }

    def _platform(self) -> dict[str, Any]:
        """The `tool_platform` claim, where the platform says who it is."""
        config = self._registry.config
        told = {
            "guid": "campus.example",
            "name": "campus",
            "description": "The demonstration campus",
            "product_family_code": config.behaviour.family,
            "version": "1",
            "url": config.base_url,
        }
        return {lti("tool_platform"): told} if config.behaviour.names_itself else {}

    def memberships_url(self, course: Course) -> str:
        """The address of a course's roster."""
        config = self._registry.config
        query = f"?{config.behaviour.members_query}" if config.behaviour.members_query else ""
        return f"{config.backchannel_url}/nrps/{course.id}/memberships{query}"

    def _roster(self, course: Course) -> dict[str, Any]:
        """The NRPS claim, where the tool may read the roster."""
        if MEMBERS not in self._registry.config.granted_scopes:
            return {}
        told = {"context_memberships_url": self.memberships_url(course), "service_versions": ["2.0"]}
        return {nrps("namesroleservice"): told}

    def _return_url(self, errand: Errand) -> str:
        if isinstance(errand, Choose):
            return self._page("return", course=errand.course.id)
        return self._page("return", link=errand.link.id)

    def _page(self, path: str, **query: str) -> str:
        """The address of a page of campus."""
        return f"{self._registry.config.base_url}/course/{path}?{urlencode(query)}"

    def custom(self, person: Person, course: Course, link: Link | None, *more: Any) -> dict[str, str]:
        """The custom parameters of a message: the tool's win over the link's, and those over the others."""
        config = self._registry.config
        custom: dict[str, str] = {}
        for each in (*more, link.custom if link else {}, config.custom):
            custom |= each
        return substitute(custom, values(config.behaviour, person, course, link))

    def _endpoint(self, errand: Errand, columns: tuple[LineItem, ...]) -> dict[str, Any]:
        """The AGS claim. It names a line item only where there is exactly one (AGS 2.0)."""
        book = self._courses.gradebook(errand.course)
        scopes = [scope for scope in self._registry.config.granted_scopes if scope.startswith(AGS_SCOPE)]
        named = {"lineitem": book.item_url(columns[0])} if len(columns) == 1 else {}
        return {"scope": scopes, "lineitems": book.items_url, **named}

    # What each has of its own

    def _open(self, person: Person, errand: Open) -> dict[str, Any]:
        link = errand.link
        columns = self._courses.gradebook(errand.course).items_of(link)
        return {
            lti("message_type"): "LtiResourceLinkRequest",
            lti("resource_link"): resource_link(link),
            lti("custom"): self.custom(person, errand.course, link),
            ags("endpoint"): self._endpoint(errand, columns),
        }

    def _choose(self, person: Person, errand: Choose) -> dict[str, Any]:
        settings = errand.settings
        with_data = self._registry.config.behaviour.deep_linking_data
        selection = self._selections.open(person, errand.course, settings, with_data)
        told: dict[str, Any] = {
            "deep_link_return_url": self._page("content", course=errand.course.id, selection=selection.id),
            "accept_types": list(settings.accept_types),
            "accept_presentation_document_targets": list(settings.accept_targets),
            "accept_multiple": settings.accept_multiple,
            "accept_lineitem": settings.accept_line_item,
            "auto_create": settings.auto_create,
        }
        optional = {"title": settings.title, "text": settings.text, "data": selection.data}
        if self._registry.config.behaviour.text_settings:
            del told["accept_lineitem"]
            for name in ("accept_multiple", "auto_create"):
                told[name] = str(told[name]).lower()
            optional["title"] = settings.title or self._registry.config.tool_title
        return {
            lti("message_type"): "LtiDeepLinkingRequest",
            lti("custom"): self.custom(person, errand.course, None),
            ags("endpoint"): self._endpoint(errand, ()),
            dl("deep_linking_settings"): told | {name: text for name, text in optional.items() if text},
        }

    def _look_at(self, person: Person, errand: LookAt) -> dict[str, Any]:
        about, review = errand.about, errand.item.fields.review
        return {
            lti("message_type"): "LtiSubmissionReviewRequest",
            lti("resource_link"): resource_link(errand.link),
            lti("custom"): self.custom(person, errand.course, errand.link, review.custom if review else {}),
            ags("endpoint"): self._endpoint(errand, (errand.item,)),
            lti("for_user"): {
                "user_id": about.sub,
                "name": about.name,
                "given_name": about.given,
                "family_name": about.family,
                "email": about.email,
                "roles": list(about.roles),
            },
        }


def resource_link(link: Link) -> dict[str, str]:
    """The resource link claim."""
    return {"id": link.id, "title": link.title, "description": link.description}
