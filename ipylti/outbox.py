"""Scores on their way to the platforms, kept until a platform has them.

An item is delivered by a worker, oldest first for each person and line item. What fails for a reason that may
pass is tried again with growing pauses, for days; what the platform refuses for good waits for somebody to
send it again, and says so (AGS 2.0, 3.4; the rules of trying again are the house's own).
"""

import contextlib
import logging
import math
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import audit, models, trace
from ipylti.errors import DependencyDown, IpyltiError, OutgoingError, ServiceError
from ipylti.jobs import Jobs
from ipylti.lti.parts import AgsEndpoint
from ipylti.lti.registrations import Registration
from ipylti.lti.scores import Score, Scores, handed_in, next_timestamp
from ipylti.platforms import as_registration
from ipylti.tally import DELIVERIES, Tally
from ipylti.volatile import Cache, Locks

log = logging.getLogger(__name__)

#: Seconds before the second try, and the most between two later ones: short enough for all to be delivered
#: within minutes of a platform's return.
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 240.0

#: Seconds for which a platform is left alone that does not answer, and that asks for it, at most.
_AWAY = 60.0
_LONGEST_AWAY = 3600.0

#: Seconds after which a delivery whose worker died may be tried by another. Where one takes longer than that,
#: both send the same score with the same time, of which a platform takes one.
_HELD = 30.0

#: How long a platform may be away before somebody has to look.
_GIVE_UP = timedelta(days=14)

#: Points of a line item that the tool makes, where the teacher said nothing.
_MAXIMUM = 100.0

#: What a platform says that has something as new, or newer.
_CONFLICT = "score.conflict"

#: Tag of the line items that the tool makes: one for each link (AGS 2.0, 3.1).
_TAG = "ipylti"


@dataclass(frozen=True)
class _Delivery:
    """All that one delivery needs, read in one short transaction.

    :param again: whether a try before this one, with the same time stamp, may have got through, its answer
        lost.
    """

    registration: Registration
    ags: AgsEndpoint
    resource_link_id: str
    assignment: str
    blueprint: str | None
    label: str
    maximum: float
    score: Score
    again: bool


