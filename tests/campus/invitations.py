"""Registration tokens: an administrator lets one tool register, once, within the hour."""

import secrets
import threading
import time

from .errors import Refused

SECONDS = 3600
CHALLENGE = (("WWW-Authenticate", 'Bearer error="invalid_token"'),)


class Invitations:
    """The tokens that may still be used; safe to use from several threads."""

    def __init__(self) -> None:
        self._open: dict[str, float] = {}
        self._lock = threading.Lock()

    def make(self) -> str:
        """A new token."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._open[token] = time.monotonic() + SECONDS
        return token

    def look(self, token: str | None) -> None:
        """Look at a token that stays good.

        :raises Refused: 401.
        """
        with self._lock:
            until = self._open.get(token or "", 0.0)
        if until <= time.monotonic():
            raise self._refusal()

    def spend(self, token: str | None) -> None:
        """Use a token up.

        :raises Refused: 401.
        """
        with self._lock:
            until = self._open.pop(token or "", 0.0)
        if until <= time.monotonic():
            raise self._refusal()

    @staticmethod
    def _refusal() -> Refused:
        return Refused(401, "invalid_token", "the registration token is unknown, used or too old", CHALLENGE)
