"""What Podman is asked to make, and with it all that keeps a container within its walls.

Pure functions from specifications to the bodies of libpod's API requests (``POST /libpod/containers/create``
and its kin, Podman 4.0 and later).
"""

import hashlib
import ipaddress
import json
import math
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any

from ipylti.servers import labels
from ipylti.servers.spawner import Limits, ServerSpec, VolumeSpec

#: The user of every notebook image ("jovyan"), and the owner of every volume.
NOTEBOOK_UID = 1000

#: Where a workspace's volume is in its server.
WORK = "/home/jovyan/work"

#: Set on a container: a hash of all that it was made from.
FINGERPRINT = "io.ipylti.spec"

#: Where the helper has the two volumes.
_SOURCE, _TARGET = "/source", "/target"

#: What ``cp -a`` needs as root to recreate other people's files; not among them: the making of device files
#: and of file capabilities, which no notebook can make either.
_COPY_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]

_COPY_LIMITS = Limits(memory=512 << 20, pids=64)

#: Bytes of a container's output that are kept.
_LOG_SIZE = 1 << 20

#: The kernel kills notebooks before it kills what runs them (proc(5), ``/proc/pid/oom_score_adj``).
_OOM_SCORE = 500

_CPU_PERIOD = 100_000

#: The addresses of internal networks: a million networks of which each has room for one server.
_SUBNET_POOL = ipaddress.IPv4Network("10.128.0.0/9")
_SUBNET_PREFIX = 29

#: cgroup controllers, as Podman names them, by what they limit.
CONTROLLERS = {"memory": "memory", "cpus": "cpu", "pids": "pids"}


def server_name(workspace: str) -> str:
    """Return the name of a workspace's container."""
    return f"ipylti-server-{labels.name('workspace', workspace)}"


def network_name(workspace: str) -> str:
    """Return the name of the internal network of a server without egress."""
    return f"ipylti-inside-{labels.name('workspace', workspace)}"


def copy_name(target: str) -> str:
    """Return the name of the helper container that fills a volume: one at a time for each."""
    return f"ipylti-copy-{labels.name('volume', target)}"


def server_body(
    spec: ServerSpec, *, entrypoint: str, tls: bool, controllers: Collection[str]
) -> dict[str, Any]:
    """Return what a workspace's server is made of.

    Without egress, the one network is an internal one of the server's own. Otherwise it has a network
    namespace of its own (slirp4netns or pasta, by Podman's choice), in which it reaches neither the host's
    loopback nor another server, all of whose ports are published there only. It does reach
    whatever else the host reaches, a cloud's metadata address (169.254.169.254) too: nothing without
    privileges can forbid that, the host's firewall can, by the user's id.

    :param controllers: the cgroup controllers at hand; limits without theirs are left out.
    """
    network: dict[str, Any] = {"netns": {"nsmode": "private"}}
    if not spec.egress:
        network = {"netns": {"nsmode": "bridge"}, "Networks": {network_name(spec.workspace): {}}}
    body: dict[str, Any] = {
        "name": server_name(spec.workspace),
        "image": spec.image,
        "user": str(NOTEBOOK_UID),
        "env": {**spec.environment, "JUPYTER_TOKEN": spec.token, "IPYLTI_TOOL_ORIGIN": spec.tool_origin},
        "volumes": [_volume(spec.volume, WORK)],
        "portmappings": [
            {
                "container_port": labels.JUPYTER_PORT,
                "host_ip": "127.0.0.1",
                "host_port": 0,
                "protocol": "tcp",
            }
        ],
        **network,
        **_walls(_limits(spec.limits, controllers)),
        "oom_score_adj": _OOM_SCORE,
        "log_configuration": {"driver": "k8s-file", "size": _LOG_SIZE},
        "labels": labels.server_labels(spec, entrypoint=entrypoint, tls=tls),
    }
    body["labels"][FINGERPRINT] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return body


