"""The declarative base, column types and the engine."""

import contextlib
import os
import sqlite3
import time
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.engine import Engine

from ipylti.errors import SettingsError

#: Constraint names, so that migrations can name what they change (Alembic, "The Importance of Naming
#: Constraints").
_NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UTCDateTime(sa.types.TypeDecorator[datetime]):
    """A point in time: aware on the way in and out, stored as naive UTC, which SQLite can compare."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def now() -> datetime:
    """Return the present moment, aware."""
    return datetime.now(UTC)


class Base(orm.DeclarativeBase):
    """What all tables have in common."""

    metadata = sa.MetaData(naming_convention=_NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it off the class
        datetime: UTCDateTime(),
        dict[str, Any]: sa.JSON(),
        list[str]: sa.JSON(),
        str: sa.Text(),
    }


#: Seconds that somebody waits for another one's write to an SQLite database.
_PATIENCE = 15.0

#: Execution option of a connection whose transaction only reads: on SQLite it then waits for no writer.
READ_ONLY = "ipylti_read_only"


def make_engine(url: str) -> Engine:
    """Return the engine for a database URL.

    SQLite is put into WAL mode with full durability of commits, waits for a writer instead of failing, and
    checks foreign keys; a new file is its owner's alone. A transaction that may write takes the write lock at
    its begin, since one that upgrades later can fail at once (SQLite, "Isolation In SQLite").

    :raises SettingsError: it is not such a URL, or its driver is not installed.
    """
    if not url.startswith("sqlite"):
        return _created(url, pool_pre_ping=True, pool_size=10, connect_args={"connect_timeout": 5})
    engine = _created(url, connect_args={"timeout": _PATIENCE})

    @event.listens_for(engine, "do_connect")
    def _make(_dialect: Any, _record: Any, arguments: list[Any], _options: dict[str, Any]) -> None:
        _make_private(str(arguments[0]))

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The module must not begin transactions by itself: "begin" below does.
        connection.isolation_level = None
        _write_ahead(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "reset")
    def _reset(connection: Any, _record: Any, _state: Any) -> None:
        # A COMMIT that fails (a full disk) leaves the transaction open, and with it everybody locked out.
        if connection.in_transaction:
            connection.rollback()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _make_private(file: str) -> None:
    """Make a database's file where there is none, with names and keys in it for its owner only.

    SQLite itself would leave that to the umask; the files that it makes beside it get the same rights.
    """
    if file == ":memory:" or file.startswith("file:"):
        return
    # Whether it can be opened, SQLite says better.
    with contextlib.suppress(OSError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Put a database into WAL mode, which it then stays in.

    Of several that do so to a new database together, SQLite refuses all but one at once, whatever time-out it
    was given: whoever waits with a lock held could wait for ever ("sqlite3_busy_handler").
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as err:
            if err.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _created(url: str, **options: Any) -> Engine:
    try:
        # What an error's words would show of a statement's values are names and secrets.
        return sa.create_engine(url, hide_parameters=True, **options)
    except ImportError as err:
        raise SettingsError(f"sqlalchemy.url: {err} (ipylti[postgresql] brings it)") from err
    except (sa.exc.ArgumentError, ValueError):
        # Their words may hold a part of the password.
        raise SettingsError("sqlalchemy.url: not the URL of a database") from None
