"""A network namespace of the tests' own with no way out of it, and in it stand-ins for the world outside.

All of a Podman runs in it, so that its containers' way out ends there.
"""

import contextlib
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ipylti.servers import isolation
from ipylti.servers.podman import PodmanSpawner
from tests.parts import Process, accepts, wait_for

#: A server somewhere in the world (RFC 5737, TEST-NET-3).
WORLD = "203.0.113.10"

#: Where clouds keep a machine's metadata, and its keys.
METADATA = ("169.254.169.254", "169.254.170.2", "fd00:ec2::254")

#: Answers whoever connects to port 80 of any address, and every question for a name with :data:`WORLD`
#: (RFC 1035, 4.1: the question comes back, and an answer whose name points at it).
_STAND_INS = f"""
import socket, threading
world = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("0.0.0.0", 53))

def serve():
    while True:
        connection, _ = world.accept()
        connection.sendall(b"stand-in")
        connection.close()

threading.Thread(target=serve, daemon=True).start()
print("up", flush=True)
while True:
    asked, address = names.recvfrom(512)
    end = asked.index(0, 12) + 5
    answer = b"\\xc0\\x0c\\0\\x01\\0\\x01\\0\\0\\0\\x3c\\0\\x04" + socket.inet_aton("{WORLD}")
    is_address = asked[end - 4:end - 2] == b"\\0\\x01"
    head = asked[:2] + b"\\x81\\x80\\0\\x01\\0" + bytes([is_address]) + b"\\0\\0\\0\\0"
    names.sendto(head + asked[12:end] + answer * is_address, address)
"""

#: Prints which of its arguments answer; a name that can't be resolved does not.
_REACH = """
import json, socket, sys, threading
reached = []

def reach(host):
    try:
        with socket.create_connection((host, 80), 4) as connection:
            if connection.recv(64) == b"stand-in":
                reached.append(host)
    except OSError:
        pass

threads = [threading.Thread(target=reach, args=(host,)) for host in sys.argv[1:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(sorted(reached)))
"""


class Apart:
    """The namespace, once it stands.

    :param spawner: on the Podman that is in it.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.enter = ["nsenter", f"--net=/run/netns/{name}"]
        self.socket = folder / "podman.sock"
        url = f"unix://{self.socket}"
        service = [*self.enter, "podman", "system", "service", "-t", "0", url]
        stand_ins = [*self.enter, sys.executable, "-c", _STAND_INS]
        self.processes = [Process("apart-podman", service, folder), Process("stand-ins", stand_ins, folder)]
        self.spawner = PodmanSpawner(url)
        self.spawner._controllers = frozenset(isolation.CONTROLLERS.values())
        self.spawner._slirp = True

    def reached(self, *hosts: str) -> list[str]:
        """Return which hosts are reached from the namespace itself, as by a program of the host's."""
        return _told([*self.enter, sys.executable, "-c", _REACH, *hosts])

    def reached_by(self, workspace: str, *hosts: str) -> list[str]:
        """Return which hosts are reached by a server's code."""
        return _told(["podman", "exec", isolation.server_name(workspace), "python3", "-c", _REACH, *hosts])


@contextlib.contextmanager
def apart(folder: Path) -> Iterator[Apart]:
    """Have a namespace for the length of a block."""
    name = f"ipylti-{secrets.token_hex(4)}"
    _run("ip", "netns", "add", name)
    made = Apart(name, folder)
    try:
        _run("ip", "-n", name, "link", "set", "lo", "up")
        for address in (WORLD, *METADATA, *_nameservers()):
            _run("ip", "-n", name, "address", "add", address, "dev", "lo")
        for process in made.processes:
            process.start()
        wait_for(lambda: accepts(made.socket), "Podman's service")
        wait_for(lambda: "up" in made.processes[1].tail(), "the stand-ins")
        yield made
    finally:
        for process in made.processes:
            process.kill()
        _run("ip", "netns", "delete", name)


def _nameservers() -> list[str]:
    """Return the addresses that the host's programs ask for names, which slirp4netns asks too."""
    lines = [line.split() for line in Path("/etc/resolv.conf").read_text().splitlines()]
    found = [words[1] for words in lines if words[:1] == ["nameserver"]]
    return [each for each in found if not each.startswith("127.")]


def _told(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return list(json.loads(done.stdout))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=30)
