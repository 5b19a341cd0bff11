"""The course: its people and its links. Identifiers are fixed, so that a tool knows them after a restart."""

import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
INSTITUTION = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#"

CONTEXT_ID = "course-7d1c2f"
CONTEXT_LABEL = "NB101"
CONTEXT_TITLE = "Introduction to Notebooks"


@dataclass(frozen=True)
class Person:
    """Somebody in the course.

    :param login: short name for addresses of campus (`?as=...`); never told to the tool.
    :param sub: the person's identifier towards the tool.
    :param hint: the `login_hint`; means something to campus only.
    :param teacher: whether the person teaches this course.
    :param roles: full role URIs.
    """

    login: str
    sub: str
    hint: str
    given: str
    family: str
    name: str
    email: str
    locale: str
    teacher: bool
    roles: tuple[str, ...]


PEOPLE = (
    Person(
        login="nora",
        sub="0f6a5b0e-5b0c-4c39-8d3c-6a2f0d5e9a01",
        hint="h-52c9d1",
        given="Nóra",
        family="Szabó",
        name="Nóra Szabó",
        email="nora.szabo@campus.example",
        locale="en",
        teacher=True,
        roles=(MEMBERSHIP + "Instructor", INSTITUTION + "Faculty"),
    ),
    Person(
        login="zoe",
        sub="3b9d7c52-93a4-4e0b-a1f5-1c7e4d2b8f02",
        hint="h-8e07aa",
        given="Zoë",
        family="Müller",
        name="Zoë Müller",
        email="zoe.mueller@campus.example",
        locale="de",
        teacher=False,
        roles=(MEMBERSHIP + "Learner", INSTITUTION + "Student"),
    ),
    Person(
        login="layla",
        sub="a4c81e6f-20d7-4b7e-9c55-5e3f7a9d1c03",
        hint="h-1bd64f",
        given="ليلى",
        family="حداد",
        name="ليلى حداد",
        email="layla.haddad@campus.example",
        locale="ar",
        teacher=False,
        roles=(MEMBERSHIP + "Learner", INSTITUTION + "Student"),
    ),
    Person(
        # Teaches elsewhere in the institution, and is a student here: a tool that takes an institution's
        # role for a role in the course makes a teacher of Sam.
        login="sam",
        sub="d70e93b8-6f1a-4a8d-b2c6-9f4b8e0a5d04",
        hint="h-c3f290",
        given="Sam",
        family="Okafor",
        name="Sam Okafor",
        email="sam.okafor@campus.example",
        locale="en-GB",
        teacher=False,
        roles=(MEMBERSHIP + "Learner", INSTITUTION + "Instructor"),
    ),
)


@dataclass(frozen=True)
class Link:
    """A resource link: something in the course that launches the tool.

    :param due: end of the time for handing in, or None.
    :param points: points of its column in the gradebook, or None for a link without a column.
    """

    id: str
    title: str
    description: str
    due: datetime | None
    points: float | None


def first_links(now: datetime) -> tuple[Link, ...]:
    """The links that a new course has.

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
    """The people and links of one course; safe to use from several threads."""

    people: tuple[Person, ...] = PEOPLE
    _links: dict[str, Link] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def links(self) -> tuple[Link, ...]:
        """All links in the order in which they were added."""
        with self._lock:
            return tuple(self._links.values())

    @property
    def learners(self) -> tuple[Person, ...]:
        """Those who can be graded."""
        return tuple(person for person in self.people if not person.teacher)

    def add(self, link: Link) -> Link:
        """Put a link at the end of the course."""
        with self._lock:
            self._links[link.id] = link
        return link

    def link(self, link_id: str) -> Link | None:
        """The link of that id, or None."""
        with self._lock:
            return self._links.get(link_id)

    def by_login(self, login: str) -> Person | None:
        """The person of that short name, or None."""
        return next((person for person in self.people if person.login == login), None)

    def by_hint(self, hint: str) -> Person | None:
        """The person whom a `login_hint` means, or None."""
        return next((person for person in self.people if person.hint == hint), None)

    def by_sub(self, sub: object) -> Person | None:
        """The person whom the tool calls `sub`, or None."""
        return next((person for person in self.people if person.sub == sub), None)


def new_link_id() -> str:
    """An identifier for another link."""
    return "link-" + uuid.uuid4().hex[:12]
