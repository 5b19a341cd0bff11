"""The whole of ipylti on one machine, on real parts, for the demo, the tests and the bench.

Redis, Podman's API service, Traefik, web and worker run as processes of the calling (unprivileged) user;
campus, the LMS, runs in a thread of the caller, who can thereby look into it. All listens on 127.0.0.1 or on
sockets in the stack's own folder, and ends with the caller, however the caller ends.
"""

import configparser
import contextlib
import json
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import redis
from click.testing import CliRunner
from sqlalchemy.orm import Session, sessionmaker

from ipylti import cli, models, volatile
from ipylti.lti import claims
from ipylti.settings import Settings
from ipylti.tally import Tally
from tests.campus import Campus, Config
from tests.parts import (
    Process,
    accepts,
    database_answers,
    free_port,
    kill_podman,
    postgresql_process,
    redis_answers,
    redis_process,
    wait_for,
)

ROOT = Path(__file__).resolve().parent.parent

#: Seconds without a line in Traefik's log after which it has nothing to do.
QUIET = 1.5

#: Seconds for everything to answer after the start.
READY = 60.0


@dataclass(frozen=True)
class Ports:
    """Where the stack listens, on 127.0.0.1."""

    traefik: int
    campus: int
    web: int

    @classmethod
    def free(cls) -> "Ports":
        """Return ports on which nobody listens."""
        return cls(free_port(), free_port(), free_port())


