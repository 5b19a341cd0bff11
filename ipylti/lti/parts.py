"""The parts of a message, each read out of its claim (LTI Core 1.3, 5.3 and 5.4; AGS 2.0 and NRPS 2.0).

All text in them was written by somebody at the platform: it is escaped where it is shown, and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode, urlsplit, urlunsplit

from ipylti.http import is_web_url
from ipylti.lti import claims
from ipylti.lti.claims import Claims

_TARGETS = ("frame", "iframe", "window")


@dataclass(frozen=True)
class ResourceLink:
    """The link in the course that was followed; ``id`` is stable and local to the deployment."""

    id: str
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Context:
    """The course or group that holds the link."""

    id: str
    label: str | None = None
    title: str | None = None


@dataclass(frozen=True)
class Platform:
    """What a platform says of itself; for people and for choosing a preset, never for a decision."""

    guid: str | None = None
    name: str | None = None
    product_family: str | None = None


@dataclass(frozen=True)
class AgsEndpoint:
    """Where scores go (AGS 2.0), as far as this launch offers it.

    :param scopes: what the tool may ask a token for.
    :param line_item: the one line item of this link, if it has exactly one.
    :param line_items: the container of the context's line items.
    """

    scopes: frozenset[str]
    line_item: str | None = None
    line_items: str | None = None


@dataclass(frozen=True)
class Dates:
    """The assignment's dates as the platform keeps them, in UTC; for staff the latest of all sections'."""

    available_from: datetime | None = None
    available_until: datetime | None = None
    due_at: datetime | None = None


@dataclass(frozen=True)
class History:
    """Where a copied course or link comes from, nearest first; a claim of an older id is believed only
    along it."""

    contexts: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeepLinkingSettings:
    """What a platform wants chosen, and where the answer goes (Deep Linking 2.0, "deep linking settings").

    :param return_url: where the answer is posted.
    :param accept_types: kinds of content items that may be returned.
    :param accept_multiple: whether it may be several.
    :param accept_line_item: whether an item may bring a line item along; None where the platform doesn't say.
    :param data: an opaque text that the answer has to repeat.
    :param title: suggested by the platform.
    """

    return_url: str
    accept_types: tuple[str, ...]
    accept_multiple: bool = False
    accept_line_item: bool | None = None
    data: str | None = None
    title: str | None = None


@dataclass(frozen=True)
class Presentation:
    """How the platform shows the tool, and where to go when the person closes it."""

    document_target: str | None = None
    locale: str | None = None
    return_url: str | None = None


def resource_link(message: Claims) -> ResourceLink:
    """Read the required resource link."""
    link = message.object(claims.RESOURCE_LINK)
    if link is None:
        raise message.refuse(claims.RESOURCE_LINK, "missing", "message.resource_link")
    return ResourceLink(
        id=link.identifier("id", "message.resource_link"),
        title=link.text("title"),
        description=link.text("description"),
    )


def context(message: Claims) -> Context | None:
    """Read the context; a launch may come from outside of any."""
    found = message.object(claims.CONTEXT)
    if found is None:
        return None
    return Context(id=found.identifier("id"), label=found.text("label"), title=found.text("title"))


def platform(message: Claims) -> Platform | None:
    """Read what the platform says of itself."""
    found = message.object(claims.TOOL_PLATFORM)
    if found is None:
        return None
    return Platform(found.text("guid"), found.text("name"), found.text("product_family_code"))


def ags_endpoint(message: Claims) -> AgsEndpoint | None:
    """Read where scores go."""
    found = message.object(claims.AGS_ENDPOINT)
    if found is None:
        return None
    return AgsEndpoint(frozenset(found.strings("scope") or ()), found.url("lineitem"), found.url("lineitems"))


def memberships_url(message: Claims) -> str | None:
    """Read where the context's members are listed (NRPS 2.0)."""
    found = message.object(claims.NRPS_SERVICE)
    return found.url("context_memberships_url") if found else None


