"""All that is kept of one person, to hand to them: rows as JSON, and an archive of each volume."""

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models
from ipylti.models.meta import Base
from ipylti.platforms import Platforms
from ipylti.privacy.erasing import ErasureError
from ipylti.servers.spawner import Archived, Spawner, VolumeSpec
from ipylti.settings import Settings

_PACKED = zipfile.ZIP_DEFLATED


def find(db: Session, issuer: str, client_id: str, sub: str) -> models.Person | None:
    """Return a person of a platform, None for one who never launched.

    :raises ipylti.platforms.PlatformError: there is no such platform.
    """
    registration = Platforms(db).known(issuer, client_id)
    return db.scalars(
        sa.select(models.Person).filter_by(registration_id=registration.id, sub=sub)
    ).one_or_none()


def search(db: Session, text: str) -> list[dict[str, Any]]:
    """Return the people whose name holds a text, also of those who stand in a roster only: these have no
    number yet, by which logs and the audit know people."""
    found: dict[tuple[str, str, str], str] = {}
    numbers: dict[tuple[str, str, str], int | None] = {}
    rostered = (
        sa.select(models.Registration, models.Member.sub, models.Member.name, sa.null())
        .join(models.Deployment)
        .join(models.ResourceLink, models.ResourceLink.deployment_id == models.Deployment.id)
        .join(models.Member, models.Member.resource_link_id == models.ResourceLink.id)
    )
    launched = sa.select(models.Registration, models.Person.sub, models.Person.name, models.Person.id).join(
        models.Person, models.Person.registration_id == models.Registration.id
    )
    for query in (rostered, launched):
        for registration, sub, name, number in db.execute(query):
            key = (registration.issuer, registration.client_id, sub)
            found[key] = name or found.get(key, "")
            numbers[key] = number
    wanted = text.casefold()
    return [
        {"name": name, "person": numbers[key], "issuer": key[0], "client_id": key[1], "sub": key[2]}
        for key, name in sorted(found.items(), key=lambda each: (each[1].casefold(), each[0]))
        if wanted in name.casefold() or text == key[2]
    ]


class Export:
    """Writes a person's data."""

    def __init__(self, settings: Settings, sessions: sessionmaker[Session], spawner: Spawner) -> None:
        self.settings = settings
        self.sessions = sessions
        self.spawner = spawner

    def person(self, issuer: str, client_id: str, sub: str, destination: Path) -> int:
        """Write all that is kept of a person to a new folder, or a new file that ends in ``.zip``; return how
        many volumes it holds.

        :raises ErasureError: nothing is known of the person, or an archive can't be made.
        """
        with self.sessions() as db:
            data = rows_of(db, issuer, client_id, sub)
        if not data:
            raise ErasureError(f"{issuer} (client id {client_id}) has nobody {sub} here")
        wanted = {row["id"] for row in data.get("workspaces", [])}
        volumes = [
            volume
            for volume in self.spawner.volumes(self.settings.instance)
            if volume.workspace in wanted and volume.kind != "base"
        ]
        with _output(destination) as output:
            with output.file("data.json") as file:
                file.write(json.dumps(data, indent=2, ensure_ascii=False).encode())
            for volume in volumes:
                self._volume(volume, output)
        return len(volumes)

    def _volume(self, volume: VolumeSpec, output: "_Output") -> None:
        with output.file(f"{volume.name}.tar") as file:
            for item in self.spawner.export({volume: ""}, self.settings.image):
                if not isinstance(item, Archived):
                    file.write(item)
                elif item.error:
                    raise ErasureError(f"{volume.name}: {item.error} ({item.detail})")


def rows_of(db: Session, issuer: str, client_id: str, sub: str) -> dict[str, list[dict[str, Any]]]:
    """Return all rows that are about a person, by table; nothing where there are none."""
    registration = Platforms(db).known(issuer, client_id)
    links = (
        sa.select(models.ResourceLink.id)
        .join(models.Deployment)
        .where(models.Deployment.registration_id == registration.id)
    )
    members = sa.select(models.Member).where(
        models.Member.sub == sub, models.Member.resource_link_id.in_(links)
    )
    person = find(db, issuer, client_id, sub)
    queries: list[sa.Select[Any]] = [members]
    if person is not None:
        workspaces = sa.select(models.Workspace.id).filter_by(person_id=person.id)
        audited = (models.AuditEntry.person_id == person.id, models.AuditEntry.owner_id == person.id)
        queries += [
            sa.select(models.Person).filter_by(id=person.id),
            sa.select(models.Workspace).filter_by(person_id=person.id),
            sa.select(models.Launch).filter_by(person_id=person.id),
            sa.select(models.Submission).where(models.Submission.workspace_id.in_(workspaces)),
            sa.select(models.OutboxItem).filter_by(person_id=person.id),
            sa.select(models.Blueprint).filter_by(person_id=person.id),
            sa.select(models.AuditEntry).where(sa.or_(*audited)),
        ]
    found: dict[str, list[dict[str, Any]]] = {}
    for query in queries:
        for row in db.scalars(query):
            found.setdefault(row.__tablename__, []).append(_plain(row))
    return found


def _plain(row: Base) -> dict[str, Any]:
    values = {column.key: getattr(row, column.key) for column in sa.inspect(row).mapper.column_attrs}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()
    }


class _Output:
    """Where files go: only the owner may read them."""

    def file(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Return a new file to write to."""
        raise NotImplementedError


class _Folder(_Output):
    def __init__(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        self.path = path

    def file(self, name: str) -> AbstractContextManager[IO[bytes]]:
        return open(self.path / name, "xb", opener=private)


class _Zip(_Output):
    def __init__(self, file: zipfile.ZipFile) -> None:
        self.zip = file

    def file(self, name: str) -> AbstractContextManager[IO[bytes]]:
        return self.zip.open(name, "w", force_zip64=True)


@contextmanager
def _output(destination: Path) -> Iterator[_Output]:
    """Make the folder or the file.

    :raises ErasureError: it is there already, or can't be made.
    """
    try:
        if destination.suffix != ".zip":
            yield _Folder(destination)
            return
        with open(destination, "xb", opener=private) as file, zipfile.ZipFile(file, "w", _PACKED) as packed:
            yield _Zip(packed)
    except OSError as err:
        raise ErasureError(f"{destination}: {err.strerror}") from err


def private(path: str, flags: int) -> int:
    """Open a file that is its owner's alone (an ``opener`` of :func:`open`)."""
    return os.open(path, flags, 0o600)
