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

from ipylti.errors import PlatformRefused, RefusedMessage
from ipylti.http import origin
from ipylti.lti import claims, id_token, login, parts
from ipylti.lti import roles as role_names
from ipylti.lti.claims import Claims
from ipylti.lti.forms import single
from ipylti.lti.registrations import Registration, Registrations
from ipylti.lti.stores import SingleUse

LTI_VERSION = "1.3.0"

RESOURCE_LINK_REQUEST = "LtiResourceLinkRequest"

#: The kinds of message that the tool understands.
MESSAGE_TYPES = frozenset({RESOURCE_LINK_REQUEST})

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


@dataclass(frozen=True)
class Message:
    """A verified message.

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
    resource_link: parts.ResourceLink
    target_link_uri: str
    context: parts.Context | None = None
    name: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    email: str | None = None
    locale: str | None = None
    return_url: str | None = None
    document_target: str | None = None
    ags: parts.AgsEndpoint | None = None
    memberships_url: str | None = None
    custom: Mapping[str, str] = field(default_factory=dict)
    dates: parts.Dates | None = None
    history: parts.History = field(default_factory=parts.History)
    platform: parts.Platform | None = None

    @property
    def test_user(self) -> bool:
        """Whether the person is a test user of the platform."""
        return self.roles.test_user


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
) -> Message:
    """Return the message that was posted to the launch URL.

    The login's state is looked at first and consumed last. So a bad token burns nobody's login (the person
    tries again with the same one), a good one works once, and a state without its browser's cookie gets
    nobody as far as the token.

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
    if secret is None:
        raise RefusedMessage("no cookie of this login", code="message.cookie_missing")
    if not expected.bound_to(secret):
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
        ``message.roles``, ``message.target``, ``message.resource_link``, or ``message.claim`` for one of a
        wrong type.
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
    if deployment not in registration.deployments:
        raise message.refuse(claims.DEPLOYMENT_ID, "unknown for this client", "message.deployment")
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
    return Message(
        registration=registration,
        message_type=kind,
        deployment_id=deployment,
        sub=message.identifier("sub", "message.no_sub"),
        roles=role_names.parse(raw_roles, staff_from_institution=staff_from_institution),
        resource_link=parts.resource_link(message),
        target_link_uri=_target(message, tool_url, known_targets),
        context=parts.context(message),
        name=message.text("name"),
        given_name=message.text("given_name"),
        family_name=message.text("family_name"),
        email=message.text("email"),
        locale=shown.locale,
        return_url=shown.return_url,
        document_target=shown.document_target,
        ags=parts.ags_endpoint(message),
        memberships_url=parts.memberships_url(message),
        custom=custom,
        dates=parts.dates(custom),
        history=parts.history(custom),
        platform=parts.platform(message),
    )


def _target(message: Claims, tool_url: str, known_targets: Collection[str]) -> str:
    """Return what is to be opened. Only the signed claim says it, not the login's parameter; and it is ours,
    so that no message redirects anybody anywhere."""
    target = message.url(claims.TARGET_LINK_URI)
    if target is None:
        raise message.refuse(claims.TARGET_LINK_URI, "missing", "message.target")
    path = urlsplit(target).path or "/"
    if origin(target) != origin(tool_url) or path not in known_targets:
        raise message.refuse(claims.TARGET_LINK_URI, "not one of ours", "message.target")
    return target
