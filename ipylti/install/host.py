"""What only root can do: looked at here, and told as commands to copy."""

import os
import pwd
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ipylti.install.plan import Plan

#: Ids that a user's containers need.
_IDS = 65536

_CONTROLLERS = {"cpu", "memory", "pids"}


@dataclass(frozen=True)
class Finding:
    """Something that is missing.

    :param commands: what mends it, for root to copy; none where it is no matter of commands.
    :param needed: whether it does not work without.
    """

    what: str
    commands: tuple[str, ...]
    needed: bool = True


def findings(plan: Plan, root: Path = Path("/")) -> list[Finding]:
    """Return what is missing on this host for this plan and this user.

    :param root: where the host's files are.
    """
    user = pwd.getpwuid(os.getuid()).pw_name
    return [
        *lingering(user, root),
        *subordinate_ids(user, root),
        *programs(),
        *devices(root),
        *ports((plan.http_port, plan.https_port), root),
        *controllers(root),
        *_names(plan),
    ]


def lingering(user: str, root: Path) -> Iterator[Finding]:
    if not (root / "var/lib/systemd/linger" / user).exists():
        yield Finding(
            f"{user} does not linger: nothing starts at boot, and all stops when the last session ends",
            (f"loginctl enable-linger {user}",),
        )


def subordinate_ids(user: str, root: Path) -> Iterator[Finding]:
    for name, option in (("subuid", "--add-subuids"), ("subgid", "--add-subgids")):
        ranges = [line.split(":") for line in _read(root / "etc" / name).splitlines() if line.count(":") == 2]
        own = sum(int(count) for owner, _, count in ranges if owner in (user, str(os.getuid())))
        if own < _IDS:
            first = max([100_000, *(int(start) + int(count) for _, start, count in ranges)])
            yield Finding(
                f"/etc/{name} gives {user} no {_IDS} ids for containers",
                (f"usermod {option} {first}-{first + _IDS - 1} {user}",),
            )


def programs() -> Iterator[Finding]:
    packages = {"podman": "podman", "newuidmap": "uidmap", "iptables": "iptables"}
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/sbin"
    missing = [package for program, package in packages.items() if not shutil.which(program, path=path)]
    if missing:
        yield Finding("programs that rootless containers need", (f"apt-get install {' '.join(missing)}",))


def devices(root: Path) -> Iterator[Finding]:
    device = root / "dev/net/tun"
    if device.exists() and not os.access(device, os.R_OK | os.W_OK):
        yield Finding(
            "/dev/net/tun is not for everybody, so notebooks get no network", ("chmod 0666 /dev/net/tun",)
        )


def ports(wanted: Iterable[int | None], root: Path) -> Iterator[Finding]:
    lowest = min(port for port in wanted if port)
    first = int(_read(root / "proc/sys/net/ipv4/ip_unprivileged_port_start") or 0)
    if lowest < first:
        setting = f"net.ipv4.ip_unprivileged_port_start={lowest}"
        yield Finding(
            f"an unprivileged user may not listen on port {lowest}",
            (f"echo {setting} > /etc/sysctl.d/50-ipylti.conf", f"sysctl {setting}"),
        )


def controllers(root: Path) -> Iterator[Finding]:
    uid = os.getuid()
    groups = root / "sys/fs/cgroup"
    if not (groups / "cgroup.controllers").exists():
        yield Finding(
            "cgroups are not unified: limits of memory, CPU and processes can't be enforced "
            "(boot with systemd.unified_cgroup_hierarchy=1)",
            (),
            needed=False,
        )
        return
    delegated = groups / f"user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers"
    lacking = _CONTROLLERS - set(_read(delegated).split())
    if lacking:
        folder = "/etc/systemd/system/user@.service.d"
        yield Finding(
            f"limits of {', '.join(sorted(lacking))} can't be enforced: systemd does not delegate them",
            (
                f"mkdir -p {folder}",
                f"printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' > {folder}/ipylti.conf",
                "systemctl daemon-reload",
                f"systemctl restart user@{uid}.service",
            ),
        )


def _names(plan: Plan) -> Iterator[Finding]:
    """Look up the tool's name, and one that no notebook has."""
    settings = plan.settings
    any_notebook = settings.notebook_host(secrets.token_hex(16))
    for name, record in ((settings.host, settings.host), (any_notebook, f"*.{settings.notebook_domain}")):
        # Browsers know by themselves where these are (RFC 6761, 6.3).
        if not name.endswith(".localhost") and not _resolves(name):
            yield Finding(f"the DNS has no {record}: it needs a record that leads to this machine", ())


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM))
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
