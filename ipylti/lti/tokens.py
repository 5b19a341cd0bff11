"""Access tokens for a platform's services (LTI Security Framework 1.0, 4.1; RFC 7523; RFC 6749, 4.4).

The tool proves who it is by an assertion that it signs, and gets a bearer token for the scopes it names.
"""

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

from ipylti.errors import OutgoingError, ServiceError
from ipylti.http import Answer, OutgoingHTTP
from ipylti.lti import services, strict_json
from ipylti.lti.registrations import Registration
from ipylti.lti.stores import Cache

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

#: Seconds that an assertion is good for.
ASSERTION_SECONDS = 240

#: Seconds before its end from which a token is no longer used.
MARGIN = 60

#: Seconds that a token is kept at most, whatever the platform says.
LONGEST = 24 * 3600

#: Seconds for the whole exchange.
TIMEOUT = 10.0

_TOKEN = re.compile(r"[!-~]{1,16384}")
_ERROR = re.compile(r"[a-z_]{1,50}")


class Signs(Protocol):
    """What signs assertions: :class:`ipylti.lti.keys.Signer`."""

    def sign(self, claims: dict[str, Any]) -> str:
        """Return the claims as a signed token."""


class AccessTokens:
    """Gets tokens, and keeps them as long as they last.

    :param clock: seconds since 1970.
    """

    def __init__(
        self, http: OutgoingHTTP, cache: Cache, signer: Signs, clock: Callable[[], float] = time.time
    ) -> None:
        self._http = http
        self._cache = cache
        self._signer = signer
        self._clock = clock

    def get(self, registration: Registration, scopes: Collection[str]) -> str:
        """Return a token for these scopes.

        :param scopes: only such as the launch offered; a platform may refuse all because of one.
        :raises ServiceError: ``token.unreachable``, ``token.answer`` (no token in it), ``token.scope`` (for
            less than was asked), or one of :func:`ipylti.lti.services.refused`.
        """
        key = _cache_key(registration, scopes)
        kept = self._cache.get(key)
        if isinstance(kept, str):
            return kept
        token, seconds = self._fetched(registration, scopes)
        if seconds > MARGIN:
            self._cache.set(key, token, int(min(seconds - MARGIN, LONGEST)))
        return token

    def authorized(
        self, service: str, registration: Registration, scope: str, send: Callable[[str], Answer]
    ) -> Answer:
        """Send a request with a token, and once more with a new one if the platform does not take the first.

        :param service: what the error's code begins with.
        :param send: sends it with a token, and returns the answer whatever its status.
        :raises ServiceError: ``<service>.unreachable``, or those of :meth:`get`.
        """
        try:
            token = self.get(registration, {scope})
            answer = send(token)
            if answer.status == 401:
                self.forget(registration, {scope}, token)
                answer = send(self.get(registration, {scope}))
        except OutgoingError as err:
            raise services.unreachable(service, err) from err
        return answer

    def forget(self, registration: Registration, scopes: Collection[str], token: str) -> None:
        """Drop a token that the platform refused, unless another one has taken its place."""
        key = _cache_key(registration, scopes)
        if self._cache.get(key) == token:
            self._cache.delete(key)

    def _fetched(self, registration: Registration, scopes: Collection[str]) -> tuple[str, float]:
        """Ask the platform for a token; return it with the seconds it lasts."""
        fields = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self._assertion(registration),
            "scope": " ".join(sorted(scopes)),
        }
        try:
            answer = self._http.post_form(registration.token_url, fields, timeout=TIMEOUT)
        except OutgoingError as err:
            raise services.unreachable("token", err) from err
        if answer.status != 200:
            error = services.refused("token", answer)
            error.detail += _named_error(answer)
            raise error
        return _read(answer, scopes)

    def _assertion(self, registration: Registration) -> str:
        """Return the signed statement of who we are.

        ``iat`` lies a little back, for platforms whose clocks do.
        """
        now = int(self._clock())
        return self._signer.sign(
            {
                "iss": registration.client_id,
                "sub": registration.client_id,
                "aud": registration.token_audience or registration.token_url,
                "iat": now - 5,
                "exp": now + ASSERTION_SECONDS,
                "jti": secrets.token_urlsafe(24),
            }
        )


def _read(answer: Answer, scopes: Collection[str]) -> tuple[str, float]:
    """Return the token in an answer and the seconds it lasts, 0 where that is not said."""
    content = _object(answer)
    token, kind = content.get("access_token"), content.get("token_type")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise ServiceError("no access token in the answer", code="token.answer", retry=False, status=200)
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ServiceError("not a bearer token", code="token.answer", retry=False, status=200)
    granted = content.get("scope")
    # Left out, it is what was asked for (RFC 6749, 5.1).
    if granted is not None and not (isinstance(granted, str) and set(scopes) <= set(granted.split())):
        raise ServiceError("fewer scopes than were asked for", code="token.scope", retry=False, status=200)
    try:
        return token, float(content.get("expires_in") or 0)
    except (TypeError, ValueError, OverflowError):
        return token, 0.0


def _object(answer: Answer) -> dict[str, Any]:
    try:
        content = strict_json.loads(answer.body)
    except strict_json.NotJSON:
        content = None
    return content if isinstance(content, dict) else {}


def _named_error(answer: Answer) -> str:
    """Return the OAuth error that the answer names, for the log."""
    error = _object(answer).get("error")
    return f" {error}" if isinstance(error, str) and _ERROR.fullmatch(error) else ""


def _cache_key(registration: Registration, scopes: Collection[str]) -> str:
    parts = [registration.id, registration.client_id, registration.token_url, sorted(scopes)]
    return f"token:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"
