"""The database is lost, the volumes are there: its rows are made anew from what volumes' labels say.

What comes back: platforms' names (an administrator adds their addresses again), courses, assignments and what
was chosen for them, people by their ``sub`` (names come with their launches), workspaces and submissions.
What does not: the tool's keys and what the platforms were told. It may be repeated; rows that are there stay.
"""

from collections import Counter
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

from ipylti import about, ids, models
from ipylti.about import About
from ipylti.backups.taking import BATCH
from ipylti.models.queries import find_or_make
from ipylti.models.upgrade import upgrade
from ipylti.platforms import ToolKeys
from ipylti.servers.spawner import Content, Spawner, VolumeSpec
from ipylti.settings import Settings


class Rebuild:
    """Makes the rows of one installation anew."""

    def __init__(self, settings: Settings, engine: Engine, spawner: Spawner) -> None:
        self.settings = settings
        self.engine = engine
        self.spawner = spawner

    def everything(self) -> Counter[str]:
        """Make the schema and the rows; return how many volumes of each kind they are of, and how many have
        no label that tells (``unknown``): those are found by their names when their people launch."""
        upgrade(self.engine)
        found: Counter[str] = Counter()
        told: list[tuple[VolumeSpec, About]] = []
        for volume in self.spawner.volumes(self.settings.instance):
            read = about.read(volume.about)
            if volume.kind == "kept":
                continue
            if read is None or (volume.workspace, volume.assignment) != (read.workspace, read.assignment):
                found["unknown"] += 1
                continue
            told.append((volume, read))
            found[volume.kind] += 1
        with sessionmaker(self.engine).begin() as db:
            ToolKeys(db).ensure(models.now())
            # Bases first: what they say of an assignment is the teacher's.
            for volume, read in sorted(told, key=lambda each: (each[0].kind != "base", each[0].name)):
                if volume.kind != "submission":
                    _workspace(db, volume, read)
        self._submissions([each for each in told if each[0].kind == "submission"])
        return found

    def _submissions(self, told: list[tuple[VolumeSpec, About]]) -> None:
        """Make the submissions' rows; what is in them is hashed anew."""
        for start in range(0, len(told), BATCH):
            batch = told[start : start + BATCH]
            contents = self.spawner.inspect([volume for volume, _read in batch], self.settings.image)
            with sessionmaker(self.engine).begin() as db:
                for (volume, read), content in zip(batch, contents, strict=True):
                    if content.digest:
                        _submission(db, volume, read, content)


def _workspace(db: Session, volume: VolumeSpec, read: About) -> models.Workspace:
    """Find or make a volume's workspace, and all that it belongs to."""
    deployment = _deployment(db, read)
    context = None
    if read.context:
        key = {"deployment_id": deployment.id, "context_id": read.context}
        context = find_or_make(db, models.Context, key, title=read.course)
    assignment = find_or_make(
        db,
        models.Assignment,
        {"id": read.assignment},
        deployment_id=deployment.id,
        context_id=context.id if context else None,
        **_chosen(read),
        blueprint_id=read.blueprint or None,
        created_at=models.now(),
    )
    find_or_make(
        db,
        models.ResourceLink,
        {"deployment_id": deployment.id, "resource_link_id": read.link},
        assignment_id=assignment.id,
        title=read.title,
        description="",
        scopes=[],
    )
    if read.blueprint:
        _blueprint(db, deployment, context, read)
    person = _person(db, deployment, read.sub) if read.sub else None
    return find_or_make(
        db,
        models.Workspace,
        {"id": read.workspace},
        assignment_id=assignment.id,
        kind=models.WorkspaceKind.TAKE if person else models.WorkspaceKind.BUILD,
        person_id=person.id if person else None,
        volume=volume.name if volume.kind != "submission" else f"ipylti-take-{read.workspace}",
        created_at=models.now(),
        copying_since=models.now() if volume.kind != "submission" else None,
        populated_at=models.now() if volume.kind != "submission" else None,
    )


def _deployment(db: Session, read: About) -> models.Deployment:
    """Find or make a deployment; a platform whose addresses nobody knows any more is closed until somebody
    adds it again."""
    registration = find_or_make(
        db,
        models.Registration,
        {"issuer": read.issuer, "client_id": read.client_id},
        auth_url="",
        token_url="",
        jwks_url="",
        quirks={},
        enabled=False,
        created_at=models.now(),
    )
    key = {"registration_id": registration.id, "deployment_id": read.deployment}
    return find_or_make(db, models.Deployment, key)


def _person(db: Session, deployment: models.Deployment, sub: str) -> models.Person:
    key = {"registration_id": deployment.registration_id, "sub": sub}
    return find_or_make(db, models.Person, key, name="", test_user=False, created_at=models.now())


def _chosen(read: About) -> dict[str, Any]:
    """Return what the teacher chose, which an assignment has of its blueprint."""
    return {
        "title": read.title,
        "image": read.image,
        "egress": read.egress,
        "memory": read.memory,
        "cpus": read.cpus,
        "due_at": about.moment(read.due_at),
        "maximum": read.maximum,
    }


def _blueprint(
    db: Session, deployment: models.Deployment, context: models.Context | None, read: About
) -> None:
    find_or_make(
        db,
        models.Blueprint,
        {"id": read.blueprint},
        deployment_id=deployment.id,
        context_id=context.id if context else None,
        person_id=None,
        **_chosen(read),
        created_at=models.now(),
    )


def _submission(db: Session, volume: VolumeSpec, read: About, content: Content) -> None:
    """Find or make a submission, and a launch for it, that opens nothing any more."""
    workspace = _workspace(db, volume, read)
    key = {"workspace_id": workspace.id, "number": read.number}
    if db.scalars(sa.select(models.Submission).filter_by(**key)).one_or_none() is not None:
        return
    moment = about.moment(read.submitted_at) or models.now()
    link = {"deployment_id": workspace.assignment.deployment_id, "resource_link_id": read.link}
    launch = models.Launch(
        id=ids.random_id(),
        person_id=workspace.person_id,
        workspace_id=workspace.id,
        resource_link_id=db.scalars(sa.select(models.ResourceLink.id).filter_by(**link)).one(),
        staff=False,
        created_at=moment - timedelta(seconds=1),
        expires_at=moment,
    )
    db.add(launch)
    db.flush()
    db.add(
        models.Submission(
            **key,
            launch_id=launch.id,
            state=models.SubmissionState.FROZEN,
            volume=volume.name,
            submitted_at=moment,
            copying_since=moment,
            frozen_at=moment,
            digest=content.digest,
            size=content.size,
            files=content.files,
        )
    )
