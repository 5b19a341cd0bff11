"""What running servers use, as the worker finds it and people are told; containers are doubles."""

import logging
from typing import Any

import pytest
from webtest import TestResponse

from ipylti.errors import DependencyDown
from ipylti.servers.spawner import MemoryKills
from ipylti.volatile import State
from tests.functional.background import Background
from tests.functional.browser import Browser, Student
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite

MIB = 1 << 20


@pytest.fixture
def ini(ini: dict[str, str]) -> dict[str, str]:
    return ini | {"ipylti.volume_size": "100m", "ipylti.images": "localhost/r volume_size=none R"}


class Desk:
    """A student at work, and what is told to them."""

    def __init__(self, student: Student, background: Background) -> None:
        self.student = student
        self.background = background
        self.workspace = student.workspace_id
        self.volume = f"ipylti-take-{self.workspace}"
        background.work()
        assert background.servers.board.read(self.workspace).state is State.READY

    def holds(self, mebibytes: float) -> dict[str, Any]:
        """Let the files take so much; returns the status after the worker's next look."""
        self.background.containers.files[self.volume] = round(mebibytes * MIB)
        self.background.worker.watch.look()
        return self.status()

    def status(self) -> dict[str, Any]:
        return self.student.browser.status(self.student.page)

    def told(self) -> list[str]:
        """Return the codes of the notices."""
        return [each["code"] for each in self.status()["notices"]]

    def runs(self) -> bool:
        return self.workspace in self.background.containers.servers

    def open(self) -> TestResponse:
        """Open the workbench anew, which asks for the server."""
        page = self.student.browser.app.get(self.student.page.request.path)
        self.background.work()
        return page


@pytest.fixture
def desk(student: Student, background: Background) -> Desk:
    return Desk(student, background)


def test_few_files_are_nobodys_business(desk: Desk) -> None:
    assert desk.holds(79)["notices"] == []


def test_files_are_warned_of_from_four_fifths_on_and_the_server_stays(desk: Desk) -> None:
    for size, words in ((80, "80 MiB"), (149, "149 MiB")):
        status = desk.holds(size)
        (notice,) = status["notices"]
        assert notice["code"] == "volume.filling"
        assert f"Your files take {words}; 100 MiB is what they may take." in notice["message"]
        assert "at 150 MiB the notebook is stopped" in notice["message"]
        assert (status["state"], desk.runs()) == ("ready", True)
    assert notice["message"].replace("'", "&#39;") in desk.open()
    assert desk.holds(50)["notices"] == []


