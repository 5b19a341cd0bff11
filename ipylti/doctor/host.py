"""The host: what the unprivileged user may do on it, and what is left of it."""

import os
import re
import socket
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ipylti.doctor.findings import Finding, failed, ok, skipped, warning
from ipylti.install import host
from ipylti.settings import DEVELOPMENT_SECRET, Settings

#: Bytes and parts of a file system below which it is nearly full, and as good as full.
_LOW, _LOW_PART = 5 << 30, 0.10
_FULL, _FULL_PART = 1 << 30, 0.02

#: A key of the ini file that holds a secret, or an address with a password in it.
_SECRETS = re.compile(
    r"^[ \t]*(ipylti\.secret[ \t]*=[ \t]*\S|[\w.]+url[ \t]*=[ \t]*\w[\w+]*://[^/\s:@]*:[^@\s/]+@)",
    re.MULTILINE,
)


def user(uid: int) -> Finding:
    """Check that it is an unprivileged user's installation."""
    if uid == 0:
        return failed(
            "user", "this is root; ipylti runs as an unprivileged user", "useradd --create-home ipylti"
        )
    return ok("user", f"unprivileged (uid {uid})")


def subordinate_ids(name: str, root: Path) -> Finding:
    """Check that the user has ids for containers (subuid(5), subgid(5))."""
    found = list(host.subordinate_ids(name, root))
    return _mended(
        "subuid, subgid", found, f"{name} has ids for containers", after=("podman system migrate",)
    )


def programs() -> Finding:
    """Check that what rootless containers need is installed."""
    return _mended("programs", host.programs(), "podman, newuidmap and iptables are installed")


def tun(root: Path) -> Finding:
    """Check that the user may make networks for its containers."""
    if not (root / "dev/net/tun").exists():
        return failed(
            "network device", "there is no /dev/net/tun, so notebooks get no network", "sudo modprobe tun"
        )
    return _mended("network device", host.devices(root), "/dev/net/tun is usable")


def cgroups(root: Path) -> Finding:
    """Check that limits can be enforced: cgroup v2, its controllers delegated to the user."""
    return _mended("cgroups", host.controllers(root), "memory, cpu and pids can be limited")


def lingering(name: str, root: Path) -> Finding:
    """Check that the user's services run without a session."""
    if not (root / "run/systemd/system").exists():
        return skipped("lingering", "systemd does not run here")
    return _mended("lingering", host.lingering(name, root), f"{name} lingers")


def manager(uid: int, root: Path) -> Finding:
    """Check that the user has a service manager."""
    if not (root / "run/systemd/system").exists():
        return skipped("systemd user manager", "systemd does not run here")
    if not (root / f"run/user/{uid}/systemd/private").exists():
        return failed(
            "systemd user manager",
            "it does not run for this user",
            f"sudo systemctl start user@{uid}.service",
        )
    return ok("systemd user manager", "it runs")


def ports(settings: Settings, root: Path, listens: Callable[[int], bool] | None = None) -> Finding:
    """Check that the user may listen where browsers come, or that somebody does already."""
    if (listens or _listens)(settings.notebook_port):
        return ok("ports", f"somebody listens on port {settings.notebook_port}")
    found = host.ports([settings.notebook_port], root)
    return _mended("ports", found, f"the user may listen on port {settings.notebook_port}")


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2.0).close()
    except OSError:
        return False
    return True


def disk(folder: Path, measure: Callable[[Path], os.statvfs_result] = os.statvfs) -> Iterator[Finding]:
    """Check that there is room for work where volumes lie."""
    try:
        found = measure(folder)
    except OSError as err:
        yield failed("disk", f"{folder} can't be looked at: {err.strerror}")
        return
    mend = (f"df -h {folder}", "podman image prune")
    size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    yield _room("disk", f"{free / (1 << 30):.1f} GiB free in {folder}", free, size, _LOW, _FULL, mend)
    # Some file systems make as many as are wanted.
    if found.f_files:
        told = f"{found.f_favail:,} inodes free in {folder}"
        yield _room("inodes", told, found.f_favail, found.f_files, 100_000, 10_000, (f"df -i {folder}",))


def _room(about: str, told: str, free: int, size: int, low: int, full: int, mend: tuple[str, ...]) -> Finding:
    if free < min(full, size * _FULL_PART):
        return failed(about, told, *mend)
    if free < min(low, size * _LOW_PART):
        return warning(about, told, *mend)
    return ok(about, told)


def secret(settings: Settings) -> Finding:
    """Check that nobody guesses the secret; only how it looks can be checked."""
    mend = "openssl rand -hex 32"
    if settings.secret == DEVELOPMENT_SECRET:
        return warning("secret", "it is the one of development.ini, which everybody knows", mend)
    if len(set(settings.secret)) < 10:
        return failed("secret", "ipylti.secret is too simple to be by chance", mend)
    return ok("secret", f"{len(settings.secret)} characters")


def files(paths: Iterable[Path]) -> Finding:
    """Check that files with secrets are for their user only."""
    open_to_others = [path for path in paths if _holds_secret(path) and _mode(path) & 0o077]
    if open_to_others:
        names = " ".join(map(str, open_to_others))
        return failed("secrets in files", f"others may read {names}", f"chmod 600 {names}")
    return ok("secrets in files", "no file with a secret is open to others")


def _holds_secret(path: Path) -> bool:
    try:
        # What everybody knows is no secret.
        text = path.read_text(errors="replace").replace(DEVELOPMENT_SECRET, "")
    except OSError:
        return False
    return bool(_SECRETS.search(text)) if path.suffix == ".ini" else bool(text.strip())


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _mended(about: str, found: Iterable[host.Finding], well: str, after: tuple[str, ...] = ()) -> Finding:
    """Return what the installation's own checks found, with commands for whoever may use sudo."""
    missing = list(found)
    if not missing:
        return ok(about, well)
    told = "; ".join(each.what for each in missing)
    commands = [f"sudo {_as_root(command)}" for each in missing for command in each.commands]
    make = failed if any(each.needed for each in missing) else warning
    return make(about, told, *commands, *(after if commands else ()))


def _as_root(command: str) -> str:
    """Return a command so that root runs all of it, what stands behind ``>`` included."""
    return f"sh -c {command!r}" if ">" in command else command
