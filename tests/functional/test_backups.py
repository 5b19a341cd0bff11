"""Which volumes a backup takes and what it says of the others; on both databases, and containers on paper."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models
from ipylti.backups import dump
from ipylti.backups.dump import BackupError
from ipylti.backups.restoring import Restore
from ipylti.backups.store import Manifest, Store
from ipylti.backups.taking import Backups
from ipylti.cli import main
from ipylti.errors import DependencyDown, SpawnerError
from ipylti.privacy.erasing import person_digest
from ipylti.servers.spawner import Archived, VolumeSpec
from ipylti.volatile import Board, Locks, Pulse
from tests.campus import Campus
from tests.functional.background import Background
from tests.functional.browser import Student
from tests.functional.conftest import on_sqlite
from tests.functional.test_cli import quiet, write_ini  # noqa: F401
from tests.functional.test_rebuild import lose_database


class Desk:
    """Takes and restores backups of the installation of a test."""

    def __init__(self, background: Background, folder: Path) -> None:
        self.background = background
        self.settings = background.worker.settings
        self.engine = background.worker.sessions.kw["bind"]
        self.store = Store(folder)
        redis = background.worker.board.client
        self.pulse, self.locks, self.board = Pulse(redis), Locks(redis), Board(redis)
        self.said: list[str] = []

    def take(self) -> Manifest:
        spawner = self.background.spawner
        return Backups(self.settings, self.engine, spawner, self.store, self.said.append).take()

    def restore(self, **options: Any) -> Restore:
        return Restore(self.settings, self.engine, self.background.spawner, self.store, **options)

    def everything(self, *, replace: bool = False, **options: Any) -> int:
        return self.restore(**options).everything(self.pulse, replace=replace)


@pytest.fixture
def desk(background: Background, tmp_path: Path) -> Desk:
    return Desk(background, tmp_path / "backups")


@pytest.fixture
def worked(student: Student, background: Background) -> Student:
    """Zoë, with files and a submission."""
    background.work()
    background.containers.files[f"ipylti-take-{student.workspace_id}"] = 1000
    student.submit()
    background.work()
    return student


def names(manifest: Manifest) -> set[str]:
    return {entry.name for entry in manifest.volumes}


def test_everything_comes_back(
    worked: Student, background: Background, desk: Desk, sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    manifest = desk.take()
    assert names(manifest) == set(background.containers.files)
    assert manifest.missing == ()
    rows = list(dump.rows(desk.store.rows(manifest)))
    files = dict(background.containers.files)
    lose_database(sessions)
    background.containers.files.clear()
    assert desk.everything() == len(rows)
    assert background.containers.files == files
    assert {volume.about for volume in background.spawner.volumes("")} != {""}
    dump.write(desk.engine, tmp_path / "again")
    assert list(dump.rows(tmp_path / "again")) == rows
    assert worked.launch_again().submissions() == worked.submissions()


@on_sqlite
def test_programs_read_what_came_of_it(
    worked: Student,
    background: Background,
    ini: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_ini(tmp_path / "test.ini", ini)
    monkeypatch.setattr("ipylti.cli.backups.PodmanSpawner", lambda _url: background.spawner)

    def run(*options: str) -> Any:
        done = CliRunner().invoke(main, ["backup", str(path), str(tmp_path / "kept"), *options, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    made = run()
    assert made["volumes"] == len(background.containers.files)
    assert run("--list") == [made]
    assert run("--verify") == made | {"whole": True}


@on_sqlite
def test_what_did_not_change_is_not_read_again(worked: Student, background: Background, desk: Desk) -> None:
    first = desk.take()
    background.containers.files[f"ipylti-take-{worked.workspace_id}"] = 1001
    second = desk.take()
    differ = set(second.volumes) - set(first.volumes)
    assert [entry.name for entry in differ] == [f"ipylti-take-{worked.workspace_id}"]
    assert "1 changed" in desk.said[-1]


@on_sqlite
def test_a_copy_that_is_being_made_is_left_out(
    worked: Student, background: Background, desk: Desk, sessions: sessionmaker[Session]
) -> None:
    """After a restore it is made anew; what came into it after the rows were read would be copied over."""
    with sessions.begin() as db:
        db.execute(
            sa.update(models.Workspace)
            .filter_by(id=worked.workspace_id)
            .values(populated_at=None, copying_since=models.now())
        )
    assert f"ipylti-take-{worked.workspace_id}" not in names(desk.take())


@on_sqlite
def test_a_volume_that_is_not_known_is_kept_and_one_that_is_gone_is_named(
    worked: Student, background: Background, desk: Desk
) -> None:
    stranger = VolumeSpec("ipylti-take-stranger", "take", desk.settings.instance, "a", "stranger")
    background.spawner.ensure_volume(stranger)
    own = f"ipylti-take-{worked.workspace_id}"
    del background.containers.files[own]
    manifest = desk.take()
    assert stranger.name in names(manifest)
    assert [(each.name, each.code) for each in manifest.missing] == [(own, "archive.missing")]


@on_sqlite
def test_one_persons_volume_keeps_nobody_elses_out(
    worked: Student, background: Background, desk: Desk
) -> None:
    """The helper ends early, as one does whose memory somebody's million of files fills."""
    bad = f"ipylti-take-{worked.workspace_id}"
    export = background.spawner.export.side_effect

    def ends_early(volumes: Any, image: str) -> Iterator[bytes | Archived]:
        for volume, known in volumes.items():
            if volume.name == bad:
                yield b"half of"
                raise SpawnerError("the helper ended early", code="archive.failed")
            yield from export({volume: known}, image)

    background.spawner.export.side_effect = ends_early
    manifest = desk.take()
    assert names(manifest) == set(background.containers.files) - {bad}
    assert [each.name for each in manifest.missing] == [bad]
    assert not list(desk.store.archives.glob("*.part"))


