"""Step 2 of a launch: the browser posts the platform's message, and it is believed or refused.

The authentication response (LTI Security Framework 1.0, 5.1.1.3) carries a signed token, whose claims are the
message (LTI Core 1.3, 5). What leaves this module is a :class:`Message`: frozen, checked, typed.
"""

import re
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ipylti.errors import PlatformRefused, RefusedMessage, UnknownDeployment
from ipylti.http import origin
from ipylti.lti import claims, id_token, login, parts
from ipylti.lti import roles as role_names
from ipylti.lti.claims import Claims
from ipylti.lti.forms import single
from ipylti.lti.registrations import Registration, Registrations
from ipylti.lti.stores import SingleUse

LTI_VERSION = "1.3.0"

RESOURCE_LINK_REQUEST = "LtiResourceLinkRequest"
DEEP_LINKING_REQUEST = "LtiDeepLinkingRequest"
SUBMISSION_REVIEW_REQUEST = "LtiSubmissionReviewRequest"

#: The kinds of message that the tool understands.
MESSAGE_TYPES = frozenset({RESOURCE_LINK_REQUEST, DEEP_LINKING_REQUEST, SUBMISSION_REVIEW_REQUEST})

#: Errors that a platform may answer with (RFC 6749, 4.1.2.1; OpenID Connect Core 1.0, 3.1.2.6).
PLATFORM_ERRORS = frozenset(
    {
        "access_denied",
        "account_selection_required",
        "consent_required",
        "interaction_required",
        "invalid_request",
        "invalid_scope",
        "launch_no_longer_valid",
        "login_required",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_response_type",
    }
)


@dataclass(frozen=True, kw_only=True)
class Message:
    """What all kinds of verified message have in common.

    A person is (issuer, client id, ``sub``), never an e-mail address; names and e-mail are for people's eyes
    and mostly absent.

    :param sub: the person's id at the platform.
    :param target_link_uri: what is to be opened: a URL of ours, of a known route.
    :param document_target: ``frame``, ``iframe`` or ``window``.
    :param memberships_url: the context's roster.
    :param custom: custom parameters that the platform filled in.
    """

    registration: Registration
    message_type: str
    deployment_id: str
    sub: str
    roles: role_names.Roles
    target_link_uri: str
    context: parts.Context | None = None
    name: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    email: str | None = None
    locale: str | None = None
    return_url: str | None = None
    document_target: str | None = None
    memberships_url: str | None = None
    custom: Mapping[str, str] = field(default_factory=dict)
    dates: parts.Dates | None = None
    history: parts.History = field(default_factory=parts.History)
    platform: parts.Platform | None = None

    @property
    def test_user(self) -> bool:
        """Whether the person is a test user of the platform."""
        return self.roles.test_user


@dataclass(frozen=True, kw_only=True)
class ResourceLinkMessage(Message):
    """Somebody opens a link in a course (LTI Core 1.3, "Resource link launch request message").

    :param ags: where scores go.
    """

    resource_link: parts.ResourceLink
    ags: parts.AgsEndpoint | None = None


@dataclass(frozen=True, kw_only=True)
class SubmissionReviewMessage(ResourceLinkMessage):
    """Somebody opens what a person handed in (Submission Review 1.0); ``ags`` has the line item.

    :param for_user: that person's ``sub``.
    """

    for_user: str


@dataclass(frozen=True, kw_only=True)
class DeepLinkingMessage(Message):
    """A teacher is to choose what a new link in the course opens (Deep Linking 2.0)."""

    settings: parts.DeepLinkingSettings


@dataclass(frozen=True)
class Parked:
    """A message that passed all checks but one: this browser has no cookie of its login, and the platform may
    have kept the login's secret instead. Nothing is to be done for it before that has been compared.

    :param at: when it was checked, in seconds since 1970.
    :param storage: the frame of the platform's page that may have kept the secret.
    :param storage_origin: that frame's origin.
    """

    state: str
    id_token: str = field(repr=False)
    at: float
    storage: str
    storage_origin: str


