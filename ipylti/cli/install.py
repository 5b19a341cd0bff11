"""``ipylti install`` and ``ipylti uninstall``: everything under the user's systemd, and nothing of it."""

import os
import secrets
from pathlib import Path

import click

from ipylti.cli.common import environment_file, ini_argument, load, section, upgrade_database
from ipylti.install import files, host
from ipylti.install.files import Change
from ipylti.install.manager import Manager
from ipylti.install.plan import Plan, make_plan
from ipylti.servers.podman import PodmanSpawner


@click.command()
@ini_argument
def install(ini: str) -> None:
    """Have systemd run everything for this user, as INI says; again after each change and each upgrade."""
    manager = Manager()
    manager.require()
    secret = _ensure_secret(ini)
    plan = _plan(ini)
    upgrade_database(plan.settings)
    wanted = files.all_files(plan)
    changes = [change for path, text in wanted.items() if (change := files.write(path, text))]
    changes += [change for path in files.stale_files(plan, wanted) if (change := files.write(path, None))]
    _tell(changes, secret)
    restarted = manager.bring_up(plan)
    for unit in restarted:
        click.echo(f"restarted {unit}")
    click.echo(f"ipylti runs: {plan.settings.url}")
    _tell_findings(host.findings(plan))


@click.command()
@ini_argument
def uninstall(ini: str) -> None:
    """Stop everything, servers too, and take out of systemd what `install` put there; the work stays."""
    manager = Manager()
    manager.require()
    plan = _plan(ini)
    wanted = files.all_files(plan)
    manager.take_down(plan.instances)
    _stop_servers(plan)
    changes = [change for path in wanted if (change := files.write(path, None))]
    _tell(changes, None)
    manager.run("daemon-reload")
    # What Podman's service is started with next is none of ours.
    manager.run("try-restart", "podman.service")
    click.echo("ipylti is uninstalled. Configuration, database, volumes and images are still there.")


def _stop_servers(plan: Plan) -> None:
    spawner = PodmanSpawner(plan.settings.podman_url)
    for server in spawner.servers(plan.settings.instance):
        spawner.stop(server.workspace)


def _plan(ini: str) -> Plan:
    config = os.environ.get("XDG_CONFIG_HOME")
    own = config and (Path(config) / "containers" / "storage.conf").exists()
    return make_plan(
        load(ini),
        Path(ini),
        environment_file(ini),
        section(ini, "install"),
        section(ini, "server:main"),
        home=Path.home(),
        podman_config=Path(config) if config and own else None,
    )


def _ensure_secret(ini: str) -> Path | None:
    """Make a secret where there is none; returns the file in which it then stands."""
    given = section(ini, "app:main").get("ipylti.secret") or os.environ.get("IPYLTI_SECRET")
    if given:
        return None
    path = environment_file(ini)
    line = f"IPYLTI_SECRET={secrets.token_hex(32)}\n"
    before = path.read_text() if path.exists() else ""
    files.write(path, before + line, 0o600)
    os.environ["IPYLTI_SECRET"] = line.partition("=")[2].strip()
    return path


def _tell(changes: list[Change], secret: Path | None) -> None:
    if secret:
        click.echo(f"new      {secret}: a secret of its own; keep a copy where backups are kept")
    for change in changes:
        for line in change.lines():
            click.echo(line)
    if not changes:
        click.echo("All files are as they should be.")


def _tell_findings(found: list[host.Finding]) -> None:
    """Tell what only root can do, and end with status 1 where it does not work without."""
    for finding in found:
        click.echo(f"\n{'Missing' if finding.needed else 'Worth knowing'}: {finding.what}")
        for command in finding.commands:
            click.echo(f"    {_as_root(command)}")
    missing = [finding for finding in found if finding.needed]
    if missing:
        click.echo("\nThen run this again: it says what is still missing.")
        raise SystemExit(1)


def _as_root(command: str) -> str:
    """Return a command as it is copied by somebody who has sudo: redirections need root, too."""
    return f"sudo sh -c {_quoted(command)}" if ">" in command else f"sudo {command}"


def _quoted(command: str) -> str:
    return '"' + command.replace("\\", "\\\\").replace('"', '\\"') + '"'
