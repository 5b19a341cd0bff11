"""Names that the specifications give to claims, scopes and media types, and typed reading of claims.

Sources: LTI Core 1.3 (5.3 required, 5.4 optional claims), Assignment and Grade Services 2.0, Names and Role
Provisioning Services 2.0.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ipylti.errors import RefusedMessage
from ipylti.http import is_web_url

_LTI = "https://purl.imsglobal.org/spec/lti/claim/"

MESSAGE_TYPE = _LTI + "message_type"
VERSION = _LTI + "version"
DEPLOYMENT_ID = _LTI + "deployment_id"
TARGET_LINK_URI = _LTI + "target_link_uri"
RESOURCE_LINK = _LTI + "resource_link"
ROLES = _LTI + "roles"
CONTEXT = _LTI + "context"
TOOL_PLATFORM = _LTI + "tool_platform"
LAUNCH_PRESENTATION = _LTI + "launch_presentation"
CUSTOM = _LTI + "custom"
FOR_USER = _LTI + "for_user"
_DEEP_LINKING = "https://purl.imsglobal.org/spec/lti-dl/claim/"
DEEP_LINKING_SETTINGS = _DEEP_LINKING + "deep_linking_settings"
CONTENT_ITEMS = _DEEP_LINKING + "content_items"
DEEP_LINKING_DATA = _DEEP_LINKING + "data"
AGS_ENDPOINT = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
NRPS_SERVICE = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"

SCOPE_LINE_ITEM = "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem"
SCOPE_LINE_ITEM_READ = "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem.readonly"
SCOPE_RESULT_READ = "https://purl.imsglobal.org/spec/lti-ags/scope/result.readonly"
SCOPE_SCORE = "https://purl.imsglobal.org/spec/lti-ags/scope/score"
SCOPE_MEMBERS_READ = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"

#: What the tool asks a platform to allow, when it is registered there.
SCOPES = (SCOPE_LINE_ITEM, SCOPE_RESULT_READ, SCOPE_SCORE, SCOPE_MEMBERS_READ)

LINE_ITEM_TYPE = "application/vnd.ims.lis.v2.lineitem+json"
LINE_ITEMS_TYPE = "application/vnd.ims.lis.v2.lineitemcontainer+json"
RESULTS_TYPE = "application/vnd.ims.lis.v2.resultcontainer+json"
MEMBERS_TYPE = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
SCORE_TYPE = "application/vnd.ims.lis.v1.score+json"

CUSTOM_ASSIGNMENT = "ipylti_assignment"
CUSTOM_AVAILABLE_FROM = "ipylti_available_from"
CUSTOM_AVAILABLE_UNTIL = "ipylti_available_until"
CUSTOM_DUE_AT = "ipylti_due_at"
CUSTOM_CANVAS_DUE_AT = "ipylti_canvas_due_at"
CUSTOM_CONTEXT_HISTORY = "ipylti_context_history"
CUSTOM_LINK_HISTORY = "ipylti_link_history"

#: The custom parameters that the tool asks for, and the variables that a platform puts in their places.
CUSTOM_FIELDS: Mapping[str, str] = {
    CUSTOM_AVAILABLE_FROM: "$ResourceLink.available.startDateTime",
    CUSTOM_AVAILABLE_UNTIL: "$ResourceLink.available.endDateTime",
    CUSTOM_DUE_AT: "$ResourceLink.submission.endDateTime",
    CUSTOM_CANVAS_DUE_AT: "$Canvas.assignment.dueAt.iso8601",
    CUSTOM_CONTEXT_HISTORY: "$Context.id.history",
    CUSTOM_LINK_HISTORY: "$ResourceLink.id.history",
}

#: Characters that an identifier may have (LTI Core 1.3, 5.3.3 and 5.3.5).
ID_LENGTH = 255

#: Characters that a text made for people is cut to. A long title is no reason to refuse anybody.
TEXT_LENGTH = 2000


class Claims:
    """A JSON object of a message, read claim by claim, each with its type.

    ``null`` counts as absent throughout, since platforms send it for what they don't know.

    :param content: the parsed object, of which :func:`ipylti.lti.strict_json.loads` has seen every string.
    :param name: what to call it in an error's detail.
    """

    def __init__(self, content: Mapping[str, Any], name: str = "message") -> None:
        self._content = content
        self._name = name

    def refuse(self, claim: str, what: str, code: str = "message.claim") -> RefusedMessage:
        """Return the error for a claim; its value is not part of it."""
        return RefusedMessage(f"{self._name}: {claim.rsplit('/', 1)[-1]}: {what}", code=code)

    def raw(self, claim: str) -> Any:
        """Return the claim as it came, None if absent."""
        return self._content.get(claim)

    def identifier(self, claim: str, code: str = "message.claim") -> str:
        """Return a required string of 1 to 255 characters."""
        value = self.raw(claim)
        if value is None or value == "":
            raise self.refuse(claim, "missing", code)
        if not isinstance(value, str) or len(value) > ID_LENGTH:
            raise self.refuse(claim, "not a string of up to 255 characters", code)
        return value

    def text(self, claim: str) -> str | None:
        """Return a text for people, cut to a sensible length; an empty one is absent."""
        value = self.raw(claim)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.refuse(claim, "not a string")
        return value.strip()[:TEXT_LENGTH] or None

    def url(self, claim: str) -> str | None:
        """Return an http(s) URL, None if absent or empty."""
        value = self.raw(claim)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or not is_web_url(value):
            raise self.refuse(claim, "not an http(s) URL")
        return value

    def strings(self, claim: str) -> tuple[str, ...] | None:
        """Return an array of strings, None if absent."""
        value = self.raw(claim)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.refuse(claim, "not an array of strings")
        return tuple(value)

    def truth(self, claim: str) -> bool | None:
        """Return a boolean, None if absent; some platforms write it as a string."""
        value = self.raw(claim)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value.lower())
        if not isinstance(value, bool):
            raise self.refuse(claim, "neither true nor false")
        return value

    def object(self, claim: str) -> "Claims | None":
        """Return an object, None if absent."""
        value = self.raw(claim)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.refuse(claim, "not an object")
        return Claims(value, claim.rsplit("/", 1)[-1])

    def items(self) -> list[tuple[str, Any]]:
        """Return all names with their values."""
        return list(self._content.items())


def date(text: str) -> datetime | None:
    """Return the moment that an ISO 8601 text names, in UTC; without a zone it is taken for UTC.

    What can't be read is None: no date is better than no launch.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
