"""What Podman is asked for: the walls stand in every request, and nothing of a specification weakens them."""

import dataclasses
import ipaddress
import json

import pytest

from ipylti.errors import SpawnerError
from ipylti.servers import isolation
from ipylti.servers.spawner import Limits, ServerSpec, VolumeSpec

ALL = ("cpu", "memory", "pids")
TAKE = VolumeSpec("ipylti-take-abc234", "take", "0123456789ab", "def567", "abc234")
SPEC = ServerSpec(
    workspace="abc234",
    assignment="def567",
    kind="take",
    instance="0123456789ab",
    image="localhost/ipylti-notebook:latest",
    volume=TAKE.name,
    hostname="abc234.notebook.example.org",
    token="jupyters-own-token",
    tool_origin="https://tool.example.org",
    frame_ancestors=("https://tool.example.org",),
    limits=Limits(memory=1 << 30, cpus=1.5, pids=512),
    environment={"COURSE": "physics"},
)


def server(controllers=ALL, slirp=True, **changes):
    spec = dataclasses.replace(SPEC, **changes)
    return isolation.server_body(spec, entrypoint="web", tls=False, controllers=controllers, slirp=slirp)


def copy(controllers=ALL, digest=False, limit=60.0, source="ipylti-base-def567"):
    return isolation.copy_body(source, TAKE, SPEC.image, digest=digest, limit=limit, controllers=controllers)


@pytest.mark.parametrize("body", [server(), server(egress=False), copy()])
def test_no_container_gets_more_than_its_image(body):
    assert body["cap_drop"] == ["ALL"]
    assert body["no_new_privileges"] is True
    assert body["privileged"] is False
    assert body["restart_policy"] == "no"
    assert body["seccomp_profile_path"] == str(isolation.SECCOMP)
    for key in ("mounts", "devices", "security_opt", "pidns", "ipcns", "userns"):
        assert key not in body


def test_what_is_not_allowed_by_name_does_not_exist():
    profile = json.loads(isolation.SECCOMP.read_text())
    assert (profile["defaultAction"], profile["defaultErrno"]) == ("SCMP_ACT_ERRNO", "ENOSYS")
    assert all("subArchitectures" not in entry for entry in profile["archMap"])
    allowed, conditional, refused = set(), set(), set()
    for rule in profile["syscalls"]:
        kinds = {"SCMP_ACT_ERRNO": refused}
        (conditional if "args" in rule else kinds.get(rule["action"], allowed)).update(rule["names"])
    assert not allowed & refused
    assert not allowed & conditional
    assert conditional == {"clone", "personality", "socket"}
    assert {"mount", "unshare", "setns", "keyctl", "add_key", "bpf", "open_by_handle_at"} <= refused
    assert not {"clone3", "io_uring_setup", "socketcall"} & allowed
    assert {"ptrace", "mknod", "execve"} <= allowed  # debuggers, named pipes


def test_a_server_is_asked_for_as_the_design_says():
    body = server()
    assert body["name"] == "ipylti-server-abc234"
    assert body["user"] == "1000"
    assert "cap_add" not in body
    assert body["netns"] == {"nsmode": "slirp4netns"}
    assert "Networks" not in body
    assert body["portmappings"] == [
        {"container_port": 8888, "host_ip": "127.0.0.1", "host_port": 0, "protocol": "tcp"}
    ]
    assert body["volumes"] == [{"Name": TAKE.name, "Dest": "/home/jovyan/work", "Options": ["nocopy"]}]
    assert body["log_configuration"] == {"driver": "k8s-file", "size": 1 << 20}


def test_with_egress_no_clouds_metadata_is_reached_nor_the_hosts_loopback():
    (options,) = server()["network_options"].values()
    told = dict(option.split("=") for option in options)
    assert ipaddress.ip_address("169.254.169.254") in ipaddress.ip_network(told["cidr"])
    assert (told["enable_ipv6"], told["allow_host_loopback"]) == ("false", "false")


def test_an_engine_without_slirp4netns_chooses_by_itself():
    body = server(slirp=False)
    assert body["netns"] == {"nsmode": "private"}
    assert "network_options" not in body


def test_without_egress_a_server_is_in_an_internal_network_of_its_own_and_in_no_other():
    assert server(egress=False)["Networks"] == {"ipylti-inside-abc234": {}}
    network = isolation.network_body(SPEC)
    assert network["name"] == "ipylti-inside-abc234"
    assert network["internal"] is True
    assert network["dns_enabled"] is False


