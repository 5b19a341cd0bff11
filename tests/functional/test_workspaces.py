"""From asking for a server to one that answers, and what goes wrong on the way; containers are doubles."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from ipylti import models, workspaces
from ipylti.errors import DependencyDown, ImageMissing, SpawnerError
from ipylti.settings import Image
from ipylti.volatile import Board, Progress, State, Step
from tests.functional.background import Background, Jupyter
from tests.functional.browser import TOOL, Browser
from tests.functional.classroom import Class
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite


@pytest.fixture
def room(browser: Browser, another_browser: Browser, app: Any, background: Background) -> Class:
    return Class(browser, another_browser, app, background)


# Asking


def test_asking_often_makes_one_start(room: Class) -> None:
    told = [room.desk.ask(room.take) for _ in range(3)]
    assert {progress.state for progress in told} == {State.QUEUED}
    assert room.starts() == [room.take]
    assert room.line.position(room.take) == 1


def test_asking_while_it_starts_makes_no_second_start(room: Class) -> None:
    room.board.write(room.take, Progress(State.STARTING, Step.COPY))
    assert room.desk.ask(room.take).step is Step.COPY
    assert room.desk.look(room.take).step is Step.COPY
    assert room.starts() == []


@pytest.mark.parametrize("state", [State.QUEUED, State.STARTING])
@pytest.mark.parametrize("how", ["ask", "look"])
def test_a_start_that_was_lost_is_asked_for_again(room: Class, state: State, how: str) -> None:
    """Its worker was killed, or the queue emptied."""
    room.board.write(room.take, Progress(state, Step.COPY))
    room.make_old(room.take)
    assert getattr(room.desk, how)(room.take).state is State.QUEUED
    assert room.starts() == [room.take]


def test_whoever_waits_long_behind_others_is_not_lost(room: Class) -> None:
    room.desk.ask(room.build)
    room.desk.ask(room.take)
    room.make_old(room.take)
    room.desk.look(room.take)
    assert room.starts() == [room.build, room.take]
    assert room.line.position(room.take) == 2


@pytest.mark.parametrize("state", [State.READY, State.NOT_READY])
def test_what_may_have_changed_is_looked_at_anew(room: Class, state: State) -> None:
    """The container may have ended; the teacher may have saved something. Until then it goes on as it was."""
    room.board.write(room.take, Progress(state))
    assert room.desk.ask(room.take).state is state
    assert room.starts() == [room.take]


@pytest.mark.parametrize("state", [State.STOPPED, State.FAILED, State.READY, State.NOT_READY])
def test_looking_starts_nothing(room: Class, state: State) -> None:
    """A tab that was left open keeps no server awake."""
    room.board.write(room.take, Progress(state))
    assert room.desk.look(room.take).state is state
    assert room.starts() == []


@pytest.mark.parametrize("state", [State.STOPPED, State.FAILED])
def test_asking_starts_what_has_ended(room: Class, state: State) -> None:
    room.board.write(room.take, Progress(state, error="server.ended"))
    assert room.desk.ask(room.take).state is State.QUEUED
    assert room.starts() == [room.take]


def test_an_emptied_redis_is_no_more_than_a_stopped_server(room: Class) -> None:
    room.start()
    room.board.client.flushall()
    assert room.desk.look(room.take).state is State.STOPPED
    room.desk.ask(room.take)
    room.background.work()
    assert room.board.read(room.take).state is State.READY
    assert room.spawner.start.call_count == 1


# Starting


def test_a_teachers_server_stands_on_the_base(room: Class) -> None:
    assert room.start(room.build).state is State.READY
    assert room.spawner.copy.call_count == 0
    (volume,) = room.spawner.ensure_volume.call_args.args
    assert (volume.name, volume.kind) == (room.base, "base")
    spec = room.containers.specs[room.build]
    config = room.background.worker.settings
    assert (spec.volume, spec.kind, spec.image) == (room.base, "build", config.image)
    assert (spec.assignment, spec.instance) == (room.build, config.instance)
    assert spec.hostname == f"{room.build}.notebooks.example"
    assert spec.token == config.jupyter_token(room.build)
    assert spec.tool_origin == TOOL
    campus = room.teacher.browser.campus.config.base_url
    assert spec.frame_ancestors == tuple(sorted([TOOL, campus]))
    assert (spec.limits.memory, spec.limits.cpus, spec.limits.pids) == (1 << 30, 1.0, 512)
    assert spec.egress is True


def test_an_assignment_may_have_an_image_of_its_own_and_no_way_out(room: Class) -> None:
    with room.sessions.begin() as db:
        db.execute(sa.update(models.Assignment).values(image="localhost/other", egress=False))
    listed = (*room.servers.settings.images, Image("localhost/other", "Other"))
    room.servers.settings = replace(room.servers.settings, images=listed)
    room.start()
    spec = room.containers.specs[room.take]
    assert (spec.image, spec.egress) == ("localhost/other", False)
    assert room.spawner.copy.call_args.args[2] == "localhost/other"


def test_a_students_server_stands_on_a_copy(room: Class) -> None:
    told = room.start()
    assert told.state is State.READY
    assert told.extension is True
    source, target = room.spawner.copy.call_args.args[:2]
    assert (source, target.name, target.kind) == (room.base, room.volume, "take")
    assert (target.workspace, target.assignment) == (room.take, room.build)
    assert room.row().populated_at is not None
    assert room.containers.specs[room.take].volume == room.volume


def test_the_way_is_told_step_by_step(room: Class, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[State, Step | None]] = []
    write = Board.write

    def watch(board: Board, workspace: str, progress: Progress) -> None:
        seen.append((progress.state, progress.step))
        write(board, workspace, progress)

    monkeypatch.setattr(Board, "write", watch)
    room.desk.ask(room.take)
    room.background.work()
    steps = [each for number, each in enumerate(seen) if not number or each != seen[number - 1]]
    assert steps == [
        (State.QUEUED, Step.QUEUE),
        (State.STARTING, Step.COPY),
        (State.STARTING, Step.CONTAINER),
        (State.STARTING, Step.JUPYTER),
        (State.STARTING, Step.ROUTE),
        (State.READY, None),
    ]


def test_nobody_is_let_in_before_the_copy_is_whole(room: Class) -> None:
    """… though the server starts beside it."""
    told: list[dict[str, Any]] = []
    started = threading.Event()

    def copy(source: str, target: Any, image: str, progress: Any, *, digest: bool = False) -> Any:
        assert started.wait(10)
        progress(400, 1000)
        told.append(room.student.browser.status(room.student.page))
        assert room.row().populated_at is None
        return room.containers.copy(source, target, image, progress)

    def start(spec: Any) -> Any:
        status = room.containers.start(spec)
        started.set()
        return status

    room.spawner.copy.side_effect, room.spawner.start.side_effect = copy, start
    room.start()
    (during,) = told
    assert (during["state"], during["step"], during["url"]) == ("starting", "copy", None)
    assert during["bytes"] == {"done": 400, "total": 1000}
    assert 10 < during["progress"] < 40
    assert room.student.browser.status(room.student.page)["url"]


def test_launching_again_finds_the_same_copy(room: Class) -> None:
    """… also when its server has ended, and whatever the teacher did to the base since."""
    room.start()
    room.containers.files[room.volume] = 1234
    room.containers.files[room.base] = 5000
    room.servers.stop(room.take)
    assert room.start().state is State.READY
    assert room.spawner.copy.call_count == 1
    assert room.containers.files[room.volume] == 1234
    assert room.spawner.start.call_count == 2


def test_a_server_that_runs_is_left_alone(room: Class) -> None:
    room.start()
    assert room.start().state is State.READY
    assert room.spawner.start.call_count == 1


def test_who_gets_through_to_their_server_needs_no_podman(room: Class) -> None:
    room.start()
    room.spawner.status.side_effect = room.spawner.servers.side_effect = DependencyDown("podman")
    assert room.start().state is State.READY


def test_a_route_that_was_lost_is_waited_for(room: Class, background: Background, jupyter: Jupyter) -> None:
    """Traefik was started anew and does not know the container yet."""
    room.start()
    jupyter.routed = False
    threading.Timer(0.3, setattr, (jupyter, "routed", True)).start()
    assert room.start().state is State.READY


def test_two_starts_at_once_make_one_server(room: Class) -> None:
    inside = threading.Event()

    def start(spec: Any) -> Any:
        inside.wait(0.5)
        return room.containers.start(spec)

    room.spawner.start.side_effect = start
    with ThreadPoolExecutor(4) as pool:
        assert True in list(pool.map(room.servers.start, [room.take] * 4))
    assert room.spawner.start.call_count == room.spawner.copy.call_count == 1
    assert room.board.read(room.take).state is State.READY


# Not ready yet


def test_before_the_teacher_came_there_is_nothing_to_hand_out(
    app: Any, browser: Browser, background: Background
) -> None:
    page = browser.launch("zoe")
    background.work()
    assert browser.status(page)["state"] == "not_ready"
    assert browser.status(page)["error"] is None
    assert background.containers.files == {}
    assert background.containers.servers == {}


def test_before_the_teacher_saved_there_is_nothing_either(room: Class) -> None:
    room.containers.files[room.base] = 0
    assert room.start().state is State.NOT_READY
    assert room.volume not in room.containers.files
    assert room.take not in room.containers.servers
    assert room.row().populated_at is None


def test_when_the_teacher_has_saved_the_next_look_starts_it(room: Class) -> None:
    room.containers.files[room.base] = 0
    room.start()
    before = room.spawner.start.call_count
    room.start()
    # Where nothing was there a while ago, the copy goes first: no container for each look.
    assert room.spawner.start.call_count == before
    room.containers.files[room.base] = 1000
    room.desk.ask(room.take)
    room.background.work()
    assert room.board.read(room.take).state is State.READY
    assert room.containers.files[room.volume] == 1000


# Trouble

TROUBLE: dict[str, tuple[str, Callable[[Class, Jupyter], None]]] = {
    "no image": (
        "server.image_missing",
        lambda room, _: room.spawner.start.configure_mock(side_effect=ImageMissing("x")),
    ),
    "podman away": (
        "podman.down",
        lambda room, _: room.spawner.status.configure_mock(side_effect=DependencyDown("podman")),
    ),
    "disk full": (
        "volume.no_space",
        lambda room, _: room.spawner.copy.configure_mock(side_effect=SpawnerError(code="volume.no_space")),
    ),
    "jupyter silent": ("server.timeout.jupyter", lambda _, jupyter: setattr(jupyter, "up", False)),
    "no route": ("server.timeout.route", lambda _, jupyter: setattr(jupyter, "routed", False)),
    "a bug": (
        "server.failed",
        lambda room, _: room.spawner.copy.configure_mock(side_effect=ZeroDivisionError),
    ),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_what_goes_wrong_is_said_and_the_next_try_goes_on(room: Class, jupyter: Jupyter, name: str) -> None:
    code, break_it = TROUBLE[name]
    whole = {
        each: getattr(room.spawner, each).side_effect for each in ("copy", "start", "status", "ensure_volume")
    }
    break_it(room, jupyter)
    with room.background.impatient():
        told = room.start()
    assert (told.state, told.error) == (State.FAILED, code)
    status = room.student.browser.status(room.student.page)
    assert status["url"] is None
    assert status["error"]["code"] == code
    assert "safe" in status["error"]["message"]
    jupyter.up = jupyter.routed = True
    for each, effect in whole.items():
        getattr(room.spawner, each).side_effect = effect
    room.desk.ask(room.take)
    room.background.work()
    assert room.board.read(room.take).state is State.READY
    assert room.containers.files[room.volume] == 1000


def test_a_server_that_ends_while_it_starts_is_not_waited_for(
    room: Class, jupyter: Jupyter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspaces, "_CHECK", 0.05)
    jupyter.up = False

    def start(spec: Any) -> Any:
        status = room.containers.start(spec)
        room.containers.end(spec.workspace)
        return status

    room.spawner.start.side_effect = start
    told = room.start(room.build)
    assert (told.state, told.error) == (State.FAILED, "server.ended")
    assert room.spawner.logs.called


def test_files_that_are_gone_are_not_replaced_by_none(room: Class) -> None:
    """Somebody has removed the volume: an empty notebook would look as if all were well."""
    room.start()
    room.servers.stop(room.take)
    del room.containers.files[room.volume]
    room.containers.assumed = tuple
    told = room.start()
    assert (told.state, told.error) == (State.FAILED, "volume.gone")
    assert room.volume not in room.containers.files
    assert "backup" in room.student.browser.status(room.student.page)["error"]["message"]
    room.containers.files[room.volume] = 1000
    assert room.start().state is State.READY


def test_a_copy_that_fails_leaves_no_server_behind(room: Class) -> None:
    room.spawner.copy.side_effect = SpawnerError("copy")
    room.start()
    assert room.take not in room.containers.servers
    assert room.row().populated_at is None


def test_a_worker_killed_before_the_copy_was_written_down(room: Class) -> None:
    """Its container runs over a copy that may be half: nobody is let in, and it is made again."""
    room.start()
    with room.sessions.begin() as db:
        db.get_one(models.Workspace, room.take).populated_at = None
    room.board.client.flushall()
    room.containers.files[room.volume] = 500
    assert room.start().state is State.READY
    assert room.spawner.copy.call_count == 2
    assert room.containers.files[room.volume] == 1000
    assert room.row().populated_at is not None


def test_a_volume_that_outlived_the_database_is_taken_as_it_is(room: Class) -> None:
    """Somebody's work is in it."""
    room.containers.files[room.volume] = 777
    assert room.start().state is State.READY
    assert room.spawner.copy.call_count == 0
    assert room.containers.files[room.volume] == 777
    assert room.row().populated_at is not None


