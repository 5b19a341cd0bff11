"""Takes backups, while people work."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import Engine

from ipylti import models
from ipylti.backups import dump
from ipylti.backups.dump import BackupError
from ipylti.backups.store import Entry, Manifest, Missing, Store, hashed
from ipylti.errors import ImageMissing, SpawnerError
from ipylti.servers import archived
from ipylti.servers.spawner import Archived, Spawner, VolumeSpec
from ipylti.settings import Settings

#: Volumes that one helper looks at.
BATCH = 50

#: Called with a line for whoever watches.
Say = Callable[[str], None]


def silent(_line: str) -> None:
    """Tell nobody."""


class Backups:
    """Takes backups of one installation to one place."""

    def __init__(
        self, settings: Settings, engine: Engine, spawner: Spawner, store: Store, say: Say = silent
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.spawner = spawner
        self.store = store
        self.say = say

    def take(self) -> Manifest:
        """Make one backup. What was archived before and did not change since is not read again.

        One that is interrupted is none; the next goes on where it ended.

        :raises BackupError: it can't be written there.
        :raises ipylti.errors.DependencyDown: Podman or the database is away.
        """
        moment = models.now()
        with self.store.locked():
            self._check_place()
            path = self.store.begin(moment)
            rows = dump.write(self.engine, path)
            self.say(f"database: {rows} rows")
            facts = Facts(path)
            entries, missing = self._volumes(facts)
            missing += facts.lost(entries, missing)
            manifest = Manifest(
                at=moment,
                instance=self.settings.instance,
                database=hashed(path),
                rows=rows,
                volumes=tuple(entries),
                missing=tuple(missing),
            )
            self.store.finish(manifest)
        return manifest

    def _check_place(self) -> None:
        """See that the place is no other installation's: each would take the other's volumes for lost.

        :raises BackupError: it is.
        """
        others = [each for each in self.store.manifests() if each.instance != self.settings.instance]
        if others:
            raise BackupError(f"{self.store.folder} has backups of another installation")

    def _volumes(self, facts: "Facts") -> tuple[list[Entry], list[Missing]]:
        """Archive all volumes that are to be in the backup."""
        there = sorted(self.spawner.volumes(self.settings.instance), key=lambda volume: volume.name)
        wanted = [volume for volume in there if volume.name not in facts.unready]
        known = self.store.known()
        entries = [
            known[volume.name] for volume in wanted if facts.frozen_as(volume.name, known.get(volume.name))
        ]
        done = {entry.name for entry in entries}
        left = [volume for volume in wanted if volume.name not in done]
        missing: list[Missing] = []
        changed = size = 0
        for start in range(0, len(left), BATCH):
            for found in self._archive(left[start : start + BATCH], known):
                if isinstance(found, Missing):
                    missing.append(found)
                    continue
                entries.append(found)
                if found.archive != getattr(known.get(found.name), "archive", None):
                    changed, size = changed + 1, size + found.size
            looked = len(done) + min(start + BATCH, len(left))
            self.say(f"volumes: {looked} of {len(wanted)}; {changed} changed, {size / 1e6:.1f} MB")
        return entries, missing

    def _archive(self, volumes: list[VolumeSpec], known: dict[str, Entry]) -> Iterator[Entry | Missing]:
        """Archive a batch. Where the helper fails, each of the rest gets one of its own: what one person has
        in a volume must keep nobody else's out of the backup."""
        there = {volume.name for volume in self.spawner.volumes(self.settings.instance)}
        # To look into a volume that was removed meanwhile would make it anew.
        left = {volume.name: volume for volume in volumes if volume.name in there}
        try:
            for found in self._export(list(left.values()), known):
                del left[found.name]
                yield found
        except ImageMissing:
            raise
        except SpawnerError:
            for volume in list(left.values()):
                try:
                    yield from self._export([volume], known)
                except SpawnerError as err:
                    yield Missing(volume.name, err.code, err.detail)

    def _export(self, volumes: list[VolumeSpec], known: dict[str, Entry]) -> Iterator[Entry | Missing]:
        before = {
            volume: known[volume.name].fingerprint if volume.name in known else "" for volume in volumes
        }
        by_name = {volume.name: volume for volume in volumes}
        stream = self.spawner.export(before, self.settings.image)
        while (received := self._receive(stream)) is not None:
            found, archive, size, digest = received
            volume = by_name[found.volume]
            if found.error:
                yield Missing(volume.name, found.error, found.detail)
                continue
            if not found.changed:
                yield known[volume.name]
                continue
            entry = Entry(
                name=volume.name,
                kind=volume.kind,
                assignment=volume.assignment,
                workspace=volume.workspace,
                about=volume.about,
                archive=archive,
                size=size,
                digest=digest,
                fingerprint=found.fingerprint,
            )
            self.store.note(entry)
            yield entry

    def _receive(self, stream: Iterator[bytes | Archived]) -> tuple[Archived, str, int, str] | None:
        """Write one volume's archive; return how it ended, its name, size and digest, None after the last."""
        ended: list[Archived] = []
        writer = self.store.writer()

        def pieces() -> Iterator[bytes]:
            for item in stream:
                if isinstance(item, Archived):
                    ended.append(item)
                    return
                writer.write(item)
                yield item

        try:
            digest = archived.digest(pieces())
            if not ended:
                return None
            good = ended[0].changed and not ended[0].error
            return ended[0], writer.keep() if good else "", writer.size, digest if good else ""
        finally:
            writer.drop()


class Facts:
    """What the rows of a backup say of volumes.

    :param path: the file with the rows.
    """

    def __init__(self, path: Path) -> None:
        self.unready: set[str] = set()
        self.frozen: dict[str, str] = {}
        self.whole: set[str] = set()
        for row in dump.rows(path, "workspaces", "submissions"):
            values = row.values
            if values.get("state") == models.SubmissionState.FROZEN:
                self.frozen[values["volume"]] = values["digest"]
            elif values["copying_since"] is not None and not values.get("populated_at"):
                self.unready.add(values["volume"])
            elif values.get("populated_at") is not None:
                self.whole.add(values["volume"])

    def frozen_as(self, volume: str, entry: Entry | None) -> bool:
        """Return whether a volume is a submission's whose archive is there already: it never changes."""
        return entry is not None and bool(entry.digest) and self.frozen.get(volume) == entry.digest

    def lost(self, entries: list[Entry], missing: list[Missing]) -> list[Missing]:
        """Return which volumes the rows know and nobody found, or found as they are not."""
        there = {entry.name for entry in entries} | {each.name for each in missing}
        gone = [
            Missing(name, "archive.missing", "the volume is not there")
            for name in sorted(self.whole.union(self.frozen) - there)
        ]
        changed = [
            Missing(entry.name, "archive.changed", "it is in the backup, but is not what was handed in")
            for entry in entries
            if entry.digest and self.frozen.get(entry.name, entry.digest) != entry.digest
        ]
        return gone + changed


def moment(text: str) -> datetime:
    """Read a point in time; without a zone, it is UTC.

    :raises BackupError: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as err:
        raise BackupError(f"{text} is no time like 2030-05-01T14:00") from err
    return found if found.tzinfo else found.replace(tzinfo=UTC)