def test_at_half_as_much_again_the_server_is_stopped_and_all_files_are_kept(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    status = desk.holds(151)
    assert not desk.runs()
    assert desk.background.containers.files[desk.volume] == 151 * MIB
    assert (status["state"], status["error"]["code"]) == ("failed", "volume.full")
    assert "Your files take 151 MiB; 100 MiB is what they may take." in status["error"]["message"]
    assert [record.workspace for record in caplog.records if "take too much" in record.message] == [
        desk.workspace
    ]


def test_somebody_can_come_in_and_delete_files(desk: Desk) -> None:
    desk.holds(300)
    desk.open()
    assert desk.holds(300)["state"] == "ready"
    assert desk.told() == ["volume.too_full"]
    # Jupyter writes a little by itself.
    assert desk.holds(304)["state"] == "ready"
    assert desk.holds(160)["state"] == "ready"
    assert desk.holds(90)["state"] == "ready"
    assert desk.told() == ["volume.filling"]
    # Now they are as everybody else again.
    assert desk.holds(160)["state"] == "failed"


def test_files_that_grow_further_stop_it_again(desk: Desk) -> None:
    desk.holds(300)
    desk.open()
    assert desk.holds(306)["state"] == "failed"
    assert not desk.runs()


def test_an_emptied_redis_only_stops_it_once_more(desk: Desk) -> None:
    desk.holds(300)
    desk.background.servers.board.client.flushall()
    desk.student = desk.student.launch_again()
    desk.background.work()
    assert desk.runs()
    assert desk.holds(300)["state"] == "failed"
    desk.open()
    assert desk.holds(300)["state"] == "ready"


def test_volumes_that_were_measured_longest_ago_come_first(
    desk: Desk, another_browser: Browser, background: Background
) -> None:
    desk.holds(1)
    another = another_browser.launch("nora")
    background.work()
    background.worker.watch.look()
    asked = [call.args[1] for call in background.spawner.sizes.call_args_list]
    (build,) = {name for names in asked for name in names} - {desk.volume}
    assert build.startswith("ipylti-base-")
    assert asked == [[desk.volume], [build, desk.volume]]
    assert another.status_int == 200


def test_files_that_are_not_limited_are_not_measured(desk: Desk, background: Background) -> None:
    desk.holds(90)
    settings = background.worker.settings
    object.__setattr__(settings, "images", settings.images[1:])
    desk.holds(900)
    assert background.spawner.sizes.call_count == 1
    assert (desk.told(), desk.runs()) == ([], True)


def test_files_that_cannot_be_measured_are_named_in_the_log(
    desk: Desk, background: Background, caplog: pytest.LogCaptureFixture
) -> None:
    background.spawner.sizes.side_effect = lambda *_args: {}
    background.worker.watch.look()
    named = [record.workspace for record in caplog.records if record.message == "files were not measured"]
    assert named == [desk.workspace]
    assert desk.runs()


def test_only_one_worker_measures(desk: Desk, background: Background) -> None:
    with background.worker.locks.hold("watch"):
        background.worker.watch.look()
    assert not background.spawner.sizes.called


def test_the_sweep_has_it_done_and_an_engine_that_is_away_harms_nothing(
    desk: Desk, background: Background
) -> None:
    background.spawner.memory_kills.side_effect = DependencyDown("podman")
    background.jobs.ask("sweep", "")
    assert ("watch_servers", "") in background.work()
    assert desk.runs()


# Memory


def kills(background: Background, desk: Desk, count: int, server: str = "a") -> None:
    """Let the kernel have killed so many processes; the worker looks."""
    background.containers.kills[desk.workspace] = MemoryKills(server, count, 1 << 30)
    background.worker.watch.look()


def long_ago(background: Background) -> None:
    """Let the time pass for which people are told."""
    client = background.servers.board.client
    client.delete(*client.keys("ipylti:kills-told:*"))


def test_a_kernel_that_was_killed_is_told_while_jupyter_goes_on(
    desk: Desk, background: Background, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    kills(background, desk, 0)
    assert desk.told() == []
    kills(background, desk, 2)
    (notice,) = desk.status()["notices"]
    assert notice["code"] == "memory.short"
    assert "more than its 1 GiB of memory" in notice["message"]
    assert desk.runs()
    (record,) = [record for record in caplog.records if record.message.startswith("memory ran out")]
    assert (record.workspace, record.killed, record.limit) == (desk.workspace, 2, 1 << 30)


def test_what_was_told_is_not_told_again(desk: Desk, background: Background) -> None:
    kills(background, desk, 1)
    long_ago(background)
    kills(background, desk, 1)
    assert desk.told() == []
    kills(background, desk, 2)
    assert desk.told() == ["memory.short"]


def test_the_next_server_counts_anew(desk: Desk, background: Background) -> None:
    kills(background, desk, 5)
    long_ago(background)
    kills(background, desk, 1, server="b")
    assert desk.told() == ["memory.short"]


def test_a_server_that_ended_for_want_of_memory_names_its_limit(desk: Desk, background: Background) -> None:
    background.containers.end(desk.workspace, exit_code=137, out_of_memory=True, memory=512 * MIB)
    background.worker.reconciler.reconcile()
    error = desk.status()["error"]
    assert error["code"] == "server.out_of_memory"
    assert "more than its 512 MiB of memory and was stopped" in error["message"]
