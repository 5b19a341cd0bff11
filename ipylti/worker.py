"""The worker: threads that do the jobs, a sign of life, and a sweep each minute (:mod:`ipylti.sweep`)."""

import logging
import os
import signal
import socket
import time
from typing import Any

from huey.consumer import Consumer
from redis import RedisError
from sqlalchemy.orm import Session, sessionmaker

from ipylti import audit, models, systemd, trace, volatile
from ipylti.errors import DependencyDown, IpyltiError
from ipylti.idling import Idling, Visits
from ipylti.jobs import Jobs
from ipylti.line import Line
from ipylti.lti.roster import RosterReader
from ipylti.lti.scores import Scores
from ipylti.lti.tokens import AccessTokens
from ipylti.outbox import Outbox
from ipylti.platforms import ToolKeys
from ipylti.privacy.erasing import Eraser
from ipylti.privacy.retention import Retention
from ipylti.reconciling import Reconciler, Volumes
from ipylti.rosters import Rosters
from ipylti.servers.host import resident_memory
from ipylti.servers.podman import PodmanSpawner
from ipylti.servers.probe import Probe
from ipylti.services import outgoing_http, protocol_locks
from ipylti.settings import Settings
from ipylti.submissions import Freezer
from ipylti.sweep import Sweep
from ipylti.tally import Tally
from ipylti.usage import Usage
from ipylti.volatile import Board, Cache, Locks, Pulse, renewed
from ipylti.watch import Watch
from ipylti.workspaces import Servers

log = logging.getLogger(__name__)

#: Threads for what is no start: copies and stops; and for what a platform is asked or told.
_CHORE_THREADS = 4
_PLATFORM_THREADS = 4

#: Seconds between two signs of life, and between two sweeps.
_BEAT = 5.0
_SWEEP = 60.0

