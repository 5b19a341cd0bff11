"""What a process tells its service manager, and what it is handed by it (sd_notify(3), sd_listen_fds(3)).

Run by anybody else, all of it does nothing.
"""

import contextlib
import os
import socket
from collections.abc import Mapping

#: The first descriptor that is handed on (sd-daemon.h, ``SD_LISTEN_FDS_START``).
_FIRST = 3

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


def notify(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Tell the service manager a state; a manager that is away is none of this process' worries."""
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        # A leading @ stands for the zero byte of Linux' abstract names.
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.sendall(state.encode())


def listeners(environ: Mapping[str, str] = os.environ) -> list[socket.socket]:
    """Return the listening sockets that the service manager holds for this process."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    descriptors = range(_FIRST, _FIRST + int(environ.get("LISTEN_FDS", "0")))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


def watchdog(environ: Mapping[str, str] = os.environ) -> float | None:
    """Return the seconds within which the service manager wants to hear of this process, None for never."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = int(environ.get("WATCHDOG_USEC", "0"))
    return microseconds / 1e6 if microseconds else None
