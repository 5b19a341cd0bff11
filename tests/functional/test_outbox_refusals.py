"""Scores on their way: tokens, columns that are gone, and platforms that refuse, checked by campus."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from ipylti import models
from ipylti.lti.scores import rfc3339
from tests.campus import Campus, ags
from tests.functional.browser import Student
from tests.functional.conftest import on_sqlite
from tests.functional.delivery import Delivery

WAITING, DELIVERED, FAILED = models.OutboxState


# Tokens


@on_sqlite
def test_one_token_serves_many_scores(delivery: Delivery, layla: Student) -> None:
    before = len(delivery.answers("token"))
    for item in (delivery.hand_in(), delivery.hand_in(), delivery.hand_in(layla)):
        delivery.deliver(item)
    assert 0 < len(delivery.answers("token")) - before <= 2


def test_a_token_that_is_no_longer_taken_is_renewed(delivery: Delivery) -> None:
    delivery.deliver(delivery.hand_in())
    delivery.campus.tokens.revoke_all()
    item = delivery.deliver(delivery.hand_in())
    assert (item.state, item.attempts) == (DELIVERED, 1)
    assert len(delivery.scores()) == 2


@on_sqlite
@pytest.mark.parametrize("status", [400, 401, 403, 500, 503])
def test_a_platform_that_gives_no_token_is_asked_again(delivery: Delivery, status: int) -> None:
    """It may not have got at our keys just now: the work is no worse for that."""
    item = delivery.hand_in()
    delivery.campus.fail_next("token", status, times=2)
    tried = delivery.deliver(item)
    assert tried.state == WAITING
    assert tried.error.startswith("token.")
    assert delivery.background.later() == [("deliver_score", item)]
    delivery.campus.fail_next("token", status, times=0)
    delivery.now_due(item)
    assert delivery.deliver(item).state == DELIVERED


# The column


def test_a_column_that_was_deleted_is_made_again(delivery: Delivery, campus: Campus) -> None:
    """lti.md 27: with our resource id and tag, tied to the link."""
    campus.gradebook.delete(delivery.item.id)
    item = delivery.deliver(delivery.hand_in())
    assert (item.state, item.attempts) == (DELIVERED, 1)
    (made,) = campus.gradebook.items_of(campus.link())
    with delivery.student.sessions() as db:
        assignment = db.scalars(sa.select(models.Assignment)).one()
    assert (made.fields.resource_id, made.fields.tag) == (assignment.id, "ipylti")
    assert made.fields.label == campus.link().title
    assert campus.gradebook.latest(made, campus.person("zoe"))


def test_a_column_that_was_made_is_found_again(delivery: Delivery, campus: Campus) -> None:
    campus.gradebook.delete(delivery.item.id)
    delivery.deliver(delivery.hand_in())
    delivery.deliver(delivery.hand_in())
    (made,) = campus.gradebook.items_of(campus.link())
    assert len(campus.gradebook.scores(made, campus.person("zoe"))) == 2


def test_two_hand_ins_at_once_make_one_column(delivery: Delivery, layla: Student, campus: Campus) -> None:
    campus.gradebook.delete(delivery.item.id)
    items = [delivery.hand_in(), delivery.hand_in(layla)]
    with ThreadPoolExecutor(2) as pool:
        assert [item.state for item in pool.map(delivery.deliver, items)] == [DELIVERED] * 2
    assert len(campus.gradebook.items_of(campus.link())) == 1


@on_sqlite
def test_a_link_without_a_column_gets_one(delivery: Delivery, campus: Campus) -> None:
    campus.gradebook.delete(delivery.item.id)
    again = delivery.student.launch_again()
    with delivery.student.sessions() as db:
        assert db.scalars(sa.select(models.ResourceLink.line_item)).one() is None
    assert delivery.deliver(delivery.hand_in(again)).state == DELIVERED
    assert len(campus.gradebook.items_of(campus.link())) == 1


@on_sqlite
def test_where_columns_may_not_be_made_that_is_the_end(delivery: Delivery, campus: Campus) -> None:
    campus.gradebook.delete(delivery.item.id)
    endpoint = {
        "scope": ["https://purl.imsglobal.org/spec/lti-ags/scope/score"],
        "lineitem": campus.gradebook.item_url(delivery.item),
    }
    again = delivery.student.launch_again(claims={ags("endpoint"): endpoint})
    with delivery.student.sessions.begin() as db:
        db.execute(sa.update(models.ResourceLink).values(line_items=None))
    item = delivery.deliver(delivery.hand_in(again))
    assert (item.state, item.error) == (FAILED, "lineitem.not_offered")


# Refused


@on_sqlite
@pytest.mark.parametrize(
    ("status", "error"),
    [(400, "score.refused"), (403, "score.forbidden"), (422, "score.refused")],
)
def test_what_the_platform_refuses_is_said_and_not_sent_again(
    delivery: Delivery, status: int, error: str
) -> None:
    item = delivery.hand_in()
    delivery.campus.fail_next("scores", status)
    tried = delivery.deliver(item)
    assert (tried.state, tried.error) == (FAILED, error)
    assert delivery.background.outbox.due() == delivery.background.later() == []
    assert delivery.deliver(item).attempts == 1
    told = delivery.student.browser.status(delivery.student.page)["submission"]
    assert (told["state"], told["lms"], told["message"]) == ("frozen", "failed", f"({error})")


@on_sqlite
def test_where_something_newer_stands_it_is_tried_with_a_later_time(delivery: Delivery) -> None:
    """lti.md 29: as where a platform's clock is ahead of ours; the time of the submission is kept."""
    first, second = delivery.hand_in(), delivery.hand_in()
    delivery.campus.fail_next("scores", 409, times=2)
    before = delivery.read(first).timestamp
    for _ in range(2):
        tried = delivery.deliver(first)
        assert (tried.state, tried.error) == (WAITING, "score.conflict")
        delivery.now_due(first)
    assert delivery.deliver(first).state == DELIVERED
    delivery.background.work()
    assert delivery.read(second).state == DELIVERED
    one, other = delivery.scores()
    assert one.timestamp > before
    assert other.timestamp - one.timestamp >= timedelta(seconds=1)
    with delivery.student.sessions() as db:
        submitted = [rfc3339(moment) for moment in db.scalars(sa.select(models.Submission.submitted_at))]
    assert [one.submitted_at, other.submitted_at] == submitted


