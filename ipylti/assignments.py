"""Which assignment a resource link points at: its own, made after a blueprint, or a copy of another link's.

Each link has one assignment, named after the link. Links are copied: with a whole course, or within one. A
copy carries the custom parameters of its original, the blueprint's id among them, and the platform tells
where course and link come from (``$Context.id.history``, ``$ResourceLink.id.history``). Along that history,
and nowhere else, a link gets a base that is a clone of its original's; no student's work ever goes along.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ipylti import audit, ids, models, trace
from ipylti.errors import RefusedMessage
from ipylti.lti.claims import CUSTOM_ASSIGNMENT
from ipylti.lti.messages import ResourceLinkMessage
from ipylti.models.queries import find_or_make


def of_link(
    db: Session,
    message: ResourceLinkMessage,
    deployment: models.Deployment,
    context: models.Context | None,
) -> models.Assignment:
    """Return the assignment that the message's resource link points at, found or made.

    :param context: the message's.
    :raises RefusedMessage: ``message.assignment``: the link names a blueprint of somewhere else.
    """
    own_id = ids.assignment_id(
        message.registration.issuer,
        message.registration.client_id,
        message.deployment_id,
        message.resource_link.id,
    )
    own = db.get(models.Assignment, own_id)
    blueprint = _blueprint(db, message, deployment, context, known=own is not None)
    if own is not None:
        if blueprint is not None and blueprint.id != own.blueprint_id:
            _follow(db, own, blueprint)
        return own
    original = _original(db, message, deployment, context, blueprint)
    made = find_or_make(
        db,
        models.Assignment,
        {"id": own_id},
        deployment_id=deployment.id,
        context_id=context.id if context else None,
        title=message.resource_link.title or "",
        created_at=models.now(),
    )
    if original is not None:
        _shape(made, original, original.blueprint_id)
        _clone(db, made, original.id)
    elif blueprint is not None:
        _shape(made, blueprint, blueprint.id)
        _clone(db, made, blueprint.source_id)
    return made


def build_workspace(db: Session, assignment: models.Assignment) -> models.Workspace:
    """Return the assignment's build workspace, found or made; it has the assignment's name."""
    return find_or_make(
        db,
        models.Workspace,
        {"id": assignment.id},
        assignment_id=assignment.id,
        kind=models.WorkspaceKind.BUILD,
        volume=f"ipylti-base-{assignment.id}",
        created_at=models.now(),
    )


def to_copy(db: Session, context: models.Context | None, person: models.Person) -> list[models.Assignment]:
    """Return the assignments that a teacher may copy, the newest first: those of this course, and of the
    courses where the person has opened one as a teacher. One that nobody built is not worth it."""
    opened = (
        sa.select(models.ResourceLink.assignment_id)
        .join(models.Launch, models.Launch.resource_link_id == models.ResourceLink.id)
        .where(models.Launch.person_id == person.id, models.Launch.staff)
    )
    taught = sa.select(models.Assignment.context_id).where(models.Assignment.id.in_(opened))
    query = (
        sa.select(models.Assignment)
        .join(models.Workspace, models.Workspace.id == models.Assignment.id)
        .where(
            sa.or_(
                models.Assignment.id.in_(opened),
                models.Assignment.context_id.in_(taught),
                models.Assignment.context_id == (context.id if context else None),
            )
        )
        .order_by(models.Assignment.created_at.desc(), models.Assignment.id)
    )
    return list(db.scalars(query))


def _blueprint(
    db: Session,
    message: ResourceLinkMessage,
    deployment: models.Deployment,
    context: models.Context | None,
    *,
    known: bool,
) -> models.Blueprint | None:
    """Return the blueprint that the link carries, if it carries one.

    It is believed where it was made in this course, or where this course or this link descends from one that
    uses it.

    :param known: whether the link has its assignment already: then a blueprint that nobody knows, as of a
        database that was lost, changes nothing.
    """
    claimed = message.custom.get(CUSTOM_ASSIGNMENT)
    if not claimed:
        return None
    found = db.get(models.Blueprint, claimed) if ids.is_name(claimed) else None
    if found is None and known:
        return None
    if found is None or found.deployment_id != deployment.id:
        raise RefusedMessage("an assignment that is not known here", code="message.assignment")
    courses = {found.context_id}
    courses.update(db.scalars(sa.select(models.Assignment.context_id).filter_by(blueprint_id=found.id)))
    if (context.id if context else None) in courses:
        return found
    if courses & {each.id for each in _contexts(db, deployment, message.history.contexts)}:
        return found
    if any(
        each.assignment.blueprint_id == found.id for each in _links(db, deployment, message.history.links)
    ):
        return found
    raise RefusedMessage("an assignment of a course that this is no copy of", code="message.assignment")


def _original(
    db: Session,
    message: ResourceLinkMessage,
    deployment: models.Deployment,
    context: models.Context | None,
    blueprint: models.Blueprint | None,
) -> models.Assignment | None:
    """Return the assignment whose base a new link's is to be a clone of.

    The link's own history says it exactly. Else it is one of the nearest course that carries the same
    blueprint, of several the one with the link's title. Without history and blueprint there is none.
    """
    for link in _links(db, deployment, message.history.links):
        if blueprint is None or link.assignment.blueprint_id == blueprint.id:
            return link.assignment
    if blueprint is None:
        return None
    query = sa.select(models.Assignment).filter_by(blueprint_id=blueprint.id)
    carrying = list(db.scalars(query.order_by(models.Assignment.created_at, models.Assignment.id)))
    nearest = [context, *_contexts(db, deployment, message.history.contexts)]
    candidates = [
        assignment
        for each in nearest
        for assignment in carrying
        if assignment.context_id == (each.id if each else None)
    ]
    namesakes = [each for each in candidates if each.title == message.resource_link.title]
    return next(iter(namesakes + candidates), None)


def _follow(db: Session, assignment: models.Assignment, blueprint: models.Blueprint) -> None:
    """Have an assignment follow another blueprint, as somebody chose anew for its link.

    What was built is kept: where there is a base already, it stays.
    """
    _shape(assignment, blueprint, blueprint.id)
    _record(db, "assignment changed", assignment, blueprint=blueprint.id)
    if db.get(models.Workspace, assignment.id) is None:
        _clone(db, assignment, blueprint.source_id)


def _shape(
    assignment: models.Assignment,
    pattern: models.Blueprint | models.Assignment,
    blueprint_id: str | None,
) -> None:
    """Give an assignment the pattern's settings."""
    assignment.blueprint_id = blueprint_id
    assignment.image, assignment.egress = pattern.image, pattern.egress
    assignment.memory, assignment.cpus = pattern.memory, pattern.cpus
    assignment.due_at, assignment.maximum = pattern.due_at, pattern.maximum


