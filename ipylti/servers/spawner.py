"""What the domain knows of servers: the Spawner protocol and the plain data that it takes and gives.

Nothing here, and nothing outside the module that implements it, knows of a socket, a host path or that
there is one machine only.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class ServerState(StrEnum):
    """Where a workspace's server is in its life."""

    ABSENT = "absent"
    STOPPED = "stopped"
    RUNNING = "running"


@dataclass(frozen=True)
class Limits:
    """What one server may use; None is no limit.

    :param memory: bytes, swap included.
    :param cpus: cores, fractions allowed.
    :param pids: processes and threads.
    """

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None


@dataclass(frozen=True)
class VolumeSpec:
    """A named volume and what its labels say of it.

    :param name: as in the contract, like ``ipylti-take-<workspace id>``.
    :param kind: ``base``, ``version``, ``take`` or ``submission``; ``kept`` is what a restore put aside.
    :param workspace: the workspace's id, or "" for a volume that belongs to none.
    :param about: more that the domain wants to find again with the volume: ``A-Z a-z 0-9 - _ =`` only.
    """

    name: str
    kind: str
    instance: str
    assignment: str
    workspace: str = ""
    about: str = ""


@dataclass(frozen=True)
class ServerSpec:
    """All that is needed to make a workspace's server.

    :param kind: the workspace's kind: ``build``, ``take`` or ``review``.
    :param hostname: the notebook host, without scheme and port.
    :param token: Jupyter's token; only the gate ever sends it.
    :param frame_ancestors: origins allowed to frame the notebook: the tool's and the platforms'.
    :param egress: whether the server may reach the outside.
    :param environment: more environment variables for the container.
    """

    workspace: str
    assignment: str
    kind: str
    instance: str
    image: str
    volume: str
    hostname: str
    token: str = field(repr=False)
    tool_origin: str
    frame_ancestors: tuple[str, ...]
    limits: Limits = Limits()
    egress: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ServerStatus:
    """What is known of a workspace's server at this moment.

    :param address: ``http://host:port`` where Jupyter listens, for the worker's own probes, while running.
    :param extension: whether the image carries the project's JupyterLab extension.
    :param out_of_memory: whether the last end was the kernel's out-of-memory killer.
    :param memory: bytes that it might use, where it ended because it wanted more.
    """

    workspace: str
    state: ServerState
    address: str | None = None
    started_at: datetime | None = None
    exit_code: int | None = None
    out_of_memory: bool = False
    memory: int | None = None
    extension: bool = False


@dataclass(frozen=True)
class MemoryKills:
    """How many processes of a server that runs the kernel has killed since their memory ran out.

    :param server: names this very server; the workspace's next one counts anew.
    :param limit: bytes that it may use, where that is known.
    """

    server: str
    count: int
    limit: int | None


@dataclass(frozen=True)
class Copied:
    """The outcome of a copy: what stands in the target now.

    :param size: bytes of regular files.
    :param files: number of regular files and symbolic links.
    :param digest: SHA-256 (hex) over the target's canonical manifest, or "" where none was asked for.
    :param entries: the first lines of that manifest.
    """

    size: int
    files: int
    digest: str = ""
    entries: tuple[str, ...] = ()


@dataclass(frozen=True)
class EngineFacts:
    """What the engine says of itself.

    :param storage: its storage driver; ``vfs`` copies a whole image for each server.
    :param root: the folder where volumes and images lie.
    :param controllers: the cgroup controllers that it can limit servers with.
    """

    version: str
    rootless: bool
    storage: str
    root: str
    controllers: frozenset[str]


@dataclass(frozen=True)
class Archived:
    """How the archiving of one volume ended.

    :param fingerprint: changes whenever anything in the volume does; "" where it is not to be relied on.
    :param changed: whether there was an archive; not where the fingerprint is the one that was known.
    :param error: the code of what went wrong; the archive is then none. ``detail`` has the words.
    """

    volume: str
    fingerprint: str = ""
    changed: bool = True
    error: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Archive:
    """A volume that is to be filled from an archive.

    :param size: bytes of the archive.
    :param read: yields the archive; what it raises ends the import before anything is changed.
    """

    volume: VolumeSpec
    size: int
    read: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Content:
    """What is in a volume.

    :param digest: as in :class:`Copied`; "" where the volume is half filled from an archive, and so holds
        nobody's work.
    :param size: bytes of regular files; 0 where it was just filled, and so is ``files``.
    :param files: number of regular files and symbolic links.
    :param error: the code of what went wrong, with the words in ``detail``.
    """

    volume: str
    digest: str = ""
    size: int = 0
    files: int = 0
    error: str = ""
    detail: str = ""


