"""The database in a file: out of one, into another of whichever kind."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from ipylti import models
from ipylti.backups import dump
from ipylti.backups.dump import BackupError
from ipylti.models.upgrade import require_current
from tests.functional.background import Background
from tests.functional.browser import Student
from tests.functional.conftest import disposable
from tests.functional.test_database import registered


@pytest.fixture
def full(student: Student, background: Background, database_url: str) -> str:
    """A database after some work: every table but the invitations' has rows."""
    student.submit()
    background.containers.files[f"ipylti-take-{student.workspace_id}"] = 1000
    background.work()
    return database_url


def read(path: Path) -> list[dump.Row]:
    return list(dump.rows(path))


def dumped(url: str, path: Path) -> Path:
    with disposable(url) as engine:
        dump.write(engine, path)
    return path


def test_rows_come_back_as_they_were(database_url: str, empty_database_url: str, tmp_path: Path) -> None:
    """From each kind of database into each."""
    moment = datetime(2030, 5, 1, 14, 0, 0, 123456, tzinfo=UTC)
    with disposable(database_url) as engine, sessionmaker(engine).begin() as db:
        registration = registered(db)
        registration.name = "Zoë's\n📓"
        registration.quirks = {"a": [1, None, True, "ü"]}
        registration.created_at = moment
        person = models.Person(registration_id=registration.id, sub="s", name="Zoë")
        db.add(person)
        db.flush()
        for number in range(3):
            assignment = models.Assignment(
                id=str(number), deployment_id=registration.deployments[0].id, maximum=2.5, egress=False
            )
            db.add(assignment)
    path = dumped(database_url, tmp_path / "rows")
    assert path.stat().st_mode & 0o077 == 0
    with disposable(empty_database_url) as engine:
        count = dump.load(engine, path)
        require_current(engine)
        with sessionmaker(engine).begin() as db:
            row = db.scalars(sa.select(models.Registration)).one()
            assert (row.name, row.quirks, row.created_at) == (
                "Zoë's\n📓",
                {"a": [1, None, True, "ü"]},
                moment,
            )
            assert [(each.maximum, each.egress) for each in db.scalars(sa.select(models.Assignment))] == [
                (2.5, False)
            ] * 3
            # Numbers go on after those that are taken.
            registered(db, "another")
    again = dumped(empty_database_url, tmp_path / "again")
    assert len(read(again)) == count + 2
    assert [row for row in read(again) if row.values.get("client_id") != "another"][:3] == read(path)[:3]


def test_a_whole_database_after_work_is_the_same_afterwards(full: str, tmp_path: Path) -> None:
    path = dumped(full, tmp_path / "rows")
    rows = read(path)
    assert {row.table for row in rows} >= {"registrations", "launches", "submissions", "outbox", "tool_keys"}
    with disposable(full) as engine:
        dump.load(engine, path, replace=True)
    assert read(dumped(full, tmp_path / "again")) == rows


def test_a_database_with_work_in_it_is_left_alone(full: str, tmp_path: Path) -> None:
    path = dumped(full, tmp_path / "rows")
    before = read(path)
    with disposable(full) as engine, pytest.raises(BackupError) as caught:
        dump.load(engine, path)
    assert caught.value.code == "backup.not_empty"
    assert read(dumped(full, tmp_path / "again")) == before


def test_rows_of_an_older_schema_are_brought_up_to_date(
    database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    with disposable(database_url) as engine, sessionmaker(engine).begin() as db:
        registered(db)
    path = dumped(database_url, tmp_path / "rows")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["revision"] = "0001"
    for line in lines:
        if line.get("table") == "registrations":
            del line["row"]["name"], line["row"]["awaits_deployment"]
    kept = [line for line in lines if line.get("table") in (None, "registrations", "deployments")]
    kept[-1]["rows"] = len(kept) - 2
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))
    with disposable(empty_database_url) as engine:
        dump.load(engine, path)
        require_current(engine)
        with sessionmaker(engine)() as db:
            row = db.scalars(sa.select(models.Registration)).one()
            assert (row.client_id, row.name) == ("client", "")


def broken_line(text: str) -> str:
    return text[: len(text) // 2]


def lost_line(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[:1] + lines[2:])


def lost_end(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-1])


def of_the_future(text: str) -> str:
    first, rest = text.split("\n", 1)
    return json.dumps(json.loads(first) | {"revision": "9999"}) + "\n" + rest


def not_ours(text: str) -> str:
    return "{}\n" + text


@pytest.mark.parametrize("spoil", [broken_line, lost_line, lost_end, of_the_future, not_ours])
def test_what_is_not_whole_or_not_known_changes_nothing(
    spoil: Callable[[str], str], database_url: str, tmp_path: Path
) -> None:
    with disposable(database_url) as engine:
        with sessionmaker(engine).begin() as db:
            registered(db)
        path = dumped(database_url, tmp_path / "rows")
        before = read(path)
        bad = tmp_path / "bad"
        bad.write_text(spoil(path.read_text()))
        with pytest.raises(BackupError):
            dump.load(engine, bad, replace=True)
    assert read(dumped(database_url, tmp_path / "again")) == before


def test_rows_are_of_one_moment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is written between two tables is in neither."""
    with disposable(database_url) as engine:
        sessions = sessionmaker(engine)
        with sessions.begin() as db:
            registration = registered(db).id
        put = dump._put

        def put_and_write(file: Any, told: dict[str, Any]) -> None:
            put(file, told)
            if told.get("table") == "registrations":
                with sessions.begin() as db:
                    db.add(models.Person(registration_id=registration, sub="late"))

        monkeypatch.setattr(dump, "_put", put_and_write)
        dump.write(engine, tmp_path / "rows")
    assert "persons" not in {row.table for row in read(tmp_path / "rows")}