def _clone(db: Session, assignment: models.Assignment, source_id: str | None) -> None:
    """Have the assignment's base be a clone of another's; a worker copies it."""
    if source_id is not None:
        assignment.source_id = source_id
        db.flush()
        build_workspace(db, assignment)
        _record(db, "assignment copied", assignment, source=source_id)


def _record(db: Session, action: str, assignment: models.Assignment, **details: Any) -> None:
    """Write down what became of an assignment by the launch of somebody."""
    audit.record(db, trace.current().actor, action, assignment=assignment.id, **details)


def _contexts(db: Session, deployment: models.Deployment, told: Iterable[str]) -> list[models.Context]:
    """Return the courses of a history that are known here, in its order."""
    told = list(told)
    query = sa.select(models.Context).filter_by(deployment_id=deployment.id)
    found = {each.context_id: each for each in db.scalars(query.where(models.Context.context_id.in_(told)))}
    return [found[each] for each in told if each in found]


def _links(db: Session, deployment: models.Deployment, told: Iterable[str]) -> list[models.ResourceLink]:
    """Return the links of a history that are known here, in its order."""
    told = list(told)
    query = sa.select(models.ResourceLink).filter_by(deployment_id=deployment.id)
    rows = db.scalars(query.where(models.ResourceLink.resource_link_id.in_(told)))
    found = {each.resource_link_id: each for each in rows}
    return [found[each] for each in told if each in found]