class Outbox:
    """Delivers the items; in the worker.

    :param away: which platforms don't answer, or asked for a pause, until when (seconds since 1970): so
        that one that hangs costs a few jobs their time-out, and not one after the other.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        scores: Scores,
        locks: Locks,
        jobs: Jobs,
        away: Cache,
        tool_url: str,
        tally: Tally,
    ) -> None:
        self.sessions = sessions
        self.scores = scores
        self.locks = locks
        self.jobs = jobs
        self.away = away
        self.tool_url = tool_url
        self.tally = tally

    def deliver(self, item_id: int) -> None:
        """Deliver an item, if it is its turn; a later one for the same person is asked for afterwards."""
        with self.locks.hold(f"deliver:{item_id}", seconds=_HELD) as lock:
            if lock is None:
                return
            delivery = self._turn(item_id)
            if delivery is None:
                return
            try:
                self._send(delivery)
            except (ServiceError, OutgoingError, DependencyDown) as err:
                if delivery.again and err.code == _CONFLICT:
                    # There is one as new as this: this one.
                    self._delivered(item_id)
                else:
                    self._failed(item_id, delivery.registration.id, err)
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
        is not frozen yet, an older one of the same person still waits, or the platform is away.
        """
        with self.sessions.begin() as db:
            item = db.get_one(models.OutboxItem, item_id)
            frozen = item.submission.state == models.SubmissionState.FROZEN
            due = item.state == models.OutboxState.WAITING and item.next_at <= models.now()
            if not due or not frozen or _older(db, item) is not None:
                return None
            link = item.resource_link
            registration = as_registration(link.deployment.registration)
            if self._is_away(registration.id, item):
                return None
            again = item.attempts > 0 and item.error != _CONFLICT
            item.attempts += 1
            item.timestamp = next_timestamp(_last_timestamp(db, item), item.timestamp)
            return _Delivery(
                registration=registration,
                ags=AgsEndpoint(frozenset(link.scopes), link.line_item, link.line_items),
                resource_link_id=link.resource_link_id,
                assignment=link.assignment_id,
                blueprint=link.assignment.blueprint_id,
                maximum=link.assignment.maximum or _MAXIMUM,
                label=link.title or "Notebook",
                score=handed_in(
                    item.person.sub,
                    item.submission.submitted_at,
                    item.timestamp,
                    registration.quirks,
                    f"{self.tool_url}/launch?{urlencode({'submission': item.submission_id})}",
                ),
                again=again,
            )

    def _is_away(self, registration: int, item: models.OutboxItem) -> bool:
        """Return whether a platform is away; an item's time comes when it may be back."""
        until = self.away.get(str(registration))
        if until is None or until <= time.time():
            return False
        item.next_at = datetime.fromtimestamp(until, UTC)
        return True

    def _send(self, delivery: _Delivery) -> None:
        """Send the score; where its line item is gone, find or make another one first."""
        line_item = self._line_item(delivery, None)
        try:
            self._post(delivery, line_item)
        except ServiceError as err:
            if err.code != "lineitem.gone":
                raise
            if self.scores.has_line_item(delivery.registration, line_item, delivery.ags.scopes):
                raise ServiceError(
                    "no such person there", code="score.missing", retry=False, status=err.status
                ) from err
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
            maximum=delivery.maximum,
            blueprint=delivery.blueprint,
            gone=gone,
        )

    def _delivered(self, item_id: int) -> None:
        with self.sessions.begin() as db:
            item = db.get_one(models.OutboxItem, item_id)
            item.state = models.OutboxState.DELIVERED
            item.delivered_at = models.now()
            item.error = ""
            next_id = _newer(db, item)
        self.tally.count(DELIVERIES, "delivered")
        log.info("score delivered", extra={"item": item_id})
        if next_id is not None:
            self.jobs.ask("deliver_score", next_id)

    def _failed(self, item_id: int, registration: int, err: IpyltiError) -> None:
        """Write down that a try failed, and when the next one is, if another try can help."""
        # A platform that gives no token refuses us and not the score; somebody mends that, here or there.
        mendable = err.code.startswith("token.") or err.code == _CONFLICT
        retry = not isinstance(err, ServiceError) or err.retry or mendable
        asked = err.retry_after if isinstance(err, ServiceError) else None
        with self.sessions.begin() as db:
            item = db.get_one(models.OutboxItem, item_id)
            item.error = err.code
            if err.code == _CONFLICT:
                # Something newer stands there, or its clock is ahead of ours.
                item.timestamp = next_timestamp(item.timestamp, models.now())
            pause = max(_pause(item.attempts), min(asked or 0.0, _LONGEST_AWAY))
            if retry and models.now() - (item.resent_at or item.created_at) < _GIVE_UP:
                item.next_at = models.now() + timedelta(seconds=pause)
            else:
                item.state = models.OutboxState.FAILED
                retry = False
        self.tally.count(DELIVERIES, "again" if retry else "refused")
        if err.code.endswith((".unreachable", ".throttled")):
            self._stay_away(registration, max(asked or 0.0, min(pause, _AWAY)))
        log.warning(
            "score not delivered",
            extra={"item": item_id, "code": err.code, "detail": err.detail, "retry": retry},
        )
        if retry:
            self.jobs.ask("deliver_score", item_id, delay=pause)

    def _stay_away(self, registration: int, seconds: float) -> None:
        """Leave a platform alone for a while."""
        seconds = min(seconds, _LONGEST_AWAY)
        with contextlib.suppress(DependencyDown):
            self.away.set(str(registration), time.time() + seconds, math.ceil(seconds))


def resend(db: Session, submission: models.Submission, moment: datetime) -> int | None:
    """Have a score sent again that the platform did not take; the time of the submission stays.

    :return: the item's id, to ask for its delivery; None where there is nothing to send again.
    """
    item = submission.outbox
    if item is None or item.state != models.OutboxState.FAILED:
        return None
    newest = sa.select(sa.func.max(models.OutboxItem.timestamp)).where(*_same_row(item))
    item.state = models.OutboxState.WAITING
    item.timestamp = next_timestamp(db.scalar(newest), moment)
    item.next_at = item.resent_at = moment
    item.attempts = 0
    audit.record(
        db,
        trace.current().actor,
        "submission resent",
        workspace=submission.workspace,
        submission=submission.id,
        number=submission.number,
    )
    return item.id


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
    waiting = models.OutboxItem.state == models.OutboxState.WAITING
    query = sa.select(models.OutboxItem.id).where(*_same_row(item), waiting, side)
    return db.scalars(query.order_by(models.OutboxItem.id).limit(1)).first()


def _last_timestamp(db: Session, item: models.OutboxItem) -> datetime | None:
    """Return the latest time stamp of what was delivered of the same person and link."""
    delivered = models.OutboxItem.state == models.OutboxState.DELIVERED
    query = sa.select(sa.func.max(models.OutboxItem.timestamp)).where(*_same_row(item), delivered)
    return db.scalar(query)


def _same_row(item: models.OutboxItem) -> tuple[sa.ColumnElement[bool], ...]:
    """Return what all items for the same person in the same column have in common."""
    return (
        models.OutboxItem.resource_link_id == item.resource_link_id,
        models.OutboxItem.person_id == item.person_id,
    )
