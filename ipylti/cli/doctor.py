"""``ipylti doctor``: what is wrong with an installation, and the commands that mend it."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from ipylti.cli.common import as_json, environment_file, ini_argument, load, print_rows
from ipylti.doctor.examination import Doctor
from ipylti.doctor.findings import Finding, Level, failed
from ipylti.errors import SettingsError
from ipylti.http import OutgoingHTTP
from ipylti.servers.podman import PodmanSpawner
from ipylti.services import USER_AGENT


@click.command()
@ini_argument
@as_json
@click.pass_context
def doctor(ctx: click.Context, ini: str, as_json: bool) -> None:
    """Look for what is wrong, and say what mends it; the status is 1 if something fails."""
    found = _examine(ini)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
    else:
        _tell(found)
    if any(each.level is Level.FAILED for each in found):
        ctx.exit(1)


def _examine(ini: str) -> list[Finding]:
    try:
        config = load(ini)
        spawner = PodmanSpawner(config.podman_url)
    except SettingsError as err:
        return [failed("settings", err.detail)]
    http = OutgoingHTTP(USER_AGENT, allow_private=config.allow_private_platforms)
    files = (Path(ini), environment_file(ini))
    return list(Doctor(config, ini, files, spawner, http).examine())


def _tell(found: list[Finding]) -> None:
    """Print a table, and under it what to do."""
    print_rows([{"check": each.about, "is": each.level.value, "found": each.told} for each in found], False)
    mends = [each for each in found if each.mend]
    for each in mends:
        click.echo(f"\n{each.level.value}: {each.about}: {each.told}")
        for line in each.mend:
            click.echo(f"    {line}")
    counts = {level: len([each for each in found if each.level is level]) for level in Level}
    told = ", ".join(f"{count} {level.value}" for level, count in counts.items() if count)
    click.echo(f"\n{told}")
