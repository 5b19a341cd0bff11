"""What stands on Redis: a real one, many threads, and one that is not there."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipylti import volatile
from ipylti.errors import DependencyDown
from ipylti.jobs import Jobs
from ipylti.line import Line
from ipylti.volatile import STALE, Board, Cache, Locks, Progress, Pulse, SingleUse, State, Step
from tests.parts import free_port, redis_process, wait_for

THREADS = 16


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    """An empty Redis."""
    made = volatile.connect(redis_url)
    made.flushall()
    return made


def at_once(do: Callable[[int], Any], times: int = THREADS) -> list[Any]:
    """Call a function from many threads at the same moment, and return what it gave."""
    barrier = threading.Barrier(times)

    def run(number: int) -> Any:
        barrier.wait()
        return do(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(run, range(times)))


# Single use


def test_of_many_that_take_a_record_one_gets_it(redis_url: str, client: redis.Redis) -> None:
    """Each with a connection of its own, as processes have."""
    stores = [SingleUse(volatile.connect(redis_url), "ticket") for _ in range(THREADS)]
    for number in range(10):
        stores[0].put(f"t{number}", {"n": number}, 60)
        got = at_once(lambda thread, key=f"t{number}": stores[thread].take(key))  # type: ignore[misc]
        assert [each for each in got if each is not None] == [{"n": number}]


def test_looking_at_a_record_leaves_it_there(client: redis.Redis) -> None:
    store = SingleUse(client, "state")
    store.put("a", {"x": [1, "ü"]}, 60)
    assert store.peek("a") == store.peek("a") == {"x": [1, "ü"]}
    assert store.take("a") == {"x": [1, "ü"]}
    assert store.take("a") is store.peek("a") is None


def test_a_record_goes_by_itself(client: redis.Redis) -> None:
    SingleUse(client, "ticket").put("a", {}, 60)
    assert 0 < client.ttl("ipylti:ticket:a") <= 60


def test_a_ticket_is_no_state(client: redis.Redis) -> None:
    SingleUse(client, "ticket").put("a", {"workspace": "w"}, 60)
    assert SingleUse(client, "state").take("a") is None


def test_a_cache_forgets(client: redis.Redis) -> None:
    cache = Cache(client, "tokens")
    assert cache.get("a") is None
    cache.set("a", ["token", 1.5, None], 60)
    assert cache.get("a") == ["token", 1.5, None]
    assert 0 < client.ttl("ipylti:tokens:a") <= 60
    cache.delete("a")
    cache.delete("a")
    assert cache.get("a") is None


# Locks


def test_one_holds_a_lock_at_a_time(client: redis.Redis) -> None:
    locks = Locks(client)
    inside, most = [], []

    def work(number: int) -> bool:
        with locks.hold("work", wait=20) as lock:
            assert lock is not None
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.005)
            inside.remove(number)
        return True

    assert all(at_once(work, 8))
    assert max(most) == 1


def test_whoever_does_not_wait_is_told_at_once(client: redis.Redis) -> None:
    locks = Locks(client)
    with locks.hold("a") as first, locks.hold("a") as second, locks.hold("b") as other:
        assert first is not None
        assert second is None
        assert other is not None
    with locks.hold("a") as again:
        assert again is not None


def test_whoever_waits_waits_no_longer_than_they_said(client: redis.Redis) -> None:
    locks = Locks(client)
    with locks.hold("a"):
        begun = time.monotonic()
        with locks.hold("a", wait=0.3) as second:
            assert second is None
        assert 0.2 < time.monotonic() - begun < 5


def test_a_dead_holders_lock_ends_by_itself(client: redis.Redis) -> None:
    locks = Locks(client)
    with locks.hold("a", seconds=0.3), locks.hold("a", wait=10) as second:
        assert second is not None


def test_a_lock_goes_when_its_block_fails(client: redis.Redis) -> None:
    locks = Locks(client)
    with pytest.raises(ZeroDivisionError), locks.hold("a"):
        raise ZeroDivisionError
    with locks.hold("a") as again:
        assert again is not None


def test_long_work_renews_its_lock(client: redis.Redis) -> None:
    locks = Locks(client)
    with locks.hold("a", seconds=600) as lock:
        assert lock is not None
        client.expire("ipylti:lock:a", 60)
        lock.renew()
        assert client.ttl("ipylti:lock:a") > 500


def test_whoever_lost_a_lock_learns_it_and_does_not_take_the_next_ones(client: redis.Redis) -> None:
    locks = Locks(client)
    with locks.hold("a") as lock:
        assert lock is not None
        client.delete("ipylti:lock:a")
        with pytest.raises(DependencyDown):
            lock.renew()
        with locks.hold("a") as second:
            assert second is not None
            with pytest.raises(DependencyDown):
                lock.renew()
            assert client.exists("ipylti:lock:a")


# The board


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.builds(
        Progress,
        state=st.sampled_from(State),
        step=st.none() | st.sampled_from(Step),
        done=st.integers(0, 2**53),
        total=st.integers(0, 2**53),
        error=st.text(max_size=20),
        extension=st.none() | st.booleans(),
    )
)
def test_what_is_put_up_is_what_is_read(client: redis.Redis, progress: Progress) -> None:
    board = Board(client)
    board.write("w", progress)
    read = board.read("w")
    assert read == Progress(**vars(progress) | {"at": read.at})
    assert abs(time.time() - read.at) < 5
    assert not read.old


def test_a_workspace_nobody_spoke_of_is_stopped(client: redis.Redis) -> None:
    board = Board(client)
    assert board.read("w") == Progress(state=State.STOPPED)
    assert board.all() == {}


def test_a_start_without_a_sign_of_life_is_old() -> None:
    assert Progress(State.STARTING, at=time.time() - STALE - 1).old
    assert not Progress(State.STARTING, at=time.time() - STALE + 5).old


def test_all_that_is_known_is_told(client: redis.Redis) -> None:
    board = Board(client)
    for name, state in zip("abc", (State.READY, State.STARTING, State.READY), strict=True):
        board.write(name, Progress(state=state))
    assert {name: each.state for name, each in board.all().items()} == {
        "a": State.READY,
        "b": State.STARTING,
        "c": State.READY,
    }


def test_progress_is_kept_for_days_and_not_for_ever(client: redis.Redis) -> None:
    board = Board(client)
    board.write("w", Progress(State.READY))
    assert 6 * 86400 < client.ttl("ipylti:progress:w") <= 7 * 86400


def test_a_worker_that_says_nothing_counts_as_gone(client: redis.Redis) -> None:
    pulse = Pulse(client)
    assert pulse.read() is None
    pulse.beat({"podman": "ok", "traefik": "down"})
    assert pulse.read() == {"podman": "ok", "traefik": "down"}
    assert 0 < client.ttl("ipylti:worker") <= Pulse.KEPT


def test_everything_is_json(client: redis.Redis) -> None:
    """Whoever can write to Redis must not thereby run code in a process of ours."""
    board = Board(client)
    line = Line(client, board)
    line.queue("w")
    line.admit("w", at_a_time=1, places=2)
    SingleUse(client, "ticket").put("t", {}, 60)
    Cache(client, "tokens").set("c", 1, 60)
    Pulse(client).beat({})
    names = [name for name in client.scan_iter() if client.type(name) == b"string"]
    assert len(names) >= 5
    for name in names:
        json.loads(client.get(name) or b"")


# Without Redis

OPERATIONS: dict[str, Callable[[redis.Redis], Any]] = {
    "put": lambda client: SingleUse(client, "t").put("a", {}, 60),
    "peek": lambda client: SingleUse(client, "t").peek("a"),
    "take": lambda client: SingleUse(client, "t").take("a"),
    "cache get": lambda client: Cache(client, "c").get("a"),
    "cache set": lambda client: Cache(client, "c").set("a", 1, 60),
    "cache delete": lambda client: Cache(client, "c").delete("a"),
    "lock": lambda client: Locks(client).hold("a").__enter__(),
    "lock, waiting": lambda client: Locks(client).hold("a", wait=30).__enter__(),
    "read": lambda client: Board(client).read("w"),
    "write": lambda client: Board(client).write("w", Progress()),
    "queue": lambda client: Line(client, Board(client)).queue("w"),
    "position": lambda client: Line(client, Board(client)).position("w"),
    "admit": lambda client: Line(client, Board(client)).admit("w", at_a_time=1, places=1),
    "alive": lambda client: Line(client, Board(client)).alive("w"),
    "leave": lambda client: Line(client, Board(client)).leave("w"),
    "all": lambda client: Board(client).all(),
    "beat": lambda client: Pulse(client).beat({}),
    "pulse": lambda client: Pulse(client).read(),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_without_redis_everything_says_so_at_once(name: str, tmp_path: Path) -> None:
    client = volatile.connect(f"unix://{tmp_path}/nobody.sock")
    begun = time.monotonic()
    with pytest.raises(DependencyDown) as caught:
        OPERATIONS[name](client)
    assert time.monotonic() - begun < 5
    assert caught.value.code == "redis.down"


def test_without_redis_no_job_can_be_asked_for(tmp_path: Path) -> None:
    jobs = Jobs(f"redis://127.0.0.1:{free_port()}/0")
    begun = time.monotonic()
    for ask in (
        lambda: jobs.ask("sweep", ""),
        lambda: jobs.ask("sweep", "", delay=5),
        lambda: jobs.depth("servers"),
    ):
        with pytest.raises(DependencyDown):
            ask()
    assert time.monotonic() - begun < 5


def test_once_redis_is_back_the_same_client_goes_on(tmp_path: Path) -> None:
    process, url = redis_process(tmp_path)
    client = volatile.connect(url)
    store = SingleUse(client, "ticket")
    process.start()
    try:
        wait_for(lambda: _answers(client), "Redis")
        store.put("a", {"n": 1}, 60)
        process.kill()
        with pytest.raises(DependencyDown):
            store.take("a")
        process.start()
        wait_for(lambda: _answers(client), "Redis")
        store.put("a", {"n": 2}, 60)
        assert store.take("a") == {"n": 2}
    finally:
        process.stop()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
