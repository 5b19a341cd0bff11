"""``ipylti platform``, ``ipylti deployment``: which platforms are connected."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import click
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ipylti import audit, models
from ipylti.cli.common import (
    as_json,
    ini_argument,
    load,
    open_sessions,
    print_record,
    print_rows,
    registration_options,
)
from ipylti.invitations import Invitations
from ipylti.lti.registrations import FAMILIES, Family, Quirks, family_of
from ipylti.platforms import Platforms

_ENDPOINTS = ("auth_url", "token_url", "jwks_url")


def _read_family(_ctx: click.Context, _option: click.Parameter, given: str | None) -> Family | None:
    """Return the family that was named.

    :raises click.BadParameter: there is none of that name.
    """
    found = family_of(given)
    if given is not None and found is None:
        raise click.BadParameter(f"there is no family {given}; there are {', '.join(FAMILIES)}")
    return found


def _read_quirks(_ctx: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return quirks by their names, as they were typed.

    :raises click.BadParameter: one has no ``=``.
    """
    for each in given:
        if "=" not in each:
            raise click.BadParameter(f"{each} is not of the form name=value")
    return dict(each.split("=", 1) for each in given)


@click.group()
def platform() -> None:
    """The platforms that are connected."""


@platform.command("add")
@ini_argument
@click.option("--family", callback=_read_family, help=f"The product: {', '.join(FAMILIES)}.")
@click.option("--issuer", help="The platform's issuer, exactly as it sends it.")
@click.option("--client-id", required=True, help="The id that the platform gave the tool.")
@click.option("--auth-url", help="Authentication request URL.")
@click.option("--token-url", help="Access token URL.")
@click.option("--jwks-url", help="Public keyset URL.")
@click.option("--token-audience", help="The audience of token requests, where it is not the token URL.")
@click.option(
    "--deployment", "deployments", multiple=True, required=True, help="A deployment id; repeatable."
)
def platform_add(
    ini: str,
    family: Family | None,
    issuer: str | None,
    client_id: str,
    token_audience: str | None,
    deployments: tuple[str, ...],
    **given: str | None,
) -> None:
    """Connect a platform, or add a deployment to one that is connected.

    What is not given is the family's: its quirks and token audience, and where all customers share them or
    they follow from the issuer, the issuer and the URLs.
    """
    config = load(ini)
    family = family or Family("", "")
    issuer = issuer or family.issuer
    if issuer is None:
        raise click.UsageError("Missing option '--issuer'.")
    endpoints = family.endpoints(issuer, client_id) | {
        name: url for name, url in given.items() if url is not None
    }
    for name in _ENDPOINTS:
        if name not in endpoints:
            raise click.UsageError(f"Missing option '--{name.replace('_', '-')}'.")
    with open_sessions(config).begin() as session:
        row = Platforms(session).add(
            issuer=issuer,
            client_id=client_id,
            **endpoints,
            token_audience=token_audience or family.token_audience,
            deployments=deployments,
            quirks=family.quirks,
            allow_http=config.allow_private_platforms,
        )
        _write_down(session, "platform added", issuer, client_id, deployments=list(deployments))
        known = ", ".join(deployment.deployment_id for deployment in row.deployments)
    click.echo(f"{issuer} is connected (client id {client_id}; deployments: {known}).")


@platform.command("invite")
@ini_argument
@click.option("--days", type=click.IntRange(1, 90), default=7, show_default=True, help="How long it is good.")
def platform_invite(ini: str, days: int) -> None:
    """Print a URL with which a platform registers itself, once."""
    config = load(ini)
    with open_sessions(config).begin() as session:
        token = Invitations(session).make(models.now(), timedelta(days=days))
        audit.record(session, audit.administrator(), "platform invited", days=days)
    click.echo(f"{config.url}/register?{urlencode({'token': token})}")
    click.echo(
        f"Paste it where the platform registers LTI Advantage tools, within {days} days; it is good once.",
        err=True,
    )


@platform.command("list")
@ini_argument
@as_json
def platform_list(ini: str, as_json: bool) -> None:
    """List the platforms."""
    with open_sessions(load(ini)).begin() as session:
        rows = [
            {
                "issuer": row.issuer,
                "client_id": row.client_id,
                "deployments": [deployment.deployment_id for deployment in row.deployments],
                "enabled": row.enabled,
                "name": row.name,
            }
            for row in Platforms(session).all()
        ]
    print_rows(rows, as_json)


@platform.command("show")
@ini_argument
@registration_options
@as_json
def platform_show(ini: str, issuer: str, client_id: str, as_json: bool) -> None:
    """Show all that is known of a platform."""
    with open_sessions(load(ini)).begin() as session:
        record = _record(session, Platforms(session).known(issuer, client_id))
    print_record(record, as_json)


def _record(session: Session, row: models.Registration) -> dict[str, Any]:
    people = sa.select(sa.func.count()).select_from(models.Person).filter_by(registration_id=row.id)
    return {
        "name": row.name,
        "issuer": row.issuer,
        "client_id": row.client_id,
        "auth_url": row.auth_url,
        "token_url": row.token_url,
        "token_audience": row.token_audience or row.token_url,
        "jwks_url": row.jwks_url,
        "deployments": [deployment.deployment_id for deployment in row.deployments],
        "awaits_deployment": row.awaits_deployment,
        "quirks": Quirks.from_dict(row.quirks).to_dict(),
        "enabled": row.enabled,
        "people": session.scalar(people),
        "connected": row.created_at.isoformat(timespec="seconds"),
    }


