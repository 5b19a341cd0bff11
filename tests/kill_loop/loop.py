"""Rounds of killing and reviving, in lessons: each with people and an assignment of its own."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from ipylti import models
from ipylti.errors import DependencyDown
from ipylti.jobs import Jobs
from tests.campus.course import Link, new_link_id
from tests.kill_loop import checks
from tests.kill_loop.people import TROUBLE, Worker, enrol
from tests.parts import wait_for
from tests.stack import Stack

#: Who is killed, and how often beside the others.
VICTIMS = {
    "web": 2,
    "web2": 2,
    "worker": 3,
    "worker2": 3,
    "traefik": 2,
    "redis": 2,
    "podman": 3,
    "a server": 3,
    "a helper": 2,
    "everything": 1,
}

#: Rounds of a lesson, and the students in it.
ROUNDS = 20
STUDENTS = 3

#: How many of the assignments have no way out, and so a network for each server.
CLOSED = 0.4

#: Files in an assignment, beside those that the teacher saves.
FILES = 2000

#: Seconds after the last revival within which all is in order again: more than what a dead worker's locks
#: last, and a sweep.
ORDER = 150.0

#: What a stack for the loop is made of.
STACK = {"webs": 2, "workers": 2, "ini": {"ipylti.max_starting": "2"}}


@dataclass
class Outcome:
    """What a loop has done and found."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    saves: int = 0
    hand_ins: int = 0
    troubles: int = 0
    slowest: float = 0.0
    findings: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Return it in some lines."""
        kills = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        lines = [
            f"{self.rounds} rounds; killed: {kills}",
            f"{self.saves} saves and {self.hand_ins} hand-ins acknowledged; {self.troubles} troubles",
            f"all in order again after {self.slowest:.0f} s at most",
            *self.findings,
            f"{len(self.findings)} findings",
        ]
        return "\n".join(lines)


class KillLoop:
    """Kills parts of a stack.

    :param stack: with :data:`STACK`'s options, started.
    :param say: told of the progress.
    """

    def __init__(self, stack: Stack, seed: int, say: Callable[[str], None] = lambda _text: None) -> None:
        self.stack = stack
        self.chance = random.Random(seed)
        self.say = say
        self.outcome = Outcome()
        self.people: list[Worker] = []

    def run(self, rounds: int, until: float = float("inf")) -> Outcome:
        """Go on for so many rounds, or until ``time.monotonic()`` says so, and at least for one lesson."""
        while self.outcome.rounds < rounds and (not self.outcome.rounds or time.monotonic() < until):
            self._lesson(min(ROUNDS, rounds - self.outcome.rounds), until)
            if self.outcome.findings:
                break
        return self.outcome

    def _lesson(self, rounds: int, until: float) -> None:
        people = self._gather()
        self.people += people
        with self._at_work(people):
            for _ in range(rounds):
                self._round()
                if time.monotonic() > until:
                    break
        self._look(people)

    def _gather(self) -> list[Worker]:
        """Return a teacher who has built an assignment, and students who have not come yet."""
        link = self.stack.campus.add_link(Link(new_link_id(), "Exercise", "", None, 10.0)).id
        closed = self.chance.random() < CLOSED
        chances = (random.Random(self.chance.random()) for _ in range(STUDENTS + 1))
        teacher = Worker(self.stack, link, "nora", next(chances))
        notebook = teacher.come(patience=60.0)
        if closed:
            with self.stack.sessions.begin() as db:
                db.get_one(models.Assignment, notebook.workspace).egress = False
        teacher.save()
        # So that a copy takes a while.
        fill = f"for n in range({FILES}): open(f'{{n}}.dat', 'w').write(str(n))"
        self.stack.inside(notebook.workspace, fill)
        return [teacher, *(Worker(self.stack, link, enrol(self.stack), each) for each in chances)]

    @contextmanager
    def _at_work(self, people: list[Worker]) -> Iterator[None]:
        """Have people work for the length of a block."""
        done = threading.Event()
        threads = [threading.Thread(target=each.work, args=(done,), daemon=True) for each in people]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join(240)
        if any(thread.is_alive() for thread in threads):
            self.outcome.findings.append("somebody waits for ever")

    def _round(self) -> None:
        self._pause(2.0)
        victim = self.chance.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        killed = self._kill(victim)
        if killed:
            self.outcome.kills[victim] += 1
        self.outcome.rounds += 1
        self.say(f"round {self.outcome.rounds}: {victim}{'' if killed else ' (there was none)'}")
        self._pause(1.5)
        self._revive(killed)

    def _pause(self, most: float) -> None:
        time.sleep(self.chance.uniform(0.0, most))

    def _kill(self, victim: str) -> list[str]:
        """Kill somebody; returns the names of those that are now dead, none if there was nobody to kill."""
        if victim in ("a server", "a helper"):
            names = [name for name in self.stack.containers() if ("-copy-" in name) == (victim == "a helper")]
            if not names:
                return []
            name = self.chance.choice(names)
            try:
                self.stack.podman("kill", "--signal", "KILL", name)
            except RuntimeError:
                return []
            return [name]
        names = list(self.stack.processes) if victim == "everything" else [victim]
        self.chance.shuffle(names)
        for name in names:
            self.stack.kill(name)
        return names

    def _revive(self, names: list[str]) -> None:
        """Start what was killed, in any order; each has to cope with what is not there yet."""
        for name in names:
            if name in self.stack.processes:
                self.stack.processes[name].start()

    def _look(self, people: list[Worker]) -> None:
        """See that all is in order again, and that everybody gets at their work."""
        begun = time.monotonic()
        self._settle(begun)
        for person in people:
            try:
                self._come_back(person, begun)
            except TROUBLE as err:
                self.outcome.findings.append(f"{person.login} can't get in: {err}")
        self._settle(time.monotonic())
        self.outcome.findings += checks.lasting(self.stack, people)
        self.outcome.findings += [each for person in people for each in person.seen]
        self.outcome.slowest = max(self.outcome.slowest, time.monotonic() - begun)
        self.outcome.saves += sum(len(person.saved) for person in people)
        self.outcome.hand_ins += sum(len(person.handed_in) for person in people)
        self.outcome.troubles += sum(person.troubles for person in people)
        for person in people:
            if person.notebook:
                Jobs(self.stack.redis_url).ask("stop_server", person.notebook.workspace)
        self.say(f"a look after {self.outcome.rounds} rounds: {len(self.outcome.findings)} findings")

    def _come_back(self, person: Worker, begun: float) -> None:
        while True:
            try:
                notebook = person.come()
                for name, text in list(person.saved.items())[-3:]:
                    assert notebook.read(name) == text, f"{name} reads differently"
                return
            except TROUBLE:
                if time.monotonic() - begun > ORDER:
                    raise
                time.sleep(1)

    def _settle(self, begun: float) -> None:
        """Wait until nothing is under way any more and all agree; there are more sweeps than one a minute."""
        wait_for(self.stack.ready, "the stack", 60)
        asked = 0.0
        while True:
            if time.monotonic() - asked > 5:
                asked = time.monotonic()
                with suppress(DependencyDown):
                    Jobs(self.stack.redis_url).ask("sweep", "")
            amiss = checks.quiet(self.stack)
            if not amiss:
                return
            if time.monotonic() - begun > ORDER:
                self.outcome.findings += amiss
                return
            time.sleep(1)
