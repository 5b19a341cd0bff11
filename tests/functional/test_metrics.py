"""What Prometheus scrapes: counted right, bounded, of nobody in particular, and there whatever is down."""

import json
import math
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from webtest import TestApp

from ipylti import models
from ipylti.jobs import Jobs
from ipylti.tally import (
    COUNTERS,
    DELIVERIES,
    HISTOGRAMS,
    JOBS,
    PLATFORM_REQUESTS,
    START_STEPS,
    STARTS,
    Tally,
)
from ipylti.volatile import Board, Progress, State, connect
from tests.functional.background import Background
from tests.functional.browser import Browser, Student
from tests.functional.conftest import on_sqlite
from tests.functional.delivery import Delivery
from tests.functional.test_operations import HOST, client, lose_database, without_database, without_redis

__all__ = ["client", "without_database", "without_redis"]

DOCS = Path(__file__).parents[2] / "docs"

Scrape = Callable[[], dict[tuple[str, frozenset[tuple[str, str]]], float]]


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families), "a metric is told once"
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


class Numbers:
    """Scrapes, and what they say."""

    def __init__(self, client: TestApp) -> None:
        self.client = client

    def text(self) -> str:
        return str(self.client.get("/metrics", status=200).text)

    def read(self, name: str, **labels: str) -> float:
        """Return one sample's value, 0 where there is none yet."""
        return samples(self.text()).get((name, frozenset(labels.items())), 0.0)


@pytest.fixture
def numbers(client: TestApp) -> Numbers:
    return Numbers(client)


class Growth:
    """How much a number of the process grew since: its registry outlives a test."""

    def __init__(self, numbers: Numbers, name: str, **labels: str) -> None:
        self.read = lambda: numbers.read(name, **labels)
        self.before = self.read()

    def __call__(self) -> float:
        return self.read() - self.before


# A web's own numbers


@on_sqlite
def test_launches_are_counted_by_what_came_of_them(browser: Browser, numbers: Numbers) -> None:
    opened = Growth(numbers, "ipylti_launches_total", outcome="opened")
    refused = Growth(numbers, "ipylti_launches_total", outcome="refused")
    failed = Growth(numbers, "ipylti_launches_total", outcome="failed")
    state = Growth(numbers, "ipylti_refused_total", code="message.state")
    form = browser.message("zoe")
    browser.app.post("/launch", form, status=303)
    browser.app.post("/launch", form, status=403)
    assert (opened(), refused(), failed()) == (1, 1, 0)
    assert state() == 1


@on_sqlite
def test_a_launch_without_the_platforms_keys_failed(browser: Browser, numbers: Numbers) -> None:
    failed = Growth(numbers, "ipylti_launches_total", outcome="failed")
    form = browser.message("zoe")
    browser.campus.stop()
    browser.app.post("/launch", form, status=502)
    assert failed() == 1
    assert numbers.read("ipylti_platform_requests_total", outcome="unreachable") >= 1


@on_sqlite
def test_requests_are_counted_by_route_and_status(client: TestApp, numbers: Numbers) -> None:
    alive = Growth(numbers, "ipylti_http_requests_total", route="healthz", status="200")
    nowhere = Growth(numbers, "ipylti_http_requests_total", route="none", status="404")
    timed = Growth(numbers, "ipylti_http_request_seconds_count", route="none")
    client.get("/healthz", status=200)
    for path in ("/nothing", "/wp-login.php", "/a/b/c"):
        client.get(path, status=404)
    assert (alive(), nowhere(), timed()) == (1, 3, 3)


@on_sqlite
def test_the_gates_decisions_are_counted(client: TestApp, numbers: Numbers) -> None:
    unknown = Growth(numbers, "ipylti_gate_decisions_total", decision="unknown")
    client.get("/gate", status=401)
    assert unknown() == 1


