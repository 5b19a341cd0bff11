"""The database's schema, brought up to date by Alembic."""

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from ipylti.errors import DependencyDown, IpyltiError


def config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration for the package's own migrations."""
    found = Config()
    found.set_main_option("script_location", "ipylti:models/migrations")
    found.attributes["connection"] = connection
    return found


def upgrade(engine: Engine) -> None:
    """Bring the schema up to date; does nothing where it is. Processes that come at once take turns."""
    with engine.begin() as connection:
        upgrade_within(connection)


def upgrade_within(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to a revision, as a part of a transaction.

    :raises IpyltiError: (``database.unknown``) there is no such revision.
    """
    if connection.dialect.name == "postgresql":
        # An arbitrary number that stands for "the schema of ipylti is being changed".
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7310579637)")
    try:
        command.upgrade(config(connection), revision)
    except CommandError as err:
        raise IpyltiError(f"the database knows no revision {revision}", code="database.unknown") from err


def head() -> str:
    """Return the revision of the schema that this version of the program expects."""
    return str(ScriptDirectory.from_config(config()).get_current_head())


def require_current(engine: Engine) -> None:
    """Return if the schema is the one that this version of the program expects.

    :raises IpyltiError: (``database.outdated``) it is not; says what to do.
    :raises DependencyDown: the database does not answer.
    """
    try:
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
    except OperationalError as err:
        raise DependencyDown("database", str(err.orig)) from err
    if found != head():
        raise IpyltiError(
            "the database is not up to date: run “ipylti db upgrade INI”", code="database.outdated"
        )