def presentation(message: Claims) -> Presentation:
    """Read how the tool is shown.

    A return URL that is no http(s) URL is dropped: it would become a link, and ``javascript:`` is one too.
    """
    found = message.object(claims.LAUNCH_PRESENTATION) or Claims({})
    target, back = found.text("document_target"), found.text("return_url")
    return Presentation(
        document_target=target if target in _TARGETS else None,
        locale=found.text("locale") or message.text("locale"),
        return_url=back if back and is_web_url(back) else None,
    )


def deep_linking_settings(message: Claims) -> DeepLinkingSettings:
    """Read what is to be chosen, required in a Deep Linking request.

    :raises RefusedMessage: ``message.deep_linking``: it is missing, or has no usable return URL.
    """
    found = message.object(claims.DEEP_LINKING_SETTINGS)
    if found is None:
        raise message.refuse(claims.DEEP_LINKING_SETTINGS, "missing", "message.deep_linking")
    return_url = found.url("deep_link_return_url")
    types = found.strings("accept_types")
    if return_url is None or types is None:
        raise message.refuse(claims.DEEP_LINKING_SETTINGS, "incomplete", "message.deep_linking")
    data = found.raw("data")
    if data is not None and not isinstance(data, str):
        raise found.refuse("data", "not a string", "message.deep_linking")
    return DeepLinkingSettings(
        return_url=return_url,
        accept_types=types,
        accept_multiple=found.truth("accept_multiple") or False,
        accept_line_item=found.truth("accept_lineitem"),
        data=data,
        title=found.text("title"),
    )


def for_user(message: Claims) -> str:
    """Read whose submission is to be reviewed (Submission Review 1.0, "for_user claim").

    :raises RefusedMessage: ``message.for_user``: it is missing, or names nobody.
    """
    found = message.object(claims.FOR_USER)
    if found is None:
        raise message.refuse(claims.FOR_USER, "missing", "message.for_user")
    return found.identifier("user_id", "message.for_user")


def custom(message: Claims) -> dict[str, str]:
    """Read the custom parameters: strings, and integers as strings.

    A value that still begins with ``$`` names a variable that the platform did not fill in, so it is absent
    (LTI Core 1.3, 5.4.6); so is one of any other type.
    """
    found = message.object(claims.CUSTOM)
    values = {}
    for name, value in found.items() if found else ():
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and not value.startswith("$"):
            values[name] = value
    return values


def dates(values: Mapping[str, str]) -> Dates | None:
    """Read the dates out of the custom parameters; None if there is not one.

    :param values: as :func:`custom` returns them.
    """
    due = _latest(values.get(claims.CUSTOM_DUE_AT)) or _latest(values.get(claims.CUSTOM_CANVAS_DUE_AT))
    found = Dates(
        available_from=_latest(values.get(claims.CUSTOM_AVAILABLE_FROM)),
        available_until=_latest(values.get(claims.CUSTOM_AVAILABLE_UNTIL)),
        due_at=due,
    )
    return None if found == Dates() else found


def history(values: Mapping[str, str]) -> History:
    """Read where the course and the link were copied from."""
    return History(
        contexts=_listed(values.get(claims.CUSTOM_CONTEXT_HISTORY)),
        links=_listed(values.get(claims.CUSTOM_LINK_HISTORY)),
    )


def return_link(url: str, *, message: str | None = None, error: str | None = None) -> str:
    """Return the return URL with a message for the person (LTI Core 1.3, 5.4.4); its own query is kept.

    :param url: a :class:`Presentation`'s.
    :param message: what went well, as ``lti_msg``.
    :param error: what went wrong, as ``lti_errormsg``.
    """
    added = urlencode([(n, v) for n, v in (("lti_msg", message), ("lti_errormsg", error)) if v])
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(part for part in (parts.query, added) if part)))


def _latest(text: str | None) -> datetime | None:
    """Return the latest of the moments that are listed, which are mostly one."""
    moments = [moment for part in (text or "").split(",") if (moment := claims.date(part))]
    return max(moments, default=None)


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