def test_an_internal_network_has_a_gateway_that_traefik_can_read_in_a_subnet_of_its_own():
    first, second = (isolation.network_body(SPEC, attempt)["subnets"][0] for attempt in (0, 1))
    assert first == isolation.network_body(SPEC)["subnets"][0]
    assert first != second
    subnet = ipaddress.ip_network(first["subnet"])
    assert subnet.subnet_of(ipaddress.ip_network("10.128.0.0/9"))
    assert ipaddress.ip_address(first["gateway"]) in subnet.hosts()


def test_no_environment_of_an_assignment_replaces_what_the_server_is_told():
    body = server(environment={"COURSE": "physics", "JUPYTER_TOKEN": "", "IPYLTI_TOOL_ORIGIN": "*"})
    assert body["env"] == {
        "COURSE": "physics",
        "JUPYTER_TOKEN": "jupyters-own-token",
        "IPYLTI_TOOL_ORIGIN": "https://tool.example.org",
    }


def test_a_copying_helper_has_two_volumes_and_no_network():
    body = copy()
    assert body["name"] == "ipylti-copy-ipylti-take-abc234"
    assert body["netns"] == {"nsmode": "none"}
    assert "portmappings" not in body
    assert body["read_only_filesystem"] is True
    assert body["cap_add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]
    assert body["volumes"] == [
        {"Name": "ipylti-base-def567", "Dest": "/source", "Options": ["nocopy", "ro"]},
        {"Name": TAKE.name, "Dest": "/target", "Options": ["nocopy"]},
    ]
    assert body["remove"] is True
    assert body["resource_limits"]["memory"]["limit"] == 512 << 20


def test_a_helpers_labels_say_what_it_is_and_do_not_route_to_it():
    labels = copy()["labels"]
    assert labels["io.ipylti.kind"] == "copy"
    assert labels["io.ipylti.instance"] == TAKE.instance
    assert not [key for key in labels if key.startswith("traefik")]


@pytest.mark.parametrize(
    ("digest", "limit", "words"),
    [(False, 60.0, ["plain", "60"]), (True, 1.2, ["digest", "2"])],
)
def test_a_helper_is_told_what_to_do_and_how_long_it_may_take(digest, limit, words):
    assert copy(digest=digest, limit=limit)["command"] == ["/source", "/target", *words]


@pytest.mark.parametrize(
    ("limits", "controllers", "expected", "missing"),
    [
        (
            Limits(memory=1 << 30, cpus=1.5, pids=512),
            ALL,
            {
                "memory": {"limit": 1 << 30, "swap": 1 << 30},
                "cpu": {"period": 100_000, "quota": 150_000},
                "pids": {"limit": 512},
            },
            [],
        ),
        (Limits(memory=1 << 30, cpus=1.5, pids=512), (), {}, ["memory", "cpus", "pids"]),
        (
            Limits(memory=1 << 30, pids=512),
            ("memory",),
            {"memory": {"limit": 1 << 30, "swap": 1 << 30}},
            ["pids"],
        ),
        (Limits(), ALL, {}, []),
        (Limits(), (), {}, []),
    ],
)
def test_limits_are_asked_for_where_the_host_has_them(limits, controllers, expected, missing):
    assert server(controllers, limits=limits)["resource_limits"] == expected
    assert isolation.missing_limits(limits, controllers) == missing


def test_the_fingerprint_tells_any_two_specifications_apart():
    def fingerprint(**changes):
        return server(**changes)["labels"]["io.ipylti.spec"]

    assert fingerprint() == fingerprint()
    changes = [{"token": "t"}, {"egress": False}, {"limits": Limits()}, {"image": "i"}, {"environment": {}}]
    assert len({fingerprint(), *(fingerprint(**change) for change in changes)}) == len(changes) + 1


def test_a_volume_belongs_to_the_notebooks_user_from_the_start():
    body = isolation.volume_body(TAKE)
    assert body["Name"] == "ipylti-take-abc234"
    assert body["Options"] == {"o": "uid=1000,gid=1000"}
    assert body["Labels"]["io.ipylti.workspace"] == "abc234"


@pytest.mark.parametrize("name", ["", "/etc", "../up", "a/b", "a:b", "a b", "a\nb"])
def test_no_path_can_stand_for_a_volume(name):
    with pytest.raises(SpawnerError):
        copy(source=name)
    with pytest.raises(SpawnerError):
        server(volume=name)
    with pytest.raises(SpawnerError):
        isolation.volume_body(dataclasses.replace(TAKE, name=name))
