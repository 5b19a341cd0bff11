"""What workers count, and platforms' answers: on Redis, where all processes add to the same numbers.

Every web tells these numbers as they are there (:mod:`ipylti.metrics`). So it does not matter how many
workers there are, and no worker has to be reached. Where Redis is emptied, they begin at 0 again, as
Prometheus expects of a counter. Counting is nobody's work: where Redis is away, it is left undone.
"""

import bisect
import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import redis

#: Upper bounds of a histogram's buckets, in seconds.
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 300.0, math.inf)

#: Values of a metric's labels, in the metric's order.
Labels = tuple[str, ...]


@dataclass(frozen=True)
class Metric:
    """A number that is counted, as Prometheus knows it.

    :param help: one line.
    :param labels: names; each has few values.
    """

    name: str
    help: str
    labels: Labels = ()


STARTS = Metric("ipylti_starts", "Starts of servers that ended, by outcome: ready or a code.", ("outcome",))
START_STEPS = Metric("ipylti_start_step_seconds", "Time that starts spend in each step.", ("step",))
START_SECONDS = Metric("ipylti_start_seconds", "Time from a start's first step until its server is ready.")
JOBS = Metric("ipylti_jobs", "Jobs that workers did, by outcome: done or failed.", ("job", "outcome"))
DELIVERIES = Metric(
    "ipylti_deliveries", "Tries to tell a platform a score: delivered, again, or refused.", ("outcome",)
)
PLATFORM_REQUESTS = Metric(
    "ipylti_platform_requests", "Requests to platforms: ok, refused, failed or unreachable.", ("outcome",)
)
PLATFORM_SECONDS = Metric("ipylti_platform_request_seconds", "Time that requests to platforms take.")

COUNTERS = (STARTS, JOBS, DELIVERIES, PLATFORM_REQUESTS)
HISTOGRAMS = (START_STEPS, START_SECONDS, PLATFORM_SECONDS)


@dataclass
class Distribution:
    """How often something took how long.

    :param counts: one for each of :data:`BUCKETS`, each without those of the smaller ones.
    :param total: seconds, all together.
    """

    counts: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))
    total: float = 0.0


class Tally:
    """Adds to the numbers and reads them."""

    _NAME = "ipylti:tally"
    _PROCESS = "ipylti:process:"

    #: Seconds after which a process that says nothing counts as gone.
    _KEPT = 20

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def count(self, metric: Metric, *labels: str) -> None:
        """Count one."""
        with contextlib.suppress(redis.RedisError):
            self.client.hincrby(self._NAME, _field(metric, labels), 1)

    def observe(self, metric: Metric, seconds: float, *labels: str) -> None:
        """Note how long something took."""
        bucket = bisect.bisect_left(BUCKETS, seconds)
        with contextlib.suppress(redis.RedisError), self.client.pipeline(transaction=False) as pipe:
            pipe.hincrby(self._NAME, _field(metric, labels, bucket), 1)
            pipe.hincrbyfloat(self._NAME, _field(metric, labels, -1), seconds)
            pipe.execute()

    def counted(self, metric: Metric) -> dict[Labels, int]:
        """Return a counter's numbers by their labels.

        :raises redis.RedisError: Redis does not answer.
        """
        return {labels: int(value) for labels, _, value in self._read(metric)}

    def observed(self, metric: Metric) -> dict[Labels, Distribution]:
        """Return a histogram's numbers by their labels.

        :raises redis.RedisError: Redis does not answer.
        """
        found: dict[Labels, Distribution] = {}
        for labels, bucket, value in self._read(metric):
            distribution = found.setdefault(labels, Distribution())
            if bucket < 0:
                distribution.total = float(value)
            else:
                distribution.counts[bucket] = int(value)
        return found

    def live(self, name: str, resident: int) -> None:
        """Say that a worker lives, and how many bytes of memory it has."""
        with contextlib.suppress(redis.RedisError):
            self.client.set(f"{self._PROCESS}{name}", resident, ex=self._KEPT)

    def living(self) -> Mapping[str, int]:
        """Return the workers that live, with their bytes of memory.

        :raises redis.RedisError: Redis does not answer.
        """
        names = [name.decode() for name in self.client.scan_iter(f"{self._PROCESS}*", count=1000)]
        sizes = ((name, self.client.get(name)) for name in names)
        return {name.removeprefix(self._PROCESS): int(size) for name, size in sizes if size is not None}

    def _read(self, metric: Metric) -> list[tuple[Labels, int, bytes]]:
        found = []
        for key, value in self.client.hscan_iter(self._NAME, match=f'\\["{metric.name}",*'):
            _name, labels, bucket = json.loads(key)
            found.append((tuple(labels), bucket, value))
        return found


def _field(metric: Metric, labels: Labels, bucket: int = 0) -> str:
    """Return where a number stands: a counter's in bucket 0, a histogram's sum in -1."""
    if len(labels) != len(metric.labels):
        raise ValueError(f"{metric.name} has the labels {metric.labels}")
    return json.dumps([metric.name, list(labels), bucket])