def test_a_workspace_that_is_not_there_fails_and_harms_nobody(room: Class) -> None:
    assert room.start("x" * 32).state is State.FAILED
    assert room.start().state is State.READY


def test_whoever_loses_the_lock_stops(room: Class) -> None:
    """Another worker may be at it by then."""

    def copy(source: str, target: Any, image: str, progress: Any, *, digest: bool = False) -> Any:
        room.board.client.delete(f"ipylti:lock:server:{room.take}")
        return room.containers.copy(source, target, image, progress)

    room.spawner.copy.side_effect = copy
    assert room.start().state is State.FAILED
    assert room.row().populated_at is None


# A full house


@pytest.fixture
def full(room: Class) -> Class:
    """One server may run, and the teacher's does."""
    room.servers.admission.settings = replace(room.servers.settings, max_servers=1)
    room.start(room.build)
    return room


def test_where_there_is_no_room_one_waits_in_line(full: Class) -> None:
    full.desk.ask(full.take)
    full.background.work()
    told = full.student.browser.status(full.student.page)
    assert (told["state"], told["position"]) == ("queued", 1)
    assert full.take not in full.containers.servers
    assert full.background.later() == [("start_server", full.take)]
    # Waiting is a sign of life: nobody takes the start for lost.
    assert not full.board.read(full.take).old


