"""The token endpoint: client assertions in, access tokens out.

RFC 6749 section 4.4 (client credentials), RFC 7523 sections 2.2 and 3 (`private_key_jwt`), as the 1EdTech
Security Framework 1.0 profiles them.
"""

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import Refused
from .registry import ACTIVE, Registry
from .tool_keys import ToolKeys

GRANT_TYPE = "client_credentials"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_ASSERTION = 300
CLOCK_SKEW = 5


@dataclass(frozen=True)
class Token:
    """An access token that was given out.

    :param scopes: what it is good for.
    :param expires: seconds since the epoch.
    """

    scopes: frozenset[str]
    expires: float


def _client(reason: str) -> Refused:
    return Refused(400, "invalid_client", reason)


class TokenOffice:
    """Gives out access tokens and looks at them again; safe to use from several threads."""

    def __init__(self, registry: Registry, tool_keys: ToolKeys) -> None:
        self._registry = registry
        self._tool_keys = tool_keys
        self._tokens: dict[str, Token] = {}
        self._spent: dict[str, float] = {}
        self._lock = threading.Lock()

    def grant(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Answer a token request.

        :param form: its parameters, each of which was given once.
        :returns: the answer of RFC 6749, section 5.1.
        :raises Refused: with an error code of its section 5.2.
        """
        for name in ("grant_type", "client_assertion_type", "client_assertion", "scope"):
            if not form.get(name):
                raise Refused(400, "invalid_request", f"{name} is missing")
        if form["grant_type"] != GRANT_TYPE:
            raise Refused(400, "unsupported_grant_type", f"grant_type is not {GRANT_TYPE}")
        if form["client_assertion_type"] != ASSERTION_TYPE:
            raise Refused(400, "invalid_request", f"client_assertion_type is not {ASSERTION_TYPE}")
        if "client_secret" in form:
            raise Refused(400, "invalid_request", "client_secret beside an assertion: two ways at once")
        client_id = self._registry.config.client_id
        if form.get("client_id", client_id) != client_id:
            raise _client("client_id is not that of the assertion")
        self._check_assertion(form["client_assertion"])
        return self._issue(form["scope"])

    def _check_assertion(self, assertion: str) -> None:
        """All checks of RFC 7523, section 3.

        :raises Refused: `invalid_client`.
        """
        config = self._registry.config
        if self._registry.state != ACTIVE:
            raise _client("no tool is registered and switched on")
        claims = self._tool_keys.verify(assertion, "the assertion", _client)
        for name in ("iss", "sub"):
            if claims.get(name) != config.client_id:
                raise _client(f"{name} of the assertion is not the client id")
        audience = claims.get("aud")
        if config.token_audience not in (audience if isinstance(audience, list) else [audience]):
            raise _client(f"aud of the assertion is not {config.token_audience} but {audience!r}")
        self._check_times(claims)
        self._spend(claims)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = time.time()
        for name in ("iat", "exp"):
            if isinstance(claims.get(name), bool) or not isinstance(claims.get(name), int):
                raise _client(f"{name} of the assertion is missing or not an integer")
        behind = self._registry.config.behaviour.behind
        if claims["iat"] > (now - behind if behind else now + CLOCK_SKEW):
            raise _client("the assertion was made in the future")
        if claims["exp"] <= now - CLOCK_SKEW:
            raise _client("the assertion has expired")
        if not 0 < claims["exp"] - claims["iat"] <= LONGEST_ASSERTION:
            raise _client(f"the assertion is to live longer than {LONGEST_ASSERTION} seconds, or not at all")
        not_before = claims.get("nbf", now)
        if isinstance(not_before, bool) or not isinstance(not_before, int | float):
            raise _client("nbf of the assertion is not a number")
        if not_before > now + CLOCK_SKEW:
            raise _client("the assertion is not valid yet")

    def _spend(self, claims: Mapping[str, Any]) -> None:
        """Let an assertion be used once, and remember it for as long as it could be used again."""
        jti = claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise _client("jti of the assertion is missing or not a string")
        now = time.time()
        with self._lock:
            self._spent = {spent: until for spent, until in self._spent.items() if until > now}
            if jti in self._spent:
                raise _client("the assertion's jti was used before")
            self._spent[jti] = claims["exp"] + 2 * CLOCK_SKEW

    def _issue(self, scope: str) -> dict[str, Any]:
        config = self._registry.config
        asked = scope.split()
        allowed = set(config.granted_scopes) - config.behaviour.refused_scopes
        wanted = [name for name in asked if name in allowed]
        if not wanted or (len(wanted) < len(asked) and not config.behaviour.fewer_scopes):
            foreign = " ".join(name for name in asked if name not in allowed)
            raise Refused(400, "invalid_scope", f"scopes that are not offered: {foreign}")
        value = secrets.token_urlsafe(32)
        now = time.time()
        with self._lock:
            self._tokens = {name: token for name, token in self._tokens.items() if token.expires > now}
            self._tokens[value] = Token(frozenset(wanted), now + config.token_seconds)
        return {
            "access_token": value,
            "token_type": "Bearer",
            "expires_in": config.token_seconds,
            "scope": " ".join(wanted),
        }

    def require(self, authorization: str | None, scopes: tuple[str, ...]) -> None:
        """Look at the token of a request to a service.

        :param authorization: the request's Authorization header.
        :param scopes: scopes of which one is enough.
        :raises Refused: 401 without a good token, 403 without the scope (RFC 6750, section 3.1).
        """
        scheme, _, value = (authorization or "").partition(" ")
        if scheme != "Bearer" or not value:
            raise Refused(
                401, "invalid_token", "no 'Authorization: Bearer ...'", (("WWW-Authenticate", "Bearer"),)
            )
        with self._lock:
            token = self._tokens.get(value)
        if token is None or token.expires <= time.time():
            why = "unknown or revoked" if token is None else "expired"
            challenge = (("WWW-Authenticate", 'Bearer error="invalid_token"'),)
            raise Refused(401, "invalid_token", f"the access token is {why}", challenge)
        if not token.scopes.intersection(scopes):
            challenge = (("WWW-Authenticate", 'Bearer error="insufficient_scope"'),)
            raise Refused(403, "insufficient_scope", f"the token lacks {' or '.join(scopes)}", challenge)

    def revoke_all(self) -> None:
        """Make every token that was given out worthless, as a platform that restarts may."""
        with self._lock:
            self._tokens.clear()
