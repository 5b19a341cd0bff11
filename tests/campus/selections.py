"""Deep linking requests whose answers are awaited."""

import secrets
import threading
import time
from dataclasses import dataclass

from .course import Course
from .errands import Settings
from .people import Person

SECONDS = 3600

#: Stands in `data` beside its secret: a tool that decodes, escapes or re-encodes `data` does not return this.
AWKWARD = '{"note": "“ü” & <b> \\\\ %2B + \'\n"}'


@dataclass(frozen=True)
class Selection:
    """A deep linking request.

    :param id: stands in the query of the return address.
    :param data: what the answer must bring back character by character, None where none was sent.
    :param began: monotonic seconds.
    """

    id: str
    person: Person
    course: Course
    settings: Settings
    data: str | None
    began: float


class Selections:
    """The open requests; safe to use from several threads."""

    def __init__(self) -> None:
        self._open: dict[str, Selection] = {}
        self._lock = threading.Lock()

    def open(self, person: Person, course: Course, settings: Settings, with_data: bool) -> Selection:
        """Note that a request is made.

        :param with_data: whether it has `data`.
        """
        data = f"{secrets.token_urlsafe(24)} {AWKWARD}" if with_data else None
        made = Selection(secrets.token_urlsafe(12), person, course, settings, data, time.monotonic())
        with self._lock:
            self._open[made.id] = made
        return made

    def find(self, selection_id: str) -> Selection | None:
        """The open request of that id, or None."""
        return next((one for one in self._still_open() if one.id == selection_id), None)

    def by_data(self, data: object) -> Selection | None:
        """The latest open request of that `data` (None: of those without), or None."""
        return next((one for one in reversed(self._still_open()) if one.data == data), None)

    def _still_open(self) -> list[Selection]:
        since = time.monotonic() - SECONDS
        with self._lock:
            return [one for one in self._open.values() if one.began > since]

    def close(self, selection: Selection) -> bool:
        """Note that a request was answered; False if it was before."""
        with self._lock:
            return self._open.pop(selection.id, None) is not None
