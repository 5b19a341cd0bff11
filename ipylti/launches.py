"""From a verified message to a launch: who, where, and which workspace."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ipylti import assignments, audit, http, ids, models, trace
from ipylti.lti.messages import Message, ResourceLinkMessage
from ipylti.lti.parts import Dates
from ipylti.models.queries import find_or_make
from ipylti.platforms import registration_origins
from ipylti.privacy import erasing

#: How long one launch opens the workbench and the notebook; then people launch again from their course.
LAUNCH_LIFETIME = timedelta(hours=12)


def open_launch(db: Session, message: ResourceLinkMessage, moment: datetime) -> models.Launch:
    """Find or make all that a launch speaks of, and record the launch itself.

    Repeating a launch finds the same person, assignment and workspace; only the launch is new.

    :raises ipylti.errors.RefusedMessage: see :func:`ipylti.assignments.of_link`.
    """
    deployment, context, person = participants(db, message)
    link = _resource_link(db, message, deployment, context)
    workspace = _workspace(db, message, link, person)
    # One that was made just now is younger than that, and nothing is used before it is made.
    moment = max(moment, workspace.created_at)
    dates = message.dates or Dates()
    launch = models.Launch(
        id=ids.random_id(),
        person_id=person.id,
        workspace_id=workspace.id,
        resource_link_id=link.id,
        staff=message.roles.staff,
        return_url=message.return_url,
        locale=message.locale,
        due_at=dates.due_at or link.assignment.due_at,
        available_until=dates.available_until,
        frame_origins=frame_origins(message, deployment),
        created_at=moment,
        expires_at=moment + LAUNCH_LIFETIME,
    )
    db.add(launch)
    db.flush()
    audit.record(
        db,
        trace.current().actor,
        "launch opened",
        workspace=workspace,
        launch=launch.id,
        role="teacher" if launch.staff else "student",
    )
    return launch


def participants(
    db: Session, message: Message
) -> tuple[models.Deployment, models.Context | None, models.Person]:
    """Find or make where a message comes from, and who sent it: from here on it is they who act.

    :raises ipylti.errors.AccessDenied: (``launch.erasing``) what it belongs to is being erased.
    """
    erasing.refuse(db, message)
    deployment = db.scalars(
        sa.select(models.Deployment).filter_by(
            registration_id=message.registration.id, deployment_id=message.deployment_id
        )
    ).one()
    context, person = _context(db, message, deployment), _person(db, message)
    trace.act_as(trace.person(person.id))
    return deployment, context, person


def frame_origins(message: Message, deployment: models.Deployment) -> list[str]:
    """Return the origins of the pages that may frame what a message opens."""
    origins = registration_origins(deployment.registration)
    if message.return_url:
        origins.add(http.origin(message.return_url))
    return sorted(origins)


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


def _context(db: Session, message: Message, deployment: models.Deployment) -> models.Context | None:
    told = message.context
    if told is None:
        return None
    context = find_or_make(
        db,
        models.Context,
        {"deployment_id": deployment.id, "context_id": told.id},
        title=told.title or "",
    )
    context.title = told.title or told.label or context.title
    return context


def _resource_link(
    db: Session,
    message: ResourceLinkMessage,
    deployment: models.Deployment,
    context: models.Context | None,
) -> models.ResourceLink:
    """Find or make the link and its assignment; titles and services are as the newest launch tells."""
    told = message.resource_link
    assignment = assignments.of_link(db, message, deployment, context)
    link = find_or_make(
        db,
        models.ResourceLink,
        {"deployment_id": deployment.id, "resource_link_id": told.id},
        assignment_id=assignment.id,
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
    link.memberships_url = message.memberships_url or link.memberships_url
    return link


def _workspace(
    db: Session, message: ResourceLinkMessage, link: models.ResourceLink, person: models.Person
) -> models.Workspace:
    """Find or make the workspace: the assignment's own for staff, the person's copy for all others."""
    if message.roles.staff:
        return assignments.build_workspace(db, link.assignment)
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
