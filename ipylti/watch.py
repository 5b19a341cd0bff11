"""Watches what running servers use, where nothing or only the kernel holds it back; in the worker.

Files: no quota is to be had without root, so they are measured each minute, all volumes in one go, those
first that were not measured for longest. Files that come near their limit are warned of; at half as much
again the server is stopped, and all files are kept. So that somebody can come in to delete some, the next
server goes on as long as they do not grow.

Memory: the kernel ends the process that uses most, which nearly always is a kernel of Jupyter's; people are
told why it is gone.
"""

import logging
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import limits, models, trace
from ipylti.servers.spawner import ServerState, Spawner
from ipylti.settings import Settings
from ipylti.usage import Files, Usage
from ipylti.volatile import Locks, Progress, State
from ipylti.workspaces import Servers

log = logging.getLogger(__name__)

#: The part of their limit by which files may grow after a stop: Jupyter writes a little by itself.
_MARGIN = 0.05

#: Seconds that one look takes at most: longer than measuring does (:meth:`Spawner.sizes`).
_LOOKING = 120.0


@dataclass(frozen=True)
class _Volume:
    """A running workspace's volume.

    :param limit: bytes that it may hold.
    """

    workspace: str
    name: str
    limit: int


class Watch:
    """Looks at all servers that run."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        spawner: Spawner,
        locks: Locks,
        servers: Servers,
        usage: Usage,
    ) -> None:
        self.settings = settings
        self.sessions = sessions
        self.spawner = spawner
        self.locks = locks
        self.servers = servers
        self.usage = usage

    def look(self) -> None:
        """Look at memory and files, unless another worker does."""
        with self.locks.hold("watch", seconds=_LOOKING) as lock:
            if lock is not None:
                self._look_at_memory()
                self._look_at_files()

    def _look_at_memory(self) -> None:
        for workspace, kills in self.spawner.memory_kills(self.settings.instance).items():
            new = self.usage.note_kills(workspace, kills)
            if new:
                log.warning(
                    "memory ran out: processes were killed, the server goes on",
                    extra={"workspace": workspace, "killed": new, "limit": kills.limit},
                )

    def _look_at_files(self) -> None:
        volumes = self._volumes()
        names = [volume.name for volume in volumes]
        sizes = self.spawner.sizes(self.settings.instance, names, self.settings.image) if names else {}
        for volume in volumes:
            if volume.name in sizes:
                self._judge(volume, sizes[volume.name])
            else:
                log.warning("files were not measured", extra={"workspace": volume.workspace})

    def _volumes(self) -> list[_Volume]:
        """Return the volumes that are to be measured, longest ago first."""
        servers = self.spawner.servers(self.settings.instance)
        running = [each.workspace for each in servers if each.state is ServerState.RUNNING]
        with self.sessions.begin() as db:
            query = sa.select(models.Workspace).where(models.Workspace.id.in_(running))
            rows = [
                (row.id, row.volume, limits.volume_size_of(self.settings, row.assignment))
                for row in db.scalars(query)
            ]
        for workspace, _, limit in rows:
            if limit is None:
                self.usage.forget_files(workspace)
        found = [_Volume(workspace, name, limit) for workspace, name, limit in rows if limit is not None]
        return sorted(found, key=self._measured_at)

    def _measured_at(self, volume: _Volume) -> float:
        known = self.usage.files(volume.workspace)
        return known.at if known is not None else 0.0

    def _judge(self, volume: _Volume, size: int) -> None:
        """Write down how much a workspace's files take, and stop its server where that is too much."""
        known = self.usage.files(volume.workspace)
        stopped = known.stopped if known is not None else 0
        files = Files(size, volume.limit, stopped)
        if size < files.end:
            self.usage.note_files(volume.workspace, Files(size, volume.limit))
        elif stopped and size <= stopped + volume.limit * _MARGIN:
            self.usage.note_files(volume.workspace, files)
        else:
            self.usage.note_files(volume.workspace, Files(size, volume.limit, size))
            self._stop(volume, size)

    def _stop(self, volume: _Volume, size: int) -> None:
        log.warning(
            "server is stopped: its files take too much",
            extra={"workspace": volume.workspace, "size": size, "limit": volume.limit},
        )
        why = Progress(State.FAILED, error="volume.full", used=size, limit=volume.limit)
        with trace.acting(trace.program("volume_size")):
            self.servers.stop(volume.workspace, why)
