"""``ipylti person``, ``ipylti course``, ``ipylti retention``: people's data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models, volatile
from ipylti.cli.common import as_json, ini_argument, load, open_sessions, print_rows, registration_options
from ipylti.platforms import Platforms
from ipylti.privacy import exporting
from ipylti.privacy.erasing import Eraser, ErasureError, course_digest, person_digest
from ipylti.privacy.exporting import Export
from ipylti.privacy.retention import Retention
from ipylti.servers.podman import PodmanSpawner
from ipylti.settings import Settings
from ipylti.volatile import Locks

_sub = click.option("--sub", required=True, help="The platform's id of the person (“person list” shows it).")


def _yes(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--yes", is_flag=True, help="Don't ask.")(command)


@click.group()
def person() -> None:
    """One person's data."""


@person.command("list")
@ini_argument
@click.option("--name", default="", help="A part of the name, or the whole “sub”.")
@as_json
def person_list(ini: str, name: str, as_json: bool) -> None:
    """List people, those of the rosters included."""
    with open_sessions(load(ini))() as session:
        rows = exporting.search(session, name)
    print_rows(rows, as_json)


@person.command("export")
@ini_argument
@registration_options
@_sub
@click.argument("destination", type=click.Path(path_type=Path))
def person_export(ini: str, issuer: str, client_id: str, sub: str, destination: Path) -> None:
    """Write all that is kept of a person to DESTINATION: a new folder, or a new file that ends in .zip."""
    config = load(ini)
    export = Export(config, open_sessions(config), PodmanSpawner(config.podman_url))
    volumes = export.person(issuer, client_id, sub, destination)
    click.echo(f"{destination} has all rows, and the files of {volumes} workspaces and submissions.")


@person.command("erase")
@ini_argument
@registration_options
@_sub
@_yes
def person_erase(ini: str, issuer: str, client_id: str, sub: str, yes: bool) -> None:
    """Erase a person: servers, files, submissions, rows. It can't be taken back."""
    config = load(ini)
    sessions = open_sessions(config)
    with sessions() as session:
        found = exporting.rows_of(session, issuer, client_id, sub)
    told = ", ".join(f"{len(rows)} {table}" for table, rows in found.items()) or "no rows"
    _confirm(f"Erase this person ({told}) and all files for ever?", yes)
    _erase(config, sessions, person_digest(issuer, client_id, sub))


@click.group()
def course() -> None:
    """One course's data."""


@course.command("list")
@ini_argument
@as_json
def course_list(ini: str, as_json: bool) -> None:
    """List the courses."""
    with open_sessions(load(ini))() as session:
        rows = [
            {
                "title": row.title,
                "issuer": row.deployment.registration.issuer,
                "client_id": row.deployment.registration.client_id,
                "deployment": row.deployment.deployment_id,
                "context": row.context_id,
            }
            for row in session.scalars(sa.select(models.Context).order_by(models.Context.id))
        ]
    print_rows(rows, as_json)


@course.command("erase")
@ini_argument
@registration_options
@click.option("--deployment", help="Its deployment, where the platform has several.")
@click.option("--context", required=True, help="The platform's id of the course (“course list” shows it).")
@_yes
def course_erase(
    ini: str, issuer: str, client_id: str, deployment: str | None, context: str, yes: bool
) -> None:
    """Erase a course with everybody's work in it. It can't be taken back."""
    config = load(ini)
    sessions = open_sessions(config)
    with sessions() as session:
        deployment = deployment or _only_deployment(session, issuer, client_id)
    _confirm("Erase this course and everybody's work in it for ever?", yes)
    _erase(config, sessions, course_digest(issuer, client_id, deployment, context))


def _only_deployment(session: Session, issuer: str, client_id: str) -> str:
    known = Platforms(session).known(issuer, client_id).deployments
    if len(known) != 1:
        raise ErasureError(f"say which --deployment: {', '.join(each.deployment_id for each in known)}")
    return known[0].deployment_id


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True)


def _erase(config: Settings, sessions: sessionmaker[Session], digest: str) -> None:
    eraser = _eraser(config, sessions)
    eraser.begin(digest, models.now())
    eraser.finish()
    click.echo("Erased. Backups that were made before still have it, until they are removed.")


def _eraser(config: Settings, sessions: sessionmaker[Session]) -> Eraser:
    redis = volatile.connect(config.redis_url)
    spawner = PodmanSpawner(config.podman_url)
    return Eraser(config, sessions, spawner, Locks(redis), redis, lambda line: click.echo(line, err=True))


@click.command()
@ini_argument
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@as_json
def retention(ini: str, dry_run: bool, as_json: bool) -> None:
    """Remove what is older than the settings have it kept; workers do so by and by."""
    config = load(ini)
    sessions = open_sessions(config)
    kept = Retention(config, sessions, _eraser(config, sessions))
    found = kept.due() if dry_run else kept.step(None)
    rows = [
        {"kind": each.kind, "which": each.name, "since": each.since.isoformat(timespec="seconds")}
        for each in found
    ]
    print_rows(rows, as_json)