def test_who_has_a_server_is_not_kept_waiting(full: Class) -> None:
    assert full.start(full.build).state is State.READY


def test_when_there_is_room_the_line_moves(full: Class) -> None:
    full.desk.ask(full.take)
    full.background.work()
    full.servers.stop(full.build)
    assert full.start().state is State.READY
    assert full.line.position(full.take) is None


def test_who_is_stopped_waits_no_more(full: Class) -> None:
    """``ipylti workspace stop``, and the worker has yet to look whether there is room."""
    full.desk.ask(full.take)
    full.background.work()
    full.background.jobs.ask("stop_server", full.take)
    full.background.work()
    assert full.board.read(full.take).state is State.STOPPED
    assert full.line.position(full.take) is None
    full.servers.stop(full.build)
    full.background.jobs.ask("start_server", full.take)
    full.background.work()
    assert full.take not in full.containers.servers
    full.desk.ask(full.take)
    full.background.work()
    assert full.board.read(full.take).state is State.READY


def test_whose_server_ended_waits_in_line_too(full: Class) -> None:
    """The board still says that it is ready."""
    full.board.write(full.take, Progress(State.READY))
    full.desk.ask(full.take)
    full.background.work()
    assert full.board.read(full.take).state is State.QUEUED
    assert full.line.position(full.take) == 1


