"""How long what is kept, by kind; what is older goes, a little at each sweep, and the log tells of each.

Nobody's work goes unless the settings say so. A launch that nothing refers to any more is only a trace of
somebody; the last one of each workspace stays, since it says when somebody was there.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased, sessionmaker

from ipylti import models
from ipylti.privacy import rows
from ipylti.privacy.erasing import Eraser
from ipylti.settings import Settings

log = logging.getLogger(__name__)

#: How much of each kind goes at a sweep.
STEP = 20

#: How long an invitation is kept that is good for nothing any more.
_INVITATIONS = timedelta(days=30)


@dataclass(frozen=True)
class Due:
    """What is older than it may be.

    :param kind: ``launch``, ``submission``, ``workspace`` or ``invitation``.
    :param name: its id.
    :param since: what its age is counted from.
    """

    kind: str
    name: str
    since: datetime


class Retention:
    """Looks for what is due, and removes it."""

    def __init__(self, settings: Settings, sessions: sessionmaker[Session], eraser: Eraser) -> None:
        self.settings = settings
        self.sessions = sessions
        self.eraser = eraser

    def due(self, most: int | None = None) -> list[Due]:
        """Return what is to go, at most so much of each kind."""
        now = models.now()
        kinds: list[tuple[str, timedelta | None, Callable[[datetime], sa.Select]]] = [
            ("workspace", self.settings.keep_workspaces, _workspaces),
            ("submission", self.settings.keep_submissions, _submissions),
            ("launch", self.settings.keep_launches, _launches),
            ("invitation", _INVITATIONS, _invitations),
        ]
        with self.sessions() as db:
            return [
                Due(kind, str(name), since)
                for kind, kept, query in kinds
                if kept is not None
                for name, since in db.execute(query(now - kept).limit(most))
            ]

    def step(self, most: int | None = STEP) -> list[Due]:
        """Remove what is to go, at most so much of each kind, and return what went.

        :raises ipylti.errors.IpyltiError: something is in use, or a part is away; the next step tries again.
        """
        found = self.due(most)
        for each in found:
            self._remove(each)
            log.info("kept long enough", extra={"kind": each.kind, "which": each.name})
        return found

    def _remove(self, due: Due) -> None:
        if due.kind == "workspace":
            self.eraser.workspace(due.name)
            return
        if due.kind == "submission":
            with self.sessions() as db:
                volume = db.scalars(sa.select(models.Submission.volume).filter_by(id=int(due.name))).first()
            if volume is not None:
                self.eraser.spawner.remove_volume(volume)
        with self.sessions.begin() as db:
            if due.kind == "submission":
                rows.remove_submission(db, int(due.name))
            elif due.kind == "launch":
                db.execute(sa.delete(models.Launch).where(models.Launch.id == due.name, _unused()))
            else:
                db.execute(sa.delete(models.Invitation).filter_by(id=int(due.name)))


def _workspaces(before: datetime) -> sa.Select:
    """Students' workspaces at which nobody was, and which hold no submission that is still kept."""
    last = (
        sa.select(sa.func.max(models.Launch.created_at))
        .filter_by(workspace_id=models.Workspace.id)
        .correlate(models.Workspace)
        .scalar_subquery()
    )
    since = sa.func.coalesce(last, models.Workspace.created_at, type_=models.Workspace.created_at.type)
    submitted = sa.exists().where(models.Submission.workspace_id == models.Workspace.id)
    return (
        sa.select(models.Workspace.id, since)
        .where(models.Workspace.kind == models.WorkspaceKind.TAKE, since < before, ~submitted)
        .order_by(since)
    )


def _submissions(before: datetime) -> sa.Select:
    """Submissions of which the platform knows what it will ever know."""
    waiting = sa.exists().where(
        models.OutboxItem.submission_id == models.Submission.id,
        models.OutboxItem.state == models.OutboxState.WAITING,
    )
    return (
        sa.select(sa.cast(models.Submission.id, sa.Text), models.Submission.submitted_at)
        .where(
            models.Submission.state == models.SubmissionState.FROZEN,
            models.Submission.submitted_at < before,
            ~waiting,
        )
        .order_by(models.Submission.submitted_at)
    )


def _launches(before: datetime) -> sa.Select:
    return (
        sa.select(models.Launch.id, models.Launch.created_at)
        .where(models.Launch.created_at < before, models.Launch.expires_at < before, _unused())
        .order_by(models.Launch.created_at)
    )


def _unused() -> sa.ColumnElement[bool]:
    """Launches to which no submission belongs, and which are not their person's last in their workspace."""
    later = aliased(models.Launch)
    return sa.and_(
        ~sa.exists().where(models.Submission.launch_id == models.Launch.id),
        sa.exists().where(
            later.workspace_id == models.Launch.workspace_id,
            later.person_id == models.Launch.person_id,
            later.created_at > models.Launch.created_at,
        ),
    )


def _invitations(before: datetime) -> sa.Select:
    return sa.select(sa.cast(models.Invitation.id, sa.Text), models.Invitation.expires_at).where(
        models.Invitation.expires_at < before
    )
