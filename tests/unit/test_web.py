"""Web processes that share a socket as systemd hands it to them, started and stopped while requests come."""

import http.client
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipylti.web import answers
from tests.parts import free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent

#: /slow waits until a file is there, so that a test decides when the request is done.
PROGRAM = """
import os, sys, time
from ipylti.web import Web

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        open(f"{sys.argv[2]}.asked", "w").close()
        while not os.path.exists(sys.argv[2]):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]

Web(app, {"port": sys.argv[1], "threads": "2"}, int(sys.argv[3])).run()
"""

#: What systemd does: the socket is descriptor 3, and meant for this process.
HANDED_ON = 'exec 3<&"$1"; shift; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'

Start = Callable[[int], subprocess.Popen[bytes]]


@pytest.fixture
def shared() -> Iterator[socket.socket]:
    """The socket that the manager holds; its port is the base of the processes' own."""
    with socket.create_server(("127.0.0.1", free_port(more=2))) as listening:
        yield listening


@pytest.fixture
def start(shared: socket.socket, tmp_path: Path) -> Iterator[Start]:
    """Starts the web process of a number."""
    started = []

    def run(number: int) -> subprocess.Popen[bytes]:
        descriptor, port = shared.fileno(), shared.getsockname()[1]
        words = [
            str(descriptor),
            sys.executable,
            "-c",
            PROGRAM,
            str(port),
            str(tmp_path / "done"),
            str(number),
        ]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(["bash", "-c", HANDED_ON, "bash", *words], pass_fds=[descriptor], env=env)
        started.append(process)
        wait_for(lambda: answers(("127.0.0.1", port + number)), f"web {number}")
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def ask(shared: socket.socket, path: str = "/") -> int:
    """Return the id of the process that answers."""
    connection = http.client.HTTPConnection(*shared.getsockname(), timeout=30)
    try:
        connection.request("POST", path, "")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def test_of_two_one_goes_and_nobody_notices(shared: socket.socket, start: Start) -> None:
    first, second = start(1), start(2)
    answered, later = [], []
    gone, stop = threading.Event(), threading.Event()

    def click() -> None:
        while not stop.is_set():
            kept = later if gone.is_set() else answered
            kept.append(ask(shared))

    people = [threading.Thread(target=click) for _ in range(4)]
    for person in people:
        person.start()
    wait_for(lambda: {first.pid, second.pid} <= set(answered), "both")
    first.terminate()
    assert first.wait(30) == 0
    gone.set()
    wait_for(lambda: len(later) > 50, "the other")
    stop.set()
    for person in people:
        person.join(30)
    assert set(later) == {second.pid}


def test_who_comes_while_none_runs_waits(shared: socket.socket, start: Start) -> None:
    first = start(1)
    first.kill()
    first.wait()
    told: list[int] = []
    person = threading.Thread(target=lambda: told.append(ask(shared)))
    person.start()
    later = start(1)
    person.join(30)
    assert told == [later.pid]


def test_a_request_that_is_under_way_is_answered(shared: socket.socket, start: Start, tmp_path: Path) -> None:
    process = start(1)
    told: list[int] = []
    person = threading.Thread(target=lambda: told.append(ask(shared, "/slow")))
    person.start()
    wait_for((tmp_path / "done.asked").exists, "the request")
    process.terminate()
    wait_for(lambda: not answers(("127.0.0.1", shared.getsockname()[1] + 1)), "no more connections")
    (tmp_path / "done").touch()
    person.join(30)
    assert (told, process.wait(30)) == ([process.pid], 0)


def test_without_a_manager_it_listens_itself(tmp_path: Path) -> None:
    port = free_port()
    words = [sys.executable, "-c", PROGRAM, str(port), str(tmp_path / "done"), "0"]
    with subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(ROOT)}) as process:
        try:
            wait_for(lambda: answers(("127.0.0.1", port)), "web")
        finally:
            process.terminate()
