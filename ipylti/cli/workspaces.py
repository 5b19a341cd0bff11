"""``ipylti workspace``: people's workspaces and their servers."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import click
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ipylti import models, settings, volatile
from ipylti.cli.common import as_json, ini_argument, load, open_sessions, print_rows
from ipylti.desk import Desk
from ipylti.errors import IpyltiError
from ipylti.jobs import Jobs
from ipylti.line import Line
from ipylti.servers.podman import PodmanSpawner
from ipylti.usage import Usage
from ipylti.volatile import Board, Progress, State


@click.group()
def workspace() -> None:
    """People's workspaces and their servers."""


@workspace.command("list")
@ini_argument
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    help="What the server does; repeatable.",
)
@click.option("--person", type=int, help="Whose: a person's number.")
@as_json
def workspace_list(ini: str, states: tuple[str, ...], person: int | None, as_json: bool) -> None:
    """List the workspaces: whose they are, what their servers do, when they were last used."""
    config = load(ini)
    client = volatile.connect(config.redis_url)
    known, usage = Board(client).all(), Usage(client)
    with open_sessions(config).begin() as session:
        used = _last_launches(session)
        query = sa.select(models.Workspace).order_by(models.Workspace.created_at)
        if person is not None:
            query = query.filter_by(person_id=person)
        rows = []
        for row in session.scalars(query):
            state = known.get(row.id, Progress()).state.value
            if not states or state in states:
                files = usage.files(row.id)
                size = files.size if files is not None else None
                rows.append(_row(row, state, size, used.get(row.id)))
    print_rows(rows if as_json else [each | {"size": _megabytes(each["size"])} for each in rows], as_json)


def _row(workspace: models.Workspace, state: str, size: int | None, used: datetime | None) -> dict[str, Any]:
    """Return what is shown of a workspace.

    :param size: bytes of its files, where they were measured.
    :param used: when somebody last launched it.
    """
    return {
        "workspace": workspace.id,
        "kind": str(workspace.kind),
        "assignment": workspace.assignment.title,
        "person": workspace.person_id,
        "server": state,
        "size": size,
        "last_used": used.isoformat(timespec="seconds") if used is not None else None,
        "created": workspace.created_at.isoformat(timespec="seconds"),
    }


def _last_launches(session: Session) -> dict[str, datetime]:
    launch = models.Launch
    query = sa.select(launch.workspace_id, sa.func.max(launch.created_at)).group_by(launch.workspace_id)
    return {row[0]: row[1] for row in session.execute(query)}


def _megabytes(size: int | None) -> str | None:
    return None if size is None else f"{size / (1 << 20):,.1f} MiB"


@workspace.command("start")
@ini_argument
@click.argument("workspaces", nargs=-1, required=True)
@as_json
def workspace_start(ini: str, workspaces: tuple[str, ...], as_json: bool) -> None:
    """Have workers start the servers of the workspaces named."""
    config = load(ini)
    client = volatile.connect(config.redis_url)
    board = Board(client)
    desk = Desk(board, Line(client, board), Jobs(config.redis_url))
    _each(config, workspaces, lambda name: desk.ask(name))
    _tell(workspaces, "start", as_json)


@workspace.command("stop")
@ini_argument
@click.argument("workspaces", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Stop every server of this installation.")
@as_json
def workspace_stop(ini: str, workspaces: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Stop the servers of the workspaces named; their files stay."""
    config = load(ini)
    if everything == bool(workspaces):
        raise click.UsageError("name workspaces, or say --all")
    jobs = Jobs(config.redis_url)
    if everything:
        with open_sessions(config).begin() as session:
            workspaces = tuple(session.scalars(sa.select(models.Workspace.id)))
    _each(config, workspaces, lambda name: jobs.ask("stop_server", name))
    _tell(workspaces, "stop", as_json)


@workspace.command("logs")
@ini_argument
@click.argument("name", metavar="WORKSPACE")
@click.option("--lines", type=click.IntRange(1, 10_000), default=100, show_default=True)
@as_json
def workspace_logs(ini: str, name: str, lines: int, as_json: bool) -> None:
    """Print the last lines that a workspace's server wrote; of one that has been stopped there are none."""
    config = load(ini)
    _each(config, [name], lambda _name: None)
    found = [_printable(line) for line in PodmanSpawner(config.podman_url).logs(name, lines).splitlines()]
    if as_json:
        click.echo(json.dumps({"workspace": name, "lines": found}, indent=2))
    elif found:
        click.echo("\n".join(found))
    else:
        click.echo("There is no server, or it wrote nothing.", err=True)


def _printable(line: str) -> str:
    """Return a line without what could do something to a terminal: students' programs write there, too."""
    return "".join(
        each if each.isprintable() or each == "\t" else "\N{REPLACEMENT CHARACTER}" for each in line
    )


def _tell(workspaces: Iterable[str], asked: str, as_json: bool) -> None:
    """Say what workers were asked for; people see it come true in the list."""
    named = list(workspaces)
    if as_json:
        print_rows([{"workspace": name, "asked": asked} for name in named], as_json)
    else:
        click.echo(f"Workers were asked to {asked} {len(named)} server{'' if len(named) == 1 else 's'}.")


def _each(config: settings.Settings, workspaces: Iterable[str], do: Callable[[str], Any]) -> None:
    """Do something for each workspace; first see that all of them exist."""
    with open_sessions(config).begin() as session:
        for name in workspaces:
            if session.get(models.Workspace, name) is None:
                raise IpyltiError(f"there is no workspace {name}")
    for name in workspaces:
        do(name)
