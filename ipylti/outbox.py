"""Scores on their way to the platforms, kept until a platform has them.

An item is delivered by a worker, oldest first for each person and line item. What fails for a reason that may
pass is tried again with growing pauses, for days; what the platform refuses for good waits for somebody to
send it again, and says so (AGS 2.0, 3.4; the rules of trying again are the house's own).
"""

import logging
import random
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models
from ipylti.errors import DependencyDown, IpyltiError, OutgoingError, ServiceError
from ipylti.jobs import Jobs
from ipylti.lti.parts import AgsEndpoint
from ipylti.lti.registrations import Registration
from ipylti.lti.scores import Score, Scores, handed_in
from ipylti.platforms import as_registration
from ipylti.volatile import Locks

log = logging.getLogger(__name__)

#: Seconds before the second try, and the most between two later ones: short enough for all to be delivered
#: within minutes of a platform's return.
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 240.0

#: How long a platform may be away before somebody has to look.
_GIVE_UP = timedelta(days=14)

#: What "handed in" is out of, where the line item is made by the tool.
_MAXIMUM = 100.0

#: Tag of the line items that the tool makes: one for each link (AGS 2.0, 3.1).
_TAG = "ipylti"


@dataclass(frozen=True)
class _Delivery:
    """All that one delivery needs, read in one short transaction.

    :param again: whether a try before this one may have got through, its answer lost.
    """

    registration: Registration
    ags: AgsEndpoint
    resource_link_id: str
    assignment: str
    label: str
    score: Score
    again: bool


