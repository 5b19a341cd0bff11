"""Names and Role Provisioning Services 2.0: a course's members as the service shows them."""

from collections.abc import Sequence
from typing import Any

from .course import Course, Link
from .messages import Messages, lti
from .people import MEMBERSHIP, Person, short_roles
from .registry import Registry
from .roster import Membership

MEMBERS_TYPE = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"


def with_role(members: Sequence[Membership], role: str | None) -> list[Membership]:
    """The members who have a role.

    :param role: its URI, or a short name for a role in the course; None for all members.
    """
    wanted = role if role is None or ":" in role else MEMBERSHIP + role
    return [each for each in members if wanted is None or wanted in each.person.roles]


class Memberships:
    """Shows members."""

    def __init__(self, registry: Registry, messages: Messages) -> None:
        self._registry = registry
        self._messages = messages

    def to_json(
        self, course: Course, url: str, members: Sequence[Membership], link: Link | None
    ) -> dict[str, Any]:
        """A page of a roster.

        :param url: the service's address.
        :param link: the link that was asked for: each member comes with what a launch of it would say.
        """
        return {
            "id": url,
            "context": {"id": course.id, "label": course.label, "title": course.title},
            "members": [self._member(course, each, link) for each in members],
        }

    def _member(self, course: Course, member: Membership, link: Link | None) -> dict[str, Any]:
        config, person = self._registry.config, member.person
        shown: dict[str, Any] = {
            "status": member.status,
            "user_id": person.sub,
            "roles": short_roles(person.roles) if config.behaviour.short_roles else list(person.roles),
        }
        if member.status == "Deleted":
            return shown
        if config.member_names:
            shown |= _names(person)
        if link is not None:
            shown["message"] = [
                {
                    lti("message_type"): "LtiResourceLinkRequest",
                    lti("custom"): self._messages.custom(person, course, link),
                }
            ]
        return shown


def _names(person: Person) -> dict[str, str]:
    return {
        "name": person.name,
        "given_name": person.given,
        "family_name": person.family,
        "email": person.email,
    }
