"""Bases of copied assignments: clones of their originals' bases, made once, by whichever worker comes first.

A clone shows the original as it was about when the copied link was first launched. Before it is whole and
written down, nobody is let in, and it can be made again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import about, limits, models
from ipylti.errors import EmptySource
from ipylti.servers.spawner import CopyProgress, Spawner, VolumeSpec
from ipylti.settings import Settings
from ipylti.volatile import HeldLock, Locks

log = logging.getLogger(__name__)

#: Seconds of one wait for another worker that makes the clone.
_WAIT = 2.0


@dataclass(frozen=True)
class _Clone:
    """A clone that is to be made.

    :param source: the name of the original's volume.
    :param begun: whether the volume may hold a part of it already; else one that is there is somebody's work.
    """

    assignment: str
    source: str
    target: VolumeSpec
    image: str
    begun: bool


class Bases:
    """Makes the clones; in the worker."""

    def __init__(
        self, settings: Settings, sessions: sessionmaker[Session], spawner: Spawner, locks: Locks
    ) -> None:
        self.settings = settings
        self.sessions = sessions
        self.spawner = spawner
        self.locks = locks

    def prepare(
        self,
        assignment: str,
        progress: CopyProgress = lambda _done, _total: None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Return when the assignment's base is whole; of an assignment that is no copy it always is.

        An original may be such a clone itself: the oldest is made first.

        :param progress: told of the bytes copied.
        :param alive: called now and then while another worker is at it.
        """
        while (clone := self._next(assignment)) is not None:
            with self.locks.hold(f"base:{clone.assignment}", wait=_WAIT) as lock:
                if lock is None:
                    alive()
                # Whoever had the lock before may have made it.
                elif clone == self._next(assignment):
                    self._make(clone, lock, progress)

    def unprepared(self) -> list[str]:
        """Return the assignments whose base is still to be cloned, oldest first."""
        query = (
            sa.select(models.Assignment.id)
            .join(models.Workspace, models.Workspace.id == models.Assignment.id)
            .where(models.Assignment.source_id.is_not(None), models.Workspace.populated_at.is_(None))
            .order_by(models.Assignment.created_at)
        )
        with self.sessions.begin() as db:
            return list(db.scalars(query))

    def _next(self, assignment: str) -> _Clone | None:
        """Return the clone that has to be made next for this base, None if it is whole."""
        found = None
        with self.sessions.begin() as db:
            row = db.get_one(models.Assignment, assignment)
            while row.source_id is not None:
                build = db.get(models.Workspace, row.id)
                if build is None or build.populated_at is not None:
                    break
                found = _Clone(
                    assignment=row.id,
                    source=f"ipylti-base-{row.source_id}",
                    target=volume_of(build, self.settings.instance),
                    image=limits.copier_image(self.settings, row),
                    begun=build.copying_since is not None,
                )
                row = db.get_one(models.Assignment, row.source_id)
        return found

    def _make(self, clone: _Clone, lock: HeldLock, progress: CopyProgress) -> None:
        """Make the clone, unless its volume is of an earlier life of the database; an original in which
        nothing was saved leaves the base empty."""

        def copied(done: int, total: int) -> None:
            lock.renew()
            progress(done, total)

        earlier = not clone.begun and self.spawner.has_volume(clone.target.name)
        if not earlier:
            self._write(clone, copying_since=models.now())
            try:
                self.spawner.copy(clone.source, clone.target, clone.image, copied)
            except EmptySource:
                log.info("the original is empty", extra={"assignment": clone.assignment})
        self._write(clone, populated_at=models.now())
        log.info("base cloned", extra={"assignment": clone.assignment, "earlier_life": earlier})

    def _write(self, clone: _Clone, **values: object) -> None:
        with self.sessions.begin() as db:
            db.execute(sa.update(models.Workspace).filter_by(id=clone.assignment).values(**values))


def volume_of(workspace: models.Workspace, instance: str) -> VolumeSpec:
    """Return the volume of a workspace and what its labels say."""
    return VolumeSpec(
        name=workspace.volume,
        kind="base" if workspace.kind == models.WorkspaceKind.BUILD else "take",
        instance=instance,
        assignment=workspace.assignment_id,
        workspace=workspace.id,
        about=about.of_workspace(workspace),
    )
