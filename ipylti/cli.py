"""The command line: ``ipylti COMMAND INI``."""

import configparser
import json
import logging
from collections.abc import Callable
from typing import Any

import click
import plaster
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import sessionmaker

from ipylti import models, settings, volatile
from ipylti.errors import IpyltiError, SettingsError
from ipylti.jobs import Jobs
from ipylti.lti import registrations
from ipylti.models.upgrade import require_current, upgrade
from ipylti.platforms import Platforms, ToolKeys
from ipylti.volatile import Board
from ipylti.workspaces import Desk

ini_argument = click.argument("ini", type=click.Path(exists=True, dir_okay=False))
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Command(click.Group):
    """A group whose commands tell the house's errors in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except IpyltiError as err:
            told = err.detail or err.code
        except OperationalError as err:
            told = f"the database does not answer: {err.orig}"
        raise click.ClickException(" ".join(told.split()))


@click.group(cls=Command)
def main() -> None:
    """An LTI 1.3 tool that gives everybody in a course an own JupyterLab."""


def load(ini: str, *, log: bool = False) -> settings.Settings:
    """Return the settings in an ini file's [app:main].

    :raises SettingsError: the file is no ini file, or a setting is missing or bad.
    """
    try:
        loader = plaster.get_loader(ini, protocols=["wsgi"])
        section = loader.get_settings("app:main")
        if log:
            loader.setup_logging()
        else:
            logging.basicConfig(level=logging.WARNING)
    except (configparser.Error, plaster.PlasterError, ValueError, LookupError) as err:
        raise SettingsError(f"{ini} can't be read: {err}") from err
    return settings.load(section)


def _sessions(config: settings.Settings) -> sessionmaker[Any]:
    engine = models.make_engine(config.database_url)
    require_current(engine)
    return sessionmaker(engine)


@main.command()
@ini_argument
def worker(ini: str) -> None:
    """Start and stop servers, freeze submissions, deliver scores: until stopped."""
    from ipylti.worker import Worker

    config = load(ini, log=True)
    _sessions(config)
    Worker(config).run()


@main.group()
def db() -> None:
    """The database."""


@db.command("upgrade")
@ini_argument
def db_upgrade(ini: str) -> None:
    """Bring the schema up to date, and make the tool's first key."""
    config = load(ini)
    engine = models.make_engine(config.database_url)
    upgrade(engine)
    with sessionmaker(engine).begin() as session:
        ToolKeys(session).ensure(models.now())
    click.echo("The database is up to date.")


@main.group()
def platform() -> None:
    """The platforms that are connected."""


@platform.command("add")
@ini_argument
@click.option("--issuer", required=True, help="The platform's issuer, exactly as it sends it.")
@click.option("--client-id", required=True, help="The id that the platform gave the tool.")
@click.option("--auth-url", required=True, help="Authentication request URL.")
@click.option("--token-url", required=True, help="Access token URL.")
@click.option("--jwks-url", required=True, help="Public keyset URL.")
@click.option("--token-audience", help="The audience of token requests, where it is not the token URL.")
@click.option(
    "--deployment", "deployments", multiple=True, required=True, help="A deployment id; repeatable."
)
@click.option("--family", help="The platform's product family (canvas, moodle, …), for its preset.")
def platform_add(
    ini: str,
    issuer: str,
    client_id: str,
    auth_url: str,
    token_url: str,
    jwks_url: str,
    token_audience: str | None,
    deployments: tuple[str, ...],
    family: str | None,
) -> None:
    """Connect a platform, or add a deployment to one that is connected."""
    config = load(ini)
    with _sessions(config).begin() as session:
        row = Platforms(session).add(
            issuer=issuer,
            client_id=client_id,
            auth_url=auth_url,
            token_url=token_url,
            jwks_url=jwks_url,
            token_audience=token_audience,
            deployments=deployments,
            quirks=registrations.preset(family),
            allow_http=config.allow_private_platforms,
        )
        known = ", ".join(deployment.deployment_id for deployment in row.deployments)
    click.echo(f"{issuer} is connected (client id {client_id}; deployments: {known}).")


@platform.command("list")
@ini_argument
@as_json
def platform_list(ini: str, as_json: bool) -> None:
    """List the platforms."""
    with _sessions(load(ini)).begin() as session:
        rows = [
            {
                "issuer": row.issuer,
                "client_id": row.client_id,
                "deployments": [deployment.deployment_id for deployment in row.deployments],
                "enabled": row.enabled,
            }
            for row in Platforms(session).all()
        ]
    _print(rows, as_json)


@main.group()
def key() -> None:
    """The tool's own keys."""


@key.command("rotate")
@ini_argument
def key_rotate(ini: str) -> None:
    """Have a new key take over in 24 hours; platforms see it at once, and the old one for a week more."""
    with _sessions(load(ini)).begin() as session:
        made = ToolKeys(session).rotate(models.now())
    click.echo("A new key takes over in 24 hours." if made else "A new key waits to take over already.")


@main.group()
def workspace() -> None:
    """People's workspaces and their servers."""


@workspace.command("list")
@ini_argument
@as_json
def workspace_list(ini: str, as_json: bool) -> None:
    """List the workspaces and what their servers do."""
    config = load(ini)
    board = Board(volatile.connect(config.redis_url))
    with _sessions(config).begin() as session:
        rows = [
            {
                "workspace": row.id,
                "kind": str(row.kind),
                "assignment": row.assignment.title,
                "server": board.read(row.id).state.value,
                "created": row.created_at.isoformat(timespec="seconds"),
            }
            for row in session.scalars(sa.select(models.Workspace).order_by(models.Workspace.created_at))
        ]
    _print(rows, as_json)


@workspace.command("start")
@ini_argument
@click.argument("workspaces", nargs=-1, required=True)
def workspace_start(ini: str, workspaces: tuple[str, ...]) -> None:
    """Have workers start the servers of the workspaces named."""
    config = load(ini)
    desk = Desk(Board(volatile.connect(config.redis_url)), Jobs(config.redis_url))
    _each(config, workspaces, lambda name: desk.ask(name))


@workspace.command("stop")
@ini_argument
@click.argument("workspaces", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Stop every server of this installation.")
def workspace_stop(ini: str, workspaces: tuple[str, ...], everything: bool) -> None:
    """Stop the servers of the workspaces named; their files stay."""
    config = load(ini)
    if everything == bool(workspaces):
        raise click.UsageError("name workspaces, or say --all")
    jobs = Jobs(config.redis_url)
    if everything:
        with _sessions(config).begin() as session:
            workspaces = tuple(session.scalars(sa.select(models.Workspace.id)))
    _each(config, workspaces, lambda name: jobs.ask("stop_server", name))


def _each(config: settings.Settings, workspaces: tuple[str, ...], do: Callable[[str], Any]) -> None:
    """Do something for each workspace; first see that all of them exist."""
    with _sessions(config).begin() as session:
        for name in workspaces:
            if session.get(models.Workspace, name) is None:
                raise IpyltiError(f"there is no workspace {name}")
    for name in workspaces:
        do(name)


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows as JSON, or as a table for people."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("none")
        return
    table = [[name.replace("_", " ") for name in rows[0]]]
    table += [
        [", ".join(value) if isinstance(value, list) else str(value) for value in row.values()]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
