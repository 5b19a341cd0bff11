"""What the kernel has counted in a container's cgroup (cgroups(7)), of either version."""

from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_MOUNT = Path("/sys/fs/cgroup")

#: Above this, version 1 means that there is no limit: it has no other word for it.
_UNLIMITED = 1 << 60


@dataclass(frozen=True)
class Counted:
    """See :class:`ipylti.servers.spawner.MemoryKills`."""

    kills: int
    limit: int | None


def memory(pid: int, container: str, proc: Path = _PROC, mount: Path = _MOUNT) -> Counted | None:
    """Return how many processes of a container were killed since its memory ran out, and its limit.

    :param pid: one of the container's processes, as the host counts them.
    :param container: its id, which the name of its cgroup holds.
    :return: None where it has no cgroup of its own that counts memory, or is gone.
    """
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    # Version 1 has a line for each controller, version 2 one without a name (cgroups(7), "/proc files").
    paths = {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}
    for controllers, path in paths.items():
        if "memory" in controllers.split(","):
            folder = _own(mount / "memory", path, container)
            return _counted(folder, "memory.oom_control", "memory.limit_in_bytes")
    return _counted(_own(mount, paths.get("", ""), container), "memory.events", "memory.max")


def _own(mount: Path, path: str, container: str) -> Path | None:
    """Return the folder of the container's own cgroup: the runtime may have made others below it."""
    parts = path.strip("/").split("/")
    found = [number for number, part in enumerate(parts) if container in part]
    return mount.joinpath(*parts[: found[0] + 1]) if found else None


def _counted(folder: Path | None, counts: str, limit: str) -> Counted | None:
    if folder is None:
        return None
    try:
        told = dict(line.split(" ", 1) for line in (folder / counts).read_text().splitlines())
        most = (folder / limit).read_text().strip()
    except (OSError, ValueError):
        return None
    number = int(most) if most.isdigit() else None
    return Counted(int(told.get("oom_kill", 0)), number if number and number < _UNLIMITED else None)
