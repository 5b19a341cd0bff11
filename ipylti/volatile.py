"""What may be lost at any time: single-use records, caches, locks, progress. All of it is on Redis.

Every operation raises :class:`~ipylti.errors.DependencyDown` when Redis does not answer. Nothing here is
the only copy of anybody's work: with Redis emptied, people launch again.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ipylti.errors import DependencyDown

#: Seconds after which a start that shows no sign of life counts as lost, with its worker or with the queue.
STALE = 30.0

#: Seconds that a progress record is kept after its last change.
_PROGRESS_KEPT = 7 * 86400


def connect(url: str) -> redis.Redis:
    """Return a client with a connection pool; it connects at first use, and again after an outage.

    :param url: ``redis://…`` or ``unix:///path``.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=5,
        socket_connect_timeout=2,
        health_check_interval=30,
        # One more try at once serves a connection that Redis had closed; a person waits for the answer.
        retry=Retry(NoBackoff(), 1),
    )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn the client library's errors into the house's own."""
    try:
        yield
    except redis.RedisError as err:
        raise DependencyDown("redis", str(err)) from err


class SingleUse:
    """Records that can be taken once, by whichever process comes first.

    :param prefix: what the records are for: ``state``, ``ticket``.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self.client = client
        self.prefix = prefix

    def put(self, key: str, value: dict[str, Any], seconds: int) -> None:
        """Keep a record for so many seconds."""
        with _translated():
            self.client.set(self._name(key), json.dumps(value), ex=seconds)

    def peek(self, key: str) -> dict[str, Any] | None:
        """Return the record without taking it, or None if there is none (any more)."""
        with _translated():
            return _decoded(self.client.get(self._name(key)))

    def take(self, key: str) -> dict[str, Any] | None:
        """Take the record: of all that ask for it, in all processes, exactly one gets it."""
        with _translated():
            return _decoded(self.client.getdel(self._name(key)))

    def _name(self, key: str) -> str:
        return f"ipylti:{self.prefix}:{key}"


class Cache:
    """JSON values that several processes share for a while."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self.client = client
        self.prefix = prefix

    def get(self, key: str) -> Any:
        """Return the value, or None."""
        with _translated():
            return _decoded(self.client.get(f"ipylti:{self.prefix}:{key}"))

    def set(self, key: str, value: Any, seconds: int) -> None:
        """Keep a value for so many seconds."""
        with _translated():
            self.client.set(f"ipylti:{self.prefix}:{key}", json.dumps(value), ex=seconds)

    def delete(self, key: str) -> None:
        """Forget a value."""
        with _translated():
            self.client.delete(f"ipylti:{self.prefix}:{key}")


class Locks:
    """Locks across processes, which end by themselves when their holder died."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    @contextlib.contextmanager
    def hold(self, name: str, *, wait: float = 0.0, seconds: float = STALE) -> Iterator["HeldLock | None"]:
        """Hold a lock for the length of a block; gives None if somebody else has it.

        :param wait: seconds to wait for it.
        :param seconds: the lock ends by itself so long after it was taken or last renewed.
        """
        lock = self.client.lock(f"ipylti:lock:{name}", timeout=seconds, thread_local=False)
        with _translated():
            held = lock.acquire(blocking=wait > 0, blocking_timeout=wait or None)
        try:
            yield HeldLock(lock) if held else None
        finally:
            if held:
                # Lost meanwhile, or Redis is away: then it ends by itself.
                with contextlib.suppress(redis.RedisError):
                    lock.release()


class HeldLock:
    """A lock that is held; long work renews it."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock

    def renew(self) -> None:
        """Start the lock's time anew.

        :raises DependencyDown: the lock is lost, or Redis is away: whoever works under it has to stop.
        """
        with _translated():
            self.lock.reacquire()


class State(StrEnum):
    """What the workbench says of a workspace's server."""

    STOPPED = "stopped"
    QUEUED = "queued"
    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not_ready"
    FAILED = "failed"


class Step(StrEnum):
    """What a start is doing, in this order."""

    QUEUE = "queue"
    COPY = "copy"
    CONTAINER = "container"
    JUPYTER = "jupyter"
    ROUTE = "route"


@dataclass(frozen=True)
class Progress:
    """How far a workspace's server is.

    :param done: bytes copied, of ``total``, while ``step`` is copying.
    :param error: the code of what went wrong, where ``state`` is FAILED.
    :param extension: whether the image carries the JupyterLab extension; None where not yet known.
    :param at: seconds since the epoch of the last sign of life.
    """

    state: State = State.STOPPED
    step: Step | None = None
    done: int = 0
    total: int = 0
    error: str = ""
    extension: bool | None = None
    at: float = 0.0

    @property
    def old(self) -> bool:
        """Whether the last sign of life is longer ago than a living worker lets pass."""
        return time.time() - self.at > STALE


class Board:
    """The progress of all workspaces' servers, and who waits for a start, in order."""

    _WAITING = "ipylti:waiting"
    _TICKETS = "ipylti:waiting:tickets"

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def read(self, workspace: str) -> Progress:
        """Return the progress of a workspace; of one that is not known, that it is stopped."""
        with _translated():
            found = _decoded(self.client.get(self._name(workspace)))
        if found is None:
            return Progress()
        step = found.pop("step")
        return Progress(**found | {"state": State(found["state"]), "step": Step(step) if step else None})

    def write(self, workspace: str, progress: Progress) -> None:
        """Put the progress up, with the time of now."""
        record = asdict(replace(progress, at=time.time()))
        with _translated():
            self.client.set(self._name(workspace), json.dumps(record), ex=_PROGRESS_KEPT)

    def queue(self, workspace: str) -> None:
        """Put a workspace at the end of the queue; where it stands there already, it keeps its place."""
        with _translated():
            place = self.client.incr(self._TICKETS)
            self.client.zadd(self._WAITING, {workspace: place}, nx=True)
        self.write(workspace, Progress(state=State.QUEUED, step=Step.QUEUE))

    def dequeue(self, workspace: str) -> None:
        """Take a workspace out of the queue: its turn has come."""
        with _translated():
            self.client.zrem(self._WAITING, workspace)

    def position(self, workspace: str) -> int | None:
        """Return the place in the queue, 1 being next, or None if it does not wait."""
        with _translated():
            rank = self.client.zrank(self._WAITING, workspace)
        return rank + 1 if isinstance(rank, int) else None

    def ready(self) -> set[str]:
        """Return all workspaces whose server is said to be ready."""
        prefix = self._name("")
        with _translated():
            names = [name.decode() for name in self.client.scan_iter(f"{prefix}*", count=1000)]
        found = (name.removeprefix(prefix) for name in names)
        return {workspace for workspace in found if self.read(workspace).state is State.READY}

    @staticmethod
    def _name(workspace: str) -> str:
        return f"ipylti:progress:{workspace}"


def _decoded(found: Any) -> Any:
    return None if found is None else json.loads(found)


class Pulse:
    """A worker's sign of life, and what it says of the parts that only workers talk to."""

    _NAME = "ipylti:worker"

    #: Seconds after which a worker that says nothing counts as gone.
    KEPT = 20

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def beat(self, parts: dict[str, str]) -> None:
        """Say that a worker lives, and of each part by name ``ok`` or ``down``."""
        with _translated():
            self.client.set(self._NAME, json.dumps(parts), ex=self.KEPT)

    def read(self) -> dict[str, str] | None:
        """Return what the last worker said, or None if none lives."""
        with _translated():
            found: dict[str, str] | None = _decoded(self.client.get(self._NAME))
        return found