@on_sqlite
def test_half_a_backup_is_none(worked: Student, background: Background, desk: Desk) -> None:
    background.spawner.export.side_effect = DependencyDown("podman", "away")
    with pytest.raises(DependencyDown):
        desk.take()
    assert desk.store.manifests() == []
    with pytest.raises(BackupError, match="no backup"):
        desk.restore()


@on_sqlite
def test_a_place_is_one_installations_and_one_backups_at_a_time(worked: Student, desk: Desk) -> None:
    desk.take()
    with desk.store.locked(), pytest.raises(BackupError, match="another backup"):
        desk.take()
    object.__setattr__(desk.settings, "url", "https://other.example")
    with pytest.raises(BackupError, match="another installation"):
        desk.take()


@on_sqlite
@pytest.mark.parametrize("what", ["*/database.jsonl", "archives/*.tar", "*/manifest.json"])
def test_what_is_damaged_is_not_restored(
    worked: Student, background: Background, desk: Desk, sessions: sessionmaker[Session], what: str
) -> None:
    manifest = desk.take()
    assert desk.store.verify(manifest) == []
    [path, *_others] = desk.store.folder.glob(what)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    lose_database(sessions)
    background.containers.files.clear()
    with pytest.raises(BackupError) as caught:
        desk.everything()
    assert caught.value.code == "backup.broken"
    assert dump.occupied(desk.engine) == []


@on_sqlite
def test_work_that_is_there_is_not_lost(worked: Student, background: Background, desk: Desk) -> None:
    """One workspace, whose server runs: it is stopped, and what it has is kept."""
    name = f"ipylti-take-{worked.workspace_id}"
    desk.take()
    background.containers.files[name] = 2000
    made = desk.restore(say=desk.said.append)
    made.workspace(worked.workspace_id, desk.locks, desk.board)
    assert background.containers.files[name] == 1000
    [kept] = [each for each in background.containers.files if "-kept-" in each]
    assert background.containers.files[kept] == 2000
    assert any(kept in line for line in desk.said)
    assert worked.workspace_id not in background.containers.servers
    with desk.locks.hold(f"server:{worked.workspace_id}") as lock:
        assert lock is not None


@on_sqlite
def test_what_was_just_handed_in_is_copied_before_anything_is_put_back(worked: Student, desk: Desk) -> None:
    desk.take()
    worked.submit()
    with pytest.raises(BackupError, match="try again"):
        desk.restore().workspace(worked.workspace_id, desk.locks, desk.board)


@on_sqlite
def test_neither_work_nor_a_worker_is_run_over(
    worked: Student, background: Background, desk: Desk, sessions: sessionmaker[Session]
) -> None:
    desk.take()
    with pytest.raises(BackupError, match="--replace"):
        desk.everything()
    background.worker.pulse.beat({})
    with pytest.raises(BackupError, match="worker"):
        desk.everything(replace=True)


def test_who_was_erased_after_the_backup_is_erased_again(
    worked: Student,
    background: Background,
    desk: Desk,
    sessions: sessionmaker[Session],
    campus: Campus,
) -> None:
    first = desk.take()
    with sessions() as db:
        sub = db.scalars(sa.select(models.Person.sub).where(models.Person.name != "")).first()
    key = campus.registration["issuer"], campus.registration["client-id"], str(sub)
    background.worker.eraser.begin(person_digest(*key), models.now())
    background.worker.eraser.finish()
    background.work()
    desk.take()
    lose_database(sessions)
    desk.everything(at=first.at)
    with sessions() as db:
        assert str(sub) in set(db.scalars(sa.select(models.Person.sub)))
    background.jobs.ask("look_after_data", "")
    background.work()
    with sessions() as db:
        assert str(sub) not in set(db.scalars(sa.select(models.Person.sub)))
    assert not [name for name in background.containers.files if "take" in name]
