"""The worker without threads of its own, and containers that exist on paper only."""

import contextlib
import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import create_autospec

import pytest
import sqlalchemy as sa

from ipylti import models
from ipylti import worker as worker_module
from ipylti.errors import EmptySource
from ipylti.gate import COOKIE, Gatekeeper
from ipylti.jobs import JOBS
from ipylti.servers.spawner import (
    Archive,
    Archived,
    Content,
    Copied,
    CopyProgress,
    MemoryKills,
    ServerSpec,
    ServerState,
    ServerStatus,
    Spawner,
    VolumeSpec,
)
from ipylti.settings import Settings
from ipylti.worker import Worker


class Jupyter:
    """Answers as Jupyter does, and to a notebook host's name as Traefik with the gate before it.

    :param up: whether Jupyter answers.
    :param saves: how often its tabs were asked to save their documents.
    :param routed: whether notebook hosts lead to it.
    :param proxied: whether the tool's own host leads through it, as through Traefik.
    """

    def __init__(self) -> None:
        self.up = True
        self.routed = True
        self.proxied = True
        self.last_activity = self.started = datetime.now(UTC).isoformat()
        self.saves = 0
        self.kernels: list[dict[str, str]] = []
        self.opens: Callable[[str, str], bool] = lambda _host, _cookie: True
        jupyter = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                jupyter._answer(self)

            def do_POST(self) -> None:
                jupyter.saves += 1
                jupyter._answer(self)

            def log_message(self, *_args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        host, cookie = handler.headers["Host"], handler.headers["Cookie"] or ""
        by_name = not host.startswith("127.0.0.1")
        good = self.up if not by_name else self.up and self.routed and self.opens(host, cookie)
        if handler.path == "/healthz":
            good = self.proxied
        told: Any = {"version": "2.0"}
        if handler.path.startswith("/api/status"):
            told = {"last_activity": self.last_activity, "started": self.started}
        elif handler.path == "/ipylti/save-all":
            told = {"tabs": 1, "silent": 0, "unsaved": []}
        elif handler.path.startswith("/api/kernels"):
            told = self.kernels
        body = json.dumps(told).encode() if good else b"{}"
        handler.send_response(200 if good else 502)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def __enter__(self) -> "Jupyter":
        serve = {"poll_interval": 0.02}
        threading.Thread(target=self._server.serve_forever, kwargs=serve, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Containers:
    """What would be on Podman; an autospecced spawner acts on it.

    :param files: volume -> bytes in it; a volume of 0 bytes is there and empty.
    :param assumed: tells of volumes that count as there although nobody made them here.
    """

    address: str
    servers: dict[str, ServerStatus] = field(default_factory=dict)
    specs: dict[str, ServerSpec] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    assumed: Callable[[], Collection[str]] = tuple
    kills: dict[str, MemoryKills] = field(default_factory=dict)
    labels: dict[str, VolumeSpec] = field(default_factory=dict)

    def spawner(self) -> Any:
        """Return the double; a test changes its side effects to have something fail."""
        made = create_autospec(Spawner, instance=True)
        made.ensure_volume.side_effect = self.ensure_volume
        made.has_volume.side_effect = lambda name: name in self.files
        made.volumes.side_effect = lambda instance: [
            self.labels.get(name, VolumeSpec(name, "", instance, "")) for name in self.files
        ]
        made.inspect.side_effect = lambda volumes, image: iter(
            [Content(volume.name, "d" * 64, self.files[volume.name], 1) for volume in volumes]
        )
        made.export.side_effect = self.export
        made.import_.side_effect = self.import_
        made.remove_volume.side_effect = self.remove_volume
        made.copy.side_effect = self.copy
        made.sizes.side_effect = lambda _instance, volumes, _image: {
            name: self.files[name] for name in volumes if name in self.files
        }
        made.memory_kills.side_effect = lambda _instance: dict(self.kills)
        made.start.side_effect = self.start
        made.status.side_effect = self.status
        made.servers.side_effect = lambda instance: list(self.servers.values())
        made.stop.side_effect = lambda workspace, grace=10.0: self.servers.pop(workspace, None)
        made.logs.side_effect = lambda workspace, lines=50: f"log of {workspace}"
        return made

    def ensure_volume(self, spec: VolumeSpec) -> bool:
        made = spec.name not in self.files and spec.name not in self.assumed()
        self.labels.setdefault(spec.name, spec)
        self.files.setdefault(spec.name, 0)
        return made

    def copy(
        self, source: str, target: VolumeSpec, image: str, progress: CopyProgress, *, digest: bool = False
    ) -> Copied:
        size = self.files.get(source, 0)
        if not size:
            self.files.pop(target.name, None)
            raise EmptySource(source)
        self.ensure_volume(target)
        for done in (0, size // 2, size):
            progress(done, size)
        self.files[target.name] = size
        return Copied(size=size, files=1, digest="d" * 64 if digest else "")

    def remove_volume(self, name: str) -> None:
        self.files.pop(name, None)
        self.labels.pop(name, None)

    def export(self, volumes: Mapping[VolumeSpec, str], image: str) -> Iterator[bytes | Archived]:
        """An archive says how large the volume is, and so does its fingerprint."""
        for volume, known in volumes.items():
            size = str(self.files[volume.name])
            if size != known:
                yield size.encode()
            yield Archived(volume.name, size, size != known)

    def import_(self, archives: Sequence[Archive], image: str) -> Iterator[Content]:
        for archive in archives:
            size = int(b"".join(archive.read()))
            self.ensure_volume(archive.volume)
            self.files[archive.volume.name] = size
            yield Content(archive.volume.name)

    def start(self, spec: ServerSpec) -> ServerStatus:
        self.specs[spec.workspace] = spec
        return self.servers.setdefault(
            spec.workspace,
            ServerStatus(spec.workspace, ServerState.RUNNING, address=self.address, extension=True),
        )

    def status(self, workspace: str) -> ServerStatus:
        return self.servers.get(workspace, ServerStatus(workspace, ServerState.ABSENT))

    def end(self, workspace: str, **how: Any) -> None:
        """Let a server end by itself."""
        ended = replace(self.servers[workspace], state=ServerState.STOPPED, address=None)
        self.servers[workspace] = replace(ended, **{"exit_code": 1} | how)


class Background:
    """The worker of a test."""

    def __init__(self, config: Settings, jupyter: Jupyter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.containers = Containers(jupyter.url)
        self.spawner = self.containers.spawner()
        monkeypatch.setattr(worker_module, "PodmanSpawner", lambda *_args, **_options: self.spawner)
        self.worker = Worker(config)
        self.containers.assumed = self._populated
        self.jobs = self.worker.jobs
        self.servers = self.worker.servers
        self.outbox = self.worker.outbox
        gatekeeper = Gatekeeper(config)

        def opens(host: str, cookie: str) -> bool:
            name, _, value = cookie.partition("=")
            found = gatekeeper.open(value, host, 0.0) if name == COOKIE else None
            return found is not None and found.workspace in self.containers.servers

        jupyter.opens = opens

    def _populated(self) -> list[str]:
        """Return the volumes that the database takes for whole copies."""
        with self.worker.sessions() as db:
            query = sa.select(models.Workspace.volume).where(models.Workspace.populated_at.is_not(None))
            return list(db.scalars(query))

    def rosters_may_be_tried(self) -> None:
        """Let the time pass for which a platform that gave no roster is left alone."""
        tried = self.worker.rosters.tried
        for key in tried.client.keys(f"ipylti:{tried.prefix}:*"):
            tried.client.delete(key)

    @contextlib.contextmanager
    def impatient(self) -> Iterator[None]:
        """Have starts be given up at their first vain look, for the length of a block."""
        patient = self.servers.settings
        self.servers.settings = replace(patient, start_timeout=timedelta(0))
        try:
            yield
        finally:
            self.servers.settings = patient

    def close(self) -> None:
        """Leave no connection behind."""
        self.worker.sessions.kw["bind"].dispose()

    def waiting(self) -> list[tuple[str, Any]]:
        """Return the jobs that wait for a thread, with what each is about, oldest first."""
        return [told(task) for queue in self.jobs.queues.values() for task in queue.pending() if not task.eta]

    def keep_waiting(self, job: str, argument: int) -> None:
        """Let the time of a job that waits for it not come during a test, however long that takes."""
        self.jobs.redis.expire(f"ipylti:later:{job}:{argument}", 3600)

    def later(self) -> list[tuple[str, Any]]:
        """Return the jobs that wait for their time."""
        queues = self.jobs.queues.values()
        tasks = [task for queue in queues for task in (*queue.pending(), *queue.scheduled())]
        return [told(task) for task in tasks if task.eta]

    def work(self, most: int = 50) -> list[tuple[str, Any]]:
        """Do all jobs that wait, and those that they ask for, but put aside what is for later; returns
        what was done.

        An exception of a job is a worker's log line and does not come out here either.
        """
        done = []
        while len(done) < most:
            task = next(filter(None, map(dequeued, self.jobs.queues.values())), None)
            if task is None:
                return done
            if not task.eta:
                done.append(told(task))
            self.jobs.queues[JOBS[task.name]].execute(task)
        raise AssertionError(f"still work to do after {most} jobs: {done[-5:]}")


def dequeued(queue: Any) -> Any:
    """Return the next job, or None; does not wait for one."""
    if not queue.pending_count():
        return None
    return queue.dequeue()


def told(task: Any) -> tuple[str, Any]:
    """Return a job's name and what it is about."""
    return task.name, *task.args
