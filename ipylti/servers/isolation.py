"""What Podman is asked to make, and with it all that keeps a container within its walls.

Pure functions from specifications to the bodies of libpod's API requests (``POST /libpod/containers/create``
and its kin, Podman 4.0 and later).
"""

import hashlib
import ipaddress
import json
import math
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ipylti.servers import archiver, labels
from ipylti.servers.spawner import Limits, ServerSpec, VolumeSpec

#: The system calls that containers may make. Podman's own list (containers-common, seccomp.json) is for all
#: that is done with containers. This one leaves out what makes namespaces and mounts, by which anybody is
#: root of a small world and gets at parts of the kernel that are closed otherwise; keys, which all notebooks
#: would share, being one user of the host; families of sockets but the usual ones; and calls of 32 bits.
SECCOMP = Path(__file__).with_name("seccomp.json")

#: The user of every notebook image ("jovyan"), and the owner of every volume.
NOTEBOOK_UID = 1000

#: Where a workspace's volume is in its server.
WORK = "/home/jovyan/work"

#: Set on a container: a hash of all that it was made from.
FINGERPRINT = "io.ipylti.spec"

#: Where the helper has the two volumes; where the one that measures has its many.
_SOURCE, _TARGET = "/source", "/target"
_MEASURED = "/volumes"

#: Prints the kibibytes of the disk that each folder takes, followed by its name. The first word is for how
#: many seconds to go on. Of a folder that holds more files than can be counted in time, nothing is printed.
_MEASURE = """
end=$(($(date +%s) + $1)); shift
for folder; do
    [ "$(date +%s)" -lt "$end" ] || break
    timeout 10 du -skx -- "$folder" 2>/dev/null
done
"""

#: What ``cp -a`` needs as root to recreate other people's files; not among them: the making of device files
#: and of file capabilities, which no notebook can make either.
_COPY_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]

#: What ``du`` needs as root to look into other people's folders.
_MEASURE_CAPABILITIES = ["DAC_READ_SEARCH"]

_HELPER_LIMITS = Limits(memory=512 << 20, pids=64)

#: Bytes of a container's output that are kept.
_LOG_SIZE = 1 << 20

#: The kernel kills notebooks before it kills what runs them (proc(5), ``/proc/pid/oom_score_adj``).
_OOM_SCORE = 500

_CPU_PERIOD = 100_000

#: The addresses of internal networks: a million networks of which each has room for one server.
_SUBNET_POOL = ipaddress.IPv4Network("10.128.0.0/9")
_SUBNET_PREFIX = 29

#: slirp4netns' own network (slirp4netns(1)). Its addresses are neighbours in one Ethernet segment, in which
#: nobody answers but slirp4netns for itself: so it takes in all link-local addresses, those of a cloud's
#: metadata among them (169.254.169.254 and its kin), and nothing is ever forwarded to them. Without IPv6
#: there is no way to fd00:ec2::254 either. The last word is one that containers.conf might unsay.
_SLIRP = ("cidr=169.254.0.0/16", "enable_ipv6=false", "allow_host_loopback=false")

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


def measure_name(instance: str) -> str:
    """Return the name of the helper container that measures volumes: one at a time for each instance."""
    return f"ipylti-measure-{labels.name('instance', instance)}"


def server_body(
    spec: ServerSpec, *, entrypoint: str, tls: bool, controllers: Collection[str], slirp: bool
) -> dict[str, Any]:
    """Return what a workspace's server is made of.

    :param controllers: the cgroup controllers at hand; limits without theirs are left out.
    :param slirp: whether the engine has slirp4netns.
    """
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
        **_network(spec, slirp),
        **_walls(_limits(spec.limits, controllers)),
        "oom_score_adj": _OOM_SCORE,
        "log_configuration": {"driver": "k8s-file", "size": _LOG_SIZE},
        "labels": labels.server_labels(spec, entrypoint=entrypoint, tls=tls),
    }
    body["labels"][FINGERPRINT] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return body


def _network(spec: ServerSpec, slirp: bool) -> dict[str, Any]:
    """Return a server's network.

    Without egress it is an internal one of the server's own. Otherwise it has a network namespace of its own,
    in which it reaches neither the host's loopback nor another server, all of whose ports are published there
    only. slirp4netns keeps it from a cloud's metadata as well (:data:`_SLIRP`). With pasta, the choice of
    engines that have no slirp4netns, only the host's firewall can do that, which takes root.
    """
    if not spec.egress:
        return {"netns": {"nsmode": "bridge"}, "Networks": {network_name(spec.workspace): {}}}
    if not slirp:
        return {"netns": {"nsmode": "private"}}
    return {"netns": {"nsmode": "slirp4netns"}, "network_options": {"slirp4netns": list(_SLIRP)}}


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
        "entrypoint": ["python3", "-I", "-S", "-c", program],
        "command": words,
        "volumes": [_volume(source, _SOURCE, "ro"), _volume(target.name, _TARGET)],
        **_helper(controllers),
        "cap_add": _COPY_CAPABILITIES,
        "labels": {**labels.volume_labels(target), labels.KIND: labels.COPY_KIND},
    }


