"""On whose behalf a piece of work is done: the id of the request that it began with, and who asked.

Both go along wherever work causes work: from a request to the jobs that it asks for, from a job to the next
one. Each log line carries them (:mod:`ipylti.logs`), so that one id finds all lines of one launch.
"""

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class ActorKind(StrEnum):
    """Who can do something: a person of a course, an administrator in the shell, the program by itself."""

    PERSON = "person"
    ADMINISTRATOR = "administrator"
    PROGRAM = "program"


@dataclass(frozen=True)
class Actor:
    """Who does something.

    :param name: a person's number in the database, an administrator's name on the host, or the part of the
        program.
    """

    kind: ActorKind
    name: str


#: The program itself, where nobody asked.
NOBODY = Actor(ActorKind.PROGRAM, "ipylti")


@dataclass(frozen=True)
class Trace:
    """What goes along with a piece of work.

    :param request_id: "" where nothing has begun.
    """

    request_id: str = ""
    actor: Actor = NOBODY

    def to_dict(self) -> dict[str, str]:
        """Return it as a job's message carries it."""
        return {"request_id": self.request_id, "kind": self.actor.kind.value, "actor": self.actor.name}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any] | None) -> "Trace":
        """Read what a message carried; one without begins anew."""
        if told is None:
            return cls(new_id())
        return cls(told["request_id"], Actor(ActorKind(told["kind"]), told["actor"]))


_NOTHING = Trace()
_current: ContextVar[Trace] = ContextVar("ipylti.trace", default=_NOTHING)


def new_id() -> str:
    """Return a request id that nobody has."""
    return secrets.token_hex(8)


def current() -> Trace:
    """Return on whose behalf this thread works."""
    return _current.get()


@contextlib.contextmanager
def begun(trace: Trace) -> Iterator[None]:
    """Work on somebody's behalf for the length of a block."""
    before: Token[Trace] = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(before)


def act_as(actor: Actor) -> None:
    """Say who it is, once that is known; it holds until the work that has begun ends."""
    _current.set(replace(current(), actor=actor))


@contextlib.contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Let somebody else be it for the length of a block; the request id stays."""
    with begun(replace(current(), actor=actor)):
        yield


def person(number: int) -> Actor:
    """Return a person as an actor, by their number in the database."""
    return Actor(ActorKind.PERSON, str(number))


def program(part: str) -> Actor:
    """Return a part of the program as an actor."""
    return Actor(ActorKind.PROGRAM, part)
