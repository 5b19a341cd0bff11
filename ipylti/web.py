"""One web process of several, as the service manager runs it.

All of them take connections from one socket, which the manager holds: where one of them ends, the others go
on, and where all of them do, connections wait until one is back. So neither Traefik nor a person notices that
a process is restarted. Each has a port of its own besides, on which it alone answers: for its metrics, and to
see whether it still answers at all.
"""

import http.client
import logging
import signal
import socket
import threading
import time
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server

from ipylti import systemd

log = logging.getLogger(__name__)

#: Seconds that requests get which are under way when the process is told to stop.
_FINISH = 20.0

#: Seconds for which a connection that was taken may still bring a request by then.
_PATIENCE = 0.5

#: Seconds that the process may take to answer itself.
_ANSWER = 20.0


class Web:
    """An application, served until SIGTERM or SIGINT.

    :param options: waitress', as in the ini file's ``[server:main]``.
    :param number: which of several this is, from 1; its own port is so much above ``port``.
    """

    def __init__(self, app: Any, options: dict[str, Any], number: int = 0) -> None:
        options = dict(options)
        host, port = options.pop("host", "127.0.0.1"), int(options.pop("port", 8080))
        self.own = (host, port + number)
        sockets = systemd.listeners()
        if number or not sockets:
            sockets.append(_listen(self.own))
        self.map: dict[int, Any] = {}
        self.server = create_server(app, map=self.map, sockets=sockets, **options)
        self.signals: list[int] = []

    def run(self) -> None:
        """Serve; requests that are under way when a signal comes are answered."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._take)
        threading.Thread(target=self._tell, daemon=True, name="watchdog").start()
        systemd.notify(systemd.READY)
        log.info("web is up", extra={"port": self.own[1]})
        while not self.signals:
            self._turn()
        systemd.notify(systemd.STOPPING)
        self._finish()

    def _turn(self, seconds: float = 30.0) -> None:
        wasyncore.poll2(seconds, self.map)

    def _take(self, number: int, _frame: object) -> None:
        self.signals.append(number)
        for server in self._parts(BaseWSGIServer):
            server.pull_trigger()

    def _parts(self, kind: type) -> list[Any]:
        return [part for part in list(self.map.values()) if isinstance(part, kind)]

    def _finish(self) -> None:
        """Take no more connections, and close those that there are, each when it has nothing to do."""
        for server in self._parts(BaseWSGIServer):
            # Not its own close(), which would also close what its connections wake the loop with.
            wasyncore.dispatcher.close(server)
        deadline = time.monotonic() + _FINISH
        while (open_ones := self._parts(HTTPChannel)) and time.monotonic() < deadline:
            for channel in open_ones:
                if _idle(channel):
                    channel.will_close = True
            self._turn(0.1)
        self.server.task_dispatcher.shutdown(timeout=1)

    def _tell(self) -> None:
        """Tell the service manager again and again that this process answers; or else it is ended."""
        seconds = systemd.watchdog()
        while seconds is not None:
            if answers(self.own):
                systemd.notify(systemd.ALIVE)
            time.sleep(seconds / 4)


def _listen(address: tuple[str, int]) -> socket.socket:
    return socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)


def _idle(channel: HTTPChannel) -> bool:
    """Return whether a connection has nothing to do: it has had an answer, or brings no request."""
    if channel.requests or channel.request or channel.total_outbufs_len:
        return False
    used = channel.last_activity > channel.creation_time
    return used or time.time() - channel.creation_time > _PATIENCE


def answers(address: tuple[str, int]) -> bool:
    """Return whether a web process says at this address that it is well."""
    connection = http.client.HTTPConnection(*address, timeout=_ANSWER)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
