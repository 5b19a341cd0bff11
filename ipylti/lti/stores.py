"""What the protocol needs of the outside to keep things: single-use records, a cache, locks.

Nothing here is implemented; the application hands in what stands on Redis, the tests what stands in memory.
Every method may raise :class:`ipylti.errors.DependencyDown`, which nobody in this package catches: without
its store a launch is refused, never waved through.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

#: ``locks(name)`` is a context manager that one thread of one process holds at a time; it gives None where
#: the lock can't be had in time. The lock has to free itself when its holder dies.
Locks = Callable[[str], AbstractContextManager[object]]


class SingleUse(Protocol):
    """Records that expire and that only one taker gets."""

    def put(self, key: str, value: dict[str, Any], seconds: int) -> None:
        """Keep a JSON object under ``key`` for so many seconds."""

    def peek(self, key: str) -> dict[str, Any] | None:
        """Return the record and leave it there; None where there is none (any more)."""

    def take(self, key: str) -> dict[str, Any] | None:
        """Return the record and remove it, in one step: of all that ask at once, in whatever process,
        one gets it and the others None."""


class Cache(Protocol):
    """JSON values that may be forgotten at any time."""

    def get(self, key: str) -> Any:
        """Return the value, None where there is none (any more)."""

    def set(self, key: str, value: Any, seconds: int) -> None:
        """Keep a JSON value for so many seconds."""

    def delete(self, key: str) -> None:
        """Forget the value, if there is one."""
