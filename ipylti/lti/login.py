"""Step 1 of a launch: the platform starts, and the tool sends the browser back to it to sign in.

Third-party initiated login and the authentication request (LTI Security Framework 1.0, 5.1.1.1 and 5.1.1.2;
OpenID Connect Core 1.0, 4 and 3.1.2.1). Anybody can start a login, also in somebody else's browser, so what
is remembered of it is bound to the browser by a secret: a message comes in only where its login went out.

A cookie keeps the secret. Where a browser keeps none for a page in another's frame, the platform keeps it
(Client Side postMessages: Platform Storage, "lti.put_data"); where the platform can't, the login begins anew
in a tab of its own, by a ticket.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ipylti.errors import RefusedLogin
from ipylti.http import origin
from ipylti.lti.forms import single
from ipylti.lti.registrations import Registration, Registrations
from ipylti.lti.stores import SingleUse

#: How long a person may take to sign in at the platform.
STATE_SECONDS = 600

#: Parameters of the authentication request that are ours to set; one of the platform's URL gives way.
_OURS = frozenset(
    {
        "scope",
        "response_type",
        "response_mode",
        "prompt",
        "client_id",
        "redirect_uri",
        "state",
        "nonce",
        "login_hint",
        "lti_message_hint",
    }
)

#: Parameters of the platform with which a login can begin anew.
_BEGINNING = (
    "iss",
    "login_hint",
    "target_link_uri",
    "lti_message_hint",
    "client_id",
    "lti_deployment_id",
    "deployment_id",
)

#: The frame of the platform's page that keeps data, where the platform does not name another one.
PARENT = "_parent"

_STATE = re.compile(r"[A-Za-z0-9_-]{43}")
_FRAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True)
class LoginState:
    """What the server remembers between login and message, by the state.

    :param deployment: the deployment that the platform hinted at, or None.
    :param binding: SHA-256 (hex) of this login's secret.
    :param created: seconds since 1970.
    :param storage: of a login in a frame, the frame of the platform's page that may keep the secret.
    :param storage_origin: that frame's origin.
    :param request: of a login in a frame, the platform's parameters, to begin anew elsewhere.
    """

    issuer: str
    client_id: str
    nonce: str
    target_link_uri: str
    deployment: str | None
    binding: str
    created: float
    storage: str | None = None
    storage_origin: str | None = None
    request: Mapping[str, str] = field(default_factory=dict)

    def bound_to(self, secret: str) -> bool:
        """Return whether the secret is this login's."""
        return hmac.compare_digest(self.binding, _digest(secret))


@dataclass(frozen=True)
class LoginRedirect:
    """The answer to a login.

    :param location: where to send the browser, with status 302.
    :param state: names the cookie, see :func:`state_cookie`.
    :param binding: the cookie's value: a secret of this browser, kept here only as a hash.
    :param login: what is remembered.
    """

    location: str
    state: str
    binding: str
    login: LoginState