def copy_body(
    source: str,
    target: VolumeSpec,
    image: str,
    *,
    digest: bool,
    limit: float,
    controllers: Collection[str],
) -> dict[str, Any]:
    """Return what the helper is made of that copies one volume to another (:mod:`ipylti.servers.copier`).

    It is root inside, so that it can read and recreate any file, and has nothing but the two volumes.

    :param limit: seconds that the copy may take.
    """
    program = files(__package__).joinpath("copier.py").read_text()
    words = [_SOURCE, _TARGET, "digest" if digest else "plain", str(math.ceil(limit))]
    return {
        "name": copy_name(target.name),
        "image": image,
        "user": "0",
        "entrypoint": ["python3", "-I", "-S", "-c", program],
        "command": words,
        "work_dir": "/",
        "volumes": [_volume(source, _SOURCE, "ro"), _volume(target.name, _TARGET)],
        "netns": {"nsmode": "none"},
        **_walls(_limits(_COPY_LIMITS, controllers)),
        "cap_add": _COPY_CAPABILITIES,
        "read_only_filesystem": True,
        "log_configuration": {"driver": "none"},
        # The engine removes it when it ends, also when nobody is left who waits for it.
        "remove": True,
        "stop_timeout": 0,
        "labels": {**labels.volume_labels(target), labels.KIND: labels.COPY_KIND},
    }


def volume_body(spec: VolumeSpec) -> dict[str, Any]:
    """Return what a volume is made of: it belongs to the notebook's user from the start.

    Without the option, the engine gives a new volume to the user of whichever container mounts it first.
    """
    return {
        "Name": labels.name("volume", spec.name),
        "Driver": "local",
        "Labels": labels.volume_labels(spec),
        "Options": {"o": f"uid={NOTEBOOK_UID},gid={NOTEBOOK_UID}"},
    }


def network_body(spec: ServerSpec, attempt: int = 0) -> dict[str, Any]:
    """Return what a server's internal network is made of: no way out, nor a name server that is one.

    Its addresses are chosen here, since an internal network whose addresses Podman chooses has no gateway,
    which Podman's Docker API then calls ``<nil>``: Traefik can't read that, and lists no container at all.

    :param attempt: counts up where the addresses are taken; others are chosen then.
    """
    subnet = _subnet(spec.workspace, attempt)
    return {
        "name": network_name(spec.workspace),
        "driver": "bridge",
        "internal": True,
        "dns_enabled": False,
        "subnets": [{"subnet": str(subnet), "gateway": str(subnet[1])}],
        "labels": {
            labels.INSTANCE: labels.name("instance", spec.instance),
            labels.WORKSPACE: spec.workspace,
        },
    }


def _subnet(workspace: str, attempt: int) -> ipaddress.IPv4Network:
    """Return one of the subnets of the pool, by chance but the same each time."""
    chance = hashlib.sha256(f"{workspace}/{attempt}".encode()).digest()
    room = 1 << (_SUBNET_PREFIX - _SUBNET_POOL.prefixlen)
    step = 1 << (32 - _SUBNET_PREFIX)
    first = int(_SUBNET_POOL.network_address) + int.from_bytes(chance[:8], "big") % room * step
    return ipaddress.IPv4Network((first, _SUBNET_PREFIX))


def missing_limits(limits: Limits, controllers: Collection[str]) -> list[str]:
    """Return the names of the limits that are asked for and can't be set on this host."""
    return [
        limit
        for limit, controller in CONTROLLERS.items()
        if getattr(limits, limit) is not None and controller not in controllers
    ]


def _walls(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every container of ours has: nothing more than its image, and no way to get more.

    Seccomp, the masked paths and the namespaces of processes, IPC and host name are Podman's defaults.
    """
    return {
        "cap_drop": ["ALL"],
        "no_new_privileges": True,
        "privileged": False,
        "restart_policy": "no",
        "resource_limits": limits,
    }


def _limits(limits: Limits, controllers: Collection[str]) -> dict[str, Any]:
    """Return limits as the OCI runtime specification's ``linux.resources``."""
    resources: dict[str, Any] = {}
    if limits.memory is not None and CONTROLLERS["memory"] in controllers:
        resources["memory"] = {"limit": limits.memory, "swap": limits.memory}
    if limits.cpus is not None and CONTROLLERS["cpus"] in controllers:
        resources["cpu"] = {"period": _CPU_PERIOD, "quota": round(limits.cpus * _CPU_PERIOD)}
    if limits.pids is not None and CONTROLLERS["pids"] in controllers:
        resources["pids"] = {"limit": limits.pids}
    return resources


def _volume(name: str, folder: str, *options: str) -> dict[str, Any]:
    """Return a mount of a volume that takes over nothing of what the image has at that place."""
    return {"Name": labels.name("volume", name), "Dest": folder, "Options": ["nocopy", *options]}
