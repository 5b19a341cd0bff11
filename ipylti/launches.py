"""From a verified message to a launch: who, where, and which workspace."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ipylti import http, ids, models
from ipylti.lti.messages import Message
from ipylti.lti.parts import Dates
from ipylti.models.queries import find_or_make
from ipylti.platforms import registration_origins

#: How long one launch opens the workbench and the notebook; then people launch again from their course.
LAUNCH_LIFETIME = timedelta(hours=12)


def open_launch(db: Session, message: Message, moment: datetime) -> models.Launch:
    """Find or make all that a launch speaks of, and record the launch itself.

    Repeating a launch finds the same person, assignment and workspace; only the launch is new.
    """
    deployment = db.scalars(
        sa.select(models.Deployment).filter_by(
            registration_id=message.registration.id, deployment_id=message.deployment_id
        )
    ).one()
    person = _person(db, message)
    link = _resource_link(db, message, deployment)
    workspace = _workspace(db, message, link, person)
    origins = registration_origins(deployment.registration)
    if message.return_url:
        origins.add(http.origin(message.return_url))
    dates = message.dates or Dates()
    launch = models.Launch(
        id=ids.random_id(),
        person_id=person.id,
        workspace_id=workspace.id,
        resource_link_id=link.id,
        staff=message.roles.staff,
        return_url=message.return_url,
        locale=message.locale,
        due_at=dates.due_at,
        available_until=dates.available_until,
        frame_origins=sorted(origins),
        created_at=moment,
        expires_at=moment + LAUNCH_LIFETIME,
    )
    db.add(launch)
    db.flush()
    return launch


def _person(db: Session, message: Message) -> models.Person:
    person = find_or_make(
        db,
        models.Person,
        {"registration_id": message.registration.id, "sub": message.sub},
        name=message.name or "",
        test_user=message.test_user,
        created_at=models.now(),
    )
    if message.name:
        person.name = message.name
    person.test_user = message.test_user
    return person


def _resource_link(db: Session, message: Message, deployment: models.Deployment) -> models.ResourceLink:
    """Find or make the link and its assignment; titles and services are as the newest launch tells."""
    told = message.resource_link
    context = None
    if message.context is not None:
        context = find_or_make(
            db,
            models.Context,
            {"deployment_id": deployment.id, "context_id": message.context.id},
            title=message.context.title or "",
        )
        context.title = message.context.title or message.context.label or context.title
    assignment_id = ids.assignment_id(
        message.registration.issuer, message.registration.client_id, message.deployment_id, told.id
    )
    find_or_make(
        db,
        models.Assignment,
        {"id": assignment_id},
        deployment_id=deployment.id,
        context_id=context.id if context else None,
        title=told.title or "",
        created_at=models.now(),
    )
    link = find_or_make(
        db,
        models.ResourceLink,
        {"deployment_id": deployment.id, "resource_link_id": told.id},
        assignment_id=assignment_id,
        title=told.title or "",
        description=told.description or "",
        scopes=[],
    )
    link.title = told.title or link.title
    link.description = told.description or link.description
    link.assignment.title = link.title or link.assignment.title
    if message.ags is not None:
        link.line_item = message.ags.line_item
        link.line_items = message.ags.line_items
        link.scopes = sorted(message.ags.scopes)
    return link


def _workspace(
    db: Session, message: Message, link: models.ResourceLink, person: models.Person
) -> models.Workspace:
    """Find or make the workspace: the assignment's own for staff, the person's copy for all others."""
    if message.roles.staff:
        return find_or_make(
            db,
            models.Workspace,
            {"id": link.assignment_id},
            assignment_id=link.assignment_id,
            kind=models.WorkspaceKind.BUILD,
            volume=f"ipylti-base-{link.assignment_id}",
            created_at=models.now(),
        )
    workspace_id = ids.workspace_id(
        message.registration.issuer,
        message.registration.client_id,
        message.deployment_id,
        message.resource_link.id,
        message.sub,
    )
    return find_or_make(
        db,
        models.Workspace,
        {"id": workspace_id},
        assignment_id=link.assignment_id,
        kind=models.WorkspaceKind.TAKE,
        person_id=person.id,
        volume=f"ipylti-take-{workspace_id}",
        created_at=models.now(),
    )
