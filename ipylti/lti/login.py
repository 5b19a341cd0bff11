"""Step 1 of a launch: the platform starts, and the tool sends the browser back to it to sign in.

Third-party initiated login and the authentication request (LTI Security Framework 1.0, 5.1.1.1 and 5.1.1.2;
OpenID Connect Core 1.0, 4 and 3.1.2.1). Anybody can start a login, also in somebody else's browser, so what
is remembered of it is bound to the browser by a cookie: a message comes in only where its login went out.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ipylti.errors import RefusedLogin
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

_STATE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class LoginState:
    """What the server remembers between login and message, by the state.

    :param deployment: the deployment that the platform hinted at, or None.
    :param binding: SHA-256 (hex) of the secret in this login's cookie.
    :param created: seconds since 1970.
    """

    issuer: str
    client_id: str
    nonce: str
    target_link_uri: str
    deployment: str | None
    binding: str
    created: float

    def bound_to(self, secret: str) -> bool:
        """Return whether the cookie's value is this login's."""
        return hmac.compare_digest(self.binding, _digest(secret))


@dataclass(frozen=True)
class LoginRedirect:
    """The answer to a login.

    :param location: where to send the browser, with status 302.
    :param state: names the cookie, see :func:`state_cookie`.
    :param binding: the cookie's value: a secret of this browser, kept here only as a hash.
    """

    location: str
    state: str
    binding: str


def begin(
    params: Iterable[tuple[str, object]],
    registrations: Registrations,
    states: SingleUse,
    redirect_uri: str,
    now: float | None = None,
) -> LoginRedirect:
    """Return the redirect to the platform's login, and remember what was asked.

    :param params: those of the query and of the body, in order.
    :param redirect_uri: where the platform posts its message: one fixed URL without a query.
    :raises RefusedLogin: ``login.missing`` (a required parameter), ``login.unknown_platform``,
        ``login.ambiguous`` (no client id, and several registrations of the issuer), ``login.deployment``
        (two that differ, or an unknown one), or a ``request.…`` of :func:`ipylti.lti.forms.single`.
    """
    given = single(params, RefusedLogin)
    for name in ("iss", "login_hint", "target_link_uri"):
        if not given.get(name):
            raise RefusedLogin(f"no {name}", code="login.missing")
    registration = _registration(given["iss"], given.get("client_id", ""), registrations)
    login = LoginState(
        issuer=registration.issuer,
        client_id=registration.client_id,
        nonce=secrets.token_urlsafe(32),
        target_link_uri=given["target_link_uri"],
        deployment=_deployment(given, registration),
        binding="",
        created=time.time() if now is None else now,
    )
    state, binding = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    states.put(_key(state), {**asdict(login), "binding": _digest(binding)}, STATE_SECONDS)
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
    return LoginRedirect(_merged(registration.auth_url, query), state, binding)


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


def _deployment(given: dict[str, str], registration: Registration) -> str | None:
    """Return the deployment hinted at, which the message will have to name (``deployment_id`` is Canvas')."""
    hints = {given[name] for name in ("lti_deployment_id", "deployment_id") if given.get(name)}
    if len(hints) > 1:
        raise RefusedLogin("two deployments that differ", code="login.deployment")
    hint = next(iter(hints), None)
    if hint is not None and hint not in registration.deployments:
        raise RefusedLogin("unknown deployment", code="login.deployment")
    return hint


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
