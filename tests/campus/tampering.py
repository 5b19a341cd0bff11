"""Messages signed by campus, or by whoever a test wants, in whatever way."""

from collections.abc import Mapping
from typing import Any, TypedDict

from cryptography.hazmat.primitives.asymmetric import rsa

from .keys import public_jwk, sign


class Tampering(TypedDict, total=False):
    """What a test changes in a genuine message.

    :param claims: claims that take the place of the genuine ones; `lti("roles")` gives a full name.
    :param without: claims that are left out.
    :param headers: header members that take the place of the genuine ones; None leaves one out.
    :param key: signs in place of campus' key: another RSA key, or a secret for the HMAC algorithms.
    :param algorithm: RS256, RS384, RS512, HS256, HS384, HS512 or none.
    :param payload: the payload as it is, in place of all claims.
    """

    claims: Mapping[str, Any] | None
    without: tuple[str, ...]
    headers: Mapping[str, Any] | None
    key: rsa.RSAPrivateKey | bytes | None
    algorithm: str
    payload: bytes | None


def seal(genuine: Mapping[str, Any], ours: rsa.RSAPrivateKey, tampering: Tampering) -> str:
    """A message as a signed token, genuine unless told otherwise.

    :param genuine: its claims.
    :param ours: campus' key.
    """
    algorithm = tampering.get("algorithm", "RS256")
    header = {"typ": "JWT", "alg": algorithm, "kid": public_jwk(ours)["kid"]}
    header |= dict(tampering.get("headers") or {})
    body = {**genuine, **(tampering.get("claims") or {})}
    key = tampering.get("key")
    return sign(
        {name: value for name, value in header.items() if value is not None},
        tampering.get("payload")
        or {name: value for name, value in body.items() if name not in tampering.get("without", ())},
        ours if key is None else key,
        algorithm,
    )