@platform.command("edit")
@ini_argument
@registration_options
@click.option("--name", help="What people call the platform.")
@click.option("--auth-url", help="Authentication request URL.")
@click.option("--token-url", help="Access token URL.")
@click.option("--jwks-url", help="Public keyset URL.")
@click.option("--token-audience", help="The audience of token requests; empty for the token URL.")
@click.option(
    "--quirk",
    "quirks",
    multiple=True,
    callback=_read_quirks,
    help="A quirk, as name=value; repeatable.",
)
def platform_edit(ini: str, issuer: str, client_id: str, quirks: dict[str, str], **given: str | None) -> None:
    """Change what is known of a platform; what is not given stays."""
    config = load(ini)
    changes: dict[str, str | None] = {name: value for name, value in given.items() if value is not None}
    if not changes and not quirks:
        raise click.UsageError("say what to change, as --token-url or --quirk")
    if "token_audience" in changes:
        changes["token_audience"] = changes["token_audience"] or None
    with open_sessions(config).begin() as session:
        Platforms(session).edit(issuer, client_id, changes, quirks, allow_http=config.allow_private_platforms)
        _write_down(session, "platform edited", issuer, client_id, changes=changes, quirks=quirks)
    click.echo(f"{issuer} is changed (client id {client_id}).")


@platform.command("disable")
@ini_argument
@registration_options
def platform_disable(ini: str, issuer: str, client_id: str) -> None:
    """Refuse launches from a platform, and close what is open; all work stays."""
    with open_sessions(load(ini)).begin() as session:
        closed = Platforms(session).disable(issuer, client_id, models.now())
        _write_down(session, "platform disabled", issuer, client_id, closed=closed)
    click.echo(
        f"{issuer} is disabled (client id {client_id}). Open launches that were closed: {closed}; "
        "their notebooks close within five minutes."
    )


@platform.command("enable")
@ini_argument
@registration_options
def platform_enable(ini: str, issuer: str, client_id: str) -> None:
    """Take launches from a platform again."""
    with open_sessions(load(ini)).begin() as session:
        Platforms(session).enable(issuer, client_id)
        _write_down(session, "platform enabled", issuer, client_id)
    click.echo(f"{issuer} is enabled (client id {client_id}); people launch again from their courses.")


@platform.command("remove")
@ini_argument
@registration_options
def platform_remove(ini: str, issuer: str, client_id: str) -> None:
    """Forget a platform from which nobody has worked yet."""
    with open_sessions(load(ini)).begin() as session:
        Platforms(session).remove(issuer, client_id)
        _write_down(session, "platform removed", issuer, client_id)
    click.echo(f"{issuer} is forgotten (client id {client_id}).")


def _write_down(session: Session, action: str, issuer: str, client_id: str, **details: Any) -> None:
    """Write down what the administrator does to a platform."""
    told = {"issuer": issuer, "client_id": client_id, **details}
    audit.record(session, audit.administrator(), action, **told)


@click.group()
def deployment() -> None:
    """The places of a platform where the tool is put."""


deployment_option = click.option("--deployment", "deployment_id", required=True, help="The deployment id.")


@deployment.command("list")
@ini_argument
@as_json
def deployment_list(ini: str, as_json: bool) -> None:
    """List the deployments of all platforms, and how many courses each has."""
    courses = (
        sa.select(sa.func.count(models.Context.id))
        .filter(models.Context.deployment_id == models.Deployment.id)
        .scalar_subquery()
    )
    query = sa.select(models.Deployment, courses).order_by(models.Deployment.id)
    with open_sessions(load(ini)).begin() as session:
        rows = [
            {
                "issuer": row.registration.issuer,
                "client_id": row.registration.client_id,
                "deployment": row.deployment_id,
                "courses": count,
            }
            for row, count in session.execute(query)
        ]
    print_rows(rows, as_json)


@deployment.command("add")
@ini_argument
@registration_options
@deployment_option
def deployment_add(ini: str, issuer: str, client_id: str, deployment_id: str) -> None:
    """Make a deployment of a connected platform known."""
    with open_sessions(load(ini)).begin() as session:
        Platforms(session).add_deployment(issuer, client_id, deployment_id)
        _write_down(session, "deployment added", issuer, client_id, deployment=deployment_id)
    click.echo(f"Deployment {deployment_id} of {issuer} is known.")


@deployment.command("remove")
@ini_argument
@registration_options
@deployment_option
def deployment_remove(ini: str, issuer: str, client_id: str, deployment_id: str) -> None:
    """Forget a deployment in which nothing was done yet."""
    with open_sessions(load(ini)).begin() as session:
        Platforms(session).remove_deployment(issuer, client_id, deployment_id)
        _write_down(session, "deployment removed", issuer, client_id, deployment=deployment_id)
    click.echo(f"Deployment {deployment_id} of {issuer} is forgotten.")
