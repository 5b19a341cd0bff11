"""Submissions: a frozen, hashed copy of a workspace, and the word to the platform that it is there.

Pressing Submit writes the submission and, where the platform takes scores, an outbox item, in one
transaction. A worker then makes the copy; only after that is the platform told.
"""

import logging
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import about, audit, ids, limits, models, trace
from ipylti.errors import AccessDenied
from ipylti.jobs import Jobs
from ipylti.lti.claims import SCOPE_SCORE
from ipylti.lti.scores import next_timestamp
from ipylti.servers.spawner import Spawner, VolumeSpec
from ipylti.settings import Settings
from ipylti.volatile import Locks

log = logging.getLogger(__name__)


def submit(db: Session, launch: models.Launch, moment: datetime) -> models.Submission:
    """Record that a person hands in their workspace as it is now.

    :param moment: when Submit was pressed; it stays the submission's time, however late the copy or the
        platform is.
    :raises AccessDenied: a teacher's workspace is no submission, and a copy that was never made can't be
        handed in.
    """
    workspace = db.get_one(models.Workspace, launch.workspace_id, with_for_update=True)
    if launch.staff or workspace.kind != models.WorkspaceKind.TAKE:
        raise AccessDenied("a build workspace is not handed in", code="submit.not_student")
    if workspace.populated_at is None:
        raise AccessDenied("the workspace has no files yet", code="submit.nothing")
    last = db.scalar(sa.select(sa.func.max(models.Submission.number)).filter_by(workspace_id=workspace.id))
    number = (last or 0) + 1
    submission = models.Submission(
        workspace_id=workspace.id,
        launch_id=launch.id,
        number=number,
        volume=f"ipylti-submission-{workspace.id}-{number}",
        submitted_at=moment,
    )
    db.add(submission)
    db.flush()
    if takes_scores(launch):
        db.add(
            models.OutboxItem(
                submission_id=submission.id,
                resource_link_id=launch.resource_link_id,
                person_id=launch.person_id,
                timestamp=_rising(db, launch, moment),
            )
        )
    db.flush()
    actor = trace.person(launch.person_id)
    audit.record(db, actor, "submission made", workspace=workspace, submission=submission.id, number=number)
    return submission


def takes_scores(launch: models.Launch) -> bool:
    """Return whether the platform is told of the launch's submissions: it takes scores, and the person is
    not a platform's test user, whose scores no platform takes."""
    link = launch.resource_link
    offered = SCOPE_SCORE in link.scopes and bool(link.line_item or link.line_items)
    return offered and not launch.person.test_user


def latest(db: Session, workspace: str) -> models.Submission | None:
    """Return the newest submission of a workspace, or None."""
    query = sa.select(models.Submission).filter_by(workspace_id=workspace)
    return db.scalars(query.order_by(models.Submission.number.desc()).limit(1)).first()


def find_for_review(db: Session, launch: models.Launch, sub: str) -> models.Submission | None:
    """Return the newest submission of a person at the launch's link, if the launch may see it."""
    query = (
        sa.select(models.Submission)
        .join(models.Launch)
        .join(models.Person)
        .where(models.Launch.resource_link_id == launch.resource_link_id, models.Person.sub == sub)
        .order_by(models.Submission.id.desc())
    )
    found = db.scalars(query.limit(1)).first()
    return visible(db, launch, found.id) if found is not None else None


def visible(db: Session, launch: models.Launch, submission_id: int) -> models.Submission | None:
    """Return a submission, if the launch may see it: staff those of their assignment, everybody their own."""
    found = db.get(models.Submission, submission_id)
    if found is None or found.workspace.assignment_id != launch.workspace.assignment_id:
        return None
    own = found.workspace.person_id == launch.person_id
    return found if launch.staff or own else None


def _rising(db: Session, launch: models.Launch, moment: datetime) -> datetime:
    """Return the score's time stamp: the moment, but at least a second after the one before it.

    A platform refuses a score that is not newer than what it has (AGS 2.0, 3.4.8), and some keep no
    fractions of a second.
    """
    query = sa.select(sa.func.max(models.OutboxItem.timestamp)).filter_by(
        resource_link_id=launch.resource_link_id, person_id=launch.person_id
    )
    return next_timestamp(db.scalar(query), moment)


class Freezer:
    """Makes the copies; in the worker."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        spawner: Spawner,
        locks: Locks,
        jobs: Jobs,
    ) -> None:
        self.settings = settings
        self.sessions = sessions
        self.spawner = spawner
        self.locks = locks
        self.jobs = jobs

    def freeze(self, submission_id: int) -> None:
        """Make a submission's copy, if it is not made yet, and then have the platform told.

        It may be repeated: until the copy is whole and written down, it is made again from the workspace.
        """
        with self.locks.hold(f"freeze:{submission_id}") as lock:
            if lock is None:
                return
            found = self._begin(submission_id)
            if found is None:
                return
            source, target, image = found
            copied = self.spawner.copy(source, target, image, lambda _done, _total: lock.renew(), digest=True)
            with self.sessions.begin() as db:
                submission = db.get_one(models.Submission, submission_id)
                submission.state = models.SubmissionState.FROZEN
                submission.frozen_at = models.now()
                submission.digest = copied.digest
                submission.size = copied.size
                submission.files = copied.files
                submission.manifest = "\n".join(copied.entries)
                item = submission.outbox
                item_id = item.id if item else None
        log.info("submission frozen", extra={"submission": submission_id, "digest": copied.digest})
        if item_id is not None:
            self.jobs.ask("deliver_score", item_id)

    def _begin(self, submission_id: int) -> tuple[str, VolumeSpec, str] | None:
        """Return what to copy, where to, and the image for it; None where the copy is made already.

        Before the first try, a volume of that name is of an earlier life of the database: another is taken.
        """
        with self.sessions.begin() as db:
            submission = db.get_one(models.Submission, submission_id)
            if submission.state == models.SubmissionState.FROZEN:
                return None
            if submission.copying_since is None:
                if self.spawner.has_volume(submission.volume):
                    submission.volume = f"{submission.volume}-{ids.random_id()}"
                submission.copying_since = models.now()
            assignment = submission.workspace.assignment
            target = VolumeSpec(
                name=submission.volume,
                kind="submission",
                instance=self.settings.instance,
                assignment=assignment.id,
                workspace=submission.workspace_id,
                about=about.of_submission(submission),
            )
            return submission.workspace.volume, target, limits.copier_image(self.settings, assignment)

    def unfrozen(self) -> list[int]:
        """Return the submissions whose copy is still to be made, oldest first."""
        with self.sessions.begin() as db:
            query = sa.select(models.Submission.id).filter_by(state=models.SubmissionState.FREEZING)
            return list(db.scalars(query.order_by(models.Submission.id)))
