"""A platform that is gone for a day while a class hands in, and workers that are killed meanwhile."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models, submissions
from ipylti.lti.scores import rfc3339
from tests.campus import Campus
from tests.campus.wire import Score
from tests.functional.background import Background
from tests.functional.browser import Browser, populate
from tests.functional.conftest import on_sqlite
from tests.functional.test_cli import write_ini
from tests.parts import Process, wait_for

PEOPLE = ("zoe", "layla", "sam")
SUBMISSIONS = 200
OUTAGE = timedelta(hours=26)

#: Within which all has to be there when the platform is back.
SOON = 300.0


@pytest.fixture
def worker(ini: dict[str, str], tmp_path: Path) -> Iterator[Process]:
    """A worker as a process of its own, which has no Podman."""
    path = write_ini(tmp_path / "worker.ini", ini)
    command = [sys.executable, "-c", "from ipylti.cli import main; main()", "worker", str(path)]
    made = Process("worker", command, tmp_path)
    yield made
    made.kill()


@pytest.fixture
def handed_in(browser: Browser, campus: Campus, sessions: sessionmaker[Session]) -> int:
    """Three students, two assignments: all that they handed in, frozen, and not yet told to the platform."""
    for login in PEOPLE:
        for link in campus.course.links:
            browser.launch(login, link.id)
    populate(sessions)
    with sessions.begin() as db:
        launches = list(db.scalars(sa.select(models.Launch).order_by(models.Launch.created_at)))
        for number in range(SUBMISSIONS):
            made = submissions.submit(db, launches[number % len(launches)], models.now())
            made.state = models.SubmissionState.FROZEN
    return SUBMISSIONS


def hours_pass(sessions: sessionmaker[Session]) -> None:
    """Let all that is written down be so much older."""
    with sessions.begin() as db:
        for item in db.scalars(sa.select(models.OutboxItem)):
            item.created_at -= OUTAGE
            item.next_at -= OUTAGE
            item.timestamp -= OUTAGE
            item.submission.submitted_at -= OUTAGE


def waiting(sessions: sessionmaker[Session]) -> int:
    with sessions() as db:
        query = sa.select(sa.func.count()).select_from(models.OutboxItem)
        return db.scalar(query.filter_by(state=models.OutboxState.WAITING)) or 0


def taken(campus: Campus) -> list[tuple[Score, ...]]:
    """Return what campus took: for each person and link, in its order."""
    book = campus.gradebook
    return [book.scores(item, campus.person(login)) for login in PEOPLE for item in book.items]


@on_sqlite
def test_all_is_delivered_once_and_in_order(
    worker: Process,
    handed_in: int,
    campus: Campus,
    sessions: sessionmaker[Session],
    background: Background,
) -> None:
    """lti.md 30: 26 hours without the platform; the time of each submission is kept."""
    campus.stop()
    worker.start()
    tried = sa.select(models.OutboxItem.id).where(models.OutboxItem.attempts > 0)
    wait_for(lambda: _any(sessions, tried), "a first try")
    worker.kill()
    assert waiting(sessions) == handed_in

    hours_pass(sessions)
    with sessions() as db:
        items = db.scalars(sa.select(models.OutboxItem).order_by(models.OutboxItem.id))
        expected = sorted(rfc3339(item.submission.submitted_at) for item in items)
    # So slowly that it is not through before the worker is killed once more.
    campus.slow("scores", 0.1)
    campus.start()
    worker.start()
    wait_for(lambda: sum(map(len, taken(campus))) >= handed_in // 4, "a quarter", SOON)
    worker.kill()
    assert waiting(sessions) > 0
    campus.slow("scores", 0)
    worker.start()
    wait_for(lambda: waiting(sessions) == 0, "all delivered", SOON)

    scores = taken(campus)
    assert sum(map(len, scores)) == handed_in
    assert sorted(score.submitted_at or "" for each in scores for score in each) == expected
    for each in scores:
        assert [score.submitted_at for score in each] == sorted(str(score.submitted_at) for score in each)
        for earlier, later in pairwise(score.timestamp for score in each):
            assert later - earlier >= timedelta(seconds=1)
    with sessions() as db:
        states = set(db.scalars(sa.select(models.OutboxItem.state)))
    assert states == {models.OutboxState.DELIVERED}


def test_a_platform_that_hangs_costs_a_few_jobs_their_time(
    handed_in: int, campus: Campus, sessions: sessionmaker[Session], background: Background
) -> None:
    """All others are put off without a try, until the platform may be back."""
    campus.stop()
    begun = models.now()
    for item in background.outbox.due():
        background.outbox.deliver(item)
    with sessions() as db:
        items = list(db.scalars(sa.select(models.OutboxItem)))
    assert sum(item.attempts for item in items) == 1
    assert sum(item.next_at > begun for item in items) == len(PEOPLE) * len(campus.course.links)


def _any(sessions: sessionmaker[Session], query: sa.Select[tuple[int]]) -> bool:
    with sessions() as db:
        return db.scalars(query).first() is not None