@on_sqlite
def test_strangers_make_no_new_lines(client: TestApp, numbers: Numbers) -> None:
    numbers.text()
    client.get("/nothing", status=404)
    client.post("/launch", {"error": "access_denied", "state": "x"}, expect_errors=True)
    before = set(samples(numbers.text()))
    for number in range(20):
        client.get(f"/nothing/{number}", headers={"X-Request-Id": f"stranger-{number}"}, status=404)
        client.post("/launch", {"error": f"stranger_{number}", "state": "x"}, expect_errors=True)
    added = {sample for sample in set(samples(numbers.text())) - before if "stranger" in str(sample).lower()}
    assert not added


# The installation's numbers


@on_sqlite
def test_a_start_is_counted_step_by_step(student: Student, background: Background, numbers: Numbers) -> None:
    background.work()
    assert numbers.read("ipylti_starts_total", outcome="ready") == 1
    for step in ("queue", "container", "jupyter", "route"):
        assert numbers.read("ipylti_start_step_seconds_count", step=step) == 1, step
        assert 0 <= numbers.read("ipylti_start_step_seconds_sum", step=step) < 60
    assert numbers.read("ipylti_start_seconds_count") == 1
    assert numbers.read("ipylti_servers", state="ready") == 1
    assert numbers.read("ipylti_queue_length") == 0


@on_sqlite
def test_a_start_that_fails_is_counted_by_its_code(
    student: Student, background: Background, jupyter: Any, numbers: Numbers
) -> None:
    jupyter.up = False
    with background.impatient():
        background.work()
    assert numbers.read("ipylti_starts_total", outcome="server.timeout.jupyter") == 1
    assert numbers.read("ipylti_starts_total", outcome="ready") == 0
    assert numbers.read("ipylti_servers", state="failed") == 1


@on_sqlite
def test_who_waits_is_counted(student: Student, numbers: Numbers) -> None:
    assert numbers.read("ipylti_queue_length") == 1
    assert numbers.read("ipylti_servers", state="queued") == 1
    assert numbers.read("ipylti_jobs_waiting", queue="servers") >= 1


def test_scores_on_their_way_have_an_age(delivery: Delivery, numbers: Numbers) -> None:
    student, background = delivery.student, delivery.background
    student.submit()
    with student.sessions.begin() as db:
        for column in (models.OutboxItem.created_at, models.Submission.submitted_at):
            db.execute(sa.update(column.class_).values({column: models.now() - timedelta(hours=1)}))
    assert numbers.read("ipylti_outbox_items", state="waiting") == 1
    assert 3600 <= numbers.read("ipylti_outbox_oldest_seconds") < 7200
    assert numbers.read("ipylti_submissions", state="freezing") == 1
    assert 3600 <= numbers.read("ipylti_submissions_oldest_seconds") < 7200
    background.work()
    assert numbers.read("ipylti_outbox_items", state="waiting") == 0
    assert numbers.read("ipylti_outbox_items", state="delivered") == 1
    assert numbers.read("ipylti_outbox_oldest_seconds") == 0
    assert numbers.read("ipylti_submissions_oldest_seconds") == 0
    assert numbers.read("ipylti_deliveries_total", outcome="delivered") == 1
    assert numbers.read("ipylti_platform_requests_total", outcome="ok") >= 2
    assert numbers.read("ipylti_platform_request_seconds_count") >= 2


@on_sqlite
def test_a_score_that_is_tried_again_is_counted(delivery: Delivery, numbers: Numbers) -> None:
    delivery.campus.stop()
    delivery.student.submit()
    delivery.background.work()
    assert numbers.read("ipylti_deliveries_total", outcome="again") == 1


@on_sqlite
def test_jobs_are_counted(ini: dict[str, str], numbers: Numbers) -> None:
    def fail(_argument: Any) -> None:
        raise ZeroDivisionError

    jobs = Jobs(ini["redis.sessions.url"], {"sweep": fail, "stop_server": lambda _argument: None})
    for job in ("sweep", "stop_server", "stop_server"):
        jobs.ask(job, "x")
    queue = jobs.queues["chores"]
    while queue.pending_count():
        queue.execute(queue.dequeue())
    assert numbers.read("ipylti_jobs_total", job="sweep", outcome="failed") == 1
    assert numbers.read("ipylti_jobs_total", job="stop_server", outcome="done") == 2