#: Seconds that the lock lasts under which people's data are looked after, between two signs of life.
_DATA = 60.0

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
        self.tally = tally = Tally(redis)
        self.pulse = Pulse(redis)
        self.probe = Probe()
        self.board = Board(redis)
        self.line = Line(redis, self.board)
        self.servers = Servers(
            settings, self.sessions, self.spawner, self.board, self.line, self.locks, self.probe, tally
        )
        self.jobs = Jobs(
            settings.redis_url,
            {
                "start_server": self._start,
                "stop_server": self.servers.stop,
                "stop_idle_server": lambda workspace: self.idling.stop(workspace),
                "prepare_base": self._prepare_base,
                "freeze_submission": self._freeze,
                "deliver_score": self._deliver,
                "refresh_roster": self._refresh_roster,
                "look_after_data": lambda _argument: self._look_after_data(),
                "watch_servers": lambda _argument: self.watch.look(),
                "sweep": lambda _argument: self.sweep.run(),
            },
        )
        self.watch = Watch(settings, self.sessions, self.spawner, self.locks, self.servers, Usage(redis))
        self.reconciler = Reconciler(
            settings, self.sessions, self.spawner, self.locks, self.servers, self.jobs
        )
        visits = Visits(Cache(redis, "visits"), settings)
        self.idling = Idling(settings, self.spawner, self.board, self.probe, self.servers, self.jobs, visits)
        self.freezer = Freezer(settings, self.sessions, self.spawner, self.locks, self.jobs)
        http = outgoing_http(settings, tally)
        tokens = AccessTokens(http, Cache(redis, "tokens"), KeySigner(self.sessions))
        scores = Scores(http, tokens, protocol_locks(self.locks))
        self.outbox = Outbox(
            self.sessions, scores, self.locks, self.jobs, Cache(redis, "away"), settings.url, tally
        )
        reader = RosterReader(http, tokens)
        self.rosters = Rosters(self.sessions, reader, self.locks, Cache(redis, "rosters"))
        self.eraser = Eraser(settings, self.sessions, self.spawner, self.locks, redis)
        self.retention = Retention(settings, self.sessions, self.eraser)
        self.sweep = Sweep(
            self.locks,
            self.jobs,
            {
                "ask again": self._ask_again,
                "servers": self.reconciler.reconcile,
                "idle servers": self.idling.look,
                "what servers use": lambda: self.jobs.ask("watch_servers", ""),
                "volumes": Volumes(settings, self.sessions, self.spawner).look,
                "leftovers": lambda: self.spawner.tidy(settings.instance),
                "keys": self._look_after_keys,
                "erasures": lambda: self.jobs.ask("look_after_data", ""),
            },
        )
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        # A signal's handler may take no lock, as an Event does: the main thread may just hold it.
        self.signals: list[int] = []

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; jobs that run get a little time to finish."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _frame: self.signals.append(got))
        for name in ("Worker", "Scheduler"):
            logging.getLogger(f"huey.consumer.{name}").addFilter(_is_no_outage)
        consumers = self.consumers()
        for consumer in consumers:
            consumer.start()
        log.info("worker is up")
        systemd.notify(systemd.READY)
        swept = 0.0
        while True:
            self._beat()
            systemd.notify(systemd.ALIVE)
            if time.monotonic() - swept >= _SWEEP and self._ask_for_sweep():
                swept = time.monotonic()
            if self._told_to_stop(_BEAT):
                break
        systemd.notify(systemd.STOPPING)
        stop(consumers)

    def consumers(self) -> list[QueueConsumer]:
        """Return what does the jobs, one with threads of its own for each queue, not yet started."""
        threads = {
            "servers": self.settings.max_starting,
            "chores": _CHORE_THREADS,
            "platforms": _PLATFORM_THREADS,
        }
        return [
            QueueConsumer(queue, workers=threads[name], periodic=False, max_delay=1.0)
            for name, queue in self.jobs.queues.items()
        ]

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
        self.tally.live(self.name, resident_memory())
        try:
            self.pulse.beat(parts)
        except DependencyDown:
            log.warning("redis is away")

    def _start(self, workspace: Any) -> None:
        if not self.servers.start(workspace):
            self.jobs.ask("start_server", workspace, delay=self.servers.admission.pause(workspace))

    def _prepare_base(self, assignment: Any) -> None:
        try:
            self.servers.bases.prepare(assignment)
        except IpyltiError as err:
            # The sweep asks again, and so does whoever starts a server of the assignment.
            log.warning("base not cloned", extra={"assignment": assignment, "code": err.code})

    def _freeze(self, submission_id: Any) -> None:
        try:
            self.freezer.freeze(submission_id)
        except IpyltiError as err:
            log.warning("freeze failed", extra={"submission": submission_id, "code": err.code})
            self.jobs.ask("freeze_submission", submission_id, delay=10.0)

    def _deliver(self, item_id: Any) -> None:
        self.outbox.deliver(item_id)

    def _refresh_roster(self, link_id: Any) -> None:
        self.rosters.refresh(link_id)

    def _ask_again(self) -> None:
        """Ask again for what the database says is still to be done."""
        for assignment in self.servers.bases.unprepared():
            self.jobs.ask("prepare_base", assignment)
        for submission_id in self.freezer.unfrozen():
            self.jobs.ask("freeze_submission", submission_id)
        for item_id in self.outbox.due():
            self.jobs.ask("deliver_score", item_id)

    def _look_after_data(self) -> None:
        """Go on with erasures that were interrupted, and remove what was kept long enough."""
        with self.locks.hold("data", seconds=_DATA) as lock:
            if lock is None:
                return
            with renewed(lock):
                try:
                    self.eraser.finish()
                    self.retention.step()
                except IpyltiError as err:
                    # The next sweep asks again.
                    log.warning("data not looked after", extra={"code": err.code})

    def _look_after_keys(self) -> None:
        """Have a new key take over where the one in force is old enough, and forget those of long ago."""
        lifetime = self.settings.key_lifetime
        with self.locks.hold("keys") as lock:
            if lock is None:
                return
            with self.sessions.begin() as db:
                kept = ToolKeys(db)
                kept.forget_retired(models.now())
                rotated = lifetime is not None and kept.rotate_if_due(models.now(), lifetime)
                if rotated:
                    audit.record(db, trace.program("schedule"), "key rotated")
        if rotated:
            log.info("a new key takes over in 24 hours")


def _is_no_outage(record: logging.LogRecord) -> bool:
    """Return whether a record of the queues' is of anything but Redis being away: every thread would say that
    each second with a traceback, and the sign of life says it already."""
    return not (record.exc_info and isinstance(record.exc_info[1], RedisError))


def stop(consumers: list[QueueConsumer]) -> None:
    """Stop all consumers at once, and wait for what they are doing."""
    for consumer in consumers:
        consumer.stop_flag.set()
    deadline = time.monotonic() + _FINISH
    for consumer in consumers:
        for thread in [thread for _, thread in consumer.worker_threads] + [consumer.scheduler]:
            thread.join(max(0.0, deadline - time.monotonic()))
