"""campus' signing keys, and a signer that can also sign what no honest platform would.

The signer is its own few lines and not PyJWT's, since tests need what PyJWT refuses to write: a public key as
the secret of an HMAC, duplicate members, payloads that are not JSON.
"""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

#: RSASSA-PKCS1-v1_5 and HMAC algorithms (RFC 7518, section 3.1) by their hash.
RSA_ALGORITHMS = {"RS256": hashes.SHA256(), "RS384": hashes.SHA384(), "RS512": hashes.SHA512()}
HMAC_ALGORITHMS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A fresh RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def b64(data: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_jwk(key: rsa.RSAPrivateKey) -> dict[str, str]:
    """The public half as a JWK whose `kid` is its thumbprint (RFC 7638)."""
    numbers = key.public_key().public_numbers()
    members = {
        "e": b64(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8)),
        "kty": "RSA",
        "n": b64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
    }
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return {**members, "kid": b64(hashlib.sha256(canonical).digest()), "alg": "RS256", "use": "sig"}


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    """The public half in PEM: what a forger uses as the secret of an HMAC."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def sign(
    header: Mapping[str, Any] | bytes,
    payload: Mapping[str, Any] | bytes,
    key: rsa.RSAPrivateKey | bytes | None,
    algorithm: str = "RS256",
) -> str:
    """A JWT in compact form.

    :param header: its header; bytes are taken as they are.
    :param payload: its claims; bytes are taken as they are (duplicate keys, broken JSON).
    :param key: an RSA key for RS..., a secret for HS..., not used for "none".
    :param algorithm: how it is really signed, whatever the header says.
    :raises ValueError: for an algorithm that is none of these, or a key that does not go with it.
    """
    parts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload))
    text = ".".join(b64(part) for part in parts)
    if algorithm == "none":
        signature = b""
    elif algorithm in RSA_ALGORITHMS and isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(text.encode(), padding.PKCS1v15(), RSA_ALGORITHMS[algorithm])
    elif algorithm in HMAC_ALGORITHMS and isinstance(key, bytes):
        signature = hmac.digest(key, text.encode(), HMAC_ALGORITHMS[algorithm])
    else:
        raise ValueError(f"no way to sign {algorithm} with this key")
    return f"{text}.{b64(signature)}"


class Keyring:
    """The platform's keys: the last one signs, all are published; safe to use from several threads."""

    def __init__(self, key: rsa.RSAPrivateKey | None = None) -> None:
        self._keys = [key or new_key()]
        self._lock = threading.Lock()

    @property
    def current(self) -> rsa.RSAPrivateKey:
        """The key that signs now."""
        with self._lock:
            return self._keys[-1]

    def rotate(self, keep_old: bool = True) -> str:
        """Sign with a new key from now on.

        :param keep_old: whether the earlier keys stay published.
        :returns: the new key's `kid`.
        """
        key = new_key()
        with self._lock:
            self._keys = [*self._keys, key] if keep_old else [key]
        return public_jwk(key)["kid"]

    def jwks(self, with_algorithm: bool = True) -> dict[str, list[dict[str, str]]]:
        """The published set (RFC 7517, section 5).

        :param with_algorithm: whether the keys have `alg`, which is optional.
        """
        with self._lock:
            keys = [public_jwk(key) for key in self._keys]
        left_out = () if with_algorithm else ("alg",)
        return {"keys": [{name: key[name] for name in key if name not in left_out} for key in keys]}