@on_sqlite
def test_memory_and_workers(numbers: Numbers, background: Background) -> None:
    assert numbers.read("ipylti_workers") == 0
    background.worker._beat()
    assert numbers.read("ipylti_workers") == 1
    assert numbers.read("ipylti_worker_resident_bytes") > 10_000_000
    available = numbers.read("ipylti_host_memory_available_bytes")
    assert 0 < available < numbers.read("ipylti_host_memory_total_bytes")
    assert numbers.read("process_resident_memory_bytes") > 10_000_000


# Whatever is down


@on_sqlite
def test_what_is_up_is_a_number(numbers: Numbers, background: Background) -> None:
    background.worker.pulse.beat({"podman": "ok", "traefik": "down"})
    told = {part: numbers.read("ipylti_up", part=part) for part in ("database", "redis", "worker", "podman")}
    assert told == dict.fromkeys(told, 1)
    assert numbers.read("ipylti_up", part="traefik") == 0


@on_sqlite
def test_without_redis_all_else_is_told(without_redis: TestApp) -> None:
    numbers = Numbers(without_redis)
    assert numbers.read("ipylti_up", part="redis") == 0
    assert numbers.read("ipylti_up", part="worker") == 0
    assert numbers.read("ipylti_up", part="database") == 1
    assert ("ipylti_outbox_items", frozenset({("state", "waiting")})) in samples(numbers.text())


@on_sqlite
def test_without_the_database_all_else_is_told(without_database: TestApp) -> None:
    numbers = Numbers(without_database)
    assert numbers.read("ipylti_up", part="database") == 0
    assert numbers.read("ipylti_up", part="redis") == 1
    assert ("ipylti_queue_length", frozenset()) in samples(numbers.text())


@on_sqlite
def test_a_part_that_is_back_is_up(app: Any, numbers: Numbers, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as away:
        lose_database(app, away)
        assert numbers.read("ipylti_up", part="database") == 0
    assert numbers.read("ipylti_up", part="database") == 1


def test_work_goes_on_where_nobody_counts(tmp_path: Path) -> None:
    away = Tally(connect(f"unix://{tmp_path}/nobody.sock"))
    away.count(STARTS, "ready")
    away.observe(START_STEPS, 1.0, "copy")
    away.live("worker", 1)
    with pytest.raises(redis.RedisError):
        away.counted(STARTS)


# Several processes


@on_sqlite
def test_workers_add_to_one_number(redis_url: str, ini: dict[str, str], numbers: Numbers) -> None:
    for seconds in (0.01, 0.3, 500.0):
        one_of_many = Tally(connect(redis_url))
        one_of_many.count(STARTS, "ready")
        one_of_many.observe(START_STEPS, seconds, "copy")
        one_of_many.live(f"worker-{seconds}", 1000)
    assert numbers.read("ipylti_starts_total", outcome="ready") == 3
    assert numbers.read("ipylti_workers") == 3
    assert numbers.read("ipylti_worker_resident_bytes") == 3000
    buckets = {
        bound: numbers.read("ipylti_start_step_seconds_bucket", step="copy", le=bound)
        for bound in ("0.05", "0.25", "0.5", "300.0", "+Inf")
    }
    assert buckets == {"0.05": 1, "0.25": 1, "0.5": 2, "300.0": 2, "+Inf": 3}
    assert numbers.read("ipylti_start_step_seconds_count", step="copy") == 3
    assert math.isclose(numbers.read("ipylti_start_step_seconds_sum", step="copy"), 500.31)


@on_sqlite
def test_all_webs_tell_the_same_of_the_installation(
    student: Student, background: Background, app: Any, ini: dict[str, str]
) -> None:
    import ipylti
    from tests.functional.conftest import shallow

    background.work()
    another = shallow(ipylti.main, {}, **ini)
    told = [samples(Numbers(TestApp(each, extra_environ=HOST)).text()) for each in (app, another)]
    another.registry["ipylti.services"].engine.dispose()
    shared = re.compile(r"ipylti_(servers|starts|start_|queue|outbox|workers|jobs|submissions)")
    first, second = ({key: value for key, value in each.items() if shared.match(key[0])} for each in told)
    assert first == second
    assert first[("ipylti_servers", frozenset({("state", "ready")}))] == 1


def test_a_label_has_to_be_given(redis_url: str) -> None:
    with pytest.raises(ValueError, match="labels"):
        Tally(connect(redis_url)).count(STARTS)


# Nobody in particular


@on_sqlite
def test_nobody_is_named(student: Student, background: Background, numbers: Numbers, sessions: Any) -> None:
    student.submit()
    background.work()
    with sessions() as db:
        people = [word for each in db.scalars(sa.select(models.Person)) for word in (each.sub, each.name)]
    text = numbers.text()
    assert not [word for word in (*people, student.workspace_id, student.launch_id) if word in text]


# The dashboard and the alerts

#: Names in a query that are no metric.
_NAME = re.compile(r"\b(ipylti_\w+|process_\w+|up)\b")


def told_names(text: str) -> set[str]:
    """Return the names under which a scrape tells, or can tell, samples."""
    names = {"up"}  # Prometheus' own
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:4]
            suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            names.update(f"{name}{suffix}" for suffix in suffixes)
    return names


