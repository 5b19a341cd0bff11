"""The schema and its migrations, on SQLite and on PostgreSQL; rows that two make at once."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models
from ipylti.errors import DependencyDown, IpyltiError
from ipylti.lti.registrations import Quirks
from ipylti.models.meta import READ_ONLY, Base
from ipylti.models.queries import find_or_make
from ipylti.models.upgrade import config, require_current, upgrade
from ipylti.platforms import Platforms, ToolKeys
from tests.functional.conftest import disposable


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[sa.Engine]:
    """An engine on a database with nothing in it."""
    with disposable(empty_database_url) as engine:
        yield engine


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on a database with the schema."""
    with disposable(database_url) as made:
        yield made


def differences(engine: sa.Engine) -> list[Any]:
    """Return how the database differs from what the tables say."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, Base.metadata)
    return list(found)


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Do several things at the same moment, each in a thread of its own, and return what they gave."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> Any:
        barrier.wait(10)
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def registered(db: Session, client_id: str = "client") -> models.Registration:
    """Add a platform."""
    return Platforms(db).add(
        issuer="https://lms.example",
        client_id=client_id,
        auth_url="https://lms.example/auth",
        token_url="https://lms.example/token",
        jwks_url="https://lms.example/jwks",
        token_audience=None,
        deployments=["1"],
        quirks=Quirks(),
    )


def test_a_new_file_of_sqlite_is_its_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask; the files beside it, too."""
    before = os.umask(0o022)
    try:
        engine = models.make_engine(f"sqlite:///{tmp_path}/new.sqlite")
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE a (b)")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        engine.dispose()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("new.sqlite", "new.sqlite-shm", "new.sqlite-wal"), 0o600)


# Migrations


def test_from_nothing_to_what_the_tables_say(empty: sa.Engine) -> None:
    with pytest.raises(IpyltiError, match="ipylti db upgrade"):
        require_current(empty)
    upgrade(empty)
    require_current(empty)
    assert differences(empty) == []
    names = set(sa.inspect(empty).get_table_names())
    assert names == {table.name for table in Base.metadata.sorted_tables} | {"alembic_version"}


@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/ipylti.sqlite", "postgresql+psycopg://ipylti@/ipylti?host=/nowhere"]
)
def test_a_database_that_is_not_there_is_told_as_such(url: str) -> None:
    with disposable(url) as engine, pytest.raises(DependencyDown) as caught:
        require_current(engine)
    assert caught.value.code == "database.down"


def test_a_difference_would_be_noticed(empty: sa.Engine) -> None:
    upgrade(empty)
    with empty.begin() as connection:
        connection.execute(sa.text("ALTER TABLE persons ADD COLUMN odd TEXT"))
    assert differences(empty)


def test_upgrading_again_changes_nothing(empty: sa.Engine) -> None:
    upgrade(empty)
    with sessionmaker(empty).begin() as db:
        registered(db)
    upgrade(empty)
    with sessionmaker(empty)() as db:
        assert [row.client_id for row in Platforms(db).all()] == ["client"]


def test_down_and_up_again(empty: sa.Engine) -> None:
    upgrade(empty)
    with empty.begin() as connection:
        command.downgrade(config(connection), "base")
    assert set(sa.inspect(empty).get_table_names()) <= {"alembic_version"}
    with pytest.raises(IpyltiError) as caught:
        require_current(empty)
    assert caught.value.code == "database.outdated"
    upgrade(empty)
    assert differences(empty) == []


