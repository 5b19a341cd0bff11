"""The line for a start: places only ever fall, nobody starves, and no more get in than may."""

import threading
import time
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ipylti import line as line_module
from ipylti import volatile
from ipylti.line import Answer, Line
from ipylti.volatile import Board, State, Step
from tests.functional.test_volatile import at_once

THREADS = 8


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    """An empty Redis."""
    made = volatile.connect(redis_url)
    made.flushall()
    return made


@pytest.fixture
def line(client: redis.Redis) -> Line:
    return Line(client, Board(client))


def test_who_came_first_is_next(line: Line) -> None:
    for name in "cab":
        line.queue(name)
    assert [line.position(name) for name in "cab"] == [1, 2, 3]
    assert line.length() == 3
    told = line.board.read("a")
    assert (told.state, told.step) == (State.QUEUED, Step.QUEUE)


def test_asking_again_does_not_lose_ones_place(line: Line) -> None:
    for name in "abca":
        line.queue(name)
    assert [line.position(name) for name in "abc"] == [1, 2, 3]


def test_who_does_not_wait_has_no_place(line: Line) -> None:
    assert line.position("w") is None


def test_a_start_that_died_comes_back_to_its_place(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """… and those behind it are not told a higher place than before."""
    for name in "abc":
        line.queue(name)
    assert line.admit("a", at_a_time=1, places=None) is Answer.IN
    assert [line.position(name) for name in "abc"] == [None, 1, 2]
    line.queue("a")
    assert [line.position(name) for name in "abc"] == [1, 1, 2]
    # Its start, though dead, still has its room for a while.
    assert line.admit("b", at_a_time=1, places=None) is Answer.BUSY
    monkeypatch.setattr(line_module, "_ALIVE", -1.0)
    assert line.admit("a", at_a_time=1, places=None) is Answer.IN
    assert line.admit("b", at_a_time=1, places=None) is Answer.IN


def test_whose_start_ended_comes_anew(line: Line) -> None:
    for name in "ab":
        line.queue(name)
    line.admit("a", at_a_time=1, places=None)
    line.leave("a")
    line.queue("a")
    assert [line.position(name) for name in "ab"] == [2, 1]


def test_who_is_sent_away_waits_no_more_until_wanted_again(line: Line) -> None:
    for name in "ab":
        line.queue(name)
    line.send_away("a")
    assert (line.position("a"), line.position("b")) == (None, 1)
    # A worker that was just about to give a sign of life for it does not bring it back.
    line.wait("a")
    assert line.was_sent_away("a")
    assert line.position("a") is None
    line.queue("a")
    assert not line.was_sent_away("a")
    assert line.position("a") == 2


def test_places_fall_while_many_come_and_go(line: Line) -> None:
    for number in range(8):
        line.queue(f"before-{number}")
    line.queue("me")
    seen = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.append(line.position("me"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    at_once(lambda number: (line.leave(f"before-{number}"), line.queue(f"after-{number}")), THREADS)
    stop.set()
    watcher.join()
    places = [*(place for place in seen if place is not None), line.position("me")]
    assert places == sorted(places, key=lambda place: -(place or 0))
    assert places[-1] == 1


def test_those_that_come_at_once_have_a_place_each(line: Line) -> None:
    """Each with a connection of its own, as processes have; whoever has a place is never overtaken."""
    at_once(lambda number: [line.queue(f"{number}-{each}") for each in range(25)], THREADS)
    places = [line.position(f"{number}-{each}") for number in range(THREADS) for each in range(25)]
    assert sorted(place or 0 for place in places) == list(range(1, 8 * 25 + 1))


def test_of_many_workers_no_more_start_than_may(
    redis_url: str, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """… and no more run, though each worker knows only what ran a moment ago."""
    monkeypatch.setattr(line_module, "_SEEN", 0.05)
    guard = threading.Lock()
    running: set[str] = set()
    starting: set[str] = set()
    seen: list[tuple[int, int]] = []
    names = [f"w{number}" for number in range(40)]
    for name in names:
        line.queue(name)

    def run(own: Line, name: str) -> None:
        listed: set[str] = set()
        while own.admit(name, at_a_time=3, places=10, running=listed) is not Answer.IN:
            time.sleep(0.002)
            with guard:
                listed = set(running)
        with guard:
            starting.add(name)
            seen.append((len(starting), len(running | starting)))
        time.sleep(0.005)
        with guard:
            running.add(name)
            starting.discard(name)
        own.leave(name, runs=True)
        time.sleep(0.005)
        with guard:
            running.discard(name)

    def work(number: int) -> None:
        own = Line(volatile.connect(redis_url), line.board)
        for name in names[number::THREADS]:
            run(own, name)

    at_once(work, THREADS)
    assert len(seen) == len(names)
    assert max(count for count, _ in seen) <= 3
    assert max(count for _, count in seen) <= 10


class Clock:
    """The time, which can be told to pass."""

    def __init__(self) -> None:
        self.passed = 0.0

    def time(self) -> float:
        return time.time() + self.passed


NAMES = st.sampled_from("abcdefgh")
AT_A_TIME, PLACES = 2, 4


class Interleaving(RuleBasedStateMachine):
    """Any order of what people and two workers can do, one of which may die at any moment.

    :ivar told: the place that somebody who waits was told last.
    """

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.clock = Clock()
        line_module.time = self.clock  # type: ignore[assignment]
        self.lines = [Line(self.client, Board(self.client)) for _ in range(2)]
        self.told: dict[str, int] = {}
        self.starting: set[str] = set()
        self.dead: set[str] = set()
        self.running: set[str] = set()

    def teardown(self) -> None:
        line_module.time = time

    @rule(name=NAMES)
    def somebody_asks(self, name: str) -> None:
        if name not in self.starting | self.running:
            self.lines[0].queue(name)

    @rule(name=NAMES, worker=st.integers(0, 1))
    def a_worker_looks(self, name: str, worker: int) -> None:
        line = self.lines[worker]
        if line.position(name) is None or name in self.starting:
            return
        # The start that died had its room; another worker begins it again only once that is given up.
        if name in self.dead:
            return
        if line.admit(name, at_a_time=AT_A_TIME, places=PLACES, running=self.running) is Answer.IN:
            self.starting.add(name)
            self.told.pop(name, None)
        else:
            line.wait(name)

    @rule(worker=st.integers(0, 1), well=st.booleans())
    def a_start_ends(self, worker: int, well: bool) -> None:
        for name in sorted(self.starting)[:1]:
            self.starting.discard(name)
            if well:
                self.running.add(name)
            self.lines[worker].leave(name, runs=well)

    @rule()
    def a_worker_dies(self) -> None:
        """… in the middle of a start, and the page asks again."""
        for name in sorted(self.starting)[:1]:
            self.starting.discard(name)
            self.dead.add(name)
            self.lines[0].queue(name)

    @precondition(lambda self: self.dead)
    @rule()
    def its_silence_is_noticed(self) -> None:
        for name in self.starting:
            self.lines[0].alive(name)
        self.clock.passed += line_module._ALIVE + 1
        for name in self.starting:
            self.lines[0].alive(name)
        self.dead.clear()

    @rule()
    def a_server_ends(self) -> None:
        self.running -= set(sorted(self.running)[:1])

    @rule(name=NAMES)
    def somebody_is_sent_away(self, name: str) -> None:
        if name not in self.starting:
            self.lines[1].send_away(name)
            self.told.pop(name, None)
            self.running.discard(name)

    @invariant()
    def places_only_fall(self) -> None:
        for name in "abcdefgh":
            place = self.lines[1].position(name)
            if place is None:
                continue
            assert 1 <= place <= self.told.get(name, place)
            self.told[name] = place

    @invariant()
    def no_more_than_may(self) -> None:
        assert len(self.starting) <= AT_A_TIME
        assert len(self.starting | self.running) <= PLACES


def test_places_only_fall_whatever_happens_in_whatever_order(client: redis.Redis) -> None:
    Interleaving.client = client
    few = settings(
        max_examples=60,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    run_state_machine_as_test(Interleaving, settings=few)  # type: ignore[no-untyped-call]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.randoms(use_true_random=False), st.integers(1, 3), st.integers(1, 4))
def test_nobody_starves(client: redis.Redis, chance: Any, at_a_time: int, places: int) -> None:
    """Whoever else comes meanwhile, and in whatever order the workers look: the first come are served first,
    within as many ends of servers as were before them."""
    client.flushall()
    line = Line(client, Board(client))
    first = [f"first-{number}" for number in range(8)]
    for name in first:
        line.queue(name)
    running: list[str] = []
    served: list[str] = []
    for turn in range(8 + places):
        line.queue(f"later-{turn}")
        waiting = [*first, *(f"later-{each}" for each in range(turn + 1))]
        chance.shuffle(waiting)
        for name in waiting * 2:
            if name in served or line.position(name) is None:
                continue
            if line.admit(name, at_a_time=at_a_time, places=places, running=running) is Answer.IN:
                running.append(name)
                served.append(name)
                line.leave(name)
        running = running[1:]
    assert set(first) <= set(served[: len(first) + places])
