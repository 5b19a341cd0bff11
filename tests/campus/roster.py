"""Who is in a course, and what changed."""

import threading
from dataclasses import dataclass

from .people import Person

STATUSES = ("Active", "Inactive", "Deleted")


@dataclass(frozen=True)
class Membership:
    """Somebody in a course (NRPS 2.0, "Membership status").

    :param status: one of :data:`STATUSES`; somebody who was deleted is not in the course any more.
    :param revision: the roster's count of changes when this one was made.
    """

    person: Person
    status: str
    revision: int


class Roster:
    """The members of a course in the order in which they came; safe to use from several threads."""

    def __init__(self, people: tuple[Person, ...]) -> None:
        self._members = {person.sub: Membership(person, "Active", 0) for person in people}
        self._revision = 0
        self._lock = threading.Lock()

    @property
    def revision(self) -> int:
        """How many changes there were."""
        with self._lock:
            return self._revision

    @property
    def members(self) -> tuple[Membership, ...]:
        """All who are in the course."""
        return tuple(each for each in self.changed_since(-1) if each.status != "Deleted")

    def changed_since(self, revision: int) -> tuple[Membership, ...]:
        """All who changed after a revision, also those who are not in the course any more."""
        with self._lock:
            return tuple(each for each in self._members.values() if each.revision > revision)

    def change(self, person: Person, status: str) -> None:
        """Let somebody join, leave, or be inactive.

        :raises ValueError: for a status that is none.
        """
        if status not in STATUSES:
            raise ValueError(f"{status} is not one of {', '.join(STATUSES)}")
        with self._lock:
            self._revision += 1
            self._members[person.sub] = Membership(person, status, self._revision)