def receive(
    params: Iterable[tuple[str, object]],
    cookies: Mapping[str, str],
    states: SingleUse,
    registrations: Registrations,
    keys: id_token.PlatformKeyring,
    tool_url: str,
    known_targets: Collection[str],
    *,
    staff_from_institution: bool = False,
    now: float | None = None,
) -> Message | Parked:
    """Return the message that was posted to the launch URL.

    The login's state is looked at first and consumed last. So a bad token burns nobody's login (the person
    tries again with the same one), a good one works once, and a state without its browser's cookie gets
    nobody as far as the token; unless the login happened in a frame: then the message may have to wait.

    :param params: the form's fields, in order.
    :param cookies: all of the request's cookies.
    :param tool_url: the tool's own URL.
    :param known_targets: the paths that a ``target_link_uri`` may have.
    :param staff_from_institution: see :func:`ipylti.lti.roles.parse`.
    :param now: seconds since 1970, for the tests.
    :raises PlatformRefused: the platform sent an error instead: ``platform.<its error>``.
    :raises RefusedMessage: ``message.missing`` (no state or token), ``message.state`` (unknown, expired or
        used), ``message.cookie_missing``, ``message.other_browser``, a ``request.…``, or one of
        :func:`verified`.
    :raises ipylti.errors.PlatformUnreachable: the platform's keys can't be had.
    """
    form = single(params, RefusedMessage, length=id_token.TOKEN_SIZE)
    if "error" in form:
        raise _platform_error(form)
    state, token = form.get("state"), form.get("id_token")
    if not state or not token:
        raise RefusedMessage("no state or no id_token", code="message.missing")
    expected = login.remembered(state, states)
    if expected is None:
        raise RefusedMessage("unknown, expired or used state", code="message.state")
    secret = cookies.get(login.state_cookie(state))
    if secret is None and expected.storage is None:
        raise RefusedMessage("no cookie of this login", code="message.cookie_missing")
    if secret is not None and not expected.bound_to(secret):
        raise RefusedMessage("the login was started elsewhere", code="message.other_browser")
    message = verified(
        token,
        expected,
        registrations,
        keys,
        tool_url,
        known_targets,
        staff_from_institution=staff_from_institution,
        now=now,
    )
    if secret is None:
        at = time.time() if now is None else now
        return Parked(state, token, at, expected.storage or login.PARENT, expected.storage_origin or "")
    if login.consume(state, states) is None:
        raise RefusedMessage("another request used this state", code="message.state")
    return message


def verified(
    token: str,
    expected: login.LoginState,
    registrations: Registrations,
    keys: id_token.PlatformKeyring,
    tool_url: str,
    known_targets: Collection[str],
    *,
    staff_from_institution: bool = False,
    now: float | None = None,
) -> Message:
    """Return the message of a token that answers a login; the login's state is neither read nor consumed.

    :param expected: what is remembered of the login; it alone decides which platform's keys are asked.
    :raises RefusedMessage: one of :func:`ipylti.lti.id_token.verify`, ``message.registration`` (removed
        since the login), ``message.deployment``, ``message.version``, ``message.type``, ``message.no_sub``,
        ``message.roles``, ``message.target``, ``message.resource_link``, ``message.deep_linking``,
        ``message.for_user``, ``message.line_item``, or ``message.claim`` for one of a wrong type.
    """
    registration = registrations.by_client(expected.issuer, expected.client_id)
    if registration is None:
        raise RefusedMessage("the registration is gone", code="message.registration")
    moment = time.time() if now is None else now
    content = id_token.verify(token, registration, expected.nonce, keys, moment)
    deployment = _check_deployment(Claims(content), registration, expected)
    return _read(content, registration, deployment, tool_url, known_targets, staff_from_institution)


