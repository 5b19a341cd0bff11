"""Who handed in what at a link: what a teacher's page shows.

A person stands here who opened the link, or of whom the platform's roster says that they may; the roster adds
names and gives nobody a right.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, contains_eager, joinedload

from ipylti import models
from ipylti.lti import roles


@dataclass(frozen=True)
class Row:
    """One person at a link.

    :param name: as the platform tells it; empty where it tells none.
    :param left: whether the platform says that the person is not in the course any more.
    :param test_user: whether it is a platform's test user, of whom it is told nothing.
    :param working_since: when the person opened the assignment first, None for who did not yet.
    :param submission: the newest one.
    :param item: what the platform was told of it, None where it takes no scores.
    """

    sub: str
    name: str
    left: bool
    test_user: bool
    working_since: datetime | None = None
    submission: models.Submission | None = None
    item: models.OutboxItem | None = None

    @property
    def late(self) -> bool:
        """Whether the newest submission came after the due date that held for this person."""
        found = self.submission
        due = found.launch.due_at if found is not None else None
        return found is not None and due is not None and found.submitted_at > due

    @property
    def failed(self) -> bool:
        """Whether the platform did not take it, and somebody has to send it again."""
        return self.item is not None and self.item.state == models.OutboxState.FAILED


def at_link(db: Session, link: models.ResourceLink) -> list[Row]:
    """Return all students of a link, by name."""
    members = {
        row.sub: row for row in db.scalars(sa.select(models.Member).filter_by(resource_link_id=link.id))
    }
    newest = _newest(db, link)
    rows = []
    for workspace in _workspaces(db, link):
        person = workspace.person
        assert person is not None
        member = members.pop(person.sub, None)
        found = newest.get(workspace.id)
        rows.append(
            Row(
                sub=person.sub,
                name=person.name or (member.name if member else ""),
                left=member is not None and not member.active,
                test_user=person.test_user,
                working_since=workspace.created_at,
                submission=found,
                item=found.outbox if found else None,
            )
        )
    for member in members.values():
        told = roles.parse(member.roles)
        if member.active and told.learner and not told.staff and not told.test_user:
            rows.append(Row(sub=member.sub, name=member.name, left=False, test_user=False))
    return sorted(rows, key=lambda row: (row.name.casefold() or "\uffff", row.sub))


def _workspaces(db: Session, link: models.ResourceLink) -> list[models.Workspace]:
    query = (
        sa.select(models.Workspace)
        .join(models.Workspace.person)
        .where(
            models.Workspace.assignment_id == link.assignment_id,
            models.Workspace.kind == models.WorkspaceKind.TAKE,
        )
        .options(contains_eager(models.Workspace.person))
    )
    return list(db.scalars(query))


def _newest(db: Session, link: models.ResourceLink) -> dict[str, models.Submission]:
    """Return the newest submission of each workspace."""
    ids = (
        sa.select(sa.func.max(models.Submission.id))
        .join(models.Workspace)
        .where(models.Workspace.assignment_id == link.assignment_id)
        .group_by(models.Submission.workspace_id)
    )
    query = (
        sa.select(models.Submission)
        .where(models.Submission.id.in_(ids))
        .options(joinedload(models.Submission.launch), joinedload(models.Submission.outbox))
    )
    return {found.workspace_id: found for found in db.scalars(query)}
