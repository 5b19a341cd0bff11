"""Courses and their links. The first course's ids are fixed, so that a tool knows it after a restart."""

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta

from .people import PEOPLE, Person
from .roster import Roster

CONTEXT_ID = "course-7d1c2f"
CONTEXT_LABEL = "NB101"
CONTEXT_TITLE = "Introduction to Notebooks"


@dataclass(frozen=True)
class Review:
    """How a tool wants its submissions to be looked at (Submission Review 1.0, `submissionReview`).

    :param url: target link URI of such a launch; the link's own if empty.
    :param label: what the way there is called.
    :param statuses: values of `activityProgress` with which there is something to look at; none means any.
    :param custom: custom parameters of such a launch, beside the link's.
    """

    url: str = ""
    label: str = ""
    statuses: tuple[str, ...] = ()
    custom: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Link:
    """A resource link: something in the course that launches the tool.

    :param due: end of the time for handing in, or None.
    :param points: points of its column in the gradebook, or None for a link without a column.
    :param url: its target link URI; the tool's if empty.
    :param custom: its own custom parameters, with variables.
    :param available_from: from when it can be used, or None.
    :param available_until: until when it can be used, or None.
    :param label: the name of its column; its title if empty.
    :param resource_id: what the tool calls the column's resource.
    :param tag: what the tool calls the column.
    :param review: how submissions are looked at, where the tool said so.
    :param history: ids of the links of which it is a copy, the latest first.
    """

    id: str
    title: str
    description: str
    due: datetime | None
    points: float | None
    url: str = ""
    custom: Mapping[str, str] = field(default_factory=dict, hash=False)
    available_from: datetime | None = None
    available_until: datetime | None = None
    label: str = ""
    resource_id: str = ""
    tag: str = ""
    review: Review | None = None
    history: tuple[str, ...] = ()

    def copy(self, title: str | None = None) -> "Link":
        """The same link under a new id; it remembers where it comes from."""
        history = (self.id, *self.history)
        return replace(self, id=new_link_id(), title=title or self.title, history=history)


def first_links(now: datetime) -> tuple[Link, ...]:
    """The links that the first course has.

    :param now: the time from which due dates are reckoned, with a zone.
    """
    end_of_day = datetime.combine(now.astimezone(UTC).date(), time(23, 59, 59), UTC)
    return (
        Link(
            id="link-2c4e8a",
            title="Exercise 1: First steps in Python",
            description="Variables, loops and your first function. Work through the notebook and hand it in.",
            due=end_of_day + timedelta(days=14),
            points=10.0,
        ),
        Link(
            id="link-9b70d3",
            title="Exercise 2: A year of temperatures",
            description="Read a file of measurements, find the warmest month, and draw it.",
            due=end_of_day + timedelta(days=28),
            points=20.0,
        ),
    )


@dataclass
class Course:
    """The people and links of one course; safe to use from several threads.

    :param history: ids of the courses of which it is a copy, the latest first.
    """

    id: str = CONTEXT_ID
    label: str = CONTEXT_LABEL
    title: str = CONTEXT_TITLE
    history: tuple[str, ...] = ()
    roster: Roster = field(default_factory=lambda: Roster(PEOPLE))
    _links: dict[str, Link] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def links(self) -> tuple[Link, ...]:
        """All links in the order in which they were added."""
        with self._lock:
            return tuple(self._links.values())

    @property
    def people(self) -> tuple[Person, ...]:
        """All members."""
        return tuple(member.person for member in self.roster.members)

    @property
    def learners(self) -> tuple[Person, ...]:
        """Those who can be graded."""
        active = (each.person for each in self.roster.members if each.status == "Active")
        return tuple(person for person in active if not person.teacher)

    def add(self, link: Link) -> Link:
        """Put a link at the end of the course, or in the place of the one of its id."""
        with self._lock:
            self._links[link.id] = link
        return link

    def link(self, link_id: str) -> Link | None:
        """The link of that id, or None."""
        with self._lock:
            return self._links.get(link_id)

    def by_sub(self, sub: object) -> Person | None:
        """The member whom the tool calls `sub`, or None."""
        return next((person for person in self.people if person.sub == sub), None)

    def copy(self, title: str | None = None) -> "Course":
        """A new course of the same people and without links, which remembers where it comes from."""
        return Course(
            id="course-" + uuid.uuid4().hex[:12],
            label=self.label,
            title=title or f"{self.title} (copy)",
            history=(self.id, *self.history),
            roster=Roster(self.people),
        )


def new_link_id() -> str:
    """An identifier for another link."""
    return "link-" + uuid.uuid4().hex[:12]
