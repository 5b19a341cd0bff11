"""Whatever crashed, database, board, Podman and Traefik soon agree again; containers are doubles."""

import logging
from dataclasses import replace
from typing import Any

import pytest

from ipylti import models
from ipylti.errors import DependencyDown
from ipylti.reconciling import Volumes, take_inventory
from ipylti.servers.spawner import ServerState, ServerStatus
from ipylti.volatile import Progress, State, Step
from tests.functional.background import Background, Jupyter
from tests.functional.browser import Browser
from tests.functional.classroom import Class
from tests.functional.conftest import on_sqlite
from tests.parts import free_port

pytestmark = on_sqlite


@pytest.fixture
def room(browser: Browser, another_browser: Browser, app: Any, background: Background) -> Class:
    return Class(browser, another_browser, app, background)


@pytest.mark.parametrize(("out_of_memory", "code"), [(False, "server.ended"), (True, "server.out_of_memory")])
def test_a_server_that_ended_by_itself_is_told_and_cleared_away(
    room: Class, out_of_memory: bool, code: str
) -> None:
    room.start()
    room.containers.end(room.take, out_of_memory=out_of_memory)
    room.reconciler.reconcile()
    told = room.board.read(room.take)
    assert (told.state, told.error) == (State.FAILED, code)
    assert room.take not in room.containers.servers
    assert room.containers.files[room.volume] == 1000


def test_a_server_that_was_listed_while_somebody_stopped_it_did_not_end_by_itself(room: Class) -> None:
    room.start()
    room.containers.end(room.take)
    listed = list(room.containers.servers.values())
    room.servers.stop(room.take)
    room.spawner.servers.side_effect = lambda _instance: listed
    room.reconciler.reconcile()
    told = room.board.read(room.take)
    assert (told.state, told.error) == (State.STOPPED, "")


def test_a_server_that_is_gone_is_no_longer_said_to_be_ready(room: Class) -> None:
    room.start()
    room.start(room.build)
    del room.containers.servers[room.take]
    room.reconciler.reconcile()
    assert room.board.read(room.take).state is State.STOPPED
    assert room.board.read(room.build).state is State.READY


def test_what_is_being_started_is_left_alone(room: Class) -> None:
    """Between two steps of its start the container may not run."""
    room.start()
    room.containers.end(room.take)
    with room.background.worker.locks.hold(f"server:{room.take}"):
        room.reconciler.reconcile()
    assert room.board.read(room.take).state is State.READY
    assert room.containers.servers[room.take].state is ServerState.STOPPED


def test_the_sweep_goes_on_without_podman(room: Class) -> None:
    room.spawner.servers.side_effect = DependencyDown("podman")
    room.background.jobs.ask("sweep", "")
    room.background.work()
    room.spawner.servers.side_effect = lambda instance: list(room.containers.servers.values())
    room.background.jobs.ask("sweep", "")
    room.background.work()
    assert room.spawner.tidy.called


# Servers


def test_a_server_of_no_workspace_is_removed_and_its_files_are_not(room: Class) -> None:
    """The database was lost, and put back as it was before the workspace was made."""
    room.containers.servers["stranger"] = ServerStatus("stranger", ServerState.RUNNING)
    room.containers.files["ipylti-take-stranger"] = 7
    room.start()
    room.reconciler.reconcile()
    assert set(room.containers.servers) == {room.take}
    assert room.containers.files["ipylti-take-stranger"] == 7


def test_a_server_over_half_a_copy_is_removed_once_its_worker_is_silent(room: Class) -> None:
    """Nobody was let in; whoever comes back gets a whole copy."""
    room.start()
    with room.sessions.begin() as db:
        db.get_one(models.Workspace, room.take).populated_at = None
    room.containers.files[room.volume] = 500
    room.board.write(room.take, Progress(State.STARTING, Step.COPY))
    room.reconciler.reconcile()
    assert room.take in room.containers.servers
    room.make_old(room.take)
    room.reconciler.reconcile()
    assert room.take not in room.containers.servers
    assert room.start().state is State.READY
    assert room.containers.files[room.volume] == 1000