#: Called with (bytes copied so far, bytes in all) while a copy runs.
CopyProgress = Callable[[int, int], None]


class Spawner(Protocol):
    """Volumes and servers. Every method may be repeated after a crash without harm.

    All raise :class:`ipylti.errors.DependencyDown` (``podman``) when the engine does not answer, and
    :class:`ipylti.errors.SpawnerError` or a subclass for what the engine refuses.
    """

    def ping(self) -> None:
        """Return if the engine answers; raise DependencyDown otherwise."""

    def describe(self) -> EngineFacts:
        """Return what the engine says of itself."""

    def image_extension(self, reference: str) -> bool | None:
        """Return whether an image carries the project's JupyterLab extension, None where it is not there."""

    def ensure_volume(self, spec: VolumeSpec) -> bool:
        """Make the volume if it is not there; return whether it was made by this call."""

    def has_volume(self, name: str) -> bool:
        """Return whether there is a volume of this name."""

    def volumes(self, instance: str) -> list[VolumeSpec]:
        """Return every volume labelled as belonging to the instance."""

    def remove_volume(self, name: str) -> None:
        """Remove the volume and all in it; one that is gone already is fine."""

    def sizes(self, instance: str, volumes: Sequence[str], image: str) -> dict[str, int]:
        """Return how many bytes of the disk an instance's volumes take, whoever writes to them meanwhile.

        It takes half a minute at most, and begins with the first. Nothing is said of those that are gone, are
        not reached in that time, or hold more files than can be counted in ten seconds.

        :param image: that of what counts.
        """

    def copy(
        self, source: str, target: VolumeSpec, image: str, progress: CopyProgress, *, digest: bool = False
    ) -> Copied:
        """Make the target volume an exact copy of the source volume, replacing what the target held.

        Everything in the target is lost: the caller makes sure that nobody has begun to work in it. A server
        may be started on it meanwhile. A copy with a digest is on disk when this returns, another one some
        seconds later. A copy to a target to which another call copies ends that other call.

        :param progress: called about twice a second where it takes longer; what it raises ends the copy.
        :param digest: hash the target, too. The source is then somebody's finished work, which may be
            nothing at all.
        :raises EmptySource: the source is missing or holds nothing but editors' scraps; then no
            target volume is left behind.
        """

    def export(self, volumes: Mapping[VolumeSpec, str], image: str) -> Iterator[bytes | Archived]:
        """Yield the archives of volumes, in pieces, each followed by how that volume's ended.

        An archive is a tar file with owners, permissions, times, extended attributes of users', hard links
        and holes as they are; its format is told in :mod:`ipylti.servers.archiver`. Servers may write
        meanwhile: a file that changes goes in as it was at some moment, or as a mixture of two.

        :param volumes: volumes that are there, a few dozens at most, and for each the fingerprint that is
            known of it, "" for none: one that did not change has no archive.
        """

    def import_(self, archives: Sequence[Archive], image: str) -> Iterator[Content]:
        """Fill volumes from archives and yield what is in each then, on disk; all that they held is lost.

        The volumes are made if they are not there. One that is half filled can be told by :meth:`inspect`.
        """

    def inspect(self, volumes: Sequence[VolumeSpec], image: str) -> Iterator[Content]:
        """Yield what is in each of some volumes that are there, a few dozens at most."""

    def start(self, spec: ServerSpec) -> ServerStatus:
        """Make sure that the workspace's server runs and return its status; Jupyter may not answer yet.

        :raises ImageMissing: the image is not there.
        """

    def status(self, workspace: str) -> ServerStatus:
        """Return the status; of an unknown workspace it is ABSENT."""

    def servers(self, instance: str) -> list[ServerStatus]:
        """Return the status of all servers of the instance, stopped ones included."""

    def memory_kills(self, instance: str) -> dict[str, MemoryKills]:
        """Return by workspace what is known of processes that were killed in servers that go on, where it can
        be known."""

    def stop(self, workspace: str, grace: float = 10.0) -> None:
        """Stop the server, give it ``grace`` seconds to end by itself, and remove it; the volume stays."""

    def logs(self, workspace: str, lines: int = 50) -> str:
        """Return the last lines of what the server wrote, "" if it is gone."""

    def announce(self, instance: str, image: str) -> None:
        """Have whatever listens to the engine look at all containers again."""

    def tidy(self, instance: str) -> None:
        """Remove what interrupted work left behind a minute ago or more: nothing that anybody knows of."""