class Outbox:
    """Delivers the items; in the worker."""

    def __init__(
        self, sessions: sessionmaker[Session], scores: Scores, locks: Locks, jobs: Jobs, tool_url: str
    ) -> None:
        self.sessions = sessions
        self.scores = scores
        self.locks = locks
        self.jobs = jobs
        self.tool_url = tool_url

    def deliver(self, item_id: int) -> None:
        """Deliver an item, if it is its turn; a later one for the same person is asked for afterwards."""
        with self.locks.hold(f"deliver:{item_id}", seconds=120.0) as lock:
            if lock is None:
                return
            delivery = self._turn(item_id)
            if delivery is None:
                return
            try:
                self._send(delivery)
            except (ServiceError, OutgoingError, DependencyDown) as err:
                if delivery.again and err.code == "score.conflict":
                    # There is one as new as this: this one.
                    self._delivered(item_id)
                else:
                    self._failed(item_id, err)
            else:
                self._delivered(item_id)

    def due(self) -> list[int]:
        """Return the waiting items whose time has come, oldest first."""
        with self.sessions.begin() as db:
            query = (
                sa.select(models.OutboxItem.id)
                .join(models.Submission)
                .where(
                    models.OutboxItem.state == models.OutboxState.WAITING,
                    models.OutboxItem.next_at <= models.now(),
                    models.Submission.state == models.SubmissionState.FROZEN,
                )
            )
            return list(db.scalars(query.order_by(models.OutboxItem.id)))

    def _turn(self, item_id: int) -> _Delivery | None:
        """Return what to deliver, and count the try.

        None where there is nothing to do now: it is delivered already, its time has not come, its submission
        is not frozen yet, or an older one of the same person still waits.
        """
        with self.sessions.begin() as db:
            item = db.get_one(models.OutboxItem, item_id)
            frozen = item.submission.state == models.SubmissionState.FROZEN
            due = item.state == models.OutboxState.WAITING and item.next_at <= models.now()
            if not due or not frozen or _older(db, item) is not None:
                return None
            item.attempts += 1
            link = item.resource_link
            registration = as_registration(link.deployment.registration)
            return _Delivery(
                registration=registration,
                ags=AgsEndpoint(frozenset(link.scopes), link.line_item, link.line_items),
                resource_link_id=link.resource_link_id,
                assignment=link.assignment_id,
                label=link.title or "Notebook",
                score=handed_in(
                    item.person.sub,
                    item.submission.submitted_at,
                    item.timestamp,
                    registration.quirks,
                    f"{self.tool_url}/launch",
                ),
                again=item.attempts > 1,
            )

    def _send(self, delivery: _Delivery) -> None:
        """Send the score; where its line item is gone, find or make another one first."""
        line_item = self._line_item(delivery, None)
        try:
            self._post(delivery, line_item)
        except ServiceError as err:
            if err.code != "lineitem.gone":
                raise
            self._post(delivery, self._line_item(delivery, line_item))

    def _post(self, delivery: _Delivery, line_item: str) -> None:
        """Post the score, unless a grade stands: some platforms clear it with a score that has no points."""
        if self._graded(delivery, line_item):
            log.info("a grade stands and is not touched", extra={"resource_link": delivery.resource_link_id})
            return
        self.scores.post(delivery.registration, line_item, delivery.score, delivery.ags.scopes)

    def _graded(self, delivery: _Delivery, line_item: str) -> bool:
        """Return whether a grade stands; a platform that does not tell its results is taken to have none."""
        try:
            return self.scores.is_graded(
                delivery.registration, line_item, delivery.score.user_id, delivery.ags.scopes
            )
        except ServiceError as err:
            if err.retry:
                raise
            log.info("results are not told", extra={"code": err.code, "detail": err.detail})
            return False

    def _line_item(self, delivery: _Delivery, gone: str | None) -> str:
        return self.scores.find_or_create_line_item(
            delivery.registration,
            delivery.ags,
            resource_link_id=delivery.resource_link_id,
            resource_id=delivery.assignment,
            tag=_TAG,
            label=delivery.label,
            maximum=_MAXIMUM,
            gone=gone,
        )

    def _delivered(self, item_id: int) -> None:
        with self.sessions.begin() as db:
            item = db.get_one(models.OutboxItem, item_id)
            item.state = models.OutboxState.DELIVERED
            item.delivered_at = models.now()
            item.error = ""
            next_id = _newer(db, item)
        log.info("score delivered", extra={"item": item_id})
        if next_id is not None:
            self.jobs.ask("deliver_score", next_id)

    def _failed(self, item_id: int, err: IpyltiError) -> None:
        """Write down that a try failed, and when the next one is, if another try can help."""
        # A platform that gives no token refuses us and not the score; somebody mends that, here or there.
        retry = not isinstance(err, ServiceError) or err.retry or err.code.startswith("token.")
        asked = err.retry_after if isinstance(err, ServiceError) else None
        with self.sessions.begin() as db:
            item = db.get_one(models.OutboxItem, item_id)
            item.error = err.code
            pause = max(_pause(item.attempts), min(asked or 0.0, 3600.0))
            if retry and models.now() - item.created_at < _GIVE_UP:
                item.next_at = models.now() + timedelta(seconds=pause)
            else:
                item.state = models.OutboxState.FAILED
                retry = False
        log.warning(
            "score not delivered",
            extra={"item": item_id, "code": err.code, "detail": err.detail, "retry": retry},
        )
        if retry:
            self.jobs.ask("deliver_score", item_id, delay=pause)


def _pause(attempts: int) -> float:
    """Return the seconds before the next try: twice as long each time, spread by chance."""
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempts - 1, 10))
    return longest * random.uniform(0.75, 1.0)  # noqa: S311 - nothing secret about it


def _older(db: Session, item: models.OutboxItem) -> int | None:
    """Return an item of the same person and link that has to go first."""
    return _neighbour(db, item, models.OutboxItem.id < item.id)


def _newer(db: Session, item: models.OutboxItem) -> int | None:
    """Return the next item of the same person and link."""
    return _neighbour(db, item, models.OutboxItem.id > item.id)


def _neighbour(db: Session, item: models.OutboxItem, side: sa.ColumnElement[bool]) -> int | None:
    query = sa.select(models.OutboxItem.id).where(
        models.OutboxItem.resource_link_id == item.resource_link_id,
        models.OutboxItem.person_id == item.person_id,
        models.OutboxItem.state == models.OutboxState.WAITING,
        side,
    )
    return db.scalars(query.order_by(models.OutboxItem.id).limit(1)).first()
