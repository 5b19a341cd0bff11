"""People who work on while parts are killed, and remember what they were promised."""

import random
import secrets
import threading
import time
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from ipylti.errors import IpyltiError
from ipylti.jobs import Jobs
from tests.person import Answer, Notebook, Person, Workbench
from tests.stack import Stack

#: What a person may meet while parts are away: no answer, or one that says so.
TROUBLE = (OSError, HTTPException, IpyltiError, AssertionError, ValueError, KeyError)

#: Traefik's answer for a web that was killed while it answered; the tool's own, and waitress', say more.
CUT_OFF = "Internal Server Error"

#: Seconds that a person waits for a notebook before launching again.
PATIENCE = 20.0

#: What people do once they are in, and how often of a hundred times.
SAVE, HAND_IN, STOP = 80, 8, 4


class Witness(Person):
    """A person who notes what the tool must never answer, whatever is killed."""

    @property
    def seen(self) -> list[str]:
        """What was seen, with the time of day."""
        return self.__dict__.setdefault("_seen", [])

    def request(self, method: str, url: str, **options: Any) -> Answer:
        """See :meth:`tests.person.Person.request`."""
        answer = super().request(method, url, **options)
        ours = urlsplit(url).hostname == "ipylti.localhost" and answer.text.strip() != CUT_OFF
        if answer.status == 500 and ours:
            self.seen.append(f"{time.strftime('%X')} {method} {url}: 500 {answer.text[:300]}")
        return answer


@dataclass
class Worker:
    """Somebody at work on one link.

    :param saved: file -> text, for each save that Jupyter acknowledged.
    :param handed_in: for each acknowledged hand-in its number and the files saved before it.
    """

    stack: Stack
    link: str
    login: str
    chance: random.Random
    saved: dict[str, str] = field(default_factory=dict)
    handed_in: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    troubles: int = 0
    workbench: Workbench | None = None
    notebook: Notebook | None = None
    number: int = 0

    def work(self, done: threading.Event) -> None:
        """Work until told to stop."""
        while not done.is_set():
            try:
                self._act()
            except TROUBLE:
                self.troubles += 1
                self.notebook = None
                done.wait(0.3)
            done.wait(self.chance.uniform(0.0, 0.4))

    def come(self, patience: float = PATIENCE) -> Notebook:
        """Launch, in a fresh browser, and go into the notebook."""
        person = Witness(self.stack.campus, self.login)
        try:
            self.workbench = person.launch(self.link)
            self.workbench.wait(seconds=patience)
            self.notebook = self.workbench.enter()
        finally:
            self.seen.extend(person.seen)
        return self.notebook

    def save(self, lines: int = 50) -> None:
        """Save a new file, and remember it if Jupyter says that it is saved."""
        assert self.notebook
        self.number += 1
        name, text = f"{self.number:05}.txt", f"{self.number} by {self.login}\n" * lines
        answer = self.notebook.save(name, text)
        assert answer.status == 201, f"{answer.status} {answer.text}"
        self.saved[name] = text

    def _act(self) -> None:
        if self.notebook is None or self.workbench is None:
            self.come()
        what = self.chance.randrange(100)
        if what < SAVE:
            self.save(self.chance.randrange(1, 200))
        elif what < SAVE + HAND_IN:
            self._hand_in()
        elif what < SAVE + HAND_IN + STOP:
            # As a sysadmin or idleness would.
            Jobs(self.stack.redis_url).ask("stop_server", self.notebook.workspace if self.notebook else "")
        else:
            self.notebook = None

    def _hand_in(self) -> None:
        assert self.workbench
        if "nora" in self.login:
            return
        before = dict(self.saved)
        submission = self.workbench.submit()
        self.handed_in.append((submission["number"], before))


def enrol(stack: Stack) -> str:
    """Have a student join the course; returns their short name."""
    word = secrets.token_hex(4)
    like = stack.campus.course.people[-1]
    stack.campus.enrol(replace(like, login=word, sub=f"sub-{word}", hint=f"hint-{word}"))
    return word
