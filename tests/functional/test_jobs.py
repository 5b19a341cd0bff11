"""The queues: what lies in Redis, and what a worker's threads do with it."""

import json
import pickle
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from huey.serializer import Serializer

from ipylti import volatile
from ipylti.jobs import JOBS, Jobs
from ipylti.worker import QueueConsumer
from tests.parts import wait_for

SERVERS = "huey.redis.ipyltiservers"
PLATFORMS = "huey.redis.ipyltiplatforms"


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    """An empty Redis."""
    made = volatile.connect(redis_url)
    made.flushall()
    return made


class Doing:
    """Jobs that note what they were asked for, and when."""

    def __init__(self, redis_url: str) -> None:
        self.done: list[tuple[str, Any, float]] = []
        self.changed = threading.Condition()
        self.jobs = Jobs(redis_url, {job: self.handler(job) for job in JOBS})

    def handler(self, job: str) -> Any:
        def handle(argument: Any) -> None:
            if argument == "fail":
                raise ZeroDivisionError
            with self.changed:
                self.done.append((job, argument, time.monotonic()))
                self.changed.notify_all()

        return handle

    def wait(self, count: int, seconds: float = 20.0) -> list[tuple[str, Any]]:
        """Wait until so many jobs are done; returns them."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.done) >= count, seconds), self.done
            return [(job, argument) for job, argument, _at in self.done]


@pytest.fixture
def doing(redis_url: str, client: redis.Redis) -> Iterator[Doing]:
    """A worker's consumers, as the worker makes them."""
    made = Doing(redis_url)
    consumers = [
        QueueConsumer(queue, workers=2, periodic=False, max_delay=1.0) for queue in made.jobs.queues.values()
    ]
    for consumer in consumers:
        consumer.start()
    yield made
    for consumer in consumers:
        consumer.stop_flag.set()
    for consumer in consumers:
        for thread in [*(thread for _, thread in consumer.worker_threads), consumer.scheduler]:
            thread.join(10)


@pytest.mark.parametrize("argument", ["a" * 32, "", 7])
@pytest.mark.parametrize("job", JOBS)
def test_a_job_in_the_queue_is_json(
    redis_url: str, client: redis.Redis, job: str, argument: str | int
) -> None:
    Jobs(redis_url).ask(job, argument)
    (raw,) = client.lrange(f"huey.redis.ipylti{JOBS[job]}", 0, -1)
    told = json.loads(raw)
    assert told["name"].endswith(job)
    assert told["args"] == [argument]


def test_a_job_for_later_is_json_too(redis_url: str, client: redis.Redis) -> None:
    jobs = Jobs(redis_url)
    jobs.ask("deliver_score", 7, delay=60)
    (raw,) = client.lrange(PLATFORMS, 0, -1)
    assert json.loads(raw)["args"] == [7]
    # A worker's thread puts it aside until its time has come.
    queue = jobs.queues["platforms"]
    queue.execute(queue.dequeue())
    ((raw, _at),) = client.zrange("huey.schedule.ipyltiplatforms", 0, -1, withscores=True)
    assert json.loads(raw)["args"] == [7]
    assert json.loads(raw)["eta"]
    assert jobs.depth("platforms") == 0


def test_a_job_is_done_by_whoever_has_its_handler(redis_url: str, client: redis.Redis) -> None:
    """Web processes ask, the worker does."""
    doing = Doing(redis_url)
    Jobs(redis_url).ask("start_server", "w")
    queue = doing.jobs.queues["servers"]
    queue.execute(queue.dequeue())
    assert doing.wait(1) == [("start_server", "w")]


def test_what_waits_for_a_platform_delays_nothing_else(redis_url: str, client: redis.Redis) -> None:
    """Neither a start nor a copy of somebody's work."""
    jobs = Jobs(redis_url)
    for job in JOBS:
        jobs.ask(job, "x")
    assert jobs.depth("servers") == 1
    assert jobs.depth("platforms") == 2
    assert jobs.depth("chores") == len(JOBS) - 3


