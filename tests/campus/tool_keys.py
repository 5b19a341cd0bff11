"""The tool's published keys, and what it signed with them."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests

from .errors import Refused
from .registry import Registry
from .shapes import read_object

FETCH_TIMEOUT = 5
LONGEST = 64 * 1024
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

#: Makes the error of a refusal out of its reason.
Refuse = Callable[[str], Refused]


class ToolKeys:
    """Verifies what the tool signed (RFC 7515, RFC 7517), by RS256 and a key of its set only."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def verify(self, token: str, what: str, refuse: Refuse) -> dict[str, Any]:
        """The claims of a token that the tool signed. Only the signature is looked at.

        :param what: what to call it: "the assertion".
        :param refuse: makes the error.
        """
        if len(token) > LONGEST:
            raise refuse(f"{what} is longer than {LONGEST} characters")
        key = self._key(token, what, refuse)
        try:
            payload = jwt.PyJWS().decode(token, key, algorithms=["RS256"])
        except jwt.InvalidTokenError as err:
            raise refuse(f"{what} does not verify: {err}") from err
        try:
            return read_object(payload)
        except Refused as err:
            raise refuse(f"the claims of {what}: {err.reason}") from err

    def _key(self, token: str, what: str, refuse: Refuse) -> Any:
        """The key that the token's header names."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as err:
            raise refuse(f"{what} is not a JWT: {err}") from err
        if header.get("alg") != "RS256":
            raise refuse(f"{what} is signed with {header.get('alg')!r}, not RS256")
        kid = header.get("kid")
        if not kid:
            raise refuse(f"{what} names no kid")
        matching = [jwk for jwk in self._published(refuse) if jwk.get("kid") == kid]
        if len(matching) != 1:
            raise refuse(f"the tool publishes {len(matching)} keys of the kid that {what} names")
        jwk = matching[0]
        if jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig" or jwk.get("alg", "RS256") != "RS256":
            raise refuse(f"the key that {what} names is not an RSA key for signing with RS256")
        try:
            key = jwt.PyJWK.from_dict(jwk, algorithm="RS256").key
        except (jwt.PyJWTError, ValueError) as err:
            raise refuse(f"the key that {what} names cannot be read: {err}") from err
        if key.key_size < 2048:
            raise refuse(f"the key that {what} names is shorter than 2048 bits")
        return key

    def _published(self, refuse: Refuse) -> list[dict[str, Any]]:
        """The tool's keys, fetched anew each time: tools cache tokens, so this is seldom."""
        config = self._registry.config
        try:
            if config.tool_jwks is not None:
                found: Any = config.tool_jwks()
            else:
                answer = _fetch(config.tool_jwks_url)
                answer.raise_for_status()
                found = answer.json()
        except (requests.RequestException, ValueError) as err:
            raise refuse(f"the tool's keys cannot be had from {config.tool_jwks_url}: {err}") from err
        keys = found.get("keys") if isinstance(found, Mapping) else None
        if not isinstance(keys, list) or not all(isinstance(jwk, dict) for jwk in keys):
            raise refuse("the tool's keys are not a JWK set")
        if any(PRIVATE_MEMBERS & jwk.keys() for jwk in keys):
            raise refuse("the tool publishes a private or secret key")
        return keys


def _fetch(url: str) -> requests.Response:
    """Get a page; `*.localhost` is this machine, as it is for browsers (RFC 6761, section 6.3)."""
    parts = urlsplit(url)
    headers = {"Accept": "application/json"}
    if (parts.hostname or "").endswith(".localhost"):
        headers["Host"] = parts.netloc
        port = f":{parts.port}" if parts.port else ""
        url = parts._replace(netloc=f"127.0.0.1{port}").geturl()
    return requests.get(url, timeout=FETCH_TIMEOUT, headers=headers)
