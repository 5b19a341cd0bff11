"""The worker: threads that do the jobs, a sign of life, and a sweep each minute.

The sweep asks again for all that the database says is still to be done, so that an emptied queue or a worker
that was killed delays work but never loses it.
"""

import logging
import signal
import time
from typing import Any

from huey.consumer import Consumer
from redis import Redis, RedisError
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models, volatile
from ipylti.errors import DependencyDown, IpyltiError
from ipylti.jobs import Jobs
from ipylti.lti.scores import Scores
from ipylti.lti.tokens import AccessTokens
from ipylti.outbox import Outbox
from ipylti.platforms import ToolKeys
from ipylti.servers.podman import PodmanSpawner
from ipylti.servers.probe import Probe
from ipylti.services import outgoing_http, protocol_locks
from ipylti.settings import Settings
from ipylti.submissions import Freezer
from ipylti.volatile import Board, Cache, Locks, Pulse
from ipylti.workspaces import Servers

log = logging.getLogger(__name__)

#: Threads for everything that is not a start: copies, deliveries, stops.
_CHORE_THREADS = 4

#: Seconds between two signs of life, and between two sweeps.
_BEAT = 5.0
_SWEEP = 60.0

#: Seconds after which a start is tried again for which there was no room.
_FULL_PAUSE = 2.0

#: Seconds that running jobs get to finish when the worker is told to stop.
_FINISH = 20.0


class QueueConsumer(Consumer):
    """Huey's consumer, but several of them in one process, which handles signals itself."""

    def _set_signal_handlers(self) -> None:
        pass


class KeySigner:
    """Signs with the key that is in force at that moment (:class:`ipylti.lti.tokens.Signs`)."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self.sessions = sessions

    def sign(self, claims: dict[str, Any]) -> str:
        """Return the claims as a signed token."""
        with self.sessions() as db:
            return ToolKeys(db).signer(models.now()).sign(claims)


class Worker:
    """Everything that works in the background, put together."""

    def __init__(self, settings: Settings) -> None:
        redis = volatile.connect(settings.redis_url)
        self.settings = settings
        self.sessions = sessionmaker(models.make_engine(settings.database_url))
        self.spawner = PodmanSpawner(
            settings.podman_url,
            entrypoint="websecure" if settings.notebook_scheme == "https" else "web",
            tls=settings.notebook_scheme == "https",
        )
        self.locks = Locks(redis)
        self.pulse = Pulse(redis)
        self.probe = Probe()
        self.servers = Servers(settings, self.sessions, self.spawner, Board(redis), self.locks, self.probe)
        self.jobs = Jobs(
            settings.redis_url,
            {
                "start_server": self._start,
                "stop_server": self.servers.stop,
                "freeze_submission": self._freeze,
                "deliver_score": self._deliver,
                "sweep": self._sweep,
            },
        )
        self.freezer = Freezer(settings, self.sessions, self.spawner, self.locks, self.jobs)
        self.outbox = Outbox(self.sessions, self._scores(redis), self.locks, self.jobs, settings.url)
        # A signal's handler may take no lock, as an Event does: the main thread may just hold it.
        self.signals: list[int] = []

    def _scores(self, redis: Redis) -> Scores:
        """Return the platforms' score services, with tokens signed by the key that is in force."""
        http = outgoing_http(self.settings)
        tokens = AccessTokens(http, Cache(redis, "tokens"), KeySigner(self.sessions))
        return Scores(http, tokens, protocol_locks(self.locks))

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; jobs that run get a little time to finish."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _frame: self.signals.append(got))
        for name in ("Worker", "Scheduler"):
            logging.getLogger(f"huey.consumer.{name}").addFilter(_is_no_outage)
        threads = {"servers": self.settings.max_starting, "chores": _CHORE_THREADS}
        consumers = [
            QueueConsumer(queue, workers=threads[name], periodic=False, max_delay=1.0)
            for name, queue in self.jobs.queues.items()
        ]
        for consumer in consumers:
            consumer.start()
        log.info("worker is up", extra={"threads": threads})
        swept = 0.0
        while True:
            self._beat()
            if time.monotonic() - swept >= _SWEEP and self._ask_for_sweep():
                swept = time.monotonic()
            if self._told_to_stop(_BEAT):
                break
        _stop(consumers)

    def _told_to_stop(self, seconds: float) -> bool:
        """Wait so long; return early, and True, where a signal comes."""
        deadline = time.monotonic() + seconds
        while not self.signals and time.monotonic() < deadline:
            time.sleep(0.1)
        return bool(self.signals)

    def _ask_for_sweep(self) -> bool:
        try:
            self.jobs.ask("sweep", "")
        except DependencyDown:
            return False
        return True

    def _beat(self) -> None:
        parts = {"podman": "ok", "traefik": "ok"}
        try:
            self.spawner.ping()
        except IpyltiError:
            parts["podman"] = "down"
        if not self.probe.alive(f"{self.settings.traefik_url}/healthz", host=self.settings.host):
            parts["traefik"] = "down"
        try:
            self.pulse.beat(parts)
        except DependencyDown:
            log.warning("redis is away")

    def _start(self, workspace: Any) -> None:
        if not self.servers.start(workspace):
            self.jobs.ask("start_server", workspace, delay=_FULL_PAUSE)

    def _freeze(self, submission_id: Any) -> None:
        try:
            self.freezer.freeze(submission_id)
        except IpyltiError as err:
            log.warning("freeze failed", extra={"submission": submission_id, "code": err.code})
            self.jobs.ask("freeze_submission", submission_id, delay=10.0)

    def _deliver(self, item_id: Any) -> None:
        self.outbox.deliver(item_id)

    def _sweep(self, _argument: Any) -> None:
        """Ask again for what is still to be done."""
        with self.locks.hold("sweep", seconds=_SWEEP) as lock:
            if lock is None:
                return
            for submission_id in self.freezer.unfrozen():
                self.jobs.ask("freeze_submission", submission_id)
            for item_id in self.outbox.due():
                self.jobs.ask("deliver_score", item_id)
            try:
                self.servers.reconcile()
                self.servers.stop_idle()
                self.spawner.tidy(self.settings.instance)
            except DependencyDown as err:
                log.warning("not reconciled", extra={"code": err.code})


def _is_no_outage(record: logging.LogRecord) -> bool:
    """Return whether a record of the queues' is of anything but Redis being away: every thread would say that
    each second with a traceback, and the sign of life says it already."""
    return not (record.exc_info and isinstance(record.exc_info[1], RedisError))


def _stop(consumers: list[QueueConsumer]) -> None:
    """Stop all consumers at once, and wait for what they are doing."""
    for consumer in consumers:
        consumer.stop_flag.set()
    deadline = time.monotonic() + _FINISH
    for consumer in consumers:
        for thread in [thread for _, thread in consumer.worker_threads] + [consumer.scheduler]:
            thread.join(max(0.0, deadline - time.monotonic()))
