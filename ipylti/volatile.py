"""What may be lost at any time: single-use records, caches, locks, progress. All of it is on Redis.

Every operation raises :class:`~ipylti.errors.DependencyDown` when Redis does not answer. Nothing here is
the only copy of anybody's work: with Redis emptied, people launch again.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ipylti import trace
from ipylti.errors import DependencyDown

#: Seconds after which a start that shows no sign of life counts as lost, with its worker or with the queue.
STALE = 30.0

#: Seconds between two renewals of a lock under which nothing is said.
_RENEWED = 10.0

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
def translated() -> Iterator[None]:
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
        with translated():
            self.client.set(self._name(key), json.dumps(value), ex=seconds)

    def peek(self, key: str) -> dict[str, Any] | None:
        """Return the record without taking it, or None if there is none (any more)."""
        with translated():
            return _decoded(self.client.get(self._name(key)))

    def take(self, key: str) -> dict[str, Any] | None:
        """Take the record: of all that ask for it, in all processes, exactly one gets it."""
        with translated():
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
        with translated():
            return _decoded(self.client.get(f"ipylti:{self.prefix}:{key}"))

    def set(self, key: str, value: Any, seconds: int) -> None:
        """Keep a value for so many seconds."""
        with translated():
            self.client.set(f"ipylti:{self.prefix}:{key}", json.dumps(value), ex=seconds)

    def delete(self, key: str) -> None:
        """Forget a value."""
        with translated():
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
        with translated():
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
        with translated():
            self.lock.reacquire()


@contextlib.contextmanager
def renewed(*locks: HeldLock) -> Iterator[None]:
    """Keep locks for the length of a block, whatever it does meanwhile."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(_RENEWED):
            for lock in locks:
                # One that is lost, as all are with Redis, can't be helped.
                with contextlib.suppress(DependencyDown):
                    lock.renew()

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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
    :param used: bytes used, of which ``limit`` were allowed, where ``error`` is about that; 0 is unknown.
    :param extension: whether the image carries the JupyterLab extension; None where not yet known.
    :param ends_at: seconds since the epoch at which a server ends at which nobody works; 0 where that is not
        soon.
    :param at: seconds since the epoch of the last sign of life.
    :param request_id: of the work that said so last.
    """

    state: State = State.STOPPED
    step: Step | None = None
    done: int = 0
    total: int = 0
    error: str = ""
    used: int = 0
    limit: int = 0
    extension: bool | None = None
    ends_at: float = 0.0
    at: float = 0.0
    request_id: str = ""

    @property
    def old(self) -> bool:
        """Whether the last sign of life is longer ago than a living worker lets pass."""
        return self.silent_for(STALE)

    def silent_for(self, seconds: float) -> bool:
        """Whether the last sign of life is longer ago."""
        return time.time() - self.at > seconds


class Board:
    """The progress of all workspaces' servers."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def read(self, workspace: str) -> Progress:
        """Return the progress of a workspace; of one that is not known, that it is stopped."""
        with translated():
            return _progress(_decoded(self.client.get(self._name(workspace))))

    def write(self, workspace: str, progress: Progress) -> None:
        """Put the progress up, with the time of now."""
        request_id = trace.current().request_id or progress.request_id
        record = asdict(replace(progress, at=time.time(), request_id=request_id))
        with translated():
            self.client.set(self._name(workspace), json.dumps(record), ex=_PROGRESS_KEPT)

    def warn(self, workspace: str, end: datetime | None) -> None:
        """Say when a server that is ready is going to end, or that it is not."""
        known = self.read(workspace)
        told = end.timestamp() if end is not None else 0.0
        if known.state is State.READY and known.ends_at != told:
            self.write(workspace, replace(known, ends_at=told))

    def all(self) -> dict[str, Progress]:
        """Return what is said of all workspaces of which something is said."""
        prefix = self._name("")
        found: dict[str, Progress] = {}
        with translated():
            names = [name.decode() for name in self.client.scan_iter(f"{prefix}*", count=1000)]
            for begin in range(0, len(names), 1000):
                some = names[begin : begin + 1000]
                for name, record in zip(some, cast(list[Any], self.client.mget(some)), strict=True):
                    if record is not None:
                        found[name.removeprefix(prefix)] = _progress(_decoded(record))
        return found

    @staticmethod
    def _name(workspace: str) -> str:
        return f"ipylti:progress:{workspace}"


def _progress(found: Any) -> Progress:
    """Read a progress record; none is of a server that is stopped."""
    if found is None:
        return Progress()
    step = found.pop("step")
    return Progress(**found | {"state": State(found["state"]), "step": Step(step) if step else None})


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
        with translated():
            self.client.set(self._NAME, json.dumps(parts), ex=self.KEPT)

    def read(self) -> dict[str, str] | None:
        """Return what the last worker said, or None if none lives."""
        with translated():
            found: dict[str, str] | None = _decoded(self.client.get(self._NAME))
        return found
