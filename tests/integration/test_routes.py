"""A route that Traefik missed, since Podman gave it no answer just then, is mended within a sweep."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ipylti.jobs import Jobs
from tests.integration.conftest import Exercise, enrol, needs_ordinary_user
from tests.parts import wait_for
from tests.stack import Stack

REFUSAL = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Between:
    """Stands between Traefik and Podman, on a socket of its own, and loses one container's details at will.

    :ivar lost: the container's id, or "".
    :ivar losses: how often they were lost.
    """

    def __init__(self, path: Path, podman: Path) -> None:
        self.podman = str(podman)
        self.lost = ""
        self.losses = 0
        self.url = f"unix://{path}"
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        """Pass one request on, all of which are without a body, and its answer back."""
        # Whoever listens for events goes away in the end.
        with suppress(BrokenPipeError), client, socket.socket(socket.AF_UNIX) as podman:
            head = b""
            while b"\r\n\r\n" not in head:
                received = client.recv(1 << 16)
                if not received:
                    return
                head += received
            if self.lost and f"/containers/{self.lost}/json".encode() in head:
                self.losses += 1
                client.sendall(REFUSAL)
                return
            podman.connect(self.podman)
            podman.sendall(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            while received := podman.recv(1 << 16):
                client.sendall(received)


@pytest.fixture(scope="module")
def between(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Between]:
    folder = tmp_path_factory.mktemp("between")
    made = Between(folder / "between.sock", folder / "podman.sock")
    yield made
    made.close()


@pytest.fixture(scope="module")
def running_stack(between: Between, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    needs_ordinary_user()
    stack = Stack(tmp_path_factory.mktemp("routes"))
    between.podman = str(stack.podman_socket)
    traefik = stack.processes["traefik"]
    traefik.command = [word.replace(stack.podman_url, between.url) for word in traefik.command]
    with stack:
        yield stack


def test_a_route_that_was_missed_is_mended(stack: Stack, exercise: Exercise, between: Between) -> None:
    notebook = enrol(stack).launch(exercise.link).enter()
    container = stack.server(notebook.workspace)
    between.lost = container
    # Traefik reads all containers when another one starts.
    enrol(stack).launch(exercise.link).enter()
    wait_for(lambda: notebook.get("/api").status == 503, "the loss")
    assert between.losses
    between.lost = ""
    Jobs(stack.redis_url).ask("sweep", "")
    wait_for(lambda: notebook.get("/api").status == 200, "the route")
    assert stack.server(notebook.workspace) == container
    wait_for(lambda: not any("announcement" in name for name in stack.containers()), "the announcement's end")