def test_an_upgrade_that_fails_leaves_nothing_half_done(
    empty: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import op

    made: list[str] = []

    def create_table(name: str, *args: Any, **kwargs: Any) -> Any:
        made.append(name)
        if len(made) == 5:
            raise ZeroDivisionError
        return real(name, *args, **kwargs)

    real = op.create_table
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(op, "create_table", create_table)
        upgrade(empty)
    assert sa.inspect(empty).get_table_names() == []
    upgrade(empty)
    assert differences(empty) == []


def test_two_processes_that_upgrade_at_once(empty_database_url: str, tmp_path: Path) -> None:
    """Two web processes of a new installation; both make the schema and the first key."""
    ini = tmp_path / "test.ini"
    ini.write_text(
        "[app:main]\nuse = egg:ipylti\nipylti.url = https://tool.example\n"
        "ipylti.notebook_domain = notebooks.example\nipylti.podman_url = unix:///nowhere.sock\n"
        "ipylti.secret = 6b1f0c9e8d27a45330f4e1b2c7d8596a\nredis.sessions.url = redis://127.0.0.1:1/0\n"
        f"sqlalchemy.url = {empty_database_url.replace('%', '%%')}\n"
    )
    program = [sys.executable, "-c", "from ipylti.cli import main; main()", "db", "upgrade", str(ini)]
    running = [subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    said = [process.communicate(timeout=300)[0].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    with disposable(empty_database_url) as engine:
        assert differences(engine) == []
        with sessionmaker(engine)() as db:
            assert len(ToolKeys(db).all()) == 1


def test_many_that_open_a_new_database_at_once(tmp_path: Path) -> None:
    """SQLite refuses to change a database's mode at once, where it waits for everything else."""

    together = threading.Barrier(4)

    def open_all(_number: int) -> None:
        for each in range(30):
            together.wait(30)
            with disposable(f"sqlite:///{tmp_path}/{each}.sqlite") as engine, engine.begin() as connection:
                connection.execute(sa.text("CREATE TABLE IF NOT EXISTS opened (number INTEGER)"))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(open_all, range(4)))


# Rows that two make at once


def test_whoever_comes_second_finds_the_firsts_row(engine: sa.Engine) -> None:
    sessions = sessionmaker(engine)
    with sessions.begin() as db:
        registration = registered(db).id

    def find(number: int) -> int:
        ids = set()
        for round_ in range(10):
            with sessions.begin() as db:
                key = {"registration_id": registration, "sub": f"sub-{round_}"}
                ids.add(find_or_make(db, models.Person, key, name=str(number), created_at=models.now()).id)
        return len(ids)

    assert at_once(*(lambda number=number: find(number) for number in range(4))) == [10] * 4
    with sessions() as db:
        assert db.scalar(sa.select(sa.func.count()).select_from(models.Person)) == 10


def test_the_second_waits_until_the_first_is_through(engine: sa.Engine) -> None:
    """The first has made its row, and not committed yet, when the second looks."""
    sessions = sessionmaker(engine)
    with sessions.begin() as db:
        registration = registered(db).id
    key = {"registration_id": registration, "sub": "zoe"}
    made, looking = threading.Event(), threading.Event()

    def first() -> int:
        with sessions.begin() as db:
            found = find_or_make(db, models.Person, key, name="first", created_at=models.now()).id
            made.set()
            looking.wait(10)
            return found

    def second() -> int:
        made.wait(10)
        threading.Timer(0.3, looking.set).start()
        with sessions.begin() as db:
            return find_or_make(db, models.Person, key, name="second", created_at=models.now()).id

    one, other = at_once(first, second)
    assert one == other
    with sessions() as db:
        assert db.get_one(models.Person, one).name == "first"


def test_what_the_first_took_back_the_second_makes(engine: sa.Engine) -> None:
    sessions = sessionmaker(engine)
    with sessions.begin() as db:
        registration = registered(db).id
    key = {"registration_id": registration, "sub": "zoe"}
    with sessions() as db:
        find_or_make(db, models.Person, key, name="first", created_at=models.now())
        db.rollback()
    with sessions.begin() as db:
        assert find_or_make(db, models.Person, key, name="second", created_at=models.now()).name == "second"


def test_processes_that_start_at_once_end_up_with_one_key(empty: sa.Engine) -> None:
    upgrade(empty)
    sessions = sessionmaker(empty)

    def ensure() -> None:
        with sessions.begin() as db:
            ToolKeys(db).ensure(models.now())

    at_once(ensure, ensure, ensure)
    with sessions() as db:
        assert len(ToolKeys(db).all()) == 1


# What columns hold


def test_a_moment_comes_back_aware_and_in_utc(engine: sa.Engine) -> None:
    sessions = sessionmaker(engine)
    there = datetime(2030, 5, 1, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with sessions.begin() as db:
        row = registered(db)
        row.created_at = there
    with sessions() as db:
        (row,) = Platforms(db).all()
        assert row.created_at == there
        assert row.created_at.tzinfo is UTC
        later = sa.select(models.Registration).where(models.Registration.created_at >= there)
        assert db.scalars(later).one() is row


def test_a_moment_without_a_zone_has_no_place(engine: sa.Engine) -> None:
    with sessionmaker(engine)() as db:
        row = registered(db)
        row.created_at = datetime(2030, 5, 1)
        with pytest.raises(sa.exc.StatementError, match="naive"):
            db.flush()


def test_rows_belong_to_rows(engine: sa.Engine) -> None:
    with sessionmaker(engine)() as db, pytest.raises(sa.exc.IntegrityError):
        db.add(models.Person(registration_id=999, sub="nobody"))
        db.flush()


def test_any_text_is_kept(engine: sa.Engine) -> None:
    text = "Zoë ليلى 👩‍🔬 " + "x" * 3000
    sessions = sessionmaker(engine)
    with sessions.begin() as db:
        db.add(models.Person(registration_id=registered(db).id, sub=text, name=text))
    with sessions() as db:
        person = db.scalars(sa.select(models.Person)).one()
        assert (person.sub, person.name) == (text, text)


def test_a_reader_does_not_wait_for_a_writer(engine: sa.Engine) -> None:
    with engine.connect() as writer:
        writer.execute(sa.text("UPDATE registrations SET enabled = enabled"))
        with engine.connect().execution_options(**{READ_ONLY: True}) as reader:
            assert reader.execute(sa.text("SELECT count(*) FROM registrations")).scalar() == 0


def test_two_writers_take_turns(engine: sa.Engine) -> None:
    """Neither fails because the other one writes: on SQLite one waits from its begin on."""
    sessions = sessionmaker(engine)
    with sessions.begin() as db:
        registered(db)

    def count() -> None:
        for _ in range(10):
            with sessions.begin() as db:
                row = db.scalars(sa.select(models.Registration).with_for_update()).one()
                row.quirks = {"no_ags_limit": True, "n": row.quirks.get("n", 0) + 1}

    at_once(count, count, count)
    with sessions() as db:
        assert db.scalars(sa.select(models.Registration)).one().quirks["n"] == 30
