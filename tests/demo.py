"""The demo: runs ipylti with a campus until Ctrl-C. ``bin/demo`` prepares everything and starts it."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

from tests.stack import Ports, Stack

PORTS = Ports(traefik=8000, campus=8001, web=8002)

WELCOME = """
ipylti is up. Open campus, a small LMS, in a browser on this machine:

    {campus}

Nóra teaches: launch “Exercise 1” as her, make a notebook, save it. Zoë, Layla and Sam are students: launch
the same exercise as one of them (another browser profile, or a private window, is another person), work,
press Submit, and look at the gradebook.

Logs: {logs}        Ctrl-C stops everything; people's work stays for the next time.
"""


def main() -> int:
    """Run the demo; returns the exit status."""
    taken = [port for port in vars(PORTS).values() if _taken(port)]
    if taken:
        ports = ", ".join(str(port) for port in taken)
        print(f"Port {ports} of 127.0.0.1 is in use. Is another demo running?", file=sys.stderr)
        return 1
    # A signal's handler may take no lock, as an Event does: the main thread may just hold it.
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: signals.append(got))
    stack = Stack(_folder(), ports=PORTS, client_id="demo", quiet=False)
    try:
        stack.start()
    except (RuntimeError, OSError) as err:
        print(f"The demo could not start: {err}", file=sys.stderr)
        return 1
    print(WELCOME.format(campus=stack.campus.url, logs=stack.folder), flush=True)
    ended = _watch(stack, signals)
    print("stopping …", flush=True)
    stack.stop()
    if ended:
        print(f"{ended} ended by itself; its log is {stack.processes[ended].log}", file=sys.stderr)
        return 1
    return 0


def _watch(stack: Stack, signals: list[int]) -> str | None:
    """Wait to be stopped; returns the name of a part that ended by itself before, or None."""
    while not signals:
        time.sleep(0.2)
        for name, process in stack.processes.items():
            if not process.running:
                return name
    return None


def _folder() -> Path:
    """Return where the demo keeps its state."""
    home = os.environ.get("IPYLTI_HOME") or Path.home() / ".local" / "share" / "ipylti"
    return Path(home) / "demo"


def _taken(port: int) -> bool:
    with socket.socket() as sock:
        # A port whose last connections are still closing may be used again at once.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


if __name__ == "__main__":
    raise SystemExit(main())
