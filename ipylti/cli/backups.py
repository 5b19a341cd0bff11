"""``ipylti backup``, ``ipylti restore``: everything in a safe place, and back."""

from pathlib import Path
from typing import Any

import click
from sqlalchemy.engine import Engine
from sqlalchemy.orm import sessionmaker

from ipylti import models, volatile
from ipylti.backups import taking
from ipylti.backups.dump import BackupError
from ipylti.backups.rebuilding import Rebuild
from ipylti.backups.restoring import Restore
from ipylti.backups.store import Manifest, Store
from ipylti.backups.taking import Backups
from ipylti.cli.common import as_json, ini_argument, load, print_record, print_rows
from ipylti.models.upgrade import require_current
from ipylti.platforms import Platforms
from ipylti.servers.podman import PodmanSpawner
from ipylti.settings import Settings
from ipylti.volatile import Board, Locks, Pulse


@click.command()
@ini_argument
@click.argument("destination", type=click.Path(file_okay=False, path_type=Path))
@click.option("--keep", type=click.IntRange(1), help="Remove all but so many backups afterwards.")
@click.option("--list", "only_list", is_flag=True, help="Make none; list those that are there.")
@click.option("--verify", is_flag=True, help="Make none; read all of the newest, and say what is damaged.")
@as_json
def backup(
    ini: str, destination: Path, keep: int | None, only_list: bool, verify: bool, as_json: bool
) -> None:
    """Copy database and volumes to the folder DESTINATION while people work; only what changed is read."""
    config = load(ini)
    store = Store(destination)
    if only_list:
        print_rows([_row(manifest) for manifest in store.manifests()], as_json)
        return
    if verify:
        manifest = store.find()
        if wrong := store.verify(manifest):
            raise BackupError("; ".join(wrong), code="backup.broken")
        if as_json:
            print_record(_row(manifest) | {"whole": True}, as_json)
        else:
            click.echo(f"The backup of {_moment(manifest)} is whole.")
        return
    engine = models.make_engine(config.database_url)
    require_current(engine)
    spawner = PodmanSpawner(config.podman_url)
    manifest = Backups(config, engine, spawner, store, say=_say).take()
    if keep is not None and (removed := store.prune(keep)):
        _say(f"older backups removed: {removed}")
    if as_json:
        print_record(_row(manifest), as_json)
    else:
        click.echo(
            f"Backup of {_moment(manifest)}: {manifest.rows} rows, {len(manifest.volumes)} volumes, "
            f"{manifest.size / 1e6:.1f} MB."
        )
    if manifest.missing:
        told = "; ".join(f"{each.name}: {each.code} ({each.detail})" for each in manifest.missing)
        raise BackupError(f"not as it should be: {told}")


@click.command()
@ini_argument
@click.argument("source", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--workspace", help="Put only this workspace's files back; its server is stopped before.")
@click.option("--at", help="Take the newest backup that is not younger, as 2030-05-01T14:00.")
@click.option("--replace", is_flag=True, help="Forget what is in the database.")
@click.option("--from-volumes", is_flag=True, help="The database is lost: make it anew of volumes' labels.")
def restore(
    ini: str, source: Path | None, workspace: str | None, at: str | None, replace: bool, from_volumes: bool
) -> None:
    """Put back what is in the backups in the folder SOURCE, or what volumes say of themselves."""
    config = load(ini)
    if from_volumes:
        if source or workspace or at or replace:
            raise click.UsageError("--from-volumes needs nothing else")
        _rebuild(config)
        return
    if source is None:
        raise click.UsageError("say where the backups are, or --from-volumes")
    engine = models.make_engine(config.database_url)
    moment = taking.moment(at) if at else None
    spawner = PodmanSpawner(config.podman_url)
    made = Restore(config, engine, spawner, Store(source), at=moment, say=_say)
    if workspace is not None:
        _restore_workspace(config, engine, made, workspace)
    else:
        rows = made.everything(Pulse(volatile.connect(config.redis_url)), replace=replace)
        click.echo(
            f"Restored the backup of {_moment(made.manifest)}: {rows} rows, "
            f"{len(made.manifest.volumes)} volumes. Start web and worker."
        )
    if made.troubles:
        raise BackupError("; ".join(made.troubles))


def _rebuild(config: Settings) -> None:
    engine = models.make_engine(config.database_url)
    found = Rebuild(config, engine, PodmanSpawner(config.podman_url)).everything()
    click.echo(
        f"Found again: {found['base']} assignments, {found['take']} workspaces, "
        f"{found['submission']} submissions."
    )
    if found["unknown"]:
        click.echo(
            f"Volumes that don't say whose they are: {found['unknown']}. Their people find them by launching."
        )
    with sessionmaker(engine)() as session:
        closed = [row for row in Platforms(session).all() if not row.auth_url]
        for row in closed:
            click.echo(f"Connect again with “ipylti platform add”: {row.issuer}, client id {row.client_id}")


def _restore_workspace(config: Settings, engine: Engine, made: Restore, workspace: str) -> None:
    require_current(engine)
    redis = volatile.connect(config.redis_url)
    made.workspace(workspace, Locks(redis), Board(redis))
    click.echo(f"Workspace {workspace} has the files of {_moment(made.manifest)}.")


def _row(manifest: Manifest) -> dict[str, Any]:
    return {
        "taken": _moment(manifest),
        "rows": manifest.rows,
        "volumes": len(manifest.volumes),
        "bytes": manifest.size,
        "missing": [each.name for each in manifest.missing],
    }


def _moment(manifest: Manifest) -> str:
    return manifest.at.isoformat(timespec="seconds")


def _say(line: str) -> None:
    click.echo(line, err=True)
