"""The people of campus. Their identifiers are fixed, so that a tool knows them after a restart."""

import threading
from dataclasses import dataclass

MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
INSTITUTION = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#"
SYSTEM = "http://purl.imsglobal.org/vocab/lis/v2/system/person#"


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

    @property
    def duty(self) -> str:
        """What the pages call the person."""
        if self.teacher:
            return "Teacher"
        return "Student" if MEMBERSHIP + "Learner" in self.roles else "Administrator"


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

#: Looks after campus itself and is a member of no course: registers tools. A tool that takes a system's role
#: for a role in a course makes a teacher of Ada.
ADMINISTRATOR = Person(
    login="ada",
    sub="6c2f4d91-7be8-4f07-a35d-0b9e1c8f2a05",
    hint="h-47b1ce",
    given="Ada",
    family="Lindqvist",
    name="Ada Lindqvist",
    email="ada.lindqvist@campus.example",
    locale="en",
    teacher=False,
    roles=(SYSTEM + "Administrator", INSTITUTION + "Administrator"),
)

#: Everybody who can sign in to a new campus.
EVERYBODY = (*PEOPLE, ADMINISTRATOR)


class Directory:
    """Everybody who can sign in to one campus; safe to use from several threads."""

    def __init__(self, people: tuple[Person, ...] = EVERYBODY) -> None:
        self._people = {person.login: person for person in people}
        self._lock = threading.Lock()

    def add(self, person: Person) -> None:
        """Make somebody known."""
        with self._lock:
            self._people[person.login] = person

    def by_login(self, login: str) -> Person | None:
        """The person of that short name, or None."""
        with self._lock:
            return self._people.get(login)

    def by_hint(self, hint: str) -> Person | None:
        """The person whom a `login_hint` means, or None."""
        with self._lock:
            return next((person for person in self._people.values() if person.hint == hint), None)


def short_roles(roles: tuple[str, ...]) -> list[str]:
    """Roles in the course by their short names (LTI Core 1.3, "Role vocabularies"), others as they are."""
    return [role.removeprefix(MEMBERSHIP) for role in roles]
