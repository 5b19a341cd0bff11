"""The whole of ipylti on one machine, on real parts, for the demo, the tests and the bench.

Redis, Podman's API service, Traefik, web and worker run as processes of the calling (unprivileged) user; campus,
the LMS, runs in a thread of the caller, who can thereby look into it. All listens on 127.0.0.1 or on sockets in
the stack's own folder, and ends with the caller, however the caller ends.
"""

import configparser
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ipylti.lti import claims
from tests.campus import Campus, Config
from tests.parts import Process, free_port, redis_answers, redis_process, wait_for

ROOT = Path(__file__).resolve().parent.parent

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

    :param folder: configuration, sockets, logs and the database; kept, so that a later stack goes on with it.
    :param client_id: the tool's client id at campus; with the same one, people find their work again.
    :param ini: settings that differ from development.ini's.
    :param quiet: whether to be silent about what is being started.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ports: Ports | None = None,
        client_id: str | None = None,
        ini: dict[str, str] | None = None,
        quiet: bool = True,
    ) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = ports or Ports.free()
        self.quiet = quiet
        self.tool_url = f"http://ipylti.localhost:{self.ports.traefik}"
        self.web_url = f"http://127.0.0.1:{self.ports.web}"
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
        redis, self.redis_url = redis_process(folder)
        self.podman_socket = folder / "podman.sock"
        self.podman_url = f"unix://{self.podman_socket}"
        self.ini = folder / "ipylti.ini"
        self._write_ini(ini or {})
        self.processes = {
            "redis": redis,
            "podman": Process("podman", ["podman", "system", "service", "-t", "0", self.podman_url], folder),
            "traefik": Process("traefik", self._traefik_command(), folder, self._traefik_env()),
            "web": Process("web", [*_python("-m", "pyramid.scripts.pserve"), str(self.ini)], folder),
            "worker": Process("worker", self._ipylti("worker", str(self.ini)), folder),
        }

    @property
    def instance(self) -> str:
        """The value of the label ``io.ipylti.instance`` of this stack's containers and volumes."""
        from ipylti.cli import load

        return load(str(self.ini)).instance

    def start(self) -> "Stack":
        """Start everything and wait until it answers.

        :raises RuntimeError: something ended or does not answer; says what, and the end of its log.
        """
        try:
            for stale in (self.podman_socket, self.folder / "redis.sock"):
                stale.unlink(missing_ok=True)
            self._start_part("redis", lambda: redis_answers(self.redis_url))
            self._start_part("podman", self.podman_socket.is_socket)
            self._say("database")
            self.run("db", "upgrade", str(self.ini))
            self._start_part("web", lambda: self._get(f"{self.web_url}/healthz") is not None)
            self._start_part("traefik", lambda: self._get(*self._through_traefik()) is not None)
            self._say("campus")
            self.campus.start()
            self._register()
            self._start_part("worker", self.ready)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, *, volumes: bool = False) -> None:
        """Stop everything, servers included.

        :param volumes: whether to remove all volumes as well.
        """
        for name in ("traefik", "worker", "web"):
            self.processes[name].stop()
        self._remove_containers()
        if volumes:
            self._remove_volumes()
        for name in ("podman", "redis"):
            self.processes[name].stop()
        self.campus.stop()

    def __enter__(self) -> "Stack":
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop(volumes=True)

    # Parts

    def kill(self, name: str) -> None:
        """End a part as a crash would."""
        self.processes[name].kill()
        if name == "podman":
            self.podman_socket.unlink(missing_ok=True)

    def revive(self, name: str) -> None:
        """Start a part that was killed, and wait until it answers."""
        answers: dict[str, Callable[[], bool]] = {
            "redis": lambda: redis_answers(self.redis_url),
            "podman": self.podman_socket.is_socket,
            "web": lambda: self._get(f"{self.web_url}/healthz") is not None,
            "traefik": lambda: self._get(*self._through_traefik()) is not None,
            "worker": self.ready,
        }
        self._start_part(name, answers[name])

    def ready(self) -> bool:
        """Return whether the tool says that all it depends on is there."""
        told = self._get(f"{self.web_url}/readyz")
        return told is not None and all(state == "ok" for state in json.loads(told).values())

    def run(self, *arguments: str) -> str:
        """Run an ``ipylti`` command and return what it prints.

        :raises RuntimeError: it failed; says with which words.
        """
        done = subprocess.run(self._ipylti(*arguments), capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"ipylti {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _start_part(self, name: str, answers: Callable[[], bool]) -> None:
        self._say(name)
        process = self.processes[name].start()
        try:
            wait_for(lambda: not process.running or answers(), name, READY)
        except TimeoutError as err:
            raise RuntimeError(f"{err}; its log ({process.log}) ends:\n{process.tail()}") from err
        if not process.running:
            raise RuntimeError(f"{name} ended; its log ({process.log}) ends:\n{process.tail()}")

    def _register(self) -> None:
        """Tell the tool of campus, as an administrator would."""
        told = self.campus.registration
        options = [text for name, value in told.items() for text in (f"--{name}", value)]
        self.run("platform", "add", str(self.ini), *options)

    def _say(self, what: str) -> None:
        if not self.quiet:
            print(f"  starting {what} …", flush=True)

    # Configuration

    def _write_ini(self, changes: dict[str, str]) -> None:
        """Write development.ini with this stack's addresses; ``%`` stays as it is for the loggers."""
        parser = configparser.RawConfigParser()
        parser.read(ROOT / "development.ini")
        app = parser["app:main"]
        app["ipylti.url"] = self.tool_url
        app["ipylti.notebook_port"] = str(self.ports.traefik)
        app["ipylti.podman_url"] = self.podman_url
        app["sqlalchemy.url"] = f"sqlite:///{self.folder}/ipylti.sqlite"
        app["redis.sessions.url"] = self.redis_url
        for key, value in changes.items():
            app[key] = value
        parser["server:main"]["port"] = str(self.ports.web)
        with self.ini.open("w") as file:
            parser.write(file)

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
            "IPYLTI_WEBS": self.web_url,
            "IPYLTI_ENTRYPOINT": "web",
        }

    def _through_traefik(self) -> tuple[str, str]:
        return f"http://127.0.0.1:{self.ports.traefik}/healthz", f"ipylti.localhost:{self.ports.traefik}"

    @staticmethod
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

    @staticmethod
    def _ipylti(*arguments: str) -> list[str]:
        return [*_python("-c", "from ipylti.cli import main; main()"), *arguments]

    # Podman

    def podman(self, *arguments: str) -> str:
        """Run a ``podman`` command and return what it prints."""
        done = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=120, check=True)
        return done.stdout.strip()

    def stop_server(self, workspace: str) -> None:
        """Have the worker stop a workspace's server, and wait until it is gone."""
        self.run("workspace", "stop", str(self.ini), workspace)
        name = f"ipylti-server-{workspace}"
        wait_for(lambda: name not in self.containers(), f"the end of {name}")

    def containers(self) -> list[str]:
        """Return the names of this stack's containers, running or not."""
        told = self.podman("ps", "-a", "--filter", self._mine(), "--format", "{{.Names}}")
        return told.split()

    def volumes(self) -> list[str]:
        """Return the names of this stack's volumes."""
        return self.podman("volume", "ls", "--filter", self._mine(), "--format", "{{.Name}}").split()

    def _mine(self) -> str:
        return f"label=io.ipylti.instance={self.instance}"

    def _remove_containers(self) -> None:
        with contextlib.suppress(subprocess.SubprocessError):
            names = self.containers()
            if names:
                self.podman("rm", "--force", "--time", "3", *names)

    def _remove_volumes(self) -> None:
        with contextlib.suppress(subprocess.SubprocessError):
            names = self.volumes()
            if names:
                self.podman("volume", "rm", "--force", *names)


def _python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


@contextlib.contextmanager
def running(folder: Path, **options: object) -> Iterator[Stack]:
    """Run a stack for the length of a block, and leave nothing behind."""
    with Stack(folder, **options) as stack:  # type: ignore[arg-type]
        yield stack


def state_folder() -> Path:
    """Return where the demo keeps its state."""
    home = os.environ.get("IPYLTI_HOME") or Path.home() / ".local" / "share" / "ipylti"
    return Path(home) / "demo"
