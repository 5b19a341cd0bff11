"""A real rootless Podman for the integration tests, and things of our own on it that are gone afterwards.

A module that wants all of ipylti asks for ``stack``; what it sets as ``STACK`` are options of
:class:`tests.stack.Stack`.
"""

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ipylti.servers import isolation, labels
from ipylti.servers.podman import Engine, PodmanSpawner
from ipylti.servers.spawner import Limits, ServerSpec, VolumeSpec
from tests.campus.course import Link, new_link_id
from tests.parts import Process, kill_podman, wait_for
from tests.person import Notebook, Person
from tests.stack import Stack

_FAILED = pytest.StashKey[bool]()


def podman(*words: str | Path, check: bool = True) -> str:
    """Run the ``podman`` command and return what it printed."""
    done = subprocess.run(["podman", *map(str, words)], capture_output=True, text=True, timeout=120)
    if check and done.returncode:
        raise AssertionError(f"podman {words}: {done.stderr}")
    return done.stdout.strip()


class PodmanService:
    """Podman's API service on a socket of our own; it can be stopped and started like any other part."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "podman.sock"
        self.url = f"unix://{self.socket}"
        self.process = Process("podman", ["podman", "system", "service", "-t", "0", self.url], folder)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.socket.unlink(missing_ok=True)
        self.process.start()
        wait_for(lambda: answers(self.url), "Podman's service")

    def stop(self) -> None:
        """End it as a crash would."""
        kill_podman(self.process, self.socket)


def answers(url: str) -> bool:
    """Return whether an engine answers at the URL."""
    from ipylti.errors import DependencyDown

    try:
        PodmanSpawner(url).ping()
    except DependencyDown:
        return False
    return True


def needs_ordinary_user() -> None:
    """Skip what rootless Podman can't do for root."""
    if os.getuid() == 0:
        pytest.skip("rootless Podman needs an ordinary user: bin/test runs the tests as one")


@pytest.fixture(scope="session")
def podman_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodmanService]:
    """The one service that all tests use which don't harm it."""
    needs_ordinary_user()
    service = PodmanService(tmp_path_factory.mktemp("podman"))
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="session")
def podman_url(podman_service: PodmanService) -> str:
    """The URL of a rootless Podman's API."""
    return podman_service.url


@pytest.fixture
def spawner(podman_url: str) -> PodmanSpawner:
    """A spawner on the real Podman."""
    return PodmanSpawner(podman_url)


@pytest.fixture(scope="session")
def image() -> str:
    """The notebook image, as built by ``bin/test``."""
    name = os.environ.get("IPYLTI_IMAGE", "localhost/ipylti-notebook:latest")
    podman("image", "exists", name)
    return name


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.when == "call" and report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture
def instance(request: pytest.FixtureRequest, podman_url: str) -> Iterator[str]:
    """An instance of our own; what carries its label is removed, after the logs where a test failed."""
    name = f"test{secrets.token_hex(4)}"
    yield name
    engine = Engine(podman_url, timeout=60.0)
    mine = {"filters": json.dumps({"label": [f"{labels.INSTANCE}={name}"]}), "all": "true"}
    force = {"force": "true", "timeout": "0"}
    for kind, key in (("containers", "Id"), ("networks", "name"), ("volumes", "Name")):
        for entry in engine.ask("get", f"/{kind}/json", params=mine, expect=(200,)).json() or ():
            if kind == "containers" and request.node.stash.get(_FAILED, False):
                print(f"--- log of {entry['Names']} ---\n{podman('logs', entry[key], check=False)}")
            engine.ask("delete", f"/{kind}/{entry[key]}", params=force, expect=range(200, 600))


@pytest.fixture
def volume(instance: str) -> Callable[[str], VolumeSpec]:
    """Makes specifications of volumes of our own, one for each kind."""
    return lambda kind: VolumeSpec(f"ipylti-{kind}-{instance}", kind, instance, "assignment")


@pytest.fixture
def server(instance: str, image: str, spawner: PodmanSpawner) -> Callable[..., ServerSpec]:
    """Makes specifications of servers of our own, each with a volume that exists."""

    def make(name: str = "a", **changes: object) -> ServerSpec:
        workspace = f"{instance}{name}"
        spec = VolumeSpec(f"ipylti-take-{workspace}", "take", instance, "assignment", workspace)
        spawner.ensure_volume(spec)
        values: dict[str, object] = {
            "workspace": workspace,
            "assignment": "assignment",
            "kind": "take",
            "instance": instance,
            "image": image,
            "volume": spec.name,
            "hostname": f"{workspace}.notebook.localhost",
            "token": f"token-of-{workspace}",
            "tool_origin": "http://ipylti.localhost:8000",
            "frame_ancestors": ("http://ipylti.localhost:8000",),
            "limits": Limits(memory=1 << 30, cpus=1.0, pids=512),
        }
        return ServerSpec(**(values | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying helpers speak 50 times a second, so that small copies show progress too."""
    make = isolation.copy_body

    def copy_body(*words: Any, **options: Any) -> dict[str, Any]:
        body = make(*words, **options)
        program = [word.replace("BEAT = 0.5", "BEAT = 0.02") for word in body["entrypoint"]]
        return body | {"entrypoint": program}

    monkeypatch.setattr(isolation, "copy_body", copy_body)


# All of ipylti


@pytest.fixture(scope="module")
def running_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """All of ipylti, with the module's options."""
    needs_ordinary_user()
    folder = tmp_path_factory.mktemp(request.module.__name__.rpartition("_")[2])
    with Stack(folder, **getattr(request.module, "STACK", {})) as made:
        yield made


@pytest.fixture
def stack(request: pytest.FixtureRequest, running_stack: Stack) -> Iterator[Stack]:
    """All of ipylti; where a test fails, what its parts logged meanwhile is shown."""
    before = {name: size(process.log) for name, process in running_stack.processes.items()}
    yield running_stack
    if request.node.stash.get(_FAILED, False):
        for name, process in running_stack.processes.items():
            said = process.log.read_bytes()[before[name] :].decode(errors="replace")
            print(f"--- {name} ---\n{said[-5000:]}")
        for server in running_stack.containers():
            print(f"--- {server} ---\n{podman('logs', '--tail', '20', server, check=False)}")


def size(path: Path) -> int:
    """Return the size of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def new_link(stack: Stack) -> str:
    """Return a link of the course that the teacher has just added."""
    return stack.campus.add_link(Link(new_link_id(), "Exercise", "", None, 10.0)).id


def enrol(stack: Stack) -> Person:
    """Return a student who is new in the course."""
    word = secrets.token_hex(4)
    like = stack.campus.course.people[-1]
    stack.campus.enrol(replace(like, login=word, sub=f"sub-{word}", hint=f"hint-{word}"))
    return Person(stack.campus, word)


@dataclass(frozen=True)
class Exercise:
    """An assignment that the teacher has built.

    :param link: its link in the course.
    :param teacher: the teacher, in the build workspace.
    """

    link: str
    teacher: Notebook


@pytest.fixture(scope="module")
def exercise(running_stack: Stack) -> Exercise:
    """An assignment for all of a module's tests."""
    link = new_link(running_stack)
    teacher = Person(running_stack.campus, "nora").launch(link).enter()
    assert teacher.save("task.txt", "Add two and two.").status == 201
    return Exercise(link, teacher)


@pytest.fixture
def student(stack: Stack) -> Person:
    """A student who is new in the course, with a fresh browser."""
    return enrol(stack)
