"""What is counted, for Prometheus.

A web process tells two kinds of numbers (``docs/operations.md`` says how to read them): those of its own
(requests, launches, the gate's decisions), which add up over all webs, and those of the installation
(servers, queues, outbox, what workers count), which are the same at every web.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import prometheus_client
import redis
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ipylti import models, tally
from ipylti.errors import DependencyDown
from ipylti.jobs import JOBS
from ipylti.servers.host import free_memory, total_memory
from ipylti.services import Services
from ipylti.volatile import State

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

prometheus_client.disable_created_metrics()

REQUESTS = Counter("ipylti_http_requests", "Requests by route and status.", ["route", "status"])
REQUEST_SECONDS = Histogram(
    "ipylti_http_request_seconds",
    "Time that requests take, by route.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
LAUNCHES = Counter("ipylti_launches", "Launches by outcome: opened, refused or failed.", ["outcome"])
REFUSED = Counter("ipylti_refused", "Requests that got an error's page, by its code.", ["code"])
GATE = Counter(
    "ipylti_gate_decisions",
    "What the gate decided: passed, renewed, believed (the database is away), unknown, foreign or revoked.",
    ["decision"],
)
for _outcome in ("opened", "refused", "failed"):
    LAUNCHES.labels(_outcome)
for _decision in ("passed", "renewed", "believed", "unknown", "foreign", "revoked"):
    GATE.labels(_decision)

#: Routes of which an error is the end of a launch.
_LAUNCHES = frozenset({"launch", "launch_match"})

#: What `/readyz` names, as numbers.
_PARTS = ("database", "redis", "worker", "podman", "traefik")


def exposition(services: Services) -> bytes:
    """Return all numbers in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(Installation(services))
    return prometheus_client.generate_latest() + prometheus_client.generate_latest(registry)


def count_error(request: Request, code: str, status: int) -> None:
    """Count a request that got an error's page."""
    REFUSED.labels(code).inc()
    if request.matched_route is not None and request.matched_route.name in _LAUNCHES:
        LAUNCHES.labels("failed" if status >= 500 else "refused").inc()


def count_launch(request: Request) -> None:
    """Count a launch that is opened, once that is certain."""

    def count(success: bool) -> None:
        if success:
            LAUNCHES.labels("opened").inc()

    request.tm.get().addAfterCommitHook(count)


def counting(handler: Callable[[Request], Response], _registry: Any) -> Callable[[Request], Response]:
    """Count every request, and how long it takes."""

    def counted(request: Request) -> Response:
        begun, status = time.perf_counter(), 500
        try:
            response = handler(request)
            status = response.status_int
            return response
        finally:
            route = _route(request)
            REQUESTS.labels(route, str(status)).inc()
            REQUEST_SECONDS.labels(route).observe(time.perf_counter() - begun)

    return counted


def _route(request: Request) -> str:
    """Return the name of a request's route; what strangers ask for is all one."""
    matched = getattr(request, "matched_route", None)
    if matched is None:
        return "none"
    return "static" if matched.name.startswith("__") else str(matched.name)


