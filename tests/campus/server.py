"""The server that a campus runs on."""

import errno
import random
import socket
import threading
from collections.abc import Callable
from typing import Any

from waitress import create_server, wasyncore

#: Free ports are taken from here: below those that the kernel gives to whoever connects to somebody, one of
#: which could be in use when a campus comes back to its own (ip(7), ``ip_local_port_range``).
FREE = (10_000, 32_768)

THREADS = 8
LONGEST_BODY = 1 << 20
STOP_TIMEOUT = 5


class Server:
    """Serves an application in a thread. It can be stopped and started again on the same port.

    :param host: address to listen on.
    :param port: 0 for a free port, which is bound at once, so that it is known before :meth:`start`.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._socket: socket.socket | None = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._waking = threading.Lock()
        self._map: dict[int, Any] = {}
        self._server: Any = None

    def start(self, app: Callable[..., Any]) -> None:
        """Serve, until :meth:`stop`."""
        if self._thread is not None:
            raise RuntimeError("this campus is running already")
        listening = self._socket or _listen(self._host, self.port)
        self._socket = None
        self._stopping.clear()
        self._map = {}
        self._server = create_server(
            app,
            map=self._map,
            sockets=[listening],
            threads=THREADS,
            max_request_body_size=LONGEST_BODY,
            ident=None,
        )
        self._thread = threading.Thread(target=self._serve, name="campus", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            wasyncore.loop(timeout=1.0, map=self._map, count=1)
        self._server.task_dispatcher.shutdown(timeout=STOP_TIMEOUT)
        # It may have been awake, and whoever stops it is about to wake it by what is closed here.
        with self._waking:
            wasyncore.close_all(self._map, ignore_all=True)

    def stop(self) -> None:
        """Stop serving: from now on connections are refused."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._thread is None:
            return
        with self._waking:
            self._stopping.set()
            self._server.pull_trigger()
        self._thread.join()
        self._thread = None


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket. It listens from now on, so that a client that comes early waits and is not refused."""
    while True:
        try:
            listening = socket.create_server((host, port or random.randrange(*FREE)), backlog=128)
        except OSError as err:
            if port or err.errno != errno.EADDRINUSE:
                raise
        else:
            listening.setblocking(False)
            return listening
