"""The database's rows in a file that does not care which database they came from.

JSON lines: first what the file is, then each row with its table's name, tables before those that refer to
them; last the number of rows. Moments are ISO 8601 in UTC.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from ipylti import models
from ipylti.errors import IpyltiError
from ipylti.models.meta import READ_ONLY
from ipylti.models.upgrade import head, upgrade_within

FORMAT = 1

#: What a new installation has rows in before anybody worked with it.
_NEW = frozenset({"tool_keys"})

_TABLES = models.Base.metadata.sorted_tables

#: Rows that are inserted by one statement.
_BATCH = 500


class BackupError(IpyltiError):
    """A backup can't be made, or restored, as asked."""

    code = "backup"


@dataclass(frozen=True)
class Row:
    """One row of a table; moments are text."""

    table: str
    values: dict[str, Any]


def write(engine: Engine, path: Path) -> int:
    """Write all rows of the database into a new file, on disk when this returns; return how many.

    One transaction reads them all, so they are of one moment; nobody waits for it.
    """
    options: dict[str, Any] = {READ_ONLY: True}
    if engine.dialect.name == "postgresql":
        options["isolation_level"] = "REPEATABLE READ"
    count = 0
    with open(path, "x", opener=private) as file, engine.connect() as made:
        connection = made.execution_options(**options)
        _put(file, {"format": FORMAT, "revision": head()})
        for table in _TABLES:
            for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings():
                _put(file, {"table": table.name, "row": {name: _plain(each) for name, each in row.items()}})
                count += 1
        _put(file, {"rows": count})
        file.flush()
        os.fsync(file.fileno())
    return count


def rows(path: Path, *tables: str) -> Iterator[Row]:
    """Yield the rows in a file, of some tables or of all.

    :raises BackupError: the file is not whole.
    """
    with path.open() as file:
        _revision(file, path)
        for count, line in enumerate(file):
            told = _parsed(line, path)
            if "rows" in told:
                if told["rows"] != count:
                    break
                return
            if not tables or told["table"] in tables:
                yield Row(told["table"], told["row"])
    raise BackupError(f"{path} is not whole", code="backup.broken")


def revision(path: Path) -> str:
    """Return the revision of the schema that a file's rows are of.

    :raises BackupError: it is no such file, or of a later version's format.
    """
    with path.open() as file:
        return _revision(file, path)


def load(engine: Engine, path: Path, *, replace: bool = False) -> int:
    """Put a file's rows into the database, whose schema is brought up to date; return how many.

    It happens in one transaction: all of it or nothing.

    :param replace: whether the rows that are there go.
    :raises BackupError: there are rows already, or they are of a schema that this version does not know.
    """
    if not replace and (found := occupied(engine)):
        raise BackupError(f"the database is not empty ({', '.join(found)})", code="backup.not_empty")
    wanted = revision(path)
    with engine.begin() as connection:
        _clear(connection)
        try:
            upgrade_within(connection, wanted)
        except IpyltiError as err:
            raise BackupError(f"the backup is of a later version ({wanted}): upgrade ipylti first") from err
        _clear_rows(connection)
        count = _insert(connection, path)
        upgrade_within(connection)
    return count


def occupied(engine: Engine) -> list[str]:
    """Return the tables that have rows in them, those of a new installation left out."""
    with engine.connect().execution_options(**{READ_ONLY: True}) as connection:
        there = set(sa.inspect(connection).get_table_names())
        tables = [table for table in _TABLES if table.name in there - _NEW]
        return [each.name for each in tables if connection.execute(sa.select(1).select_from(each)).first()]


def _clear(connection: Connection) -> None:
    """Take the tables away, whatever their revision."""
    there = sa.MetaData()
    there.reflect(connection)
    there.drop_all(connection)


def _clear_rows(connection: Connection) -> None:
    """Empty the tables that a migration put something into."""
    there = sa.MetaData()
    there.reflect(connection)
    for table in reversed(there.sorted_tables):
        if table.name != "alembic_version":
            connection.execute(sa.delete(table))


def _insert(connection: Connection, path: Path) -> int:
    """Insert a file's rows into tables of its revision."""
    there = sa.MetaData()
    there.reflect(connection)
    batch: list[dict[str, Any]] = []
    name, count = "", 0

    def flush() -> None:
        if batch:
            connection.execute(sa.insert(there.tables[name]), batch)
            batch.clear()

    for row in rows(path):
        if row.table != name or len(batch) == _BATCH:
            flush()
            name = row.table
        batch.append(_typed(there.tables[name], row.values))
        count += 1
    flush()
    if connection.dialect.name == "postgresql":
        for table in there.sorted_tables:
            _advance(connection, table)
    return count


def _advance(connection: Connection, table: sa.Table) -> None:
    """Have PostgreSQL count on after the rows that came with their numbers."""
    for column in table.primary_key:
        found = sa.select(sa.func.pg_get_serial_sequence(table.name, column.name))
        sequence = connection.scalar(found)
        last = connection.scalar(sa.select(sa.func.max(column))) if sequence else None
        if last is not None:
            connection.execute(sa.select(sa.func.setval(sequence, last)))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _typed(table: sa.Table, values: dict[str, Any]) -> dict[str, Any]:
    """Return a row's values as the database's driver takes them."""
    return {
        name: _moment(each) if isinstance(table.c[name].type, sa.DateTime) else each
        for name, each in values.items()
    }


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def _revision(file: TextIO, path: Path) -> str:
    told = _parsed(file.readline(), path)
    if told.get("format") != FORMAT:
        raise BackupError(f"{path} is no database of a backup that this version reads", code="backup.broken")
    return str(told["revision"])


def _parsed(line: str, path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError as err:
        raise BackupError(f"{path} is damaged", code="backup.broken") from err


def _put(file: TextIO, told: dict[str, Any]) -> None:
    file.write(json.dumps(told) + "\n")


def private(path: str, flags: int) -> int:
    """Open a file that is its owner's alone (an ``opener`` of :func:`open`)."""
    return os.open(path, flags, 0o600)