# Ending


def test_open_tabs_save_before_a_server_ends(room: Class, jupyter: Jupyter) -> None:
    """… while the board still says that it is there: a page that showed something else would close them."""
    room.start()
    told = []

    def stop(workspace: str, grace: float = 10.0) -> None:
        told.append((jupyter.saves, room.board.read(workspace).state))

    room.spawner.stop.side_effect = stop
    room.servers.stop(room.take)
    assert told == [(1, State.STOPPED)]


def test_who_comes_while_a_server_ends_keeps_the_place_in_the_line(full: Class) -> None:
    def stop(workspace: str, grace: float = 10.0) -> None:
        full.containers.servers.pop(workspace)
        full.desk.ask(full.build)
        full.desk.ask(full.take)

    full.spawner.stop.side_effect = stop
    full.servers.stop(full.build)
    assert (full.line.position(full.build), full.line.position(full.take)) == (1, 2)
    assert full.board.read(full.build).state is State.QUEUED


def test_a_server_that_is_being_stopped_takes_its_room_until_it_has_ended(full: Class) -> None:
    let_in = []

    def stop(workspace: str, grace: float = 10.0) -> None:
        full.containers.end(workspace)
        let_in.append(full.servers.start(full.take))
        full.containers.servers.pop(workspace)

    full.desk.ask(full.take)
    full.spawner.stop.side_effect = stop
    full.servers.stop(full.build)
    assert let_in == [False]
    assert full.start().state is State.READY


def test_stopping_keeps_the_files(room: Class) -> None:
    room.start()
    room.servers.stop(room.take)
    assert room.board.read(room.take).state is State.STOPPED
    assert room.take not in room.containers.servers
    assert room.containers.files[room.volume] == 1000
