"""One request id from web to worker: what a workbench shows finds all lines of the log."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from ipylti import trace
from ipylti.errors import DependencyDown
from ipylti.jobs import Jobs
from ipylti.logs import JSONFormatter
from ipylti.trace import Trace
from tests.functional.background import Background
from tests.functional.browser import Browser, Student, path_of
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite

ID = "trace-0123456789"


class Lines:
    """The log, as production.ini writes it."""

    def __init__(self, stream: io.StringIO) -> None:
        self.stream = stream

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def of(self, request_id: str) -> list[str]:
        """Return the messages of one request."""
        return [line["message"] for line in self.read() if line.get("request_id") == request_id]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter("%(message)s"))
    logger = logging.getLogger("ipylti")
    monkeypatch.setattr(logger, "handlers", [handler])
    level = logger.level
    logger.setLevel(logging.INFO)
    yield Lines(stream)
    logger.setLevel(level)


def launch(browser: Browser, request_id: str, person: str = "zoe") -> Any:
    """Launch, as Traefik hands it on that gave the request an id; the workbench is another request."""
    form = browser.message(person)
    answer = browser.app.post("/launch", form, headers={"X-Request-Id": request_id}, status=303)
    return answer.location.partition("tool.example")[2]


def test_one_id_from_the_launch_to_the_worker(
    browser: Browser, background: Background, lines: Lines, jupyter: Any
) -> None:
    path = launch(browser, ID, "nora")
    background.spawner.start.side_effect = DependencyDown("podman", "nobody there")
    background.work()
    assert sorted(lines.of(ID)) == ["launch opened", "roster read", "start failed"]
    error = browser.app.get(f"{path}/status", status=200).json["error"]
    assert error["code"] == "podman.down"
    assert error["request_id"] == ID, "the workbench shows the id that finds the lines"


def test_work_that_causes_work_hands_its_id_on(
    student: Student, background: Background, lines: Lines, delivery: Any
) -> None:
    headers = {"X-Request-Id": ID}
    student.submit(**headers)
    background.work()
    assert lines.of(ID) == ["submission made", "submission frozen", "score delivered"]


def test_a_job_that_is_put_off_keeps_its_id(ini: dict[str, str]) -> None:
    seen = []
    jobs = Jobs(ini["redis.sessions.url"], {"sweep": lambda _argument: seen.append(trace.current())})
    with trace.begun(Trace(ID, trace.person(7))):
        jobs.ask("sweep", "", delay=0.01)
    queue = jobs.queues["chores"]
    [task] = queue.scheduled() or [queue.dequeue()]
    task.eta = None
    queue.execute(task)
    assert seen == [Trace(ID, trace.person(7))]


def test_a_job_without_an_id_begins_one(ini: dict[str, str], lines: Lines) -> None:
    """One of the version before, in the queue during an upgrade."""

    def fail(_argument: Any) -> None:
        raise ZeroDivisionError("why")

    jobs = Jobs(ini["redis.sessions.url"], {"sweep": fail})
    jobs.tasks["sweep"]("")
    queue = jobs.queues["chores"]
    queue.execute(queue.dequeue())
    [line] = lines.read()
    assert (line["message"], line["job"]) == ("job failed", "sweep")
    assert "ZeroDivisionError: why" in line["exc_info"]
    assert len(line["request_id"]) == 16
    assert trace.current() == Trace()


def test_what_is_refused_is_found_by_the_pages_id(browser: Browser, lines: Lines) -> None:
    form = browser.message("zoe") | {"id_token": "no.such.token"}
    answer = browser.app.post("/launch", form, headers={"Accept": "application/json"}, status=403)
    error = answer.json["error"]
    [line] = [line for line in lines.read() if line["message"] == "refused"]
    assert (line["code"], line["request_id"]) == (error["code"], error["request_id"])


def test_requests_do_not_mix(browser: Browser, another_browser: Browser, lines: Lines) -> None:
    launch(browser, "first-request")
    launch(another_browser, "second-request", "layla")
    assert lines.of("first-request") == lines.of("second-request") == ["launch opened"]
    assert trace.current() == Trace(), "and none is left over"


def test_a_start_asked_for_by_a_poll_is_that_polls(
    student: Student, background: Background, lines: Lines
) -> None:
    """The launch's own job is lost, and whoever looks after a while asks again."""
    background.jobs.queues["servers"].flush()
    board = background.servers.board
    record = json.loads(board.client.get(f"ipylti:progress:{student.workspace_id}"))
    board.client.set(f"ipylti:progress:{student.workspace_id}", json.dumps(record | {"at": 0.0}))
    background.spawner.start.side_effect = DependencyDown("podman", "nobody there")
    status = f"{path_of(student.page)}/status"
    asked = student.browser.app.get(status, status=200).headers["X-Request-Id"]
    background.work()
    assert "start failed" in lines.of(asked)
    assert student.browser.app.get(status, status=200).json["error"]["request_id"] == asked


def test_no_name_address_or_secret_is_logged(
    student: Student,
    another_browser: Browser,
    background: Background,
    lines: Lines,
    ini: dict[str, str],
    delivery: Any,
) -> None:
    """All that a launch, a submission and a look at it write."""
    student.submit()
    background.work()
    page = another_browser.launch("nora")
    [submission] = student.submissions()
    another_browser.app.get(f"{path_of(page)}/submissions/{submission}", status=200)
    background.jobs.ask("sweep", "")
    background.work()
    told = lines.stream.getvalue()
    assert len(lines.read()) > 5
    campus = another_browser.campus
    for name in ("zoe", "nora"):
        person = campus.person(name)
        for word in (person.sub, person.name, person.email):
            assert word not in told
    assert ini["ipylti.secret"] not in told
    cookies = {
        cookie.value for browser in (student.browser, another_browser) for cookie in browser.app.cookiejar
    }
    assert not [value for value in cookies if len(value) > 8 and value in told]
    assert "eyJ" not in told, "a token"
