"""The command line: ``ipylti COMMAND INI``."""

import click

from ipylti.cli.audit import audit
from ipylti.cli.backups import backup, restore
from ipylti.cli.common import Command, application, ini_argument, load, open_sessions, upgrade_database
from ipylti.cli.doctor import doctor
from ipylti.cli.install import install, uninstall
from ipylti.cli.keys import key
from ipylti.cli.platforms import deployment, platform
from ipylti.cli.privacy import course, person, retention
from ipylti.cli.status import status
from ipylti.cli.workspaces import workspace
from ipylti.errors import SettingsError

__all__ = ["load", "main"]


@click.group(cls=Command)
def main() -> None:
    """An LTI 1.3 tool that gives everybody in a course an own JupyterLab."""


@main.command()
@ini_argument
def worker(ini: str) -> None:
    """Start and stop servers, freeze submissions, deliver scores: until stopped."""
    from ipylti.worker import Worker

    config = load(ini, log=True)
    open_sessions(config)
    Worker(config).run()


@main.command()
@ini_argument
@click.option(
    "--number",
    type=click.IntRange(0, 999),
    default=0,
    help="Which of several: its own port is so much above `port`.",
)
def web(ini: str, number: int) -> None:
    """Answer browsers, platforms and the gate's questions: until stopped."""
    from ipylti.web import Web

    app, server = application(ini)
    try:
        made = Web(app, server, number)
    except (ValueError, OSError, OverflowError) as err:
        # A key that waitress does not know, or a port that is none or taken.
        raise SettingsError(f"[server:main]: {err}") from err
    made.run()


@main.group()
def db() -> None:
    """The database."""


@db.command("upgrade")
@ini_argument
def db_upgrade(ini: str) -> None:
    """Bring the schema up to date, and make the tool's first key."""
    upgrade_database(load(ini))
    click.echo("The database is up to date.")


for command in (install, uninstall, platform, deployment, key, workspace, audit, doctor, status):
    main.add_command(command)
for command in (backup, restore, person, course, retention):
    main.add_command(command)