def _platform_error(form: Mapping[str, str]) -> PlatformRefused:
    """Return the platform's error. Anybody may have posted it, so none of its words goes further than this
    list knows them."""
    error = form["error"]
    if error not in PLATFORM_ERRORS:
        error = "refused"
    description = re.sub(r"[^ -~]", "?", form.get("error_description", ""))[:200]
    return PlatformRefused(f"{error}: {description}", code=f"platform.{error}")


def _check_deployment(message: Claims, registration: Registration, expected: login.LoginState) -> str:
    """Return the deployment: one of this client's, and the one that the login hinted at."""
    deployment = message.identifier(claims.DEPLOYMENT_ID, "message.deployment")
    if deployment not in registration.deployments and not registration.trusts_new_deployments:
        raise UnknownDeployment(registration.issuer, registration.client_id, deployment)
    if expected.deployment is not None and deployment != expected.deployment:
        raise message.refuse(claims.DEPLOYMENT_ID, "not the login's", "message.deployment")
    return deployment


def _read(
    content: dict[str, Any],
    registration: Registration,
    deployment: str,
    tool_url: str,
    known_targets: Collection[str],
    staff_from_institution: bool,
) -> Message:
    """Read the claims of a verified token."""
    message = Claims(content)
    if message.raw(claims.VERSION) != LTI_VERSION:
        raise message.refuse(claims.VERSION, "missing or not 1.3.0", "message.version")
    kind = message.raw(claims.MESSAGE_TYPE)
    if not isinstance(kind, str) or kind not in MESSAGE_TYPES:
        raise message.refuse(claims.MESSAGE_TYPE, "missing or not understood", "message.type")
    raw_roles = message.strings(claims.ROLES)
    if raw_roles is None:
        raise message.refuse(claims.ROLES, "missing", "message.roles")
    shown = parts.presentation(message)
    custom = parts.custom(message)
    common: dict[str, Any] = {
        "registration": registration,
        "message_type": kind,
        "deployment_id": deployment,
        "sub": message.identifier("sub", "message.no_sub"),
        "roles": role_names.parse(raw_roles, staff_from_institution=staff_from_institution),
        "target_link_uri": _target(message, kind, tool_url, known_targets),
        "context": parts.context(message),
        "name": message.text("name"),
        "given_name": message.text("given_name"),
        "family_name": message.text("family_name"),
        "email": message.text("email"),
        "locale": shown.locale,
        "return_url": shown.return_url,
        "document_target": shown.document_target,
        "memberships_url": parts.memberships_url(message),
        "custom": custom,
        "dates": parts.dates(custom),
        "history": parts.history(custom),
        "platform": parts.platform(message),
    }
    if kind == DEEP_LINKING_REQUEST:
        return DeepLinkingMessage(**common, settings=parts.deep_linking_settings(message))
    linked: dict[str, Any] = {
        "resource_link": parts.resource_link(message),
        "ags": parts.ags_endpoint(message),
    }
    if kind == SUBMISSION_REVIEW_REQUEST:
        if linked["ags"] is None or linked["ags"].line_item is None:
            raise message.refuse(claims.AGS_ENDPOINT, "no line item", "message.line_item")
        return SubmissionReviewMessage(**common, **linked, for_user=parts.for_user(message))
    return ResourceLinkMessage(**common, **linked)


def _target(message: Claims, kind: str, tool_url: str, known_targets: Collection[str]) -> str:
    """Return what is to be opened. Only the signed claim says it, not the login's parameter; and it is ours,
    so that no message redirects anybody anywhere. What Deep Linking opens its settings say; it may be left
    out there."""
    target = message.url(claims.TARGET_LINK_URI)
    if target is None and kind == DEEP_LINKING_REQUEST:
        return tool_url
    if target is None:
        raise message.refuse(claims.TARGET_LINK_URI, "missing", "message.target")
    path = urlsplit(target).path or "/"
    if origin(target) != origin(tool_url) or path not in known_targets:
        raise message.refuse(claims.TARGET_LINK_URI, "not one of ours", "message.target")
    return target