def measure_body(
    instance: str, volumes: Sequence[str], image: str, *, limit: float, controllers: Collection[str]
) -> dict[str, Any]:
    """Return what the helper is made of that measures volumes, which it can only read.

    It is root inside, since people can close their folders to everybody else, themselves included.

    :param limit: seconds after which it begins with no other volume.
    """
    folders = [f"{_MEASURED}/{number}" for number in range(len(volumes))]
    return {
        "name": measure_name(instance),
        "image": image,
        "entrypoint": ["sh", "-c", _MEASURE, "measure", str(math.ceil(limit))],
        "command": folders,
        "volumes": [_volume(name, folder, "ro") for name, folder in zip(volumes, folders, strict=True)],
        **_helper(controllers),
        "cap_add": _MEASURE_CAPABILITIES,
        "labels": {
            labels.INSTANCE: labels.name("instance", instance),
            labels.KIND: labels.MEASURE_KIND,
        },
    }


def measured(volumes: Sequence[str], lines: Iterable[bytes]) -> dict[str, int]:
    """Read what the helper that measures prints: bytes by volume."""
    found = {}
    for line in lines:
        size, _, folder = line.decode(errors="replace").partition("\t")
        number = folder.removeprefix(f"{_MEASURED}/")
        if size.isdigit() and number.isdigit() and int(number) < len(volumes):
            found[volumes[int(number)]] = int(size) * 1024
    return found


def announcement_body(instance: str, image: str) -> dict[str, Any]:
    """Return what a container is made of that does nothing but start and end: whoever listens hears it."""
    return {
        "name": f"ipylti-announcement-{labels.name('instance', instance)}",
        "image": image,
        "entrypoint": ["true"],
        "command": [],
        "netns": {"nsmode": "none"},
        **_walls({}),
        "read_only_filesystem": True,
        "log_configuration": {"driver": "none"},
        "remove": True,
        "labels": {labels.INSTANCE: instance, labels.KIND: labels.COPY_KIND},
    }


def archive_body(
    what: str,
    words: Sequence[str],
    volumes: Sequence[VolumeSpec],
    image: str,
    *,
    limit: float,
    controllers: Collection[str],
) -> dict[str, Any]:
    """Return what the helper is made of that archives volumes (:mod:`ipylti.servers.archiver`).

    Like the copying one, it is root inside and has nothing but the volumes; only an import may write to them,
    and of those there is one at a time.

    :param what: ``export``, ``import`` or ``inspect``.
    :param words: a word for the program for each volume.
    :param limit: seconds that one volume may take.
    """
    importing = what == "import"
    options = [] if importing else ["ro"]
    instance = labels.name("instance", volumes[0].instance)
    return {
        "name": f"ipylti-{what}-{instance if importing else secrets.token_hex(8)}",
        "image": image,
        "entrypoint": ["python3", "-I", "-S", "-c", _archiver()],
        "command": [what, str(math.ceil(limit)), *words],
        "volumes": [
            _volume(volume.name, f"{archiver.VOLUMES}/{number}", *options)
            for number, volume in enumerate(volumes)
        ],
        **_helper(controllers),
        "cap_add": _COPY_CAPABILITIES,
        "labels": {labels.INSTANCE: instance, labels.KIND: labels.COPY_KIND},
    }


def _archiver() -> str:
    """Return the archiver's program, and before it the copier's, which it imports."""
    copier, own = (files(__package__).joinpath(f"{name}.py").read_text() for name in ("copier", "archiver"))
    module = f"{__package__}.copier"
    return (
        f"import sys, types\nmodule = sys.modules[{module!r}] = types.ModuleType({module!r})\n"
        f"exec({copier!r}, module.__dict__)\n{own}"
    )


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


def _helper(controllers: Collection[str]) -> dict[str, Any]:
    """Return what every helper container has: root inside, no network, and an end that leaves nothing."""
    return {
        "user": "0",
        "work_dir": "/",
        "netns": {"nsmode": "none"},
        **_walls(_limits(_HELPER_LIMITS, controllers)),
        "read_only_filesystem": True,
        "log_configuration": {"driver": "none"},
        # The engine removes it when it ends, also when nobody is left who waits for it.
        "remove": True,
        "stop_timeout": 0,
    }


def _walls(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every container of ours has: nothing more than its image, and no way to get more.

    The masked paths and the namespaces of processes, IPC and host name are Podman's defaults.
    """
    return {
        "cap_drop": ["ALL"],
        "no_new_privileges": True,
        "seccomp_profile_path": str(SECCOMP),
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
