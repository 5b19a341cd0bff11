"""Scores on their way to campus, over HTTP: in order, once, and again where it did not work."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from ipylti import models
from ipylti.errors import DependencyDown
from ipylti.lti.registrations import Quirks
from ipylti.lti.tokens import AccessTokens
from ipylti.outbox import _pause
from tests.functional.browser import Student
from tests.functional.conftest import on_sqlite
from tests.functional.delivery import Delivery

WAITING, DELIVERED, FAILED = models.OutboxState


# As it should be


def test_the_gradebook_says_handed_in(delivery: Delivery) -> None:
    """lti.md 29: completed, to be graded, without a score; at the time when Submit was pressed."""
    item = delivery.deliver(delivery.hand_in())
    assert item.state == DELIVERED
    assert item.delivered_at is not None
    (score,) = delivery.scores()
    assert (score.activity_progress, score.grading_progress) == ("Completed", "PendingManual")
    assert score.given is score.maximum is None
    with delivery.student.sessions() as db:
        submitted_at = db.scalars(sa.select(models.Submission.submitted_at)).one()
    assert score.submitted_at is not None
    assert abs(datetime.fromisoformat(score.submitted_at) - submitted_at) < timedelta(milliseconds=1)
    assert delivery.campus.log.refused() == ()


def test_the_student_sees_that_the_platform_has_it(delivery: Delivery) -> None:
    told = lambda: delivery.student.browser.status(delivery.student.page)["submission"]  # noqa: E731
    item = delivery.hand_in()
    assert (told()["state"], told()["lms"]) == ("frozen", "waiting")
    delivery.deliver(item)
    assert (told()["lms"], told()["message"]) == ("delivered", "")


@on_sqlite
def test_a_registration_can_say_submitted_instead(delivery: Delivery) -> None:
    with delivery.student.sessions.begin() as db:
        db.execute(
            sa.update(models.Registration).values(quirks=Quirks(submit_progress="Submitted").to_dict())
        )
    delivery.deliver(delivery.hand_in())
    assert delivery.scores()[0].activity_progress == "Submitted"


@on_sqlite
def test_canvas_gets_a_link_to_what_was_handed_in(delivery: Delivery) -> None:
    with delivery.student.sessions.begin() as db:
        db.execute(sa.update(models.Registration).values(quirks=Quirks(canvas_submission=True).to_dict()))
    delivery.deliver(delivery.hand_in())
    told = delivery.scores()[0].raw["https://canvas.instructure.com/lti/submission"]
    (submission,) = delivery.student.submissions()
    assert told["submission_data"] == f"https://tool.example/launch?submission={submission}"
    assert (told["new_submission"], told["preserve_score"]) == (True, True)


def test_nothing_is_sent_before_the_copy_is_made(delivery: Delivery) -> None:
    delivery.student.submit()
    assert delivery.background.outbox.due() == []
    assert delivery.deliver(1).attempts == 0
    assert delivery.answers() == []


def test_what_is_delivered_is_not_sent_again(delivery: Delivery) -> None:
    item = delivery.hand_in()
    delivery.deliver(item)
    assert delivery.deliver(item).attempts == 1
    assert delivery.answers() == [204]


def test_two_workers_send_it_once(delivery: Delivery) -> None:
    """The sweep and the job that was asked for meet."""
    item = delivery.hand_in()
    delivery.campus.slow("scores", 0.3)
    barrier = threading.Barrier(3)

    def deliver(_number: int) -> None:
        barrier.wait()
        delivery.background.outbox.deliver(item)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(deliver, range(3)))
    assert delivery.answers() == [204]
    assert len(delivery.scores()) == 1


# One after the other


def test_one_persons_hand_ins_go_in_their_order(delivery: Delivery) -> None:
    first, second, third = delivery.hand_in(), delivery.hand_in(), delivery.hand_in()
    assert delivery.deliver(third).attempts == delivery.deliver(second).attempts == 0
    delivery.deliver(first)
    assert delivery.background.waiting() == [("deliver_score", second)]
    delivery.background.work()
    assert [delivery.read(item).state for item in (first, second, third)] == [DELIVERED] * 3
    stamps = [score.timestamp for score in delivery.scores()]
    assert len(stamps) == 3
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in pairwise(stamps))


def test_one_that_waits_holds_up_its_own_persons_only(delivery: Delivery, layla: Student) -> None:
    first, second = delivery.hand_in(), delivery.hand_in()
    other = delivery.hand_in(layla)
    delivery.campus.fail_next("scores", 503)
    assert delivery.deliver(first).state == WAITING
    assert delivery.deliver(second).attempts == 0
    assert delivery.deliver(other).state == DELIVERED
    assert len(delivery.scores("layla")) == 1
    delivery.now_due(first)
    delivery.deliver(first)
    delivery.background.work()
    assert len(delivery.scores()) == 2


def test_one_that_was_refused_for_good_holds_up_nobody(delivery: Delivery) -> None:
    first, second = delivery.hand_in(), delivery.hand_in()
    delivery.campus.fail_next("scores", 422)
    assert delivery.deliver(first).state == FAILED
    assert delivery.deliver(second).state == DELIVERED


# Again, and later


@contextlib.contextmanager
def time_standing_still(monkeypatch: pytest.MonkeyPatch) -> Iterator[datetime]:
    """Let no time pass for the length of a block, however busy the machine is; gives the moment."""
    moment = models.now()
    with monkeypatch.context() as patched:
        patched.setattr(models, "now", lambda: moment)
        yield moment


def test_the_pauses_grow(delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    item = delivery.hand_in()
    delivery.campus.fail_next("scores", 503, times=8)
    pauses = []
    for attempt in range(1, 9):
        delivery.now_due(item)
        with time_standing_still(monkeypatch) as moment:
            tried = delivery.deliver(item)
        delivery.background.keep_waiting("deliver_score", item)
        assert (tried.state, tried.attempts, tried.error) == (WAITING, attempt, "score.failed")
        pauses.append((tried.next_at - moment).total_seconds())
    assert 3 < pauses[0] <= 6
    for earlier, later in pairwise(pauses[:6]):
        assert later > earlier * 1.2
    assert max(pauses) < 245
    assert delivery.background.later() == [("deliver_score", item)]
    delivery.now_due(item)
    assert delivery.deliver(item).state == DELIVERED
    assert len(delivery.scores()) == 1


@on_sqlite
def test_whoever_is_asked_too_early_waits(delivery: Delivery) -> None:
    """However often it is asked for meanwhile, the platform is not bothered."""
    item = delivery.hand_in()
    delivery.campus.fail_next("scores", 503)
    delivery.deliver(item)
    assert delivery.deliver(item).attempts == 1
    assert delivery.answers() == [503]


@pytest.mark.parametrize("attempts", [1, 2, 10, 11, 2000, 10**6])
def test_after_thousands_of_tries_there_is_still_a_pause(attempts: int) -> None:
    """Two weeks make some five thousand."""
    assert 0 < _pause(attempts) <= 240


@on_sqlite
@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "600"}, 599, 602),
        ({"Retry-After": "999999"}, 3599, 3602),
        ({"Retry-After": "1"}, 3, 6),
        ({"Retry-After": "soon"}, 3, 6),
        ({}, 3, 6),
    ],
)
def test_a_platform_that_asks_to_wait_is_waited_for(
    delivery: Delivery,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    least: float,
    most: float,
) -> None:
    item = delivery.hand_in()
    delivery.campus.fail_next("scores", 429, headers=headers)
    with time_standing_still(monkeypatch) as moment:
        tried = delivery.deliver(item)
    assert (tried.state, tried.error) == (WAITING, "score.throttled")
    assert least < (tried.next_at - moment).total_seconds() < most


@on_sqlite
def test_canvas_says_forbidden_when_it_means_slower(delivery: Delivery) -> None:
    item = delivery.hand_in()
    delivery.campus.fail_next("scores", 403, headers={"X-Rate-Limit-Remaining": "0.0"})
    assert delivery.deliver(item).error == "score.throttled"
    assert delivery.read(item).state == WAITING


def test_a_platform_that_is_gone_gets_it_when_it_is_back(delivery: Delivery) -> None:
    item = delivery.hand_in()
    delivery.campus.stop()
    tried = delivery.deliver(item)
    assert tried.state == WAITING
    assert tried.error.endswith(".unreachable")
    delivery.campus.start()
    delivery.now_due(item)
    delivery.background.jobs.ask("sweep", "")
    delivery.background.work()
    assert delivery.read(item).state == DELIVERED


@on_sqlite
def test_a_platform_that_is_gone_for_weeks_is_given_up(delivery: Delivery) -> None:
    item = delivery.hand_in()
    delivery.campus.fail_next("scores", 503, times=2)
    delivery.change(item, created_at=models.now() - timedelta(days=13))
    assert delivery.deliver(item).state == WAITING
    delivery.change(item, created_at=models.now() - timedelta(days=15))
    delivery.now_due(item)
    assert delivery.deliver(item).state == FAILED
    told = delivery.student.browser.status(delivery.student.page)["submission"]
    assert (told["lms"], told["message"]) == ("failed", "(score.failed)")


def test_redis_lost_in_the_middle_is_one_more_try(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of a line item, or the token's cache."""

    def away(*_args: Any) -> str:
        raise DependencyDown("redis")

    item = delivery.hand_in()
    with monkeypatch.context() as patched:
        patched.setattr(AccessTokens, "get", away)
        tried = delivery.deliver(item)
    assert (tried.state, tried.error) == (WAITING, "redis.down")
    delivery.now_due(item)
    assert delivery.deliver(item).state == DELIVERED


def test_the_sweep_knows_what_is_due(delivery: Delivery, layla: Student) -> None:
    outbox = delivery.background.outbox
    first, second, third = delivery.hand_in(), delivery.hand_in(layla), delivery.hand_in()
    assert outbox.due() == [first, second, third]
    delivery.change(second, next_at=models.now() + timedelta(seconds=60))
    assert outbox.due() == [first, third]
    delivery.change(first, state=DELIVERED)
    delivery.change(third, state=FAILED)
    assert outbox.due() == []
    delivery.now_due(second)
    assert outbox.due() == [second]
