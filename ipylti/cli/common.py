"""What all commands have in common: the ini file, the database, errors in one line, tables."""

import configparser
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import plaster
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from ipylti import audit, models, settings, trace
from ipylti.errors import DependencyDown, IpyltiError, SettingsError
from ipylti.models.upgrade import require_current, upgrade
from ipylti.platforms import ToolKeys
from ipylti.trace import Trace

ini_argument = click.argument("ini", type=click.Path(exists=True, dir_okay=False))
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Command(click.Group):
    """A group whose commands tell the house's errors in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with trace.begun(Trace(trace.new_id(), audit.administrator())):
                return super().invoke(ctx)
        except DependencyDown as err:
            told = _down(err.part, err.detail)
        except IpyltiError as err:
            told = err.detail or err.code
        except OperationalError as err:
            told = _down("database", err.orig)
        except DatabaseError as err:
            told = f"the database can't be used: {err.orig}"
        raise click.ClickException(" ".join(told.split()))


def _down(part: str, why: object) -> str:
    """Return what is said of a part that does not answer, and who knows what helps."""
    names = {"database": "the database", "podman": "Podman", "redis": "Redis", "traefik": "Traefik"}
    return f"{names[part]} does not answer (“ipylti doctor INI” says what helps): {why}"


def load(ini: str, *, log: bool = False) -> settings.Settings:
    """Return the settings in an ini file's [app:main].

    :raises SettingsError: the file is no ini file, or a setting is missing or bad.
    """
    return settings.load(section(ini, "app:main", log=log))


def application(ini: str) -> tuple[Any, dict[str, str]]:
    """Return the WSGI application of an ini file, and what its [server:main] says to waitress.

    :raises SettingsError: as :func:`load`, or the server is not waitress.
    """
    server = section(ini, "server:main", log=True)
    if server.pop("use", "egg:waitress#main").partition("#")[0] != "egg:waitress":
        raise SettingsError("[server:main] use: must be egg:waitress#main")
    # What is wrong with the application is told as it is with every command.
    load(ini)
    return plaster.get_loader(ini, protocols=["wsgi"]).get_wsgi_app("main"), server


def section(ini: str, name: str, *, log: bool = False) -> dict[str, str]:
    """Return a section of an ini file; the environment then has what stands in the file beside it.

    :raises SettingsError: it is no ini file.
    """
    _read_environment(environment_file(ini))
    try:
        loader = plaster.get_loader(ini, protocols=["wsgi"])
        found = dict(loader.get_settings(name))
        if log:
            loader.setup_logging()
        else:
            logging.basicConfig(level=logging.WARNING)
    except (configparser.Error, plaster.PlasterError, ValueError, LookupError) as err:
        raise SettingsError(f"{ini} can't be read: {err}") from err
    return found


def environment_file(ini: str) -> Path:
    """Return the file with an ini file's secrets: ``production.env`` beside ``production.ini``."""
    return Path(ini).with_suffix(".env")


def _read_environment(path: Path) -> None:
    """Take what is not set yet from a file, if there is one; for units, systemd reads the same."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as err:
        raise SettingsError(f"{path} can't be read: {err}") from err
    for line in lines:
        name, found, value = line.partition("=")
        if found and not line.startswith("#"):
            os.environ.setdefault(name.strip(), value.strip().strip('"'))


def open_sessions(config: settings.Settings) -> sessionmaker[Session]:
    """Return sessions on the database.

    :raises SettingsError: its schema is not up to date.
    """
    engine = models.make_engine(config.database_url)
    require_current(engine)
    return sessionmaker(engine)


def upgrade_database(config: settings.Settings) -> None:
    """Bring the schema up to date, and make the tool's first key."""
    engine = models.make_engine(config.database_url)
    upgrade(engine)
    with sessionmaker(engine).begin() as session:
        ToolKeys(session).ensure(models.now())


def registration_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a registration."""
    command = click.option("--client-id", required=True, help="The tool's client id there.")(command)
    return click.option("--issuer", required=True, help="The platform's issuer.")(command)


def print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows as JSON, or as a table for people."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("none")
        return
    table = [[_words(name) for name in rows[0]]]
    table += [[_text(value) for value in row.values()] for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_record(record: dict[str, Any], as_json: bool) -> None:
    """Print one thing as JSON, or a line for each of its values for people."""
    if as_json:
        click.echo(json.dumps(record, indent=2))
        return
    width = max(len(name) for name in record)
    for name, value in record.items():
        click.echo(f"{_words(name).ljust(width)}  {_text(value)}".rstrip())


def _words(name: str) -> str:
    return name.replace("_", " ")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        value = [f"{name}={_text(each)}" for name, each in value.items()]
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