class Stack:
    """One installation of ipylti with a campus beside it.

    Its parts, by name: ``redis``, ``postgresql`` where asked for, ``podman``, ``web`` (and ``web2``, …),
    ``traefik``, ``worker`` (and ``worker2``, …).

    :param folder: configuration, sockets, logs and the database; kept, so that a later stack goes on with it.
    :param client_id: the tool's client id at campus; with the same one, people find their work again.
    :param ini: settings that differ from development.ini's.
    :param webs: the number of web processes; Traefik shares requests out to them.
    :param workers: the number of worker processes.
    :param postgresql: whether the database is a PostgreSQL of its own instead of SQLite.
    :param quiet: whether to be silent about what is being started.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ports: Ports | None = None,
        client_id: str | None = None,
        ini: dict[str, str] | None = None,
        webs: int = 1,
        workers: int = 1,
        postgresql: bool = False,
        quiet: bool = True,
    ) -> None:
        self.begun = datetime.now(UTC).isoformat(timespec="seconds")
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = ports or Ports.free()
        self.quiet = quiet
        self.tool_url = f"http://ipylti.localhost:{self.ports.traefik}"
        web_ports = [self.ports.web, *(free_port() for _ in range(webs - 1))]
        self.web_urls = [f"http://127.0.0.1:{port}" for port in web_ports]
        self.web_url = self.web_urls[0]
        self.campus = Campus(
            Config(
                tool_url=self.tool_url,
                client_id=client_id or f"stack-{secrets.token_hex(8)}",
                port=self.ports.campus,
                tool_jwks_url=f"{self.web_url}/.well-known/jwks.json",
                # As an administrator enters them at the platform.
                custom=dict(claims.CUSTOM_FIELDS),
            )
        )
        self.podman_socket = folder / "podman.sock"
        self.podman_url = f"unix://{self.podman_socket}"
        self.processes: dict[str, Process] = {}
        self.processes["redis"], self.redis_url = redis_process(folder)
        self.database_url = f"sqlite:///{folder}/ipylti.sqlite"
        if postgresql:
            self.processes["postgresql"], self.database_url = postgresql_process(folder)
        self._add("podman", "podman", "system", "service", "-t", "0", self.podman_url)
        self.ini = self._write_ini("ipylti.ini", web_ports[0], ini or {})
        for number, port in enumerate(web_ports, 1):
            name = "web" if number == 1 else f"web{number}"
            own_ini = self.ini if number == 1 else self._write_ini(f"{name}.ini", port, ini or {})
            self._add(name, *_python("-m", "pyramid.scripts.pserve"), str(own_ini))
        self._add("traefik", *self._traefik_command())
        self.processes["traefik"].env.update(self._traefik_env())
        for number in range(1, workers + 1):
            name = "worker" if number == 1 else f"worker{number}"
            self._add(name, *_python("-c", "from ipylti.cli import main; main()"), "worker", str(self.ini))

    @cached_property
    def settings(self) -> Settings:
        """The tool's settings, as its processes read them."""
        return cli.load(str(self.ini))

    @property
    def instance(self) -> str:
        """The value of the label ``io.ipylti.instance`` of this stack's containers and volumes."""
        return self.settings.instance

    @cached_property
    def sessions(self) -> sessionmaker[Session]:
        """Sessions of the tool's database, to look into it and to change what has no command yet."""
        return sessionmaker(models.make_engine(self.database_url))

    def start(self, *names: str) -> "Stack":
        """Start everything, or only campus and some parts, and wait until it answers.

        :raises RuntimeError: something ended or does not answer; says what, and the end of its log.
        """
        wanted = [name for name in self.processes if not names or name in names]
        stores = [name for name in wanted if name in ("redis", "postgresql", "podman")]
        try:
            for stale in (self.podman_socket, self.folder / "redis.sock"):
                stale.unlink(missing_ok=True)
            self._start(*stores)
            self._say("database")
            self.run("db", "upgrade", str(self.ini))
            self._say("campus")
            self.campus.start()
            self._register()
            self._start(*(name for name in wanted if name not in stores))
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, *, volumes: bool = False) -> None:
        """Stop everything, servers included.

        :param volumes: whether to remove all volumes as well.
        """
        for name in reversed(self.processes):
            if name not in ("redis", "postgresql", "podman"):
                self.processes[name].stop()
        if self.processes["podman"].popen is not None:
            self._remove("container", "rm", "--force", "--ignore", "--time", "0" if volumes else "3")
            self._remove("network", "rm", "--force")
            if volumes:
                self._remove("volume", "rm", "--force")
        if "sessions" in vars(self):
            self.sessions.kw["bind"].dispose()
        for name in ("podman", "postgresql", "redis"):
            if name in self.processes:
                self.processes[name].stop()
        self.campus.stop()

    def __enter__(self) -> "Stack":
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop(volumes=True)

    # Parts

    def kill(self, name: str) -> None:
        """End a part as a crash would."""
        if name == "podman":
            kill_podman(self.processes[name], self.podman_socket)
            self.podman_socket.unlink(missing_ok=True)
        else:
            self.processes[name].kill()

    def revive(self, name: str) -> None:
        """Start a part that was killed, and wait until it answers."""
        self._start(name)

    @contextlib.contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Do without a part for the length of a block."""
        with contextlib.ExitStack() as held:
            if name == "podman":
                # A worker starts helpers each minute: in the moment after Traefik's last look, too.
                for part, process in self.processes.items():
                    if part.startswith("worker") and process.running:
                        held.enter_context(process.hanging())
                self.settle()
            self.kill(name)
        try:
            yield
        finally:
            self.revive(name)

    @contextlib.contextmanager
    def without_worker(self) -> Iterator[None]:
        """Let the worker stand still for the length of a block; all others can write to the database."""
        while True:
            with self.processes["worker"].hanging():
                if self._writable():
                    yield
                    return

    def _writable(self) -> bool:
        """Return whether nobody keeps an SQLite database for themselves."""
        with contextlib.closing(sqlite3.connect(str(self.folder / "ipylti.sqlite"), timeout=1.0)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True

    def settle(self) -> None:
        """Wait until Traefik has looked at all that happened to containers.

        Where Podman goes away while Traefik inspects them one by one, those that it has not come to lose
        their routes until Podman is back. Each look leaves lines in its log.
        """
        log = self.processes["traefik"].log
        wait_for(lambda: time.time() - log.stat().st_mtime > QUIET, "Traefik's peace")

    def ready(self) -> bool:
        """Return whether the tool says that all it depends on is there."""
        told = self.dependencies()
        return bool(told) and all(state == "ok" for state in told.values())

    def dependencies(self) -> dict[str, str]:
        """Return what the tool says of each of its dependencies; nothing if it does not answer."""
        return dict(json.loads(_get(f"{self.web_url}/readyz") or "{}"))

    def run(self, *arguments: str) -> str:
        """Run an ``ipylti`` command, in this process, and return what it prints.

        :raises RuntimeError: it failed; says with which words.
        """
        done = CliRunner().invoke(cli.main, arguments)
        if done.exit_code != 0:
            raise RuntimeError(f"ipylti {' '.join(arguments)}: {done.output.strip()}") from done.exception
        return done.output

    def _add(self, name: str, *command: str) -> None:
        self.processes[name] = Process(name, list(command), self.folder)

    def _start(self, *names: str) -> None:
        """Start parts side by side, and wait for each."""
        for name in names:
            self._say(name)
            self.processes[name].start()
        for name in names:
            self._await(name, self.processes[name])

    def _await(self, name: str, process: Process) -> None:
        try:
            wait_for(lambda: not process.running or self._answers(name), name, READY)
        except TimeoutError as err:
            raise RuntimeError(f"{err}; its log ({process.log}) ends:\n{process.tail()}") from err
        if not process.running:
            raise RuntimeError(f"{name} ended; its log ({process.log}) ends:\n{process.tail()}")

    def _answers(self, name: str) -> bool:
        if name == "redis":
            return redis_answers(self.redis_url)
        if name == "postgresql":
            return database_answers(self.database_url)
        if name == "podman":
            return accepts(self.podman_socket)
        if name == "traefik":
            through = f"http://127.0.0.1:{self.ports.traefik}/healthz"
            return _get(through, f"ipylti.localhost:{self.ports.traefik}") is not None
        if name.startswith("worker"):
            return self._lives(name) and self.ready()
        return _get(f"{self.web_urls[int(name[3:] or 1) - 1]}/healthz") is not None

    def _lives(self, name: str) -> bool:
        """Return whether this very worker says that it lives: one that was killed counts for a while, too."""
        popen = self.processes[name].popen
        with contextlib.suppress(redis.RedisError):
            living = Tally(volatile.connect(self.redis_url)).living()
            return popen is not None and f"{socket.gethostname()}:{popen.pid}" in living
        return False

    def _register(self) -> None:
        """Tell the tool of campus, as an administrator would."""
        told = self.campus.registration
        options = [text for name, value in told.items() for text in (f"--{name}", value)]
        self.run("platform", "add", str(self.ini), *options)

    def _say(self, what: str) -> None:
        if not self.quiet:
            print(f"  starting {what} …", flush=True)

    # Configuration

    def _write_ini(self, name: str, port: int, changes: dict[str, str]) -> Path:
        """Write development.ini with this stack's addresses; ``%`` stays as it is for the loggers."""
        parser = configparser.RawConfigParser()
        parser.read(ROOT / "development.ini")
        app = parser["app:main"]
        app["ipylti.url"] = self.tool_url
        app["ipylti.notebook_port"] = str(self.ports.traefik)
        app["ipylti.podman_url"] = self.podman_url
        app["sqlalchemy.url"] = self.database_url
        app["redis.sessions.url"] = self.redis_url
        for key, value in changes.items():
            app[key] = value
        parser["server:main"]["port"] = str(port)
        path = self.folder / name
        with path.open("w") as file:
            parser.write(file)
        return path

    def _traefik_command(self) -> list[str]:
        beside = Path(sys.executable).parent / "traefik"
        found = str(beside) if beside.exists() else shutil.which("traefik")
        if not found:
            raise RuntimeError("traefik is not installed")
        return [
            found,
            f"--entryPoints.web.address=127.0.0.1:{self.ports.traefik}",
            f"--providers.file.filename={ROOT / 'traefik' / 'dynamic.yml'}",
            f"--providers.docker.endpoint={self.podman_url}",
            "--providers.docker.exposedByDefault=false",
            "--providers.docker.useBindPortIP=true",
            f"--providers.docker.constraints=Label(`io.ipylti.instance`,`{self.instance}`)",
            "--providers.providersThrottleDuration=50ms",
            "--log.level=INFO",
            "--log.noColor=true",
        ]

    def _traefik_env(self) -> dict[str, str]:
        return {
            "IPYLTI_HOST": "ipylti.localhost",
            "IPYLTI_NOTEBOOK_DOMAIN": "notebook.localhost",
            "IPYLTI_WEBS": ",".join(self.web_urls),
            "IPYLTI_ENTRYPOINT": "web",
        }

    # Podman

    def podman(self, *arguments: str) -> str:
        """Run a ``podman`` command and return what it prints."""
        done = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"podman {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def containers(self) -> list[str]:
        """Return the names of this stack's containers, running or not."""
        return self.podman("ps", "--all", *self._mine(), "--format", "{{.Names}}").split()

    def volumes(self) -> list[str]:
        """Return the names of this stack's volumes."""
        return self.podman("volume", "ls", *self._mine(), "--format", "{{.Name}}").split()

    def server(self, workspace: str) -> str:
        """Return the id of a workspace's running container, or "" if there is none."""
        name = f"name=^ipylti-server-{workspace}$"
        return self.podman("ps", "--filter", name, "--format", "{{.ID}}", "--no-trunc")

    def servers_made(self, workspace: str) -> int:
        """Return how many containers were made for a workspace since the stack was."""
        name = f"ipylti-server-{workspace}"
        which = ("--filter", f"container={name}", "--filter", "event=create", "--since", self.begun)
        return self.podman("events", "--stream=false", *which, "--format", "{{.Name}}").split().count(name)

    def inside(self, workspace: str, program: str) -> str:
        """Run a Python program in a workspace's container, in the folder of its files."""
        return self.podman("exec", f"ipylti-server-{workspace}", "python3", "-c", program)

    def on_volume(self, volume: str, program: str) -> str:
        """Run a Python program of ours in the folder of a volume, as its root."""
        folder = self.podman("volume", "inspect", "--format", "{{.Mountpoint}}", volume)
        code = f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); os.chdir({folder!r}); {program}"
        return self.podman("unshare", sys.executable, "-B", "-c", code)

    def stop_server(self, workspace: str) -> None:
        """Have the worker stop a workspace's server, and wait until it is gone."""
        self.run("workspace", "stop", str(self.ini), workspace)
        name = f"ipylti-server-{workspace}"
        wait_for(lambda: name not in self.containers(), f"the end of {name}")

    def _mine(self) -> tuple[str, str]:
        return "--filter", f"label=io.ipylti.instance={self.instance}"

    def _remove(self, kind: str, *command: str) -> None:
        """Remove all of this stack's containers, networks or volumes."""
        every = ("--all",) if kind == "container" else ()
        with contextlib.suppress(subprocess.SubprocessError, RuntimeError):
            names = self.podman(kind, "ls", *every, *self._mine(), "--quiet").split()
            if names:
                self.podman(kind, *command, *names)


def _get(url: str, host: str = "") -> str | None:
    """Return the body of an answer, whatever its status; None without an answer of the tool's."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as err:
        return err.read().decode() if err.code == 503 else None
    except OSError:
        return None


def _python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
