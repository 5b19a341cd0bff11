"""A class that clicks at once where there is not room for all: in line, in order, nobody forgotten."""

import time
from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import create_autospec

import pytest

from ipylti import admission, line, volatile
from ipylti.admission import Admission, estimate
from ipylti.errors import DependencyDown
from ipylti.line import Line
from ipylti.servers.spawner import ServerState, ServerStatus, Spawner
from ipylti.settings import Settings
from ipylti.volatile import Board, Progress, State
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite

PLENTY = 1 << 40


class House:
    """Servers that run, and people who want one."""

    def __init__(self, config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        client = volatile.connect(config.redis_url)
        self.board = Board(client)
        self.line = Line(client, self.board)
        self.running: list[str] = []
        self.memory: int | None = PLENTY
        self.spawner = create_autospec(Spawner, instance=True)
        self.spawner.servers.side_effect = lambda _instance: [
            ServerStatus(name, ServerState.RUNNING) for name in self.running
        ]
        monkeypatch.setattr(admission, "free_memory", lambda: self.memory)
        # The list of those that run is up to date here.
        monkeypatch.setattr(line, "_SEEN", -1.0)
        self.settings = replace(config, max_servers=2, max_starting=2)
        self.admission = Admission(self.settings, self.spawner, self.line)

    def ask(self, *names: str) -> None:
        for name in names:
            self.line.queue(name)

    def starts(self, name: str) -> bool:
        """Have a worker look at somebody; returns whether their server runs now."""
        if not self.admission.admits(name):
            self.line.queue(name)
            return False
        self.board.write(name, Progress(State.READY))
        self.running.append(name)
        self.line.leave(name, runs=True)
        return True

    def ends(self, name: str) -> None:
        self.running.remove(name)
        self.board.write(name, Progress())


@pytest.fixture
def house(config: Settings, app: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    yield House(config, monkeypatch)


def test_the_first_come_are_the_first_served(house: House) -> None:
    """Whoever is looked at when a place is free."""
    house.ask("a", "b", "c", "d")
    assert not house.starts("c")
    assert house.starts("b")
    assert house.starts("a")
    assert not house.starts("d")
    house.ends("a")
    assert not house.starts("d")
    assert house.starts("c")
    house.ends("b")
    assert house.starts("d")


def test_a_place_only_ever_falls(house: House) -> None:
    names = [f"w{number}" for number in range(20)]
    house.ask(*names)
    seen: dict[str, list[int]] = {name: [] for name in names}
    while waiting := [name for name in names if house.line.position(name)]:
        for name in reversed(waiting):
            seen[name].append(house.line.position(name) or 0)
            house.starts(name)
        for name in house.running[:1]:
            house.ends(name)
    for places in seen.values():
        assert places == sorted(places, reverse=True)
    assert house.line.position("w0") is None


def test_two_that_start_at_once_do_not_take_one_place(house: House) -> None:
    house.settings = house.admission.settings = replace(house.settings, max_servers=1)
    house.ask("a", "b")
    assert house.admission.admits("a")
    assert not house.admission.admits("b")
    assert house.admission.admits("a"), "a start may be repeated"
    house.line.leave("a")
    assert house.admission.admits("b")


def test_a_place_of_a_start_that_died_is_free_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.settings = house.admission.settings = replace(house.settings, max_servers=1)
    house.ask("a", "b")
    assert house.admission.admits("a")
    monkeypatch.setattr(line, "_ALIVE", -1.0)
    house.line.alive("a")
    assert house.admission.admits("b")


def test_nobody_waits_behind_who_is_gone(house: House) -> None:
    """Whose start was lost with the queue, or who is told something else by now."""
    house.ask("lost", "failed", "b", "c")
    house.running = ["x"]
    record = '{"state": "queued", "step": "queue", "done": 0, "total": 0, "error": "", "at": 1.0}'
    house.board.client.set("ipylti:progress:lost", record)
    house.board.write("failed", Progress(State.FAILED))
    assert not house.starts("c")
    assert house.starts("b")


def test_short_of_memory_people_wait(house: House) -> None:
    house.settings = house.admission.settings = replace(house.settings, max_servers=None)
    assert house.starts("a")
    house.memory = (house.settings.min_free_memory or 0) - 1
    assert not house.starts("b")
    assert house.admission.admits("a"), "who has a server is not kept waiting"
    house.memory = PLENTY
    assert house.starts("b")


def test_the_first_server_starts_whatever_is_left(house: House) -> None:
    house.memory = 0
    assert house.starts("a")


def test_where_podman_is_away_the_start_says_so(house: House) -> None:
    house.spawner.servers.side_effect = DependencyDown("podman")
    assert house.admission.admits("a")


def test_who_is_far_behind_is_looked_at_less_often(house: House) -> None:
    house.ask(*(f"w{number}" for number in range(200)))
    pauses = [house.admission.pause(f"w{number}") for number in (0, 10, 50, 199)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 2.0
    assert pauses[-1] < volatile.STALE


# The estimate


def test_the_estimate_is_of_starts_as_they_are(house: House) -> None:
    assert estimate(house.line, 1, 2) is None
    for seconds in (1.0, 1.5, 9.0):
        house.line.took(seconds)
    assert [estimate(house.line, place, 2) for place in (1, 2, 3, 10)] == [2, 2, 3, 8]


def test_only_the_latest_starts_count(house: House) -> None:
    for seconds in [50.0] * 30 + [2.0] * 20:
        house.line.took(seconds)
    assert house.line.usual_start() == 2.0


def test_nobody_knows_when_somebody_leaves(house: House) -> None:
    house.line.took(1.0)
    house.running = ["x", "y"]
    house.ask("a", "b", "c")
    assert not house.starts("a")
    assert estimate(house.line, 1, 2) is None
    house.settings = house.admission.settings = replace(house.settings, max_servers=4)
    assert house.starts("a")
    # There is room for one more; whoever comes after that waits for somebody to leave.
    assert [estimate(house.line, place, 2) for place in (1, 2)] == [1, None]


def test_a_class_of_200_gets_in_without_an_error(house: House) -> None:
    """As servers end, everybody gets one, in their order."""
    names = [f"w{number:03}" for number in range(200)]
    house.ask(*names)
    begun, served = time.monotonic(), []
    while len(served) < len(names):
        for name in names[len(served) : len(served) + 2]:
            if house.starts(name):
                served.append(name)
        house.ends(house.running[0])
        assert time.monotonic() - begun < 60
    assert served == names
