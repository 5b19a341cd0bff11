"""Puts back what is in a backup: everything, or one workspace.

No step loses anything that is there. What a volume holds is copied to another one before it is filled from
an archive, unless it is what the archive holds already, or the half of it that an interrupted restore left.
So a restore that was interrupted is simply begun anew.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models
from ipylti.backups import dump
from ipylti.backups.dump import BackupError
from ipylti.backups.store import Entry, Manifest, Store, hashed
from ipylti.backups.taking import Say, silent
from ipylti.errors import DependencyDown
from ipylti.servers.spawner import Archive, Content, Spawner, VolumeSpec
from ipylti.settings import Settings
from ipylti.volatile import Board, Locks, Progress, Pulse, renewed

#: Bytes of archives that go to one helper, and how many: they are on the disk twice meanwhile.
_LOAD = 1 << 30
_ARCHIVES = 25

#: The digest of a volume with nothing in it.
_EMPTY = hashlib.sha256().hexdigest()

#: Seconds that a lock lasts, and to wait for it.
_LASTS = 120.0
_WAIT = 60.0


class Restore:
    """Restores from one place to one installation.

    :param at: restore what was there at that moment, None for the newest backup.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        spawner: Spawner,
        store: Store,
        *,
        at: datetime | None = None,
        say: Say = silent,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.spawner = spawner
        self.store = store
        self.manifest: Manifest = store.find(at)
        self.say = say
        #: What was not put back as it was, and why.
        self.troubles: list[str] = []

    def everything(self, pulse: Pulse, *, replace: bool = False) -> int:
        """Put back all volumes and then the database; return how many rows it has.

        The database comes last: as long as it is empty, the restore did not happen.

        :param replace: whether the rows that are there go.
        :raises BackupError: a worker is at work, the database is not empty, or the backup is damaged.
        """
        with contextlib.suppress(DependencyDown):
            # Without Redis no worker does anything.
            if pulse.read() is not None:
                raise BackupError("a worker is running: stop web and worker first, and wait 20 seconds")
        if not replace and dump.occupied(self.engine):
            raise BackupError(
                "there is work in the database; a backup is restored into an empty one. “--replace” forgets "
                "what is there, “--workspace” puts one workspace back"
            )
        path = self.store.rows(self.manifest)
        if hashed(path) != self.manifest.database:
            raise BackupError("the database's rows are damaged", code="backup.broken")
        for status in self.spawner.servers(self.settings.instance):
            self.spawner.stop(status.workspace)
        erased = self._erased(replace)
        self._fill(list(self.manifest.volumes))
        count = dump.load(self.engine, path, replace=replace)
        self._erase_again(erased)
        return count

    def _erased(self, replace: bool) -> dict[str, datetime]:
        """Return what was erased after the backup was made, as later backups say, and the database itself."""
        later = dump.rows(self.store.rows(self.store.find()), "erasures")
        found = {row.values["digest"]: datetime.fromisoformat(row.values["begun_at"]) for row in later}
        if replace:
            with contextlib.suppress(sa.exc.DatabaseError), sessionmaker(self.engine)() as db:
                found |= {row.digest: row.begun_at for row in db.scalars(sa.select(models.Erasure))}
        return {digest: moment for digest, moment in found.items() if moment > self.manifest.at}

    def _erase_again(self, erased: dict[str, datetime]) -> None:
        """Write down what is to be gone again; workers see to it, and nobody of theirs launches before."""
        with sessionmaker(self.engine).begin() as db:
            for digest, moment in erased.items():
                db.merge(models.Erasure(digest=digest, begun_at=moment, done_at=None))
        if erased:
            self.say(f"erased after the backup, and again as soon as a worker runs: {len(erased)}")

    def workspace(self, workspace: str, locks: Locks, board: Board) -> None:
        """Put back the files of one workspace; its server is stopped before.

        :raises BackupError: it is not known, not in the backup, or somebody starts its server all the time.
        """
        sessions = sessionmaker(self.engine)
        with sessions() as db:
            row = db.get(models.Workspace, workspace)
            if row is None:
                raise BackupError(f"there is no workspace {workspace}")
            name = row.volume
            pending = sa.select(models.Submission.id).filter_by(
                workspace_id=workspace, state=models.SubmissionState.FREEZING
            )
            if db.scalars(pending).first() is not None:
                raise BackupError(f"a submission of workspace {workspace} is being copied: try again")
        entry = next((each for each in self.manifest.volumes if each.name == name), None)
        if entry is None:
            raise BackupError(f"workspace {workspace} is not in the backup of {self.manifest.at}")
        with locks.hold(f"server:{workspace}", wait=_WAIT, seconds=_LASTS) as lock:
            if lock is None:
                raise BackupError(f"the server of workspace {workspace} is being started: try again")
            with renewed(lock):
                board.write(workspace, Progress())
                self.spawner.stop(workspace)
                self._fill([entry])
                _say_whole(sessions, workspace)

    def _fill(self, entries: list[Entry]) -> None:
        """Fill volumes, those that hold something else already after that was put aside."""
        instance = self.settings.instance
        there = {volume.name for volume in self.spawner.volumes(instance)}
        for entry in entries:
            if entry.name not in there and self.spawner.has_volume(entry.name):
                raise BackupError(f"volume {entry.name} belongs to another installation on this Podman")
        done = 0
        for batch in _batches(entries):
            found = {
                content.volume: content
                for content in self.spawner.inspect(
                    [entry.volume(instance) for entry in batch if entry.name in there], self.settings.image
                )
            }
            left = [entry for entry in batch if not _is_there(entry, found.get(entry.name))]
            for entry in left:
                content = found.get(entry.name)
                if content is not None and (content.error or content.digest not in ("", _EMPTY)):
                    self._put_aside(entry.volume(instance))
            archives = [self._archive(entry) for entry in left]
            for entry, content in zip(left, self.spawner.import_(archives, self.settings.image), strict=True):
                self._compare(entry, content)
            done += len(batch)
            self.say(f"volumes: {done} of {len(entries)}")

    def _archive(self, entry: Entry) -> Archive:
        return Archive(entry.volume(self.settings.instance), entry.size, lambda: self.store.archive(entry))

    def _put_aside(self, volume: VolumeSpec) -> None:
        """Copy what is in a volume to a new one."""
        stamp = models.now().strftime("%Y%m%dt%H%M%S%f")
        kept = VolumeSpec(
            f"{volume.name}-kept-{stamp}",
            "kept",
            volume.instance,
            volume.assignment,
            volume.workspace,
            volume.about,
        )
        self.spawner.copy(volume.name, kept, self.settings.image, lambda _done, _total: None, digest=True)
        self.say(f"what was in {volume.name} is in {kept.name} now")

    def _compare(self, entry: Entry, content: Content) -> None:
        if content.error:
            self.troubles.append(f"{entry.name}: {content.error} ({content.detail})")
        elif entry.digest and content.digest != entry.digest:
            self.troubles.append(f"{entry.name}: is not exactly what was in the backup")


def _is_there(entry: Entry, content: Content | None) -> bool:
    """Return whether a volume holds what the backup has of it."""
    return content is not None and bool(entry.digest) and content.digest == entry.digest


def _batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Yield volumes in batches that one helper takes."""
    batch: list[Entry] = []
    for entry in entries:
        if batch and (sum(each.size for each in batch) + entry.size > _LOAD or len(batch) == _ARCHIVES):
            yield batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch


def _say_whole(sessions: sessionmaker[Session], workspace: str) -> None:
    """Write down that a workspace's volume is whole, so that no base is copied over it."""
    whole = sa.update(models.Workspace).filter_by(id=workspace, populated_at=None)
    with sessions.begin() as db:
        db.execute(whole.values(copying_since=models.now(), populated_at=models.now()))
