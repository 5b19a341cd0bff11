"""The log: what campus refused, and why, and what it accepted. Never a token, a key or an assertion."""

import logging
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

KEPT = 2000
LONGEST = 500

logger = logging.getLogger("campus")


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    :param endpoint: the name of the route: auth, token, lineitems, scores ...
    :param accepted: False for a refusal.
    :param status: HTTP status of the answer.
    :param text: a sentence: what was done, or why it was not.
    """

    at: datetime
    endpoint: str
    accepted: bool
    status: int
    text: str


class Journal:
    """The last entries, newest last; safe to use from several threads."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def accept(self, endpoint: str, text: str, status: int = 200) -> None:
        """Note what was done."""
        self._note(Entry(datetime.now(UTC), endpoint, True, status, _printable(text)))

    def refuse(self, endpoint: str, text: str, status: int) -> None:
        """Note what was not done, and why."""
        self._note(Entry(datetime.now(UTC), endpoint, False, status, _printable(text)))

    def _note(self, entry: Entry) -> None:
        with self._lock:
            self._entries.append(entry)
        level = logging.INFO if entry.accepted else logging.WARNING
        logger.log(level, "%s %s: %s", entry.endpoint, entry.status, entry.text)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries that are still kept."""
        with self._lock:
            return tuple(self._entries)

    def refused(self, endpoint: str | None = None) -> tuple[Entry, ...]:
        """The refusals, of one endpoint or of all."""
        return self._some(False, endpoint)

    def accepted(self, endpoint: str | None = None) -> tuple[Entry, ...]:
        """What was granted, by one endpoint or by all."""
        return self._some(True, endpoint)

    def _some(self, accepted: bool, endpoint: str | None) -> tuple[Entry, ...]:
        return tuple(
            entry
            for entry in self.entries
            if entry.accepted is accepted and endpoint in (None, entry.endpoint)
        )

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def _printable(text: str) -> str:
    """Text of bounded length without control characters: parts of it come from the tool."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return clean if len(clean) <= LONGEST else clean[: LONGEST - 1] + "…"