def test_a_server_whose_copy_became_whole_during_the_look_is_left_alone(
    room: Class, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at many servers takes seconds, and starts end meanwhile."""
    room.start()
    with room.sessions.begin() as db:
        db.get_one(models.Workspace, room.take).populated_at = None
    hold = room.reconciler.locks.hold

    def finished(name: str, **options: Any) -> Any:
        with room.sessions.begin() as db:
            db.get_one(models.Workspace, room.take).populated_at = models.now()
        return hold(name, **options)

    monkeypatch.setattr(room.reconciler.locks, "hold", finished)
    room.reconciler.reconcile()
    assert room.take in room.containers.servers
    assert room.board.read(room.take).state is State.READY


def test_a_server_that_was_stopped_since_it_was_listed_is_not_stopped_again(room: Class) -> None:
    """Or whoever comes back just then would be sent away."""
    room.start()
    listed = list(room.containers.servers.values())
    room.servers.stop(room.take)
    room.spawner.servers.side_effect = lambda _instance: listed
    room.reconciler.reconcile()
    assert room.background.waiting() == []


def test_with_redis_emptied_it_is_found_out_what_runs(room: Class) -> None:
    room.start()
    room.board.client.flushall()
    room.reconciler.reconcile()
    told = room.board.read(room.take)
    assert (told.state, told.extension) == (State.READY, True)


def test_a_start_that_was_given_up_and_did_succeed_is_no_failure(room: Class, jupyter: Jupyter) -> None:
    jupyter.up = False
    with room.background.impatient():
        assert room.start().state is State.FAILED
    room.reconciler.reconcile()
    assert room.board.read(room.take).state is State.FAILED
    jupyter.up = True
    room.reconciler.reconcile()
    assert room.board.read(room.take).state is State.READY


def test_a_stop_whose_worker_died_is_done_to_the_end(room: Class) -> None:
    room.start()
    room.line.send_away(room.take)
    room.board.write(room.take, Progress())
    room.reconciler.reconcile()
    room.background.work()
    assert room.take not in room.containers.servers
    assert room.board.read(room.take).state is State.STOPPED


def cut_off(room: Class) -> None:
    """Let what forwarded the server's port have died."""
    status = room.containers.servers[room.take]
    room.containers.servers[room.take] = replace(status, address=f"http://127.0.0.1:{free_port()}")


def test_a_server_whose_port_is_dead_is_ended_and_told(room: Class, jupyter: Jupyter) -> None:
    """Podman died just after it had started the container, and with it what forwarded the port."""
    room.start()
    cut_off(room)
    jupyter.routed = False
    room.reconciler.reconcile()
    assert room.take not in room.containers.servers
    told = room.board.read(room.take)
    assert (told.state, told.error) == (State.FAILED, "server.ended")
    jupyter.routed = True
    assert room.start().state is State.READY


def test_whoever_launches_again_gets_another_server_than_one_whose_port_is_dead(room: Class) -> None:
    room.start()
    cut_off(room)
    room.board.write(room.take, Progress(State.FAILED, error="podman.down"))
    routed = room.servers.routed
    answers = iter([False])
    room.servers.routed = lambda workspace: next(answers, None) is None and routed(workspace)  # type: ignore[method-assign]
    assert room.start().state is State.READY
    assert room.spawner.start.call_count == 2


# The board


@pytest.mark.parametrize("state", [State.QUEUED, State.STARTING])
def test_a_start_that_nobody_waits_for_is_given_up(room: Class, state: State) -> None:
    """Its worker died, and its page is closed: an open one would have asked again."""
    room.line.queue(room.take)
    room.board.write(room.take, Progress(state, Step.COPY))
    room.reconciler.reconcile()
    assert room.board.read(room.take).state is state
    room.make_old(room.take)
    room.reconciler.reconcile()
    assert room.board.read(room.take).state is State.STOPPED
    assert room.line.position(room.take) is None


def test_whoever_waits_behind_others_is_not_given_up(room: Class) -> None:
    room.desk.ask(room.build)
    room.desk.ask(room.take)
    room.make_old(room.take)
    room.reconciler.reconcile()
    assert room.board.read(room.take).state is State.QUEUED
    assert room.line.position(room.take) == 2


# Routes


def test_traefik_is_told_to_look_again_where_a_route_is_missing(room: Class, jupyter: Jupyter) -> None:
    room.start()
    room.reconciler.reconcile()
    assert not room.spawner.announce.called
    jupyter.routed = False
    room.reconciler.reconcile()
    assert room.spawner.announce.call_count == 1
    assert room.take in room.containers.servers
    assert room.board.read(room.take).state is State.READY


def test_a_jupyter_that_does_not_answer_is_not_traefiks_fault(room: Class, jupyter: Jupyter) -> None:
    room.start()
    jupyter.up = False
    room.reconciler.reconcile()
    assert not room.spawner.announce.called


def test_a_route_that_is_late_has_traefik_look_again_at_once(
    room: Class, jupyter: Jupyter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipylti.workspaces._LATE", 0.0)
    jupyter.routed = False

    def announce(_instance: str, _image: str) -> None:
        jupyter.routed = True

    room.spawner.announce.side_effect = announce
    assert room.start().state is State.READY


# Volumes


def test_a_volume_that_belongs_to_nothing_is_named_and_kept(
    room: Class, caplog: pytest.LogCaptureFixture
) -> None:
    room.start()
    worker = room.background.worker
    look = Volumes(worker.settings, worker.sessions, room.spawner).look
    look()
    assert caplog.records == []
    room.containers.files["ipylti-take-nobody"] = 7
    del room.containers.files[room.volume]
    for _ in range(2):
        look()
    found = take_inventory(worker.settings, worker.sessions, room.spawner)
    assert (found.strange, found.gone) == (["ipylti-take-nobody"], [room.volume])
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.ERROR]
    assert room.containers.files["ipylti-take-nobody"] == 7


def test_a_base_that_was_never_opened_is_not_missed(room: Class) -> None:
    del room.containers.files[room.base]
    worker = room.background.worker
    assert take_inventory(worker.settings, worker.sessions, room.spawner).gone == []


# The sweep


def test_a_step_that_fails_keeps_no_other_from_being_done(room: Class) -> None:
    worker = room.background.worker
    room.spawner.volumes.side_effect = ZeroDivisionError
    room.spawner.servers.side_effect = DependencyDown("podman")
    worker.sweep.run()
    assert room.spawner.tidy.called
