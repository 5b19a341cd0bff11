"""The tool's own keys: what platforms fetch to check our assertions, and which of them signs now.

A key is published a day before it signs and for a week after its successor took over, so platforms that
remember our set have the right one at any moment (RFC 7517; thumbprints by RFC 7638).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwcrypto.jwk import JWK
from jwt.algorithms import RSAAlgorithm

from ipylti.errors import IpyltiError

ALGORITHM = "RS256"
BITS = 2048

#: How long a key is published before it signs.
LEAD = timedelta(hours=24)

#: How long a key stays published after its successor took over.
KEEP = timedelta(days=7)


@dataclass(frozen=True)
class ToolKey:
    """One key pair, and when it does what; all moments are aware datetimes.

    :param kid: the SHA-256 thumbprint.
    :param private: the private JSON Web Key.
    :param activates: when it begins to sign.
    :param retires: when it is no longer published, None while it has no successor.
    """

    kid: str
    private: Mapping[str, str] = field(repr=False)
    created: datetime
    activates: datetime
    retires: datetime | None = None


def generate(now: datetime, activates: datetime | None = None) -> ToolKey:
    """Return a new key that signs from ``activates`` on, at once without it."""
    key = JWK.generate(kty="RSA", size=BITS)
    return ToolKey(
        kid=key.thumbprint(),
        private=key.export_private(as_dict=True),
        created=now,
        activates=activates or now,
    )


def published(keys: Iterable[ToolKey], now: datetime) -> list[ToolKey]:
    """Return the keys that platforms should know now, the latest to activate first."""
    known = [key for key in keys if key.retires is None or now < key.retires]
    return sorted(known, key=lambda key: (key.activates, key.kid), reverse=True)


def signing_key(keys: Iterable[ToolKey], now: datetime) -> ToolKey:
    """Return the key that signs now: the latest active one.

    :raises IpyltiError: ``key.none``: there is no active key, which the first start should have made.
    """
    for key in published(keys, now):
        if key.activates <= now:
            return key
    raise IpyltiError("no key to sign with", code="key.none")


def rotate(keys: Iterable[ToolKey], now: datetime) -> list[ToolKey]:
    """Return the keys to store to have a successor take over: the new one, and those that got an end.

    Without a key that signs, the new one signs at once. While a successor waits already there is nothing
    to do, and the list is empty: a second one would only shorten the first one's day.
    """
    known = published(keys, now)
    if any(key.activates > now for key in known):
        return []
    new = generate(now, now + LEAD if known else now)
    ending = [replace(key, retires=new.activates + KEEP) for key in known if key.retires is None]
    return [new, *ending]


def is_due(keys: Iterable[ToolKey], now: datetime, lifetime: timedelta) -> bool:
    """Return whether the key that signs has done so for longer than ``lifetime``, and no successor waits."""
    known = published(keys, now)
    signing = next((key for key in known if key.activates <= now), None)
    return signing is not None and signing is known[0] and now - signing.activates > lifetime


def public_jwks(keys: Iterable[ToolKey], now: datetime) -> dict[str, list[dict[str, str]]]:
    """Return the JSON Web Key Set to publish now: of each key the public members by name, nothing else."""
    return {
        "keys": [
            {
                "kty": "RSA",
                "n": key.private["n"],
                "e": key.private["e"],
                "kid": key.kid,
                "alg": ALGORITHM,
                "use": "sig",
            }
            for key in published(keys, now)
        ]
    }


class Signer:
    """Signs with one key."""

    def __init__(self, key: ToolKey) -> None:
        self._key = key

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the claims as a signed token that names the key."""
        private = _private(json.dumps(dict(self._key.private), sort_keys=True))
        return jwt.encode(dict(claims), private, ALGORITHM, headers={"kid": self._key.kid})


@lru_cache(maxsize=4)
def _private(jwk: str) -> RSAPrivateKey:
    """Return the key ready to sign; reading one checks its primes, which is slow."""
    key = RSAAlgorithm.from_jwk(jwk)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not a private key")
    return key
