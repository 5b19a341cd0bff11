"""Servers on a real rootless Podman: one for each workspace, each within its own walls."""

import ipaddress
import json
import logging
import multiprocessing
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from ipylti.errors import DependencyDown, ImageMissing, SpawnerError
from ipylti.servers import containers, isolation, podman
from ipylti.servers.podman import PodmanSpawner
from ipylti.servers.spawner import ServerState, ServerStatus, VolumeSpec
from tests.integration.conftest import PodmanService
from tests.integration.conftest import podman as command
from tests.parts import wait_for


def authorised(address, token):
    """Return whether the Jupyter at the address takes this token."""
    try:
        with urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def up(spawner, spec):
    """Start a server and wait until its Jupyter answers."""
    status = spawner.start(spec)
    wait_for(lambda: authorised(status.address, spec.token), "Jupyter")
    return status


def inside(spec, program, *words):
    """Run a Python program in a server's container, as its user."""
    name = isolation.server_name(spec.workspace)
    return command("exec", name, "python3", "-c", program, *words)


def inspect(spec):
    [entry] = json.loads(command("inspect", isolation.server_name(spec.workspace)))
    return entry


def container_ids(instance):
    return command("ps", "--all", "--quiet", "--filter", f"label=io.ipylti.instance={instance}").split()


def test_a_started_server_answers_on_loopback_and_only_to_its_token(spawner, server):
    spec = server()
    status = up(spawner, spec)
    assert status.workspace == spec.workspace
    assert status.state is ServerState.RUNNING
    assert status.address.startswith("http://127.0.0.1:")
    assert status.extension
    assert abs(status.started_at.timestamp() - time.time()) < 60
    assert not authorised(status.address, "another-token")
    assert spawner.status(spec.workspace) == status
    assert spawner.servers(spec.instance) == [status]


def test_the_labels_say_whose_it_is_and_where_it_is_routed(spawner, server):
    spec = server()
    spawner.start(spec)
    labels = inspect(spec)["Config"]["Labels"]
    assert labels["io.ipylti.workspace"] == spec.workspace
    assert labels[f"traefik.http.routers.ipylti-{spec.workspace}.rule"] == f"Host(`{spec.hostname}`)"


def test_starting_twice_is_starting_once(spawner, server):
    spec = server()
    assert spawner.start(spec) == spawner.start(replace(spec, frame_ancestors=("https://new.example",)))
    assert len(container_ids(spec.instance)) == 1


def test_threads_that_start_one_workspace_make_one_server(spawner, server):
    spec = server()
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(spawner.start(spec))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 4
    assert len(set(statuses)) == 1
    assert len(container_ids(spec.instance)) == 1


def start_in_process(url, spec, barrier, statuses):
    """Start a server as one of several workers does."""
    spawner = PodmanSpawner(url)
    spawner.ping()
    barrier.wait()
    statuses.put(spawner.start(spec))


