"""``ipylti key``: the tool's own keys."""

import click

from ipylti import audit, models
from ipylti.cli.common import as_json, ini_argument, load, open_sessions, print_rows
from ipylti.lti import keys
from ipylti.platforms import ToolKeys


@click.group()
def key() -> None:
    """The tool's own keys."""


@key.command("list")
@ini_argument
@as_json
def key_list(ini: str, as_json: bool) -> None:
    """List the keys that platforms see, the latest first, and which of them signs."""
    moment = models.now()
    with open_sessions(load(ini)).begin() as session:
        known = keys.published(ToolKeys(session).all(), moment)
    signing = next((each.kid for each in known if each.activates <= moment), None)
    rows = [
        {
            "kid": each.kid,
            "state": "signs" if each.kid == signing else "waits" if each.activates > moment else "replaced",
            "signs_from": each.activates.isoformat(timespec="seconds"),
            "published_until": each.retires.isoformat(timespec="seconds") if each.retires else None,
        }
        for each in known
    ]
    print_rows(rows, as_json)


@key.command("rotate")
@ini_argument
def key_rotate(ini: str) -> None:
    """Have a new key take over in 24 hours; platforms see it at once, and the old one for a week more."""
    with open_sessions(load(ini)).begin() as session:
        made = ToolKeys(session).rotate(models.now())
        if made:
            audit.record(session, audit.administrator(), "key rotated")
    click.echo("A new key takes over in 24 hours." if made else "A new key waits to take over already.")
