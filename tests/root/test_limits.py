"""What a server may use, enforced by the kernel: as root, since not every host lets rootless Podman do it."""

import json
from pathlib import Path

import pytest

from ipylti.servers import isolation
from ipylti.servers.probe import Probe
from ipylti.servers.spawner import Limits, ServerState
from tests.integration.conftest import podman
from tests.parts import wait_for

pytestmark = pytest.mark.usefixtures("elsewhere")

LIMITS = Limits(memory=256 << 20, cpus=0.5, pids=64)

#: What programs in the container can read of their own limits, by either version of cgroups.
_READ = """
from pathlib import Path
for place in ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"):
    if Path(place).exists():
        print(Path(place).read_text())
"""

#: Takes memory, up to twice what there is.
_EAT = """
eaten = []
for _ in range(128):
    eaten.append(b"x" * (4 << 20))
"""

#: Takes as much in many small pieces, so that the kernel ends Jupyter, the first process there, before them.
_EAT_TOGETHER = """
import os, time
open("/proc/1/oom_score_adj", "w").write("1000")
for _ in range(10):
    if os.fork() == 0:
        eaten = b"x" * (40 << 20)
        time.sleep(10)
        os._exit(0)
time.sleep(10)
"""

#: Forks until it is not let any more, and 500 times at most; all of it ends within seconds.
_FORK = """
import os, time
forked = 0
for _ in range(500):
    try:
        if os.fork() == 0:
            time.sleep(5)
            os._exit(0)
        forked += 1
    except OSError:
        break
print(forked)
"""

#: What part of a core it gets.
_SPIN = """
import time
begun = time.monotonic()
while time.monotonic() - begun < 2:
    pass
print(time.process_time() / 2)
"""


def run(spec, program, check=True):
    """Run a Python program in a server's container, as the notebook's user."""
    return podman("exec", isolation.server_name(spec.workspace), "python3", "-c", program, check=check)


def up(spawner, spec):
    """Start a server and wait for its Jupyter; returns its address."""
    address = spawner.start(spec).address
    wait_for(lambda: Probe().answers(f"{address}/api"), "Jupyter")
    return address


def test_the_limits_are_the_kernels(spawner, server):
    spec = server(limits=LIMITS)
    spawner.start(spec)
    assert isolation.missing_limits(spec.limits, spawner._known_controllers()) == []
    assert run(spec, _READ) == "64"


def test_a_process_that_wants_too_much_memory_is_ended_and_told_of_while_jupyter_goes_on(spawner, server):
    spec, neighbour = server(limits=LIMITS), server("b", limits=LIMITS)
    address = up(spawner, spec)
    spawner.start(neighbour)
    before = spawner.memory_kills(spec.instance)
    assert {workspace: kills.count for workspace, kills in before.items()} == {
        spec.workspace: 0,
        neighbour.workspace: 0,
    }
    assert run(spec, f"{_EAT}print('eaten')", check=False) == ""
    kills = spawner.memory_kills(spec.instance)
    assert kills[spec.workspace].count >= 1
    assert kills[spec.workspace].limit == LIMITS.memory
    assert kills[neighbour.workspace].count == 0
    assert Probe().answers(f"{address}/api")


def test_a_server_that_wants_too_much_memory_is_ended_and_says_so(spawner, server):
    spec = server(limits=LIMITS)
    up(spawner, spec)
    run(spec, _EAT_TOGETHER, check=False)
    wait_for(lambda: spawner.status(spec.workspace).state is ServerState.STOPPED, "the server's end")
    (status,) = spawner.servers(spec.instance)
    assert status.exit_code == 137
    # Where cgroups are of version 1, conmon does not see it in time (conmon, src/cgroup.c).
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        assert (status.out_of_memory, status.memory) == (True, LIMITS.memory)


def test_a_fork_bomb_is_held(spawner, server):
    spec = server(limits=LIMITS)
    address = up(spawner, spec)
    assert int(run(spec, _FORK)) < 64
    assert Probe().answers(f"{address}/api")


def test_no_more_of_the_processor_than_its_share(spawner, server):
    spec = server(limits=LIMITS)
    spawner.start(spec)
    host = json.loads(podman("inspect", isolation.server_name(spec.workspace)))[0]["HostConfig"]
    assert host["CpuQuota"] / host["CpuPeriod"] == 0.5
    assert float(run(spec, _SPIN)) < 0.65
