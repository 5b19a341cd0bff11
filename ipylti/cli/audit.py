"""``ipylti audit``: who did what to whose work."""

from datetime import UTC, datetime, timedelta

import click

from ipylti import audit as trail
from ipylti import models
from ipylti.cli.common import as_json, ini_argument, load, open_sessions, print_rows

_MOMENTS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


class Since(click.ParamType):
    """A moment in UTC, or how long ago: ``2026-09-01``, ``2026-09-01T08:00``, ``3h``, ``7d``."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment."""
        if isinstance(value, datetime):
            return value
        units = {"m": "minutes", "h": "hours", "d": "days"}
        if value[:-1].isdigit() and len(value) < 7 and value[-1] in units:
            return models.now() - timedelta(**{units[value[-1]]: int(value[:-1])})
        for form in _MOMENTS:
            try:
                return datetime.strptime(value, form).replace(tzinfo=UTC)
            except ValueError:
                continue
        self.fail(f"{value} is no time like 2026-09-01, 2026-09-01T08:00 or 7d", param, ctx)


@click.group()
def audit() -> None:
    """Who did what to whose work."""


@audit.command("list")
@ini_argument
@click.option("--person", type=int, help="Who did it, or to whose work: a number of “person list”.")
@click.option("--workspace", help="A workspace's id.")
@click.option("--action", help="An action, as “submission opened”, or its first word.")
@click.option("--since", type=Since(), help="A time in UTC as 2026-09-01T08:00, or how long ago as 7d.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1000, show_default=True)
@as_json
def audit_list(
    ini: str,
    person: int | None,
    workspace: str | None,
    action: str | None,
    since: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the latest acts, oldest first."""
    with open_sessions(load(ini)).begin() as session:
        found = trail.find(
            session, person=person, workspace=workspace, action=action, since=since, limit=limit
        )
        rows = [
            {
                "time": each.created_at.isoformat(timespec="seconds"),
                "actor": f"{each.actor_kind} {each.actor}",
                "action": each.action,
                "owner": each.owner_id,
                "workspace": each.workspace_id,
                "details": each.details,
                "request_id": each.request_id,
            }
            for each in found
        ]
    print_rows(rows, as_json)
