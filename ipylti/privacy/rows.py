"""Which rows belong to a person, a course or a workspace, and their end."""

from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ipylti import models


def close_launches(db: Session, which: sa.ColumnElement[bool], moment: datetime) -> None:
    """Have launches open nothing any more."""
    wanted = sa.update(models.Launch).where(which, models.Launch.revoked_at.is_(None))
    db.execute(wanted.values(revoked_at=moment))


def workspaces_of_person(db: Session, person: int) -> list[str]:
    """Return a person's workspaces."""
    return list(db.scalars(sa.select(models.Workspace.id).filter_by(person_id=person)))


def assignments_of_course(db: Session, course: int) -> list[str]:
    """Return a course's assignments."""
    return list(db.scalars(sa.select(models.Assignment.id).filter_by(context_id=course)))


def links_of_course(db: Session, course: int) -> list[int]:
    """Return the links to a course's assignments."""
    query = sa.select(models.ResourceLink.id).where(
        models.ResourceLink.assignment_id.in_(assignments_of_course(db, course))
    )
    return list(db.scalars(query))


def workspaces_of_course(db: Session, course: int) -> list[str]:
    """Return the workspaces of a course's assignments."""
    query = sa.select(models.Workspace.id).where(
        models.Workspace.assignment_id.in_(assignments_of_course(db, course))
    )
    return list(db.scalars(query))


def submissions_of(db: Session, workspace: str) -> list[int]:
    """Return the numbers of a workspace's submissions."""
    return list(db.scalars(sa.select(models.Submission.id).filter_by(workspace_id=workspace)))


def launches_of(db: Session, workspace: str) -> list[str]:
    """Return the launches that opened a workspace."""
    return list(db.scalars(sa.select(models.Launch.id).filter_by(workspace_id=workspace)))


def volumes_of(db: Session, workspace: str) -> list[str]:
    """Return the names of a workspace's volume and its submissions'."""
    own = db.scalars(sa.select(models.Workspace.volume).filter_by(id=workspace))
    copies = db.scalars(sa.select(models.Submission.volume).filter_by(workspace_id=workspace))
    return [*own, *copies]


def remove_workspace(db: Session, workspace: str) -> None:
    """Remove a workspace and all that refers to it; what was done to it stays, without saying to what."""
    copies = sa.select(models.Submission.id).filter_by(workspace_id=workspace)
    db.execute(sa.delete(models.OutboxItem).where(models.OutboxItem.submission_id.in_(copies)))
    for model in (models.Submission, models.Launch):
        db.execute(sa.delete(model).filter_by(workspace_id=workspace))
    entries = sa.update(models.AuditEntry).filter_by(workspace_id=workspace)
    db.execute(entries.values(workspace_id=None, owner_id=None, details={}))
    db.execute(sa.delete(models.Workspace).filter_by(id=workspace))


def remove_person(db: Session, person: int) -> None:
    """Remove a person who has no workspace any more. What was made for a course stays, without the maker."""
    row = db.get(models.Person, person)
    if row is None:
        return
    links = (
        sa.select(models.ResourceLink.id)
        .join(models.Deployment)
        .where(models.Deployment.registration_id == row.registration_id)
    )
    db.execute(
        sa.delete(models.Member).where(
            models.Member.sub == row.sub, models.Member.resource_link_id.in_(links)
        )
    )
    _remove_row(db, person)


def _remove_row(db: Session, person: int) -> None:
    for model in (models.OutboxItem, models.Launch):
        db.execute(sa.delete(model).filter_by(person_id=person))
    db.execute(sa.update(models.Blueprint).filter_by(person_id=person).values(person_id=None))
    acts = sa.update(models.AuditEntry)
    db.execute(acts.filter_by(person_id=person).values(person_id=None, actor="erased", details={}))
    db.execute(acts.filter_by(owner_id=person).values(owner_id=None, details={}))
    db.execute(sa.delete(models.Person).filter_by(id=person))


def remove_course(db: Session, course: int) -> None:
    """Remove a course without workspaces, and the people of whom nothing else is known."""
    context = db.get(models.Context, course)
    if context is None:
        return
    registration = context.deployment.registration_id
    assignments = assignments_of_course(db, course)
    links = links_of_course(db, course)
    for model in (models.Member, models.OutboxItem, models.Launch):
        db.execute(sa.delete(model).where(model.resource_link_id.in_(links)))
    db.execute(sa.delete(models.ResourceLink).where(models.ResourceLink.id.in_(links)))
    # Copies in other courses have their own files.
    for copy in (models.Assignment, models.Blueprint):
        db.execute(sa.update(copy).where(copy.source_id.in_(assignments)).values(source_id=None))
    db.execute(sa.delete(models.Blueprint).filter_by(context_id=course))
    db.execute(sa.delete(models.Assignment).filter_by(context_id=course))
    db.execute(sa.delete(models.Context).filter_by(id=course))
    for person in _without_anything(db, registration):
        _remove_row(db, person)


def remove_members(db: Session, which: Callable[[tuple[str, str, str]], bool]) -> None:
    """Remove from the rosters whoever never launched; each is told by issuer, client id and ``sub``."""
    query = (
        sa.select(
            models.Member.id, models.Registration.issuer, models.Registration.client_id, models.Member.sub
        )
        .join(models.ResourceLink, models.ResourceLink.id == models.Member.resource_link_id)
        .join(models.Deployment, models.Deployment.id == models.ResourceLink.deployment_id)
        .join(models.Registration, models.Registration.id == models.Deployment.registration_id)
    )
    for number, *key in db.execute(query):
        if which((key[0], key[1], key[2])):
            db.execute(sa.delete(models.Member).filter_by(id=number))


def _without_anything(db: Session, registration: int) -> list[int]:
    """Return the people of a platform who have neither launch nor workspace nor blueprint."""
    query = sa.select(models.Person.id).filter_by(registration_id=registration)
    for model in (models.Launch, models.Workspace, models.Blueprint):
        query = query.where(~sa.exists().where(model.person_id == models.Person.id))
    return list(db.scalars(query))


def remove_submission(db: Session, submission: int) -> None:
    """Remove a submission and what the platform was told of it."""
    db.execute(sa.delete(models.OutboxItem).filter_by(submission_id=submission))
    db.execute(sa.delete(models.Submission).filter_by(id=submission))