def test_a_job_is_done_at_once(doing: Doing, redis_url: str, client: redis.Redis) -> None:
    """A start waits for a free thread, never for a poll: the threads wait on the queue itself."""
    client.config_resetstat()
    asking = Jobs(redis_url)

    def usual_wait() -> float:
        """Return what a job waits, the median of some; polls would be as seldom as a second."""
        waits = []
        for number in range(len(doing.done), len(doing.done) + 8):
            time.sleep(0.13)
            begun = time.monotonic()
            asking.ask("start_server", str(number))
            doing.wait(number + 1)
            waits.append(doing.done[-1][2] - begun)
        return sorted(waits)[len(waits) // 2]

    # A machine that does other things as well is given the time to have a good moment.
    assert any(usual_wait() < 0.2 for _ in range(5))
    commands = client.info("commandstats")
    assert "cmdstat_brpop" in commands
    assert "cmdstat_rpop" not in commands


def test_a_job_for_later_is_done_later(doing: Doing, redis_url: str) -> None:
    asking = Jobs(redis_url)
    begun = time.monotonic()
    asking.ask("deliver_score", 1, delay=3)
    asking.ask("deliver_score", 2)
    assert doing.wait(2) == [("deliver_score", 2), ("deliver_score", 1)]
    assert doing.done[-1][2] - begun >= 2.9


def test_a_job_that_waits_for_its_time_is_not_asked_for_twice(redis_url: str, client: redis.Redis) -> None:
    """… but another one is, and the same one when its time has come."""
    jobs = Jobs(redis_url)
    for _ in range(3):
        jobs.ask("deliver_score", 1, delay=60)
    jobs.ask("deliver_score", 2, delay=60)
    jobs.ask("refresh_roster", 1, delay=60)
    assert jobs.depth("platforms") == 3
    # Its time comes.
    assert 50 < client.ttl("ipylti:later:deliver_score:1") <= 61
    client.pexpire("ipylti:later:deliver_score:1", 1)
    wait_for(lambda: not client.exists("ipylti:later:deliver_score:1"), "the time of the job")
    jobs.ask("deliver_score", 1, delay=60)
    assert jobs.depth("platforms") == 4
    jobs.ask("deliver_score", 2)
    assert jobs.depth("platforms") == 5


def test_a_job_that_fails_does_not_take_its_thread_along(doing: Doing, redis_url: str) -> None:
    asking = Jobs(redis_url)
    for _ in range(6):
        asking.ask("start_server", "fail")
    asking.ask("start_server", "good")
    assert doing.wait(1) == [("start_server", "good")]


class _Told:
    """Leaves a trace where it is unpickled."""

    loaded = False

    def __reduce__(self) -> Any:
        return _trace, ()


def _trace() -> None:
    _Told.loaded = True


GARBAGE = {
    "nothing": b"",
    "bytes": b"\xff\x00\x80",
    "no JSON": b"{",
    "no object": b"7",
    "other fields": b"{}",
    "a job nobody knows": json.dumps(
        {
            "id": "1",
            "name": "ipylti.jobs.format_disk",
            "eta": None,
            "retries": 0,
            "retry_delay": 0,
            "priority": None,
            "args": ["x"],
            "kwargs": {},
            "on_complete": None,
            "on_error": None,
            "expires": None,
            "expires_resolved": None,
        }
    ).encode(),
    "deep": b"[" * 100_000,
    "pickle": pickle.dumps(_Told()),
    "huey's own": Serializer().serialize(_Told()),
}


def test_whatever_lies_in_the_queue_the_worker_goes_on(
    doing: Doing, redis_url: str, client: redis.Redis
) -> None:
    for garbage in GARBAGE.values():
        client.lpush(SERVERS, garbage)
        client.zadd("huey.schedule.ipyltiservers", {garbage: 0})
    Jobs(redis_url).ask("start_server", "good")
    assert doing.wait(1) == [("start_server", "good")]
    Jobs(redis_url).ask("start_server", "later", delay=0.1)
    assert ("start_server", "later") in doing.wait(2)
    assert client.llen(SERVERS) == 0
    assert not _Told.loaded


def test_a_handler_is_needed(redis_url: str, client: redis.Redis) -> None:
    """A web process that ran jobs would lose them."""
    jobs = Jobs(redis_url)
    with pytest.raises(RuntimeError, match="worker only"):
        jobs.tasks["sweep"].call_local("")


def test_a_consumer_survives_that_redis_is_emptied(doing: Doing, redis_url: str, client: redis.Redis) -> None:
    asking = Jobs(redis_url)
    asking.ask("stop_server", "a")
    doing.wait(1)
    client.flushall()
    asking.ask("stop_server", "b")
    assert doing.wait(2)[-1] == ("stop_server", "b")
