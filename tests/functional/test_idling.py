"""Servers at which nobody works: warned about, kept awake, stopped."""

from datetime import datetime, timedelta

import pytest

from ipylti import models
from ipylti.errors import DependencyDown
from ipylti.volatile import Progress, State
from tests.functional.background import Background, Jupyter
from tests.functional.browser import TOOL, Student, csrf_token, path_of
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite


class Room:
    """A student's server, and the time that passes there.

    Servers end after an hour without work, and a day whatever is done there.
    """

    def __init__(self, student: Student, background: Background, jupyter: Jupyter) -> None:
        self.student = student
        self.background = background
        self.jupyter = jupyter
        self.workspace = student.workspace_id
        background.containers.files[f"ipylti-take-{self.workspace}"] = 1000
        background.work()

    def quiet_for(self, **time: float) -> None:
        """Let nobody have done anything for so long, and the worker look."""
        self.jupyter.last_activity = (models.now() - timedelta(**time)).isoformat()
        self.background.worker.idling.look()
        self.background.work()

    @property
    def progress(self) -> Progress:
        return self.background.servers.board.read(self.workspace)

    @property
    def told(self) -> str | None:
        """When the workbench says that the server ends."""
        ends_at: str | None = self.student.browser.status(self.student.page)["ends_at"]
        return ends_at

    def stay_awake(self) -> None:
        headers = {"Accept": "application/json", "Origin": TOOL}
        headers["X-CSRF-Token"] = csrf_token(self.student.page)
        page = path_of(self.student.page)
        answer = self.student.browser.app.post(f"{page}/awake", headers=headers, status=200)
        assert answer.json["ends_at"] is None


@pytest.fixture
def room(student: Student, background: Background, jupyter: Jupyter) -> Room:
    made = Room(student, background, jupyter)
    assert made.progress.state is State.READY
    return made


def the_visit_is_long_ago(room: Room) -> None:
    room.background.worker.idling.visits.cache.delete(room.workspace)


def test_an_idle_server_is_stopped(room: Room) -> None:
    room.quiet_for(minutes=61)
    assert room.progress.state is State.STOPPED
    assert room.workspace not in room.background.containers.servers
    assert f"ipylti-take-{room.workspace}" in room.background.containers.files


@pytest.mark.parametrize("name", ["at work", "computing", "silent"])
def test_a_server_is_not_stopped_while(room: Room, name: str) -> None:
    if name == "computing":
        room.jupyter.kernels = [{"execution_state": "idle"}, {"execution_state": "busy"}]
    room.jupyter.up = name != "silent"
    room.quiet_for(minutes=1 if name == "at work" else 600)
    assert room.progress.state is State.READY
    assert room.told is None


def test_people_are_warned_five_minutes_before(room: Room) -> None:
    room.quiet_for(minutes=54)
    assert room.told is None
    room.quiet_for(minutes=56)
    assert room.told is not None
    left = datetime.fromisoformat(room.told) - models.now()
    assert timedelta(minutes=3, seconds=50) < left <= timedelta(minutes=4)
    assert room.progress.state is State.READY


def test_whoever_goes_on_is_not_warned_any_more(room: Room) -> None:
    room.quiet_for(minutes=56)
    assert room.told is not None
    room.quiet_for(minutes=1)
    assert room.told is None


def test_it_can_be_kept_awake(room: Room) -> None:
    room.quiet_for(minutes=56)
    room.stay_awake()
    assert room.told is None
    room.quiet_for(minutes=90)
    assert (room.progress.state, room.told) == (State.READY, None)
    the_visit_is_long_ago(room)
    room.quiet_for(minutes=90)
    assert room.progress.state is State.STOPPED


def test_whoever_comes_keeps_it_awake(room: Room) -> None:
    """A person who opens the notebook, even if no kernel is asked for anything."""
    url = room.student.browser.status(room.student.page)["url"]
    host, _, path = url.removeprefix("https://").partition("/")
    room.student.browser.app.get(f"/{path}", headers={"Host": host}, status=302)
    room.quiet_for(minutes=90)
    assert room.progress.state is State.READY


def test_a_kernel_that_computes_keeps_it_up_to_an_age(room: Room) -> None:
    room.jupyter.kernels = [{"execution_state": "busy"}]
    room.jupyter.started = (models.now() - timedelta(hours=23, minutes=57)).isoformat()
    room.quiet_for(minutes=0)
    assert room.progress.state is State.READY
    assert room.told is not None
    room.jupyter.started = (models.now() - timedelta(hours=24, seconds=1)).isoformat()
    room.quiet_for(minutes=0)
    assert room.progress.state is State.STOPPED


def test_one_that_can_not_be_stopped_holds_up_no_other(
    room: Room, layla: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Room(layla, room.background, room.jupyter)
    stop = room.background.servers.stop

    def sometimes(workspace: str) -> None:
        if workspace == room.workspace:
            raise DependencyDown("podman")
        stop(workspace)

    monkeypatch.setattr(room.background.servers, "stop", sometimes)
    room.quiet_for(minutes=61)
    assert (room.progress.state, other.progress.state) == (State.READY, State.STOPPED)
