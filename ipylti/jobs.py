"""The job queues (Huey on Redis): which jobs there are, and how to ask for one.

A worker's thread waits on the queue itself (a blocking pop), so that a job waits for a free thread and never
for a poll. The queue may be lost at any time, and a job with it: the database is the truth, and what is still
to be done there is asked for again by the sweep (:mod:`ipylti.worker`) or by whoever waits for it.
"""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import redis
from huey import RedisHuey
from huey.registry import Message
from huey.serializer import Serializer

from ipylti import trace, volatile
from ipylti.errors import DependencyDown
from ipylti.tally import JOBS as COUNTED
from ipylti.tally import Tally
from ipylti.trace import Trace

log = logging.getLogger(__name__)

#: Job -> queue. Each queue has threads of its own, so that a platform that hangs delays no notebook and no
#: copy of somebody's work.
JOBS = {
    "start_server": "servers",
    "stop_server": "chores",
    "stop_idle_server": "chores",
    "prepare_base": "chores",
    "freeze_submission": "chores",
    "deliver_score": "platforms",
    "refresh_roster": "platforms",
    "look_after_data": "chores",
    "watch_servers": "chores",
    "sweep": "chores",
}

Handler = Callable[[Any], None]


class JSONSerializer(Serializer):
    """Messages as JSON: whoever can write to Redis must not thereby run code in the worker."""

    def _serialize(self, data: Any) -> bytes:
        if not isinstance(data, Message):
            raise TypeError(f"not a job: {type(data)}")
        fields = data._asdict()
        eta = fields["eta"]
        return json.dumps(fields | {"eta": eta.isoformat() if eta else None}).encode()

    def _deserialize(self, data: bytes) -> Message:
        fields = json.loads(data)
        if fields["eta"]:
            fields["eta"] = datetime.fromisoformat(fields["eta"])
        return Message(**fields)


class Jobs:
    """The queues and their jobs.

    :param redis_url: where the queues are.
    :param handlers: job name -> what does it, in a worker; none elsewhere.
    """

    def __init__(self, redis_url: str, handlers: Mapping[str, Handler] | None = None) -> None:
        self.redis = volatile.connect(redis_url)
        self.queues = {
            name: RedisHuey(
                f"ipylti-{name}",
                connection_pool=self.redis.connection_pool,
                results=False,
                serializer=JSONSerializer(),
                read_timeout=1,
            )
            for name in sorted(set(JOBS.values()))
        }
        self.tasks = {
            job: self.queues[queue].task(name=job)(_body(job, (handlers or {}).get(job), Tally(self.redis)))
            for job, queue in JOBS.items()
        }

    def ask(self, job: str, argument: str | int, *, delay: float = 0.0) -> None:
        """Ask for a job; it is done on behalf of whoever the asking is (:mod:`ipylti.trace`).

        :param job: a name out of :data:`JOBS`.
        :param argument: the id of what it is about.
        :param delay: seconds to wait before it runs. Where the same one waits for its time already, that one
            is enough: what fails and is asked for by the sweep, too, does not become ever more jobs.
        :raises DependencyDown: Redis does not answer.
        """
        told = {"trace": trace.current().to_dict()}
        try:
            if delay <= 0:
                self.tasks[job](argument, **told)
            elif self.redis.set(f"ipylti:later:{job}:{argument}", b"", nx=True, px=int(delay * 1000) + 1):
                self.tasks[job].schedule(args=(argument,), kwargs=told, delay=delay)
        except redis.RedisError as err:
            raise DependencyDown("redis", str(err)) from err

    def depth(self, queue: str) -> int:
        """Return how many jobs wait in a queue."""
        try:
            return int(self.queues[queue].pending_count())
        except redis.RedisError as err:
            raise DependencyDown("redis", str(err)) from err


def _body(job: str, handler: Handler | None, tally: Tally) -> Callable[..., None]:
    """Return a job's body. All are functions of this module: Huey names a job after its function's module."""

    def body(argument: Any, **told: Any) -> None:
        if handler is None:
            raise RuntimeError(f"{job} runs in the worker only")
        with trace.begun(Trace.from_dict(told.get("trace"))):
            outcome = "failed"
            try:
                handler(argument)
                outcome = "done"
            except Exception:
                # Here, and not where the queue logs it: it knows of no request.
                log.exception("job failed", extra={"job": job, "argument": argument})
            tally.count(COUNTED, job, outcome)

    return body
