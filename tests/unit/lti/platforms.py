"""A platform that holds real keys and signs whatever a test wants signed; and the stores in memory.

Used by the unit tests of :mod:`ipylti.lti` and by the functional tests that post to the real application.
"""

import base64
import copy
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from jwt.algorithms import RSAAlgorithm
from jwt.api_jws import PyJWS

from ipylti.lti import keysets, login, messages
from ipylti.lti.registrations import Registration

TOOL = "https://tool.example"
TARGETS = ("/launch",)

LTI = "https://purl.imsglobal.org/spec/lti/claim/"
MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
INSTRUCTOR = MEMBERSHIP + "Instructor"
LEARNER = MEMBERSHIP + "Learner"

#: Takes a claim out of a message.
GONE = object()


@lru_cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the key of this name, made once per test run."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_jwk(key: rsa.RSAPrivateKey, **members: Any) -> dict[str, Any]:
    """Return the public key as a JSON Web Key with these further members."""
    jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {"kty": "RSA", "n": jwk["n"], "e": jwk["e"], **members}


class FakePlatform:
    """A platform: its registration of the tool, its keys, its messages.

    :param name: distinguishes its issuer and its keys from another one's.
    """

    def __init__(self, name: str = "lms", client_id: str = "tool-at-lms", **registered: Any) -> None:
        self.name = name
        self.key = rsa_key(name)
        self.kid = f"{name}-key-1"
        self.url = f"https://{name}.example"
        self.registration = Registration(
            **{
                "id": 1,
                "issuer": self.url,
                "client_id": client_id,
                "auth_url": f"{self.url}/auth",
                "token_url": f"{self.url}/token",
                "jwks_url": f"{self.url}/jwks",
                "deployments": frozenset({"deployment-1", "Deployment-2"}),
                **registered,
            }
        )

    def jwks(self) -> dict[str, Any]:
        """Return what the platform publishes."""
        return {"keys": [public_jwk(self.key, kid=self.kid, alg="RS256", use="sig")]}

    def claims(self, nonce: str, changes: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Return a student's resource link launch with some claims changed.

        :param changes: claims by name, where a name with no slash or colon that LTI defines may be short:
            ``roles`` is ``https://purl.imsglobal.org/spec/lti/claim/roles``. The value GONE takes one out.
        """
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.registration.issuer,
            "aud": self.registration.client_id,
            "sub": "person-1",
            "exp": now + 60,
            "iat": now,
            "nonce": nonce,
            "name": "Zoë Müller",
            "given_name": "Zoë",
            "family_name": "Müller",
            "email": "zoe@lms.example",
            LTI + "message_type": "LtiResourceLinkRequest",
            LTI + "version": "1.3.0",
            LTI + "deployment_id": "deployment-1",
            LTI + "target_link_uri": f"{TOOL}/launch",
            LTI + "resource_link": {"id": "link-1", "title": "Integrals", "description": "Do them all."},
            LTI + "roles": [LEARNER],
            LTI + "context": {"id": "course-1", "label": "M1", "title": "Mathematics 1"},
            LTI + "tool_platform": {
                "guid": "lms-guid",
                "name": "The LMS",
                "product_family_code": "lms",
            },
            LTI + "launch_presentation": {
                "document_target": "iframe",
                "locale": "de-AT",
                "return_url": f"{self.url}/course/1?tab=2",
            },
            LTI + "custom": {"ipylti_due_at": "2031-05-01T12:00:00+02:00"},
            "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint": {
                "scope": ["https://purl.imsglobal.org/spec/lti-ags/scope/score"],
                "lineitem": f"{self.url}/items/1?type_id=2",
                "lineitems": f"{self.url}/items",
            },
            "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice": {
                "context_memberships_url": f"{self.url}/members",
                "service_versions": ["2.0"],
            },
        }
        for name, value in {**(changes or {}), **more}.items():
            name = LTI + name if LTI + name in claims else name
            if value is GONE:
                claims.pop(name, None)
            else:
                claims[name] = copy.deepcopy(value)
        return claims

    def sign(
        self,
        claims: Mapping[str, Any],
        *,
        key: Any = None,
        algorithm: str = "RS256",
        headers: Mapping[str, Any] | None = None,
    ) -> str:
        """Return the claims as a token, of whatever types they are."""
        payload = json.dumps(dict(claims)).encode()
        return PyJWS().encode(payload, key or self.key, algorithm, {"kid": self.kid, **(headers or {})})

    def sign_raw(self, payload: bytes, header: bytes | None = None) -> str:
        """Return a token with exactly these bytes in it, signed with RS256 whatever they say."""
        if header is None:
            header = json.dumps({"alg": "RS256", "kid": self.kid}).encode()
        signed = f"{b64(header)}.{b64(payload)}"
        return f"{signed}.{b64(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


class MemorySingleUse:
    """:class:`ipylti.lti.stores.SingleUse` in memory."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.records: dict[str, tuple[float, dict[str, Any]]] = {}
        self.clock = clock
        self.lock = threading.Lock()

    def put(self, key: str, value: dict[str, Any], seconds: int) -> None:
        self.records[key] = (self.clock() + seconds, json.loads(json.dumps(value)))

    def peek(self, key: str) -> dict[str, Any] | None:
        ends, value = self.records.get(key, (0.0, None))
        return value if ends > self.clock() else None

    def take(self, key: str) -> dict[str, Any] | None:
        with self.lock:
            found = self.peek(key)
            self.records.pop(key, None)
            return found


class MemoryCache:
    """:class:`ipylti.lti.stores.Cache` in memory; ``seconds`` are kept for a test to look at."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.seconds: dict[str, int] = {}
        self.reads = 0

    def get(self, key: str) -> Any:
        self.reads += 1
        return self.values.get(key)

    def set(self, key: str, value: Any, seconds: int) -> None:
        self.values[key] = json.loads(json.dumps(value))
        self.seconds[key] = seconds

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class MemoryLocks:
    """:data:`ipylti.lti.stores.Locks` in memory; ``names`` are those that were taken."""

    def __init__(self) -> None:
        self.locks: dict[str, threading.Lock] = {}
        self.names: list[str] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[bool]:
        self.names.append(name)
        with self.locks.setdefault(name, threading.Lock()):
            yield True


class MemoryRegistrations:
    """:class:`ipylti.lti.registrations.Registrations` in memory."""

    def __init__(self, *registrations: Registration) -> None:
        self.all = list(registrations)

    def by_client(self, issuer: str, client_id: str) -> Registration | None:
        found = [each for each in self.by_issuer(issuer) if each.client_id == client_id]
        return found[0] if found else None

    def by_issuer(self, issuer: str) -> list[Registration]:
        return [each for each in self.all if each.issuer == issuer]


class MemoryKeyring:
    """Platforms' keys without a network: by the URL of the set."""

    def __init__(self, *platforms: FakePlatform) -> None:
        self.sets = {each.registration.jwks_url: each.jwks() for each in platforms}

    def find(self, jwks_url: str, kid: str) -> rsa.RSAPublicKey | None:
        return keysets.usable_keys(self.sets[jwks_url]).get(kid)


class Started:
    """A login that has begun: what the browser and the platform know of it."""

    def __init__(self, redirect: login.LoginRedirect) -> None:
        self.location = redirect.location
        self.state = redirect.state
        self.query = dict(parse_qsl(urlsplit(redirect.location).query))
        self.nonce = self.query["nonce"]
        self.cookies = {login.state_cookie(redirect.state): redirect.binding}


class Tool:
    """The tool's side of a launch, without an application around it."""

    def __init__(self, *platforms: FakePlatform) -> None:
        self.states = MemorySingleUse()
        self.registrations = MemoryRegistrations(*(each.registration for each in platforms))
        self.keyring = MemoryKeyring(*platforms)

    def login(self, platform: FakePlatform, **params: str) -> Started:
        """Begin a login as the platform starts it."""
        given = {
            "iss": platform.registration.issuer,
            "client_id": platform.registration.client_id,
            "login_hint": "hint",
            "target_link_uri": f"{TOOL}/launch",
            **params,
        }
        return Started(login.begin(list(given.items()), self.registrations, self.states, f"{TOOL}/launch"))

    def receive(
        self,
        state: str,
        token: str,
        cookies: Mapping[str, str],
        now: float | None = None,
        **options: Any,
    ) -> messages.Message:
        """Post a token to the launch URL."""
        return messages.receive(
            [("state", state), ("id_token", token)],
            cookies,
            self.states,
            self.registrations,
            self.keyring,
            TOOL,
            TARGETS,
            now=now,
            **options,
        )

    def launch(
        self,
        platform: FakePlatform,
        changes: Mapping[str, Any] | None = None,
        *,
        key: Any = None,
        headers: Mapping[str, Any] | None = None,
        now: float | None = None,
        **more: Any,
    ) -> messages.Message:
        """Log in and post a message of this platform with some claims changed."""
        started = self.login(platform)
        token = platform.sign(platform.claims(started.nonce, changes, **more), key=key, headers=headers)
        return self.receive(started.state, token, started.cookies, now)
