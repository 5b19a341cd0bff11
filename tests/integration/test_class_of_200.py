"""Two hundred people click at once: two web processes, two workers, and containers on paper only."""

import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ipylti import worker as worker_module
from ipylti.servers.spawner import ServerSpec, ServerState
from ipylti.worker import Worker
from tests.functional.background import Containers, Jupyter
from tests.integration.conftest import enrol, needs_ordinary_user, new_link
from tests.person import Person, Workbench
from tests.stack import Stack

PEOPLE = 200

#: Starts at a time, whatever the number of workers, and the seconds that Podman takes for one.
AT_A_TIME = 4
A_START = 0.2

#: Seconds between two looks of a page, about as its script does.
LOOK = 2.0


@dataclass
class Visit:
    """What one of them saw.

    :param launched: seconds from the click to the page.
    :param places: the places in the line that the page said, in order.
    :param promised: for each time that the page said how long it would take, when, and the seconds.
    :param ready: when the server was there.
    """

    launched: float = 0.0
    places: list[int] = field(default_factory=list)
    promised: list[tuple[float, int]] = field(default_factory=list)
    ready: float = 0.0


class House:
    """Two workers on one paper Podman, and how much they do at a time."""

    def __init__(self, stack: Stack, jupyter: Jupyter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.containers = Containers(jupyter.url)
        self.spawner = self.containers.spawner()
        self.spawner.start.side_effect = self._start
        self.guard = threading.Lock()
        self.starting = self.most = 0
        monkeypatch.setattr(worker_module, "PodmanSpawner", lambda *_args, **_options: self.spawner)
        settings = replace(stack.settings, traefik_url=jupyter.url)
        self.workers = [Worker(settings) for _ in range(2)]
        self.consumers = [each for worker in self.workers for each in worker.consumers()]
        for consumer in self.consumers:
            consumer.start()

    def _start(self, spec: ServerSpec) -> Any:
        with self.guard:
            self.starting += 1
            self.most = max(self.most, self.starting)
        time.sleep(A_START)
        with self.guard:
            self.starting -= 1
            return self.containers.start(spec)

    def close(self) -> None:
        worker_module.stop(self.consumers)
        for worker in self.workers:
            worker.sessions.kw["bind"].dispose()


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All but Podman and workers, on SQLite: there one launch waits for another."""
    needs_ordinary_user()
    ini = {"ipylti.max_starting": str(AT_A_TIME)}
    made = Stack(tmp_path_factory.mktemp("class"), webs=2, ini=ini)
    made.start("redis", "web", "web2", "traefik")
    yield made
    made.stop()


@pytest.fixture
def house(running_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with Jupyter() as jupyter:
        made = House(running_stack, jupyter, monkeypatch)
        yield made
        made.close()


def visit(person: Person, link: str, clicks: threading.Barrier) -> Visit:
    """Launch when all do, and look at the page until the server is there."""
    told = Visit()
    clicks.wait(60)
    begun = time.monotonic()
    workbench = person.launch(link)
    told.launched = time.monotonic() - begun
    while (status := look(workbench, told))["state"] != "ready":
        assert status["state"] in ("queued", "starting"), status
        assert time.monotonic() - begun < 300
        time.sleep(LOOK)
    return told


def look(workbench: Workbench, told: Visit) -> dict[str, Any]:
    """Look at the page as its script does, and note what it says."""
    status = workbench.status()
    now = time.monotonic()
    if status["position"] is not None:
        told.places.append(status["position"])
    if status["wait"] is not None:
        told.promised.append((now, status["wait"]))
    if status["state"] == "ready":
        told.ready = now
    return status


def test_a_class_of_200_that_clicks_at_once(running_stack: Stack, house: House) -> None:
    """Nobody gets an error, no more start at a time than may, places only fall, the wait is as was said."""
    stack = running_stack
    link = new_link(stack)
    teacher = Person(stack.campus, "nora").launch(link)
    house.containers.files[f"ipylti-base-{teacher.workspace}"] = 1000
    people = [enrol(stack) for _ in range(PEOPLE)]
    clicks = threading.Barrier(PEOPLE)
    begun = time.monotonic()
    with ThreadPoolExecutor(PEOPLE) as pool:
        visits = list(pool.map(lambda person: visit(person, link, clicks), people))
    took = time.monotonic() - begun

    running = [each for each in house.containers.servers.values() if each.state is ServerState.RUNNING]
    assert len(running) == PEOPLE + 1
    assert house.most <= AT_A_TIME
    for each in visits:
        assert each.places == sorted(each.places, reverse=True)
    launched = sorted(each.launched for each in visits)
    print(
        f"launches: median {launched[PEOPLE // 2]:.1f} s, last {launched[-1]:.1f} s; all ready {took:.0f} s"
    )
    # Of promises of a few seconds or more; a page looks every two.
    kept = [
        (each.ready - at) / seconds for each in visits for at, seconds in each.promised if seconds >= 3 * LOOK
    ]
    assert kept
    print(f"waits: {statistics.median(kept):.2f} of what was promised, at the median of {len(kept)} promises")
    assert 0.3 < statistics.median(kept) < 3
