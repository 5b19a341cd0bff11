"""Where backups are kept: a folder that only its owner may enter, for it holds keys and people's work.

    archives/<SHA-256>.tar      the archive of a volume, shared by all backups that know it
    <time>/database.jsonl       see :mod:`ipylti.backups.dump`
    <time>/manifest.json        written last
    unfinished.jsonl            what a backup that is not done yet has archived
    lock

Every file is written under another name, brought to disk and then renamed, so each is whole or not there.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ipylti.backups.dump import BackupError, private
from ipylti.servers.spawner import VolumeSpec

FORMAT = 1

_STAMP = "%Y%m%dT%H%M%S.%fZ"
_TEMPORARY = ".part"
_PIECE = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A volume in a backup.

    :param archive: SHA-256 (hex) of its archive, which is the archive's name.
    :param size: bytes of the archive.
    :param digest: SHA-256 (hex) of the canonical manifest of what is in it; "" where that was too much.
    :param fingerprint: the volume's when it was archived.
    """

    name: str
    kind: str
    assignment: str
    workspace: str
    about: str
    archive: str
    size: int
    digest: str
    fingerprint: str

    def volume(self, instance: str) -> VolumeSpec:
        """Return the volume as one of an installation."""
        return VolumeSpec(self.name, self.kind, instance, self.assignment, self.workspace, self.about)


@dataclass(frozen=True)
class Missing:
    """A volume that the rows know of, or that was there, and that is not in the backup; and why."""

    name: str
    code: str
    detail: str


@dataclass(frozen=True)
class Manifest:
    """What is in a backup.

    :param database: SHA-256 (hex) of the rows' file.
    """

    at: datetime
    instance: str
    database: str
    rows: int
    volumes: tuple[Entry, ...]
    missing: tuple[Missing, ...]

    @property
    def size(self) -> int:
        """Bytes of all archives, each counted once."""
        return sum({entry.archive: entry.size for entry in self.volumes}.values())


