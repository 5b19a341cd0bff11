"""What servers use that run, as the worker's watch found it (:mod:`ipylti.watch`): for it and for the pages.

It may be lost at any time; the next look finds it anew.
"""

import time
from dataclasses import asdict, dataclass

import redis

from ipylti.servers.spawner import MemoryKills
from ipylti.volatile import Cache

#: The part of their limit from which on files are warned of, and the one at which the server is stopped.
WARN_AT, STOP_AT = 0.8, 1.5

#: Seconds for which the size of a workspace's files is remembered, and its kills.
_REMEMBERED = 7 * 86400

#: Seconds for which people are told that memory ran out.
_TOLD = 600


@dataclass(frozen=True)
class Files:
    """How much of the disk a workspace's files took when they were last measured.

    :param size: bytes; ``limit`` is what they may take.
    :param stopped: the size at which the server was last stopped for it, until the files are fewer again; 0
        where it was not. So much is borne with: somebody has to come in to delete files.
    :param at: seconds since the epoch of the look.
    """

    size: int
    limit: int
    stopped: int = 0
    at: float = 0.0

    @property
    def many(self) -> bool:
        """Whether people are to be warned."""
        return self.size >= self.limit * WARN_AT

    @property
    def end(self) -> int:
        """Bytes at which the server is stopped."""
        return int(self.limit * STOP_AT)


class Usage:
    """What was found of each workspace.

    Every method raises :class:`~ipylti.errors.DependencyDown` where Redis does not answer.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._files = Cache(client, "files")
        self._kills = Cache(client, "kills")
        self._told = Cache(client, "kills-told")

    def files(self, workspace: str) -> Files | None:
        """Return what is known of a workspace's files."""
        found = self._files.get(workspace)
        return Files(**found) if found is not None else None

    def note_files(self, workspace: str, files: Files) -> None:
        """Write down what was measured, with the time of now."""
        self._files.set(workspace, asdict(files) | {"at": time.time()}, _REMEMBERED)

    def forget_files(self, workspace: str) -> None:
        """Forget a workspace whose files are not limited any more."""
        self._files.delete(workspace)

    def note_kills(self, workspace: str, kills: MemoryKills) -> int:
        """Write down how many processes were killed; returns how many of them are new, of which people are
        told for a while.

        After Redis was emptied, those of long ago are taken for new ones, once.
        """
        known = self._kills.get(workspace)
        before = known["count"] if known is not None and known["server"] == kills.server else 0
        new = max(0, kills.count - before)
        if kills.count:
            self._kills.set(workspace, asdict(kills), _REMEMBERED)
        if new:
            self._told.set(workspace, {"limit": kills.limit}, _TOLD)
        return new

    def out_of_memory(self, workspace: str) -> int | None:
        """Return the limit of memory at which a process was killed of late, 0 where that is not known; None
        where none was."""
        found = self._told.get(workspace)
        return None if found is None else found["limit"] or 0
