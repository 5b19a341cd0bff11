"""What neighbours notice of a notebook that takes all that it can get, where its limits are enforced."""

import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipylti.servers import isolation
from ipylti.servers.spawner import Limits
from tests.parts import Process, free_port, wait_for

pytestmark = pytest.mark.usefixtures("elsewhere")

#: Looks at a neighbour before and while; one of twenty may take longer than what is compared.
LOOKS = 200

#: What the neighbour's answers may take beside twice the usual: this machine has others to serve, too.
SLACK = 0.1

#: How often it is compared at most: what others do on this machine may come just during the bomb.
TRIES = 3

#: The gate lets all pass: here it is about time.
OPEN_GATE = """
http:
  middlewares:
    ipylti-gate:
      headers:
        customRequestHeaders:
          X-Gate: open
"""

#: Forks as often as it can, computes, takes memory and writes files in each; all of it ends after 90 seconds,
#: or with the container. It leaves Jupyter its memory, with which it would end; the first process only waits.
BOMB = """
import os, signal, time
end = time.monotonic() + 90
signal.alarm(95)
if os.fork():
    time.sleep(90)
    os._exit(0)
for number in range(300):
    try:
        if os.fork():
            continue
    except OSError:
        pass
    signal.alarm(95)
    eaten = []
    while time.monotonic() < end:
        eaten = [*eaten, b"x" * (1 << 20)][-2:]
        with open(f"bomb{number % 8}", "wb") as file:
            file.write(eaten[-1])
        try:
            if os.fork() == 0:
                eaten = []
        except OSError:
            pass
    os._exit(0)
"""


@pytest.fixture
def traefik(podman_service, instance: str, tmp_path: Path) -> Iterator[str]:
    """Traefik before the instance's servers; gives its address."""
    port = free_port()
    (tmp_path / "gate.yml").write_text(OPEN_GATE)
    command = [
        str(Path(sys.executable).parent / "traefik"),
        f"--entryPoints.web.address=127.0.0.1:{port}",
        f"--providers.file.filename={tmp_path / 'gate.yml'}",
        f"--providers.docker.endpoint={podman_service.url}",
        "--providers.docker.exposedByDefault=false",
        "--providers.docker.useBindPortIP=true",
        f"--providers.docker.constraints=Label(`io.ipylti.instance`,`{instance}`)",
        "--providers.providersThrottleDuration=50ms",
    ]
    process = Process("traefik", command, tmp_path).start()
    yield f"http://127.0.0.1:{port}"
    process.stop()


def seconds(address: str, host: str) -> float:
    """Return how long the notebook host takes to answer."""
    begun = time.monotonic()
    request = urllib.request.Request(f"{address}/api", headers={"Host": host})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    return time.monotonic() - begun


def answers(address: str, host: str) -> bool:
    try:
        return seconds(address, host) > 0
    except OSError:
        return False


def p95(address: str, host: str) -> float:
    """Return the time in which 95 of 100 requests are answered."""
    taken = []
    for _ in range(LOOKS):
        taken.append(seconds(address, host))
        time.sleep(0.01)
    return statistics.quantiles(taken, n=20)[-1]


def test_neighbours_stay_answerable_during_a_fork_bomb(spawner, server, traefik):
    bomber = server("bomber", limits=Limits(memory=512 << 20, cpus=0.5, pids=64))
    neighbour = server("neighbour", limits=Limits(memory=512 << 20, cpus=1.0, pids=128))
    for _ in range(TRIES):
        for spec in (bomber, neighbour):
            spawner.start(spec)
        for spec in (bomber, neighbour):
            wait_for(lambda spec=spec: answers(traefik, spec.hostname), f"a way to {spec.hostname}")
        before = p95(traefik, neighbour.hostname)
        during = p95_during_a_bomb(spawner, bomber, traefik, neighbour.hostname)
        print(f"a neighbour's p95: {1000 * before:.1f} ms before, {1000 * during:.1f} ms during a fork bomb")
        if during <= 2 * before + SLACK:
            return
    raise AssertionError(f"{TRIES} times of {TRIES}, a neighbour was kept waiting")


def p95_during_a_bomb(spawner, bomber, address: str, host: str) -> float:
    """Return in what time a host answers while a server's code explodes; the server is stopped then."""
    command = ["podman", "exec", isolation.server_name(bomber.workspace), "python3", "-c", BOMB]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as bomb:
        try:
            time.sleep(1)
            during = p95(address, host)
            assert bomb.poll() is None, "the bomb was over before its neighbour was asked"
        finally:
            spawner.stop(bomber.workspace, grace=0.0)
            bomb.kill()
    return during