def begin(
    params: Iterable[tuple[str, object]],
    registrations: Registrations,
    states: SingleUse,
    redirect_uri: str,
    now: float | None = None,
    *,
    framed: bool = False,
) -> LoginRedirect:
    """Return the redirect to the platform's login, and remember what was asked.

    :param params: those of the query and of the body, in order.
    :param redirect_uri: where the platform posts its message: one fixed URL without a query.
    :param framed: whether it happens in a frame of the platform's page, where cookies may not be kept.
    :raises RefusedLogin: ``login.missing`` (a required parameter), ``login.unknown_platform``,
        ``login.ambiguous`` (no client id, and several registrations of the issuer), ``login.deployment``
        (two that differ), or a ``request.…`` of :func:`ipylti.lti.forms.single`.
    """
    given = single(params, RefusedLogin)
    for name in ("iss", "login_hint", "target_link_uri"):
        if not given.get(name):
            raise RefusedLogin(f"no {name}", code="login.missing")
    registration = _registration(given["iss"], given.get("client_id", ""), registrations)
    state, binding = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    login = LoginState(
        issuer=registration.issuer,
        client_id=registration.client_id,
        nonce=secrets.token_urlsafe(32),
        target_link_uri=given["target_link_uri"],
        deployment=_deployment(given),
        binding=_digest(binding),
        created=time.time() if now is None else now,
        storage=_storage(given) if framed else None,
        storage_origin=origin(registration.auth_url) if framed else None,
        request={name: given[name] for name in _BEGINNING if name in given} if framed else {},
    )
    states.put(_key(state), asdict(login), STATE_SECONDS)
    query = {
        "scope": "openid",
        "response_type": "id_token",
        "response_mode": "form_post",
        "prompt": "none",
        "client_id": registration.client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "nonce": login.nonce,
        "login_hint": given["login_hint"],
    }
    if "lti_message_hint" in given:
        query["lti_message_hint"] = given["lti_message_hint"]
    return LoginRedirect(_merged(registration.auth_url, query), state, binding, login)


def state_cookie(state: str) -> str:
    """Return the name of the cookie that binds a login to its browser.

    One for each login, so that two frames on one page don't clobber each other.
    """
    return f"__Host-ipylti-state-{state[:16]}"


def remembered(state: str, states: SingleUse) -> LoginState | None:
    """Return what is remembered under a state, and leave it; None if nothing is (any more)."""
    return _read(states.peek(_key(state))) if _STATE.fullmatch(state) else None


def consume(state: str, states: SingleUse) -> LoginState | None:
    """Return what is remembered under a state, and forget it: only one caller ever gets it."""
    return _read(states.take(_key(state))) if _STATE.fullmatch(state) else None


def bound(state: str, secret: str, states: SingleUse) -> LoginState:
    """Return what is remembered under a state, to whoever knows its secret.

    :raises RefusedLogin: ``login.state``: there is nothing (any more), or the secret is another one's.
    """
    found = remembered(state, states)
    if found is None or not found.bound_to(secret):
        raise RefusedLogin("no such login of this browser", code="login.state")
    return found


def _registration(issuer: str, client_id: str, registrations: Registrations) -> Registration:
    """Find the one registration that the login is for."""
    if client_id:
        found = registrations.by_client(issuer, client_id)
        if found is None:
            raise RefusedLogin("no such issuer and client id", code="login.unknown_platform")
        return found
    candidates = registrations.by_issuer(issuer)
    if not candidates:
        raise RefusedLogin("no such issuer", code="login.unknown_platform")
    if len(candidates) > 1:
        raise RefusedLogin("no client_id, and several registrations of this issuer", code="login.ambiguous")
    return candidates[0]


def _deployment(given: Mapping[str, str]) -> str | None:
    """Return the deployment hinted at, which the message will have to name (``deployment_id`` is Canvas')."""
    hints = {given[name] for name in ("lti_deployment_id", "deployment_id") if given.get(name)}
    if len(hints) > 1:
        raise RefusedLogin("two deployments that differ", code="login.deployment")
    return next(iter(hints), None)


def _storage(given: Mapping[str, str]) -> str:
    """Return the name of the frame that keeps data for tools (Client Side postMessages)."""
    target = given.get("lti_storage_target", "")
    return target if _FRAME.fullmatch(target) else PARENT


def _merged(url: str, query: dict[str, str]) -> str:
    """Add our parameters to those that the platform's authorization URL may have."""
    parts = urlsplit(url)
    theirs = [(name, value) for name, value in parse_qsl(parts.query, True) if name not in _OURS]
    return urlunsplit(parts._replace(query=urlencode([*theirs, *query.items()]), fragment=""))


def _key(state: str) -> str:
    return f"login:{state}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _read(record: dict[str, Any] | None) -> LoginState | None:
    return None if record is None else LoginState(**record)