@on_sqlite
def test_somebody_who_left_the_course_is_refused(delivery: Delivery, campus: Campus) -> None:
    item = delivery.hand_in()
    with delivery.student.sessions.begin() as db:
        db.execute(sa.update(models.Person).values(sub="nobody"))
    assert delivery.deliver(item).state == FAILED
    assert [entry.status for entry in campus.log.refused("scores")] == [422]


def test_an_answer_that_was_lost_is_made_up_for(delivery: Delivery) -> None:
    """The platform took the score, and we never learned of it: there is one as new as this, it says then."""
    item = delivery.hand_in()
    delivery.deliver(item)
    delivery.change(item, state=WAITING, delivered_at=None)
    tried = delivery.deliver(item)
    assert tried.state == DELIVERED
    assert delivery.answers() == [204, 409]
    assert len(delivery.scores()) == 1


def test_a_worker_killed_after_it_sent_is_made_up_for(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_args: Any) -> None:
        raise Killed

    item = delivery.hand_in()
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(delivery.background.outbox, "_delivered", killed)
        delivery.deliver(item)
    assert delivery.read(item).state == WAITING
    assert delivery.background.outbox.due() == [item]
    assert delivery.deliver(item).state == DELIVERED
    assert len(delivery.scores()) == 1


def graded(delivery: Delivery) -> None:
    """Let the teacher grade the student, later than anything that was handed in."""
    body = {
        "userId": delivery.campus.person("zoe").sub,
        "timestamp": datetime.now(UTC).isoformat(),
        "activityProgress": "Completed",
        "gradingProgress": "FullyGraded",
        "scoreGiven": 9,
        "scoreMaximum": 10,
    }
    delivery.campus.gradebook.post(delivery.item.id, json.dumps(body).encode())


def test_a_grade_that_stands_is_not_taken_away(delivery: Delivery) -> None:
    """lti.md 29: a score that gives no points can clear one."""
    delivery.deliver(delivery.hand_in())
    graded(delivery)
    item = delivery.deliver(delivery.hand_in())
    assert item.state == DELIVERED
    latest = delivery.campus.gradebook.latest(delivery.item, delivery.campus.person("zoe"))
    assert latest is not None
    assert latest.given == 9


ODD: dict[str, Callable[[Campus], None]] = {
    "every endpoint fails": lambda campus: [  # type: ignore[dict-item, func-returns-value]
        campus.fail_next(name, 500, times=3)
        for name in ("token", "scores", "lineitems", "lineitem", "results")
    ],
    "not found at all": lambda campus: campus.fail_next("scores", 404, times=3),
    "gone": lambda campus: campus.fail_next("scores", 410, times=3),
    "elsewhere": lambda campus: campus.fail_next("scores", 307, headers={"Location": "http://127.0.0.1:9/"}),
    "no content type": lambda campus: campus.fail_next("token", 200, times=3),
}


@on_sqlite
@pytest.mark.parametrize("name", ODD)
def test_whatever_a_platform_does_the_item_waits_or_failed(delivery: Delivery, name: str) -> None:
    item = delivery.hand_in()
    ODD[name](delivery.campus)
    tried = delivery.deliver(item)
    assert tried.state in (WAITING, FAILED)
    assert tried.error
    assert tried.attempts == 1