def test_processes_that_start_one_workspace_make_one_server(podman_url, server):
    spec = server()
    context = multiprocessing.get_context("spawn")
    barrier, statuses = context.Barrier(2), context.Queue()
    words = (podman_url, spec, barrier, statuses)
    processes = [context.Process(target=start_in_process, args=words) for _ in range(2)]
    for process in processes:
        process.start()
    first, second = (statuses.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert first == second
    assert first.state is ServerState.RUNNING
    assert len(container_ids(spec.instance)) == 1


def test_starts_and_stops_at_once_end_in_what_came_last(spawner, server):
    spec = server()
    stopping = [threading.Thread(target=spawner.stop, args=(spec.workspace, 1.0)) for _ in range(2)]
    spawner.start(spec)
    for thread in stopping:
        thread.start()
    spawner.start(spec)
    for thread in stopping:
        thread.join()
    assert spawner.start(spec).state is ServerState.RUNNING
    assert len(container_ids(spec.instance)) == 1


def test_a_server_that_ended_is_made_anew_with_what_is_wanted_now(spawner, server):
    spec = server()
    old = up(spawner, spec)
    command("kill", isolation.server_name(spec.workspace))
    wait_for(lambda: spawner.status(spec.workspace).state is ServerState.STOPPED, "the end")
    assert spawner.status(spec.workspace).exit_code == 137
    assert not spawner.servers(spec.instance)[0].out_of_memory
    new = replace(spec, token="another-token")
    status = up(spawner, new)
    assert status.address != old.address or not authorised(status.address, spec.token)
    assert len(container_ids(spec.instance)) == 1


@pytest.mark.parametrize("changes", [{}, {"token": "another-token"}])
def test_a_server_that_was_made_but_not_started_by_a_worker_that_died_is_no_obstacle(
    spawner, server, changes
):
    spec = server()
    controllers = spawner._known_controllers()
    body = isolation.server_body(
        spec, entrypoint="web", tls=False, controllers=controllers, slirp=spawner._slirp
    )
    left = spawner.containers.create(body)
    assert spawner.status(spec.workspace) == ServerStatus(spec.workspace, ServerState.STOPPED, extension=True)
    now = replace(spec, **changes)
    up(spawner, now)
    assert (inspect(spec)["Id"] == left) == (not changes)


def test_a_server_that_fails_at_once_says_why(spawner, server):
    spec = server(environment={"PYTHONHOME": "/nowhere"})
    spawner.start(spec)
    wait_for(lambda: spawner.status(spec.workspace).state is ServerState.STOPPED, "the end")
    status = spawner.status(spec.workspace)
    assert (status.address, status.exit_code) == (None, 1)
    assert "No module named 'encodings'" in spawner.logs(spec.workspace)
    assert len(spawner.logs(spec.workspace, lines=3).splitlines()) == 3


def test_a_command_that_is_not_there_is_a_clear_error_and_leaves_nothing(spawner, server):
    spec = server(environment={"PATH": "/nowhere"})
    with pytest.raises(SpawnerError, match="not found"):
        spawner.start(spec)
    assert container_ids(spec.instance) == []


def test_without_the_image_there_is_a_clear_error(spawner, server):
    with pytest.raises(ImageMissing) as caught:
        spawner.start(server(image="localhost/no-such-image:1"))
    assert "no-such-image" in caught.value.detail


def test_stopping_lets_jupyter_end_and_keeps_the_volume(spawner, server):
    spec = server()
    up(spawner, spec)
    inside(spec, "open('kept', 'w').write('kept')")
    began = time.monotonic()
    spawner.stop(spec.workspace, grace=30.0)
    assert time.monotonic() - began < 15
    assert spawner.status(spec.workspace) == ServerStatus(spec.workspace, ServerState.ABSENT)
    assert container_ids(spec.instance) == []
    up(spawner, spec)
    assert inside(spec, "print(open('kept').read())") == "kept"


def test_stopping_what_is_gone_is_fine(spawner, server):
    spec = server()
    spawner.stop(spec.workspace)
    spawner.start(spec)
    spawner.stop(spec.workspace, grace=0.0)
    spawner.stop(spec.workspace)
    assert spawner.logs(spec.workspace) == ""
    assert spawner.servers(spec.instance) == []


def test_of_many_servers_each_is_listed_and_no_copying_helper_is(spawner, server, image):
    specs = [server(name) for name in "abc"]
    expected = {spec.workspace: spawner.start(spec) for spec in specs}
    [take, *_] = spawner.volumes(specs[0].instance)
    body = isolation.copy_body(take.name, take, image, digest=False, limit=60, controllers=())
    spawner.containers.create(body)
    assert {status.workspace: status for status in spawner.servers(specs[0].instance)} == expected
    assert len(container_ids(specs[0].instance)) == 4


# Volumes


def test_a_volume_is_made_once_and_says_whose_it_is(spawner, instance):
    base = VolumeSpec(f"ipylti-base-{instance}", "base", instance, "assignment")
    take = VolumeSpec(f"ipylti-take-{instance}", "take", instance, "assignment", "workspace")
    made = []
    threads = [threading.Thread(target=lambda: made.append(spawner.ensure_volume(take))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, False, True]
    assert spawner.ensure_volume(base)
    assert sorted(spawner.volumes(instance), key=lambda spec: spec.name) == [base, take]
    spawner.remove_volume(base.name)
    spawner.remove_volume(base.name)
    assert spawner.volumes(instance) == [take]


def test_a_volume_in_use_is_not_pulled_away(spawner, server, monkeypatch):
    monkeypatch.setattr(containers, "WAITS", (0.0,))
    spec = server()
    spawner.start(spec)
    with pytest.raises(SpawnerError) as caught:
        spawner.remove_volume(spec.volume)
    assert caught.value.code == "volume.in_use"
    spawner.stop(spec.workspace, grace=0.0)
    spawner.remove_volume(spec.volume)
    assert spawner.volumes(spec.instance) == []


# Isolation

STATUS = r"""
import json, os
status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
print(json.dumps({
    "status": status,
    "uid": os.getuid(),
    "environment": dict(os.environ),
    "oom": open("/proc/self/oom_score_adj").read().strip(),
    "work": os.listdir("/home/jovyan/work"),
    "writable": [path for path in ("/home/jovyan/work", "/etc", "/root", "/proc/sys")
                 if os.access(path, os.W_OK)],
    "mounts": [line.split()[4] for line in open("/proc/self/mountinfo")],
    "sockets": [line.split()[-1] for line in open("/proc/net/unix") if "podman" in line],
    "processes": [pid for pid in os.listdir("/proc") if pid.isdigit()],
}))
"""


def test_from_inside_there_are_no_rights_to_be_had(spawner, server):
    spec = server()
    up(spawner, spec)
    seen = json.loads(inside(spec, STATUS))
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(seen["status"][capabilities], 16) == 0
    assert seen["status"]["NoNewPrivs"] == "1"
    assert seen["status"]["Seccomp"] == "2"
    assert seen["uid"] == 1000
    assert int(seen["oom"]) == 500
    assert seen["work"] == []
    assert seen["writable"] == ["/home/jovyan/work"]
    assert seen["sockets"] == []
    assert len(seen["processes"]) < 10
    assert seen["environment"]["JUPYTER_TOKEN"] == spec.token
    assert seen["environment"]["IPYLTI_TOOL_ORIGIN"] == spec.tool_origin
    allowed = (
        "/",
        "/proc",
        "/sys",
        "/dev",
        "/etc/",
        "/run/.containerenv",
        "/run/secrets",
        "/home/jovyan/work",
    )
    assert [path for path in seen["mounts"] if not path.startswith(allowed[1:]) and path != "/"] == []


def test_the_engine_holds_the_options_that_keep_it_in(spawner, server):
    spec = server()
    spawner.start(spec)
    entry = inspect(spec)
    host = entry["HostConfig"]
    assert entry["EffectiveCaps"] in (None, [])
    assert entry["BoundingCaps"] in (None, [])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Privileged"] is False
    assert host["RestartPolicy"]["Name"] in ("no", "")
    assert host["NetworkMode"].partition(":")[0] in ("slirp4netns", "pasta")
    assert "allow_host_loopback=true" not in host["NetworkMode"]
    assert host["Devices"] == []
    assert host["PidMode"] == "private"
    assert host["LogConfig"]["Type"] == "k8s-file"
    assert host["LogConfig"]["Size"] == "1.049MB"
    assert [(mount["Type"], mount["Name"], mount["Destination"]) for mount in entry["Mounts"]] == [
        ("volume", spec.volume, isolation.WORK)
    ]
    assert {"nosuid", "nodev"} <= set(entry["Mounts"][0]["Options"])
    [published] = entry["NetworkSettings"]["Ports"].values()
    assert [port["HostIp"] for port in published] == ["127.0.0.1"]


def test_limits_are_held_or_their_absence_is_logged_once(spawner, server, caplog):
    caplog.set_level(logging.WARNING)
    spec = server()
    spawner.start(spec)
    spawner.start(server("b"))
    warned = [record for record in caplog.records if record.name == podman.__name__]
    host = inspect(spec)["HostConfig"]
    held = {"memory": host["Memory"], "cpus": host["CpuQuota"], "pids": host["PidsLimit"]}
    missing = isolation.missing_limits(spec.limits, spawner._known_controllers())
    wanted = {"memory": 1 << 30, "cpus": 100_000, "pids": 512}
    assert {limit: held[limit] for limit in wanted if limit not in missing} == {
        limit: wanted[limit] for limit in wanted if limit not in missing
    }
    assert [record.limits for record in warned] == ([missing] if missing else [])


REACH = r"""
import json, socket, sys
port, token = int(sys.argv[1]), sys.argv[2]
request = f"GET /api/status?token={token} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode()
gateways = [line.split()[2] for line in open("/proc/net/route").read().splitlines()[1:]]
gateways = [".".join(str(byte) for byte in bytes.fromhex(gateway)[::-1]) for gateway in gateways]
hosts = [line.split()[0] for line in open("/etc/hosts") if line.strip() and line[0] != "#"]
reached = []
for host in dict.fromkeys([*gateways, *hosts, *sys.argv[3:]]):
    for port in (port, 8888):
        try:
            with socket.create_connection((host, port), 1.5) as connection:
                connection.sendall(request)
                if b" 200 " in connection.recv(64):
                    reached.append((host, port))
        except OSError:
            pass
print(json.dumps(reached))
"""


@pytest.mark.parametrize("egress", [True, False])
def test_no_server_reaches_anothers_jupyter(spawner, server, egress):
    victim, attacker = server("victim", egress=egress), server("attacker", egress=egress)
    address = up(spawner, victim).address
    up(spawner, attacker)
    port = address.rpartition(":")[2]
    networks = inspect(victim)["NetworkSettings"].get("Networks") or {}
    hosts = [
        *("127.0.0.1", "localhost", "169.254.0.2", "169.254.0.3", "169.254.0.100", "169.254.1.1"),
        *("host.containers.internal", "host.docker.internal", socket.gethostname()),
        *(isolation.server_name(victim.workspace), inspect(victim)["Id"][:12], victim.hostname),
        *(network["IPAddress"] for network in networks.values()),
        *(network["Gateway"] for network in networks.values()),
        *subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split(),
    ]
    hosts = [host for host in hosts if host]
    assert json.loads(inside(attacker, REACH, port, victim.token, *hosts)) == []
    assert authorised(address, victim.token)
    own = json.loads(inside(attacker, REACH, port, attacker.token, "127.0.0.1"))
    assert ["127.0.0.1", 8888] in own


def test_without_egress_there_is_no_way_out_but_the_port_is_there(spawner, server, podman_url):
    spec = server(egress=False)
    status = up(spawner, spec)
    with socket.create_server(("0.0.0.0", 0)) as listening:
        port = listening.getsockname()[1]
        addresses = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
        program = (
            "import socket, sys\n"
            "for host in sys.argv[2:]:\n"
            "    try: socket.create_connection((host, int(sys.argv[1])), 2); print(host)\n"
            "    except OSError: pass\n"
            "try: print(socket.getaddrinfo('example.org', 80))\n"
            "except OSError: pass\n"
        )
        assert inside(spec, program, str(port), *addresses, "169.254.0.2", "169.254.169.254") == ""
    assert authorised(status.address, spec.token)
    assert spawner.start(spec) == status
    # Traefik parses each address of Docker's API, and reads no container at all where one is no address.
    (network,) = inspect(spec)["NetworkSettings"]["Networks"].values()
    assert ipaddress.ip_address(network["Gateway"]) and ipaddress.ip_address(network["IPAddress"])
    spawner.stop(spec.workspace)
    assert isolation.network_name(spec.workspace) not in command("network", "ls", "--format", "{{.Name}}")


def test_what_interrupted_work_left_is_tidied_up_and_nothing_else(spawner, server, image, monkeypatch):
    running, gone = server("running", egress=False), server("gone", egress=False)
    spawner.start(running)
    spawner.engine.ask("post", "/networks/create", body=isolation.network_body(gone), expect=(200, 201))
    [take, *_] = spawner.volumes(running.instance)
    spawner.containers.create(
        isolation.copy_body(take.name, take, image, digest=False, limit=60, controllers=())
    )
    spawner.tidy(running.instance)
    assert len(container_ids(running.instance)) == 2  # too young to be a leftover
    monkeypatch.setattr(podman, "_LEFT", podman.timedelta())
    spawner.tidy(running.instance)
    assert len(container_ids(running.instance)) == 1
    networks = command("network", "ls", "--format", "{{.Name}}").split()
    assert isolation.network_name(running.workspace) in networks
    assert isolation.network_name(gone.workspace) not in networks
    assert spawner.status(running.workspace).state is ServerState.RUNNING


# The engine down


@pytest.fixture
def own_service(tmp_path):
    """A service that a test may stop."""
    service = PodmanService(tmp_path)
    service.start()
    yield service
    service.stop()


def test_a_stopped_engine_is_said_at_once_and_works_again_when_it_is_back(own_service, server, image):
    spawner = PodmanSpawner(own_service.url)
    spec = server()
    status = spawner.start(spec)
    own_service.stop()
    calls = [
        spawner.ping,
        lambda: spawner.start(spec),
        lambda: spawner.stop(spec.workspace),
        lambda: spawner.status(spec.workspace),
        lambda: spawner.servers(spec.instance),
        lambda: spawner.volumes(spec.instance),
        lambda: spawner.logs(spec.workspace),
        lambda: spawner.remove_volume(spec.volume),
        lambda: spawner.tidy(spec.instance),
        lambda: spawner.copy(spec.volume, VolumeSpec("ipylti-x", "take", "i", "a"), image, print),
    ]
    for call in calls:
        began = time.monotonic()
        with pytest.raises(DependencyDown) as caught:
            call()
        assert caught.value.part == "podman"
        assert time.monotonic() - began < 2
    own_service.start()
    assert spawner.start(spec) == status
    spawner.ping()


def test_an_engine_that_goes_in_the_middle_of_a_copy_is_said_at_once(
    own_service, spawner, server, image, talkative
):
    spec = server()
    up(spawner, spec)
    inside(spec, "import os\nfor n in range(2000): open(f'{n}', 'wb').write(os.urandom(1 << 16))")
    target = VolumeSpec(f"ipylti-submission-{spec.workspace}", "submission", spec.instance, "assignment")

    def stop(done, total):
        own_service.stop()

    with pytest.raises(DependencyDown):
        PodmanSpawner(own_service.url).copy(spec.volume, target, image, stop)
    own_service.start()
    assert PodmanSpawner(own_service.url).copy(spec.volume, target, image, lambda *_: None).files == 2000


def test_an_engine_that_hangs_is_given_up_in_time(tmp_path):
    path = tmp_path / "hanging.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(8)
        spawner = PodmanSpawner(f"unix://{path}", timeout=0.5)
        for call in (lambda: spawner.status("w"), lambda: spawner.servers("i"), lambda: spawner.stop("w")):
            began = time.monotonic()
            with pytest.raises(DependencyDown):
                call()
            assert time.monotonic() - began < 3