class Installation(Collector):
    """The numbers of the installation. What depends on a part that is away is left out, and the part is
    down."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.tally = services.tally
        self.down: set[str] = set()

    def collect(self) -> Iterator[Any]:
        """Yield the metrics."""
        yield from self._host()
        yield from self._asked("redis", self._volatile)
        yield from self._asked("database", self._work)
        yield self._up()

    def _asked(self, part: str, ask: Callable[[], Iterable[Any]]) -> list[Any]:
        try:
            return list(ask())
        except (SQLAlchemyError, redis.RedisError, DependencyDown):
            self.down.add(part)
            return []

    def _host(self) -> Iterator[Any]:
        for name, what, size in (
            ("available", "that programs could still get", free_memory()),
            ("total", "there is", total_memory()),
        ):
            family = GaugeMetricFamily(f"ipylti_host_memory_{name}_bytes", f"Memory of the host {what}.")
            if size is not None:
                family.add_metric([], size)
            yield family

    def _volatile(self) -> Iterator[Any]:
        board, workers = self.services.board, self.tally.living()
        states = [progress.state for progress in board.all().values()]
        servers = GaugeMetricFamily("ipylti_servers", "Workspaces by their server's state.", labels=["state"])
        for state in State:
            if state is not State.STOPPED:
                servers.add_metric([state.value], states.count(state))
        yield servers
        yield _gauge("ipylti_queue_length", "Workspaces that wait for a start.", self.services.line.length())
        jobs = GaugeMetricFamily("ipylti_jobs_waiting", "Jobs that wait for a thread.", labels=["queue"])
        for queue in sorted(set(JOBS.values())):
            jobs.add_metric([queue], self.services.jobs.depth(queue))
        yield jobs
        yield _gauge("ipylti_workers", "Workers that live.", len(workers))
        yield _gauge("ipylti_worker_resident_bytes", "Memory of all workers.", sum(workers.values()))
        for metric in tally.COUNTERS:
            counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, value in sorted(self.tally.counted(metric).items()):
                counter.add_metric(labels, value)
            yield counter
        for metric in tally.HISTOGRAMS:
            yield _histogram(metric, self.tally)

    def _work(self) -> Iterator[Any]:
        with self.services.reading() as db:
            items = GaugeMetricFamily("ipylti_outbox_items", "Scores by state.", labels=["state"])
            counts = _counts(db, models.OutboxItem.state)
            for state in models.OutboxState:
                items.add_metric([state.value], counts.get(state.value, 0))
            yield items
            yield _gauge(
                "ipylti_outbox_oldest_seconds",
                "Age of the oldest score that a platform has not got yet.",
                _age(db, models.OutboxItem.created_at, models.OutboxItem.state == models.OutboxState.WAITING),
            )
            submissions = GaugeMetricFamily("ipylti_submissions", "Submissions by state.", labels=["state"])
            counts = _counts(db, models.Submission.state)
            for kind in models.SubmissionState:
                submissions.add_metric([kind.value], counts.get(kind.value, 0))
            yield submissions
            freezing = models.Submission.state == models.SubmissionState.FREEZING
            yield _gauge(
                "ipylti_submissions_oldest_seconds",
                "Age of the oldest submission whose copy is not made yet.",
                _age(db, models.Submission.submitted_at, freezing),
            )

    def _up(self) -> Any:
        told = dict.fromkeys(_PARTS, 1) | dict.fromkeys(self.down, 0)
        try:
            seen = self.services.pulse.read()
        except DependencyDown:
            seen = None
        told["worker"] = int(seen is not None)
        for part in ("podman", "traefik"):
            told[part] = int(seen is not None and seen.get(part) == "ok")
        family = GaugeMetricFamily(
            "ipylti_up", "Whether a part answers, as /readyz says it.", labels=["part"]
        )
        for part, up in told.items():
            family.add_metric([part], up)
        return family


def _gauge(name: str, text: str, value: float) -> Any:
    return GaugeMetricFamily(name, text, value=value)


def _histogram(metric: tally.Metric, source: tally.Tally) -> Any:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, found in sorted(source.observed(metric).items(), key=lambda item: item[0]):
        running, buckets = 0, []
        for bound, count in zip(tally.BUCKETS, found.counts, strict=True):
            running += count
            buckets.append((prometheus_client.utils.floatToGoString(bound), running))
        family.add_metric(labels, buckets=buckets, sum_value=found.total)
    return family


def _counts(db: Session, column: Any) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).group_by(column)
    return {str(state): count for state, count in db.execute(query)}


def _age(db: Session, column: Any, condition: sa.ColumnElement[bool]) -> float:
    """Return how many seconds ago the oldest was made, 0 where there is none."""
    oldest = db.scalar(sa.select(sa.func.min(column)).where(condition))
    return max(0.0, (models.now() - oldest).total_seconds()) if oldest is not None else 0.0


def includeme(config: Configurator) -> None:
    """Count requests."""
    config.add_tween("ipylti.metrics.counting", over="pyramid_tm.tm_tween_factory")
