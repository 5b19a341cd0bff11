"""What is told to the service manager, over a real socket, and what is taken from it."""

import os
import socket
from pathlib import Path

import pytest

from ipylti import systemd


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_is_told(tmp_path: Path, abstract: bool) -> None:
    name = f"@{tmp_path}" if abstract else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        systemd.notify(systemd.READY, {"NOTIFY_SOCKET": name})
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    systemd.notify(systemd.READY, environ)


@pytest.mark.parametrize("environ", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}])
def test_sockets_of_another_process_are_left_alone(environ: dict[str, str]) -> None:
    assert systemd.listeners(environ) == []


def test_the_watchdog() -> None:
    assert systemd.watchdog({}) is None
    assert systemd.watchdog({"WATCHDOG_USEC": "60000000"}) == 60
    assert systemd.watchdog({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}) == 60
    assert systemd.watchdog({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}) is None
