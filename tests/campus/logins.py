"""Who is signed in to campus, and which launches it began."""

import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from .errands import Errand
from .errors import LoginRefused
from .people import Directory, Person
from .registry import Registry

HINT_SECONDS = 600
REQUIRED = {
    "response_type": ("id_token", "unsupported_response_type"),
    "response_mode": ("form_post", "invalid_request"),
    "scope": ("openid", "invalid_scope"),
    "prompt": ("none", "invalid_request"),
}


@dataclass(frozen=True)
class Launch:
    """A launch that campus began: what a `lti_message_hint` stands for.

    :param errand: what the person goes to the tool for.
    :param target: `iframe` or `window`.
    :param began: monotonic seconds.
    """

    person: Person
    errand: Errand
    target: str
    began: float


class Logins:
    """Sessions, launches and nonces; safe to use from several threads."""

    def __init__(self, registry: Registry, directory: Directory) -> None:
        self._registry = registry
        self._directory = directory
        self._sessions: dict[str, Person] = {}
        self._launches: dict[str, Launch] = {}
        self._nonces: set[str] = set()
        self._lock = threading.Lock()

    def sign_in(self, person: Person) -> str:
        """Begin a session; returns the value of its cookie."""
        session = secrets.token_urlsafe(24)
        with self._lock:
            self._sessions[session] = person
        return session

    def sign_out(self, session: str) -> None:
        """End a session, if it is one."""
        with self._lock:
            self._sessions.pop(session, None)

    def who(self, session: str | None) -> Person | None:
        """Whose session it is, or None."""
        with self._lock:
            return self._sessions.get(session or "")

    def initiate(self, person: Person, errand: Errand, target: str) -> dict[str, str]:
        """Begin a launch.

        :returns: the parameters for the tool's login initiation (1EdTech Security Framework 1.0, "Third-party
            initiated login", with LTI Core's additions).
        :raises Refused: where there is no tool.
        """
        self._registry.require_tool()
        config = self._registry.config
        hint = secrets.token_urlsafe(24)
        if config.behaviour.json_hint:
            hint = json.dumps({"cmid": "7", "launchid": hint})
        now = time.monotonic()
        with self._lock:
            self._launches = {
                kept: launch for kept, launch in self._launches.items() if launch.began > now - HINT_SECONDS
            }
            self._launches[hint] = Launch(person, errand, target, now)
        return {
            "iss": config.issuer,
            "login_hint": person.hint,
            "target_link_uri": errand.target_link_uri(config),
            "lti_message_hint": hint,
            "client_id": config.client_id,
            **({"lti_storage_target": config.storage} if config.storage else {}),
            **dict.fromkeys(config.behaviour.login_deployment, config.deployment_id),
        }

    def authenticate(self, redirect_uri: str, fields: Mapping[str, list[str]], here: Person | None) -> Launch:
        """Check an authentication request (OIDC Core, section 3.2.2.1, as LTI profiles it).

        :param redirect_uri: found to be registered before.
        :param fields: all parameters, each with all its values.
        :param here: who is signed in to campus in this browser.
        :raises LoginRefused: with an error code for the tool.
        """
        states = fields.get("state", [])
        state = states[0] if len(states) == 1 and states[0] else None

        def refuse(error: str, reason: str) -> LoginRefused:
            return LoginRefused(redirect_uri, state, error, reason)

        for name, values in fields.items():
            if len(values) != 1:
                raise refuse("invalid_request", f"{name} is given {len(values)} times")
        given = {name: values[0] for name, values in fields.items()}
        for name, (value, error) in REQUIRED.items():
            if given.get(name) != value:
                raise refuse(error, f"{name} is not '{value}' but {given.get(name)!r}")
        for name in ("state", "nonce", "login_hint", "lti_message_hint"):
            if not given.get(name):
                raise refuse("invalid_request", f"{name} is missing")
        person = self._directory.by_hint(given["login_hint"])
        with self._lock:
            launch = self._launches.get(given["lti_message_hint"])
        if person is None:
            raise refuse("invalid_request", "login_hint is not one that campus gave")
        if launch is None or launch.began <= time.monotonic() - HINT_SECONDS:
            raise refuse("invalid_request", "lti_message_hint is not one that campus gave, or too old")
        if launch.person != person:
            raise refuse("invalid_request", "login_hint and lti_message_hint are of two different people")
        if here is None:
            raise refuse("login_required", "nobody is signed in to campus in this browser")
        if here != person:
            raise refuse("login_required", f"{here.name} is signed in here, and not {person.name}")
        self._spend_nonce(given["nonce"], refuse("invalid_request", "the nonce was used before"))
        return launch

    def _spend_nonce(self, nonce: str, otherwise: LoginRefused) -> None:
        with self._lock:
            if nonce in self._nonces:
                raise otherwise
            self._nonces.add(nonce)
