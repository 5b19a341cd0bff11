"""Failures on demand: an endpoint that answers an error, or late."""

import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Failure:
    """An answer that stands in for the real one.

    :param reason: a sentence for the log.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: str = "campus was told to fail"
    reason: str = "told to fail by a test"


class Faults:
    """What goes wrong next, by endpoint (the route's name); safe to use from several threads."""

    def __init__(self) -> None:
        self._failures: defaultdict[str, deque[Failure]] = defaultdict(deque)
        self._delays: dict[str, float] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def fail_next(
        self, endpoint: str, status: int, times: int = 1, headers: Mapping[str, str] | None = None
    ) -> None:
        """Let the next requests to an endpoint fail.

        :param endpoint: auth, jwks, token, lineitems, lineitem, scores, results, or a page's route name.
        :param status: the HTTP status that it answers.
        :param times: how many requests; 0 takes back what was asked for before.
        :param headers: further headers, for instance `Retry-After`.
        """
        with self._lock:
            if times == 0:
                self._failures.pop(endpoint, None)
            else:
                self._failures[endpoint].extend([Failure(status, dict(headers or {}))] * times)

    def expect(self, endpoint: str, failure: Failure) -> None:
        """Let the next request to an endpoint fail in a certain way."""
        with self._lock:
            self._failures[endpoint].append(failure)

    def slow(self, endpoint: str, seconds: float) -> None:
        """Let an endpoint wait before it does anything, until told otherwise; 0 ends it."""
        with self._lock:
            self._delays[endpoint] = seconds

    def next(self, endpoint: str) -> Failure | None:
        """Wait as long as the endpoint has to, and take its next failure, if any."""
        with self._lock:
            delay = self._delays.get(endpoint, 0)
        if delay:
            self._closing.wait(delay)
        with self._lock:
            waiting = self._failures.get(endpoint)
            return waiting.popleft() if waiting else None

    def close(self) -> None:
        """Let nobody wait any longer: the server stops."""
        self._closing.set()

    def open(self) -> None:
        """Undo :meth:`close`: the server starts."""
        self._closing.clear()
