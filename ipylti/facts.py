"""What a start needs to know of a workspace, read in one short transaction."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import limits, models
from ipylti.bases import volume_of
from ipylti.platforms import Platforms
from ipylti.servers.spawner import ServerSpec, VolumeSpec
from ipylti.settings import Settings


@dataclass(frozen=True)
class Facts:
    """What is known of a workspace whose server is to start.

    :param base: what the workspace's volume is to be a copy of, None where it is whole or no copy.
    :param populated: whether there has to be a volume with somebody's files.
    :param base_cloned: whether the assignment's base is whole; that of a copied assignment is not at once.
    """

    spec: ServerSpec
    volume: VolumeSpec
    base: VolumeSpec | None
    base_opened: bool
    base_cloned: bool
    copy_begun: bool
    populated: bool


def read(settings: Settings, sessions: sessionmaker[Session], workspace: str) -> Facts:
    """Return what a workspace's next start needs to know.

    :raises SpawnerError: (``server.image_refused``) its assignment's image is none that may be used.
    """
    with sessions.begin() as db:
        row = db.get_one(models.Workspace, workspace)
        assignment = row.assignment
        volume = volume_of(row, settings.instance)
        origins = {settings.url, *Platforms(db).frame_origins(), *_launch_origins(db, workspace)}
        spec = ServerSpec(
            workspace=row.id,
            assignment=assignment.id,
            kind=row.kind,
            instance=settings.instance,
            image=limits.image_of(settings, assignment).reference,
            volume=row.volume,
            hostname=settings.notebook_host(row.id),
            token=settings.jupyter_token(row.id),
            tool_origin=settings.url,
            frame_ancestors=tuple(sorted(origins)),
            limits=limits.limits_of(settings, assignment),
            egress=settings.egress if assignment.egress is None else assignment.egress,
        )
        build = db.get(models.Workspace, assignment.id)
        copy = row.kind == models.WorkspaceKind.TAKE and row.populated_at is None
        return Facts(
            spec=spec,
            volume=volume,
            base=VolumeSpec(
                name=f"ipylti-base-{assignment.id}",
                kind="base",
                instance=settings.instance,
                assignment=assignment.id,
                workspace=assignment.id,
            )
            if copy
            else None,
            base_opened=build is not None,
            base_cloned=assignment.source_id is None
            or (build is not None and build.populated_at is not None),
            copy_begun=row.copying_since is not None,
            populated=row.populated_at is not None,
        )


def _launch_origins(db: Session, workspace: str) -> set[str]:
    """Return the origins that the newest launch of a workspace came from."""
    query = sa.select(models.Launch.frame_origins).filter_by(workspace_id=workspace)
    found = db.scalars(query.order_by(models.Launch.created_at.desc()).limit(1)).first()
    return set(found or [])