@pytest.fixture
def names(student: Student, background: Background, numbers: Numbers) -> set[str]:
    """What is told after a launch and a submission."""
    student.submit()
    background.worker._beat()
    background.work()
    return told_names(numbers.text())


def test_every_metric_has_a_name_of_its_own() -> None:
    metrics = (*COUNTERS, *HISTOGRAMS)
    assert len({metric.name for metric in metrics}) == len(metrics)
    assert {JOBS, DELIVERIES, PLATFORM_REQUESTS} < set(COUNTERS)


@on_sqlite
def test_the_dashboard_shows_what_there_is(names: set[str]) -> None:
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert len({panel["title"] for panel in panels}) == len(panels)
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    used = {name for query in queries for name in _NAME.findall(query)}
    assert len(used) > 15
    assert used <= names


@on_sqlite
def test_the_alerts_look_at_what_there_is(names: set[str]) -> None:
    text = (DOCS / "alerts.yml").read_text()
    queries = re.findall(r"^ +expr: (.+)$", text, re.MULTILINE)
    assert len(queries) == len(re.findall(r"^ +- alert: \w+$", text, re.MULTILINE)) > 8
    assert all(_NAME.findall(query) for query in queries)
    assert {name for query in queries for name in _NAME.findall(query)} <= names


def test_every_alert_has_its_line_of_what_to_do() -> None:
    alerts = re.findall(r"^ +- alert: (\w+)$", (DOCS / "alerts.yml").read_text(), re.MULTILINE)
    told = set(re.findall(r"`(Ipylti\w+)`", (DOCS / "operations.md").read_text()))
    assert set(alerts) == told


@pytest.mark.parametrize("file", ["grafana.json", "alerts.yml"])
def test_the_installations_numbers_are_not_added_up(file: str) -> None:
    """Each web tells them: of two webs, a sum would be the double."""
    text = (DOCS / file).read_text()
    shared = "servers|queue_length|jobs_waiting|outbox|submissions|workers|worker_resident|up|host_memory"
    assert not re.findall(rf"sum( by \([^)]*\))?\s*\(\s*ipylti_({shared})", text)


@on_sqlite
def test_ten_thousand_workspaces_are_counted_at_once(redis_url: str, numbers: Numbers) -> None:
    client = connect(redis_url)
    board = Board(client)
    board.write("w", Progress(state=State.READY))
    record = client.get("ipylti:progress:w")
    client.mset({f"ipylti:progress:w{number}": record for number in range(10_000)})
    assert numbers.read("ipylti_servers", state="ready") == 10_001
