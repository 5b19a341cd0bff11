"""Whether a token is what it says: the platform's, for this tool, of now, for this login.

The checks of OpenID Connect Core 1.0, 3.1.3.7 and the LTI Security Framework 1.0, 5.1.3. What the claims
mean is read afterwards (:mod:`ipylti.lti.messages`). PyJWT checks the signature; the payload and the times
are read here, because it takes the last of two equal keys and a string for a number.
"""

import base64
import binascii
import hmac
import re
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from ipylti.errors import RefusedMessage
from ipylti.lti import strict_json
from ipylti.lti.registrations import Registration

#: Bytes of a token, whatever is in it.
TOKEN_SIZE = 64 * 1024

#: The Security Framework (5.1.3) leaves room for others; no platform uses them, and each is a risk.
ALGORITHMS = ("RS256",)

#: Seconds by which clocks may differ. Moodle's tokens live 60 s, so this may not be much less.
LEEWAY = 60

#: Seconds that may have passed since the platform signed, as long as it takes to sign in at most.
MAX_AGE = 600

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_JWS = PyJWS(algorithms=ALGORITHMS)


class PlatformKeyring(Protocol):
    """Where platforms' keys are found."""

    def find(self, jwks_url: str, kid: str) -> RSAPublicKey | None:
        """Return the key of this id in the platform's set, None if there is none.

        :raises ipylti.errors.PlatformUnreachable: the set can't be had at all.
        """


def verify(
    token: str, registration: Registration, nonce: str, keys: PlatformKeyring, now: float
) -> dict[str, Any]:
    """Return the claims of a token after every check that does not need to understand them.

    :param nonce: the one that was sent with this login.
    :param now: seconds since 1970.
    :raises RefusedMessage: with the code of the first check that fails, see the helpers below.
    """
    claims = _signed_claims(token, registration, keys)
    if claims.get("iss") != registration.issuer:
        raise RefusedMessage("another issuer", code="message.issuer")
    _check_audience(claims, registration.client_id)
    _check_times(claims, now)
    found = claims.get("nonce")
    # Compared as bytes: compare_digest takes no text beyond ASCII.
    if not isinstance(found, str) or not hmac.compare_digest(found.encode(), nonce.encode()):
        raise RefusedMessage("the nonce is not this login's", code="message.nonce")
    return claims


def _signed_claims(token: str, registration: Registration, keys: PlatformKeyring) -> dict[str, Any]:
    """Check form and signature (RFC 7515), and return the payload.

    The header only chooses a key out of the platform's own set, by ``kid``; ``jku``, ``x5u``, ``jwk`` and the
    like are an attacker's way to bring a key along and are not looked at. ``crit`` names extensions
    that must be understood, and none is.
    """
    if len(token) > TOKEN_SIZE:
        raise RefusedMessage("the token is too large", code="message.size")
    if not _COMPACT.fullmatch(token):
        raise RefusedMessage("not three segments of base64url", code="message.malformed")
    header = _object(token.split(".", 1)[0])
    if header.get("alg") not in ALGORITHMS:
        raise RefusedMessage("an algorithm that is not allowed", code="message.algorithm")
    if "crit" in header or "b64" in header:
        raise RefusedMessage("an extension that must be understood", code="message.header")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise RefusedMessage("no key id", code="message.kid")
    key = keys.find(registration.jwks_url, kid)
    if key is None:
        raise RefusedMessage("a key id that the platform does not publish", code="message.key")
    try:
        _JWS.decode_complete(
            token,
            key=key,
            algorithms=ALGORITHMS,
            options={"verify_signature": True, "enforce_minimum_key_length": True},
        )
    except PyJWTError as err:
        raise RefusedMessage(type(err).__name__, code="message.signature") from err
    return _object(token.split(".")[1])


def _object(segment: str) -> dict[str, Any]:
    """Return the JSON object in a segment."""
    try:
        value = strict_json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (binascii.Error, strict_json.NotJSON) as err:
        raise RefusedMessage(f"a segment is not strict JSON: {err}", code="message.malformed") from err
    if not isinstance(value, dict):
        raise RefusedMessage("a segment is not an object", code="message.malformed")
    return value


def _check_audience(claims: dict[str, Any], client_id: str) -> None:
    """Check that the token is for us, and issued to us: ``azp`` may not name anybody else, and may not be
    left out where there are several audiences."""
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
        raise RefusedMessage("aud is missing or of a wrong type", code="message.audience")
    if client_id not in audiences:
        raise RefusedMessage("for another client", code="message.audience")
    party = claims.get("azp")
    if (party is not None or len(audiences) > 1) and party != client_id:
        raise RefusedMessage("issued to another client", code="message.audience")


def _check_times(claims: dict[str, Any], now: float) -> None:
    """Check ``exp``, ``iat`` and, if there, ``nbf``. Compared, not subtracted: a number may be huge."""
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    not_before = _time(claims, "nbf") if claims.get("nbf") is not None else issued
    if expires <= now - LEEWAY or expires <= issued:
        raise RefusedMessage("the token has expired", code="message.expired")
    if issued < now - MAX_AGE - LEEWAY:
        raise RefusedMessage("the token was issued too long ago", code="message.expired")
    if max(issued, not_before) > now + LEEWAY:
        raise RefusedMessage("the token is of the future", code="message.future")


def _time(claims: dict[str, Any], name: str) -> int | float:
    """Return a NumericDate (RFC 7519, 2); fractions happen, strings and booleans are refused."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedMessage(f"{name} is missing or not a number", code="message.times")
    return value
