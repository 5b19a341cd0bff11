"""Real parts for tests, demo and bench: Redis, PostgreSQL, and processes that end with their parent."""

import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_PR_SET_PDEATHSIG = 1


class Process:
    """A program that runs beside us, writes to a log, and ends when we end, however we end.

    :param name: names the log.
    :param folder: where the log goes.
    :param env: what its environment has beside ours; may be changed before it is started again.
    :param farewell: the signal that asks it to end; ``crash`` the one that gives it no time.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        folder: Path,
        env: Mapping[str, str] | None = None,
        *,
        farewell: signal.Signals = signal.SIGTERM,
        crash: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.command = command
        self.log = folder / f"{name}.log"
        self.env = dict(env or {})
        self.farewell = farewell
        self.crash = crash
        self.popen: subprocess.Popen[bytes] | None = None

    def start(self) -> "Process":
        """Start it; its own session, so that a Ctrl-C in the terminal reaches only us."""
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | self.env,
                # Where Podman's helper leaves a file of its own when it can't write a container's.
                cwd=self.log.parent,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        return self

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.popen is not None and self.popen.poll() is None

    def stop(self, seconds: float = 15.0) -> None:
        """Ask it to end, and end it if it does not."""
        self._end(self.farewell, seconds)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(self.crash, 15.0)

    def children(self) -> list[int]:
        """Return the ids of the processes that it runs, whichever of its threads began them (proc(5))."""
        if self.popen is None or not self.running:
            return []
        found: list[int] = []
        for each in Path(f"/proc/{self.popen.pid}/task").glob("*/children"):
            # A thread may just have ended.
            with contextlib.suppress(OSError):
                found += map(int, each.read_text().split())
        return found

    def _end(self, number: signal.Signals, seconds: float) -> None:
        if self.popen is None:
            return
        if self.running:
            self.popen.send_signal(number)
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it take connections and answer nothing for the length of a block."""
        assert self.popen is not None
        self.popen.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.popen.send_signal(signal.SIGCONT)

    def tail(self, lines: int = 20) -> str:
        """Return the end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port(more: int = 0) -> int:
    """Return a port of 127.0.0.1 on which nobody listens at this moment, nor on so many more behind it.

    It lies below those that the kernel gives to whoever wants any port (ip(7), ``ip_local_port_range``): one
    of them may be somebody's before it is used.
    """
    while True:
        port = random.randrange(10_000, 32_768 - more)
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for each in range(port, port + more + 1):
                held.enter_context(socket.socket()).bind(("127.0.0.1", each))
            return port


def wait_for(done: Callable[[], bool], what: str, seconds: float = 60.0, pause: float = 0.05) -> None:
    """Wait until something is so.

    :param seconds: more than it takes on two busy cores; who waits for what is so soon loses nothing by it.
    :raises TimeoutError: it is not so in time.
    """
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)


def accepts(path: Path) -> bool:
    """Return whether anybody takes connections on a socket."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def kill_podman(process: Process, path: Path) -> None:
    """End Podman's service as a crash would, and wait until nobody answers at its socket.

    The process that it runs in rootless ends a moment after its parent; it is asked to, and does not always.
    What forwards the containers' ports goes on.
    """
    inner = process.children()
    process.kill()
    try:
        wait_for(lambda: not accepts(path), "the end of Podman's service", seconds=10)
    except TimeoutError:
        for pid in inner:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not accepts(path), "the end of Podman's service")


def redis_process(folder: Path) -> tuple[Process, str]:
    """Return a Redis of our own on a Unix socket, not yet started, and its URL."""
    path = folder / "redis.sock"
    command = [
        _program("redis-server"),
        *("--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"),
        *("--save", "", "--appendonly", "no", "--dir", str(folder)),
    ]
    return Process("redis", command, folder), f"unix://{path}"


def redis_answers(url: str) -> bool:
    """Return whether Redis answers."""
    from ipylti import volatile

    with contextlib.suppress(Exception):
        return bool(volatile.connect(url).ping())
    return False


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a Redis for the length of a block; gives its URL."""
    process, url = redis_process(folder)
    process.start()
    try:
        wait_for(lambda: redis_answers(url), "Redis")
        yield url
    finally:
        process.stop()


def postgresql_process(folder: Path) -> tuple[Process, str]:
    """Return a PostgreSQL of our own on a Unix socket, not yet started, and an SQLAlchemy URL.

    Its databases, made here, are empty. PostgreSQL refuses to run as root; then it runs as the user
    ``postgres``.
    """
    data, account = folder / "data", _postgresql_account(folder)
    subprocess.run(
        [*account, _program("initdb"), "-D", data, "-A", "trust", "-U", "ipylti", "--no-sync"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    command = [
        *account,
        _program("postgres"),
        *("-D", str(data), "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"),
    ]
    # Asked by SIGTERM, it would wait for whoever is connected; killed outright, it would leave processes
    # behind that keep its successor from starting.
    process = Process("postgresql", command, folder, farewell=signal.SIGINT, crash=signal.SIGQUIT)
    return process, f"postgresql+psycopg://ipylti@/postgres?host={folder}"


@contextlib.contextmanager
def postgresql_server(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL for the length of a block; gives an SQLAlchemy URL of its empty database."""
    process, url = postgresql_process(folder)
    process.start()
    try:
        wait_for(lambda: database_answers(url), f"PostgreSQL ({process.log})")
        yield url
    finally:
        process.stop()


def _postgresql_account(folder: Path) -> list[str]:
    if os.getuid() != 0:
        return []
    shutil.chown(folder, "postgres", "postgres")
    for parent in [folder, *folder.parents][:-1]:
        if parent.stat().st_uid == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]


def database_answers(url: str) -> bool:
    """Return whether a database can be connected to."""
    import sqlalchemy as sa

    with contextlib.suppress(sa.exc.SQLAlchemyError):
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect():
            return True
    return False


def _program(name: str) -> str:
    """Return where a program is; Debian keeps PostgreSQL's out of the path.

    :raises FileNotFoundError: it is not installed.
    """
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or (debian and str(debian[-1]))
    if not found:
        raise FileNotFoundError(f"{name} is not installed")
    return found