class Store:
    """The backups at one place.

    :param folder: made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archives = folder / "archives"
        self._journal = folder / "unfinished.jsonl"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else from changing anything for the length of a block.

        :raises BackupError: somebody is at it, or the folder can't be used.
        """
        try:
            for folder in (self.folder, self.archives):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as err:
            raise BackupError(f"{self.folder}: {err.strerror}") from err
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as err:
                raise BackupError(f"another backup to {self.folder} is being made") from err
            self._tidy()
            yield
        finally:
            os.close(lock)

    def manifests(self) -> list[Manifest]:
        """Return the manifests of all whole backups, oldest first."""
        return [_read(path) for path in sorted(self.folder.glob("*/manifest.json"))]

    def find(self, at: datetime | None = None) -> Manifest:
        """Return the newest backup, or the newest that is not younger than a moment.

        :raises BackupError: there is none.
        """
        found = [each for each in self.manifests() if at is None or each.at <= at]
        if not found:
            raise BackupError(f"there is no backup in {self.folder}" + (f" of before {at}" if at else ""))
        return found[-1]

    def rows(self, manifest: Manifest) -> Path:
        """Return the file with a backup's rows."""
        return self.folder / manifest.at.strftime(_STAMP) / "database.jsonl"

    # Making one

    def begin(self, moment: datetime) -> Path:
        """Make a backup's folder and return where its rows are to be written."""
        folder = self.folder / moment.strftime(_STAMP)
        folder.mkdir(mode=0o700)
        return folder / "database.jsonl"

    def writer(self) -> "ArchiveWriter":
        """Return what an archive can be written to."""
        return ArchiveWriter(self.archives)

    def known(self) -> dict[str, Entry]:
        """Return what is known of volumes by their names: from the backup that is not done, and the last
        whole one; only what has its archive."""
        last = self.manifests()[-1:]
        found = {entry.name: entry for manifest in last for entry in manifest.volumes}
        with contextlib.suppress(FileNotFoundError):
            for line in self._journal.read_text().splitlines():
                # The last line may be cut short.
                with contextlib.suppress(ValueError, TypeError):
                    entry = Entry(**json.loads(line))
                    found[entry.name] = entry
        return {name: entry for name, entry in found.items() if self._has(entry)}

    def note(self, entry: Entry) -> None:
        """Remember a volume's archive for a backup that goes on where this one ends."""
        with open(self._journal, "a", opener=private) as file:
            file.write(json.dumps(asdict(entry)) + "\n")

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest: from now on there is this backup."""
        rows = self.rows(manifest)
        told = {"format": FORMAT, **asdict(manifest), "at": manifest.at.isoformat()}
        told["sha256"] = _seal(told)
        temporary = rows.with_name(f"manifest.json{_TEMPORARY}")
        with open(temporary, "w", opener=private) as file:
            json.dump(told, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        _sync(self.archives)
        temporary.rename(rows.with_name("manifest.json"))
        _sync(rows.parent)
        _sync(self.folder)
        self._journal.unlink(missing_ok=True)

    def prune(self, keep: int) -> int:
        """Remove all but the newest backups, and the archives that no other one knows; return how many.

        :raises BackupError: somebody else is at it.
        """
        with self.locked():
            old = self.manifests()[:-keep]
            for manifest in old:
                folder = self.rows(manifest).parent
                # First: what is half removed is no backup any more.
                (folder / "manifest.json").unlink()
                shutil.rmtree(folder)
            self._forget_archives()
        return len(old)

    # Reading one

    def archive(self, entry: Entry) -> Iterator[bytes]:
        """Yield an archive's pieces.

        :raises BackupError: it is not there, or not what it was; told before the last piece.
        """
        hashed = hashlib.sha256()
        last = b""
        try:
            with self._path(entry.archive).open("rb") as file:
                while piece := file.read(_PIECE):
                    hashed.update(piece)
                    if last:
                        yield last
                    last = piece
        except OSError as err:
            raise BackupError(f"the archive of {entry.name}: {err.strerror}", code="backup.broken") from err
        if hashed.hexdigest() != entry.archive:
            raise BackupError(f"the archive of {entry.name} is damaged", code="backup.broken")
        yield last

    def verify(self, manifest: Manifest) -> list[str]:
        """Return what of a backup is missing or damaged, read in full."""
        wrong = []
        if _hashed(self.rows(manifest)) != manifest.database:
            wrong.append("the database's rows are damaged")
        for entry in {entry.archive: entry for entry in manifest.volumes}.values():
            try:
                for _piece in self.archive(entry):
                    pass
            except BackupError as err:
                wrong.append(err.detail)
        return wrong

    def _has(self, entry: Entry) -> bool:
        with contextlib.suppress(OSError):
            return self._path(entry.archive).stat().st_size == entry.size
        return False

    def _path(self, archive: str) -> Path:
        return self.archives / f"{archive}.tar"

    def _tidy(self) -> None:
        """Remove what a backup left that was killed, but its archives and what it remembered of them."""
        for path in self.folder.glob(f"*/*{_TEMPORARY}"):
            path.unlink()
        for path in self.folder.glob("*/database.jsonl"):
            if not path.with_name("manifest.json").exists():
                shutil.rmtree(path.parent)

    def _forget_archives(self) -> None:
        used = {entry.archive for manifest in self.manifests() for entry in manifest.volumes}
        for path in self.archives.glob("*.tar"):
            if path.stem not in used:
                path.unlink()


class ArchiveWriter:
    """Writes one archive, whose name is known only when it is whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / f"{os.urandom(8).hex()}{_TEMPORARY}"
        self.hashed = hashlib.sha256()
        self.size = 0
        self._file: Any = None

    def write(self, piece: bytes) -> None:
        """Add a piece.

        :raises BackupError: there is no room for it, say.
        """
        try:
            if self._file is None:
                # Closed by keep() or drop().
                self._file = open(self.path, "xb", opener=private)  # noqa: SIM115
            self._file.write(piece)
        except OSError as err:
            raise BackupError(f"{self.folder}: {err.strerror}", code="backup.write") from err
        self.hashed.update(piece)
        self.size += len(piece)

    def keep(self) -> str:
        """Bring the archive to disk and give it its name, which is returned."""
        name = self.hashed.hexdigest()
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self.path.rename(self.folder / f"{name}.tar")
        except OSError as err:
            raise BackupError(f"{self.folder}: {err.strerror}", code="backup.write") from err
        return name

    def drop(self) -> None:
        """Forget what was written."""
        if self._file is not None:
            self._file.close()
            self.path.unlink(missing_ok=True)


def hashed(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hashed(path: Path) -> str:
    try:
        return hashed(path)
    except OSError:
        return ""


def _read(path: Path) -> Manifest:
    try:
        told = json.loads(path.read_text())
        seal = told.pop("sha256")
        if told["format"] != FORMAT:
            raise BackupError(f"{path} is of a later version: upgrade ipylti first", code="backup.broken")
        if seal != _seal(told):
            raise ValueError("another digest")
        del told["format"]
        told["at"] = datetime.fromisoformat(told["at"]).astimezone(UTC)
        told["volumes"] = _all(Entry, told["volumes"])
        told["missing"] = _all(Missing, told["missing"])
        return Manifest(**told)
    except (OSError, ValueError, TypeError, KeyError) as err:
        raise BackupError(f"{path} is damaged", code="backup.broken") from err


def _seal(told: dict[str, Any]) -> str:
    """Return the SHA-256 of what a manifest says beside it."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _all(kind: Any, told: Iterable[dict[str, Any]]) -> tuple[Any, ...]:
    return tuple(kind(**each) for each in told)


def _sync(folder: Path) -> None:
    """Bring a folder's names to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
