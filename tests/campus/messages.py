"""The claims of a resource link launch (LTI Core 1.3, "Resource link launch request message")."""

import time
from collections.abc import Mapping
from typing import Any

from . import course
from .config import Config
from .course import Link, Person
from .wire import utc_text

TARGETS = ("iframe", "window")
LIFETIME = 60


def lti(name: str) -> str:
    """The full name of an LTI claim: `lti("roles")`."""
    return "https://purl.imsglobal.org/spec/lti/claim/" + name


def ags(name: str) -> str:
    """The full name of a claim of Assignment and Grade Services: `ags("endpoint")`."""
    return "https://purl.imsglobal.org/spec/lti-ags/claim/" + name


def resource_link_claims(
    config: Config,
    person: Person,
    link: Link,
    nonce: str,
    target: str,
    endpoint: Mapping[str, Any],
) -> dict[str, Any]:
    """All claims of one launch, valid from now for a minute.

    :param nonce: the tool's, from its authentication request.
    :param target: `iframe` or `window`: where the tool is going to stand.
    :param endpoint: the content of the AGS endpoint claim.
    """
    now = int(time.time())
    return {
        "iss": config.issuer,
        "aud": config.client_id,
        "azp": config.client_id,
        "sub": person.sub,
        "iat": now,
        "exp": now + LIFETIME,
        "nonce": nonce,
        "name": person.name,
        "given_name": person.given,
        "family_name": person.family,
        "email": person.email,
        "locale": person.locale,
        lti("message_type"): "LtiResourceLinkRequest",
        lti("version"): "1.3.0",
        lti("deployment_id"): config.deployment_id,
        lti("target_link_uri"): config.target_link_uri,
        lti("resource_link"): {"id": link.id, "title": link.title, "description": link.description},
        lti("roles"): list(person.roles),
        lti("context"): {
            "id": course.CONTEXT_ID,
            "label": course.CONTEXT_LABEL,
            "title": course.CONTEXT_TITLE,
            "type": ["http://purl.imsglobal.org/vocab/lis/v2/course#CourseOffering"],
        },
        lti("launch_presentation"): {
            "document_target": target,
            "locale": person.locale,
            "return_url": f"{config.base_url}/course/return?link={link.id}",
        },
        lti("tool_platform"): {
            "guid": "campus.example",
            "name": "campus",
            "description": "The demonstration campus",
            "product_family_code": "campus",
            "version": "1",
            "url": config.base_url,
        },
        lti("custom"): substitute(config.custom, link),
        ags("endpoint"): dict(endpoint),
    }


def substitute(custom: Mapping[str, str], link: Link) -> dict[str, str]:
    """Custom parameters with their variables filled in.

    A variable without a value stays as it is written, as platforms leave what they do not know.
    """
    values = {
        "$Context.id": course.CONTEXT_ID,
        "$ResourceLink.id": link.id,
        "$ResourceLink.title": link.title,
    }
    if link.due is not None:
        values["$ResourceLink.submission.endDateTime"] = utc_text(link.due)
    return {name: values.get(value, value) for name, value in custom.items()}
