"""Handing in: who may, what is written down, and what the person is told."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models, submissions
from ipylti.errors import DependencyDown
from ipylti.jobs import Jobs
from tests.campus import ags, lti
from tests.functional.browser import Browser, Student, csrf_token, path_of, populate
from tests.functional.conftest import on_sqlite

TEST_USER = "http://purl.imsglobal.org/vocab/lti/system/person#TestUser"
LEARNER = "http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"


def rows(db: Session) -> tuple[int, int]:
    """Return how many submissions and outbox items there are."""
    db.rollback()
    found = (
        db.scalar(sa.select(sa.func.count()).select_from(model))
        for model in (models.Submission, models.OutboxItem)
    )
    submitted, sent = found
    return submitted or 0, sent or 0


def asked(app: Any) -> list[Any]:
    """Return what the worker was asked to freeze."""
    pending = app.registry["ipylti.services"].jobs.queues["chores"].pending()
    return [task.args[0] for task in pending if task.name == "freeze_submission"]


# What is written down


def test_handing_in_writes_the_submission_and_the_word_to_the_platform(
    student: Student, app: Any, db: Session
) -> None:
    told = student.submit().json["submission"]
    submission = db.scalars(sa.select(models.Submission)).one()
    item = db.scalars(sa.select(models.OutboxItem)).one()
    assert told["number"] == submission.number == 1
    assert told["state"] == submission.state == "freezing"
    assert told["lms"] == item.state == "waiting"
    assert datetime.fromisoformat(told["submitted_at"]) == submission.submitted_at
    assert submission.volume == f"ipylti-submission-{student.workspace_id}-1"
    assert item.submission_id == submission.id
    assert asked(app) == [submission.id]


def test_the_status_and_the_page_tell_of_it(student: Student) -> None:
    assert student.browser.status(student.page)["submission"]["state"] == "none"
    student.submit()
    told = student.browser.status(student.page)["submission"]
    assert (told["number"], told["state"], told["lms"]) == (1, "freezing", "waiting")
    again = student.launch_again()
    assert student.browser.status(again.page)["submission"] == told


def test_a_form_without_scripts_leads_back_to_the_workbench(student: Student, db: Session) -> None:
    form = {"csrf_token": csrf_token(student.page)}
    answer = student.browser.app.post(
        f"/submit/{student.launch_id}",
        form,
        headers={"Accept": "text/html", "Origin": "https://tool.example"},
        status=303,
    )
    assert answer.location.endswith(path_of(student.page))
    assert rows(db) == (1, 1)


def test_all_or_nothing(student: Student, app: Any, db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of the two rows can't be written, so the first is not there either."""

    def fail(*_args: Any) -> None:
        raise ZeroDivisionError

    sa.event.listen(models.OutboxItem, "after_insert", fail)
    try:
        answer = student.submit(status=500)
    finally:
        sa.event.remove(models.OutboxItem, "after_insert", fail)
    assert answer.json["error"]["code"] == "error"
    assert rows(db) == (0, 0)
    assert asked(app) == []
    student.submit()
    assert rows(db) == (1, 1)


def test_what_the_database_did_not_take_is_not_worked_on(student: Student, app: Any, db: Session) -> None:
    """Everything is written, and then the commit itself fails; the next one finds nobody locked out."""
    engine = app.registry["ipylti.services"].engine
    db.rollback()

    def fail(connection: sa.Connection) -> None:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = 1")
            connection.exec_driver_sql("UPDATE submissions SET workspace_id = 'nowhere'")
        else:
            number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            with engine.connect() as other:
                other.exec_driver_sql(f"SELECT pg_terminate_backend({number})")

    sa.event.listen(engine, "commit", fail)
    try:
        answer = student.submit(status=503)
    finally:
        sa.event.remove(engine, "commit", fail)
    assert answer.json["error"]["code"] == "database.down"
    assert rows(db) == (0, 0)
    assert asked(app) == []
    student.submit()
    assert rows(db) == (1, 1)


def test_a_lost_queue_delays_and_loses_nothing(
    student: Student, db: Session, background: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: Any, **_options: Any) -> None:
        raise DependencyDown("redis")

    with monkeypatch.context() as patched:
        patched.setattr(Jobs, "ask", away)
        student.submit()
    submission = db.scalars(sa.select(models.Submission)).one()
    assert background.worker.freezer.unfrozen() == [submission.id]


def test_handing_in_again_counts_up_and_keeps_what_was(student: Student, db: Session) -> None:
    numbers = [student.submit().json["submission"]["number"] for _ in range(3)]
    assert numbers == [1, 2, 3]
    found = db.scalars(sa.select(models.Submission).order_by(models.Submission.number)).all()
    assert [each.number for each in found] == [1, 2, 3]
    assert len({each.volume for each in found}) == 3
    moments = [each.submitted_at for each in found]
    assert moments == sorted(moments)


def test_two_presses_at_once_are_two_submissions(
    student: Student, sessions: sessionmaker[Session], db: Session
) -> None:
    """A double click, or two tabs."""

    def press(_number: int) -> int:
        with sessions.begin() as own:
            launch = own.get_one(models.Launch, student.launch_id)
            return submissions.submit(own, launch, datetime.now(UTC)).number

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(press, range(4))) == [1, 2, 3, 4]
    stamps = db.scalars(sa.select(models.OutboxItem.timestamp).order_by(models.OutboxItem.id)).all()
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in pairwise(stamps))


@pytest.mark.parametrize(
    "moments",
    [
        [0, 0, 0],
        [0, 0.2, 0.4],
        [0, 5, 10],
        # The clock was set back.
        [0, -3600, -3600],
    ],
)
def test_the_platforms_time_stamps_rise_by_a_second_at_least(
    student: Student, sessions: sessionmaker[Session], moments: list[float]
) -> None:
    """lti.md 29; when it was really handed in stays as it was."""
    begin = datetime(2030, 5, 1, 12, tzinfo=UTC)
    with sessions.begin() as db:
        launch = db.get_one(models.Launch, student.launch_id)
        for seconds in moments:
            submissions.submit(db, launch, begin + timedelta(seconds=seconds))
    with sessions() as db:
        items = db.scalars(sa.select(models.OutboxItem).order_by(models.OutboxItem.id)).all()
        stamps = [item.timestamp for item in items]
        for earlier, later in pairwise(stamps):
            assert later - earlier >= timedelta(seconds=1)
        said = [(item.submission.submitted_at - begin).total_seconds() for item in items]
    assert said == moments
    assert stamps[0] == begin


@on_sqlite
def test_one_persons_time_stamps_are_not_anothers(
    student: Student, another_browser: Browser, sessions: sessionmaker[Session]
) -> None:
    moment = datetime(2030, 5, 1, 12, tzinfo=UTC)
    other = path_of(another_browser.launch("layla")).rpartition("/")[2]
    populate(sessions)
    with sessions.begin() as db:
        for launch_id in (student.launch_id, other):
            submissions.submit(db, db.get_one(models.Launch, launch_id), moment)
    with sessions() as db:
        assert set(db.scalars(sa.select(models.OutboxItem.timestamp))) == {moment}


# Who may


def test_a_submission_without_the_pages_token_is_refused(student: Student, db: Session) -> None:
    answer = student.submit(status=400, **{"X-CSRF-Token": ""})
    assert answer.json["error"]["code"] == "request.csrf"
    assert "course again" in answer.json["error"]["message"]
    assert rows(db) == (0, 0)


@on_sqlite
@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRF-Token": "guessed"},
        {"X-CSRF-Token": "ü"},
        {"Origin": "https://evil.example"},
        {"Origin": "https://x.notebooks.example"},
        {"Origin": "http://tool.example"},
        {"Origin": "null"},
        {"Origin": ""},
    ],
)
def test_a_submission_from_elsewhere_is_refused(
    student: Student, db: Session, headers: dict[str, str]
) -> None:
    student.submit(status=400, **headers)
    assert rows(db) == (0, 0)


@on_sqlite
def test_a_refused_form_is_a_page_with_words(student: Student) -> None:
    answer = student.browser.app.post(f"/submit/{student.launch_id}", {}, status=400)
    assert "This page is too old" in answer
    assert "request.csrf" in answer


def test_nobody_submits_for_somebody_else(student: Student, another_browser: Browser, db: Session) -> None:
    """The prototype let anybody who knew the URL."""
    theirs = Student(another_browser, another_browser.launch("layla"), student.sessions)
    answer = another_browser.app.post(
        f"/submit/{student.launch_id}",
        headers={"Origin": "https://tool.example", "X-CSRF-Token": csrf_token(theirs.page)},
        status=403,
    )
    assert "not yours to open" in answer
    assert "Your visit here has ended" in answer
    assert rows(db) == (0, 0)


@on_sqlite
def test_nobody_submits_without_a_launch(student: Student, app: Any, db: Session) -> None:
    stranger = Browser(app, student.browser.campus)
    stranger.app.post(
        f"/submit/{student.launch_id}",
        headers={"Origin": "https://tool.example", "X-CSRF-Token": csrf_token(student.page)},
        status=403,
    )
    stranger.app.post(f"/submit/{'a' * 32}", headers={"Origin": "https://tool.example"}, status=404)
    assert rows(db) == (0, 0)


@on_sqlite
def test_looking_is_not_handing_in(student: Student, db: Session) -> None:
    student.browser.app.get(f"/submit/{student.launch_id}", status=404)
    assert rows(db) == (0, 0)


def test_a_teacher_has_nothing_to_hand_in(
    browser: Browser, sessions: sessionmaker[Session], db: Session
) -> None:
    teacher = Student(browser, browser.launch("nora"), sessions)
    populate(sessions)
    answer = teacher.submit(status=403)
    assert answer.json["error"]["code"] == "submit.not_student"
    assert rows(db) == (0, 0)


def test_a_copy_that_was_never_made_is_not_handed_in(
    browser: Browser, sessions: sessionmaker[Session], db: Session
) -> None:
    early = Student(browser, browser.launch("zoe"), sessions)
    answer = early.submit(status=409)
    assert answer.json["error"]["code"] == "submit.nothing"
    assert "no files yet" in answer.json["error"]["message"]
    assert rows(db) == (0, 0)


def test_a_launch_of_yesterday_hands_in_nothing(student: Student, db: Session) -> None:
    with student.sessions.begin() as own:
        own.execute(sa.update(models.Launch).values(expires_at=models.now() - timedelta(seconds=1)))
    answer = student.submit(status=403)
    assert answer.json["error"]["code"] == "launch.expired"
    assert rows(db) == (0, 0)
    student.launch_again().submit()
    assert rows(db) == (1, 1)


@on_sqlite
def test_a_launch_that_was_revoked_opens_nothing_any_more(student: Student, db: Session) -> None:
    with student.sessions.begin() as own:
        own.execute(sa.update(models.Launch).values(revoked_at=models.now()))
    student.submit(status=403)
    student.browser.app.get(path_of(student.page), status=403)
    student.browser.app.get(f"{path_of(student.page)}/status", status=403)
    assert rows(db) == (0, 0)


# What the platform is told


def test_a_platform_without_a_gradebook_is_told_nothing(student: Student, db: Session) -> None:
    without = student.launch_again(without=(ags("endpoint"),))
    with student.sessions.begin() as own:
        own.execute(sa.update(models.ResourceLink).values(line_item=None, line_items=None, scopes=[]))
    told = without.submit().json["submission"]
    assert (told["state"], told["lms"]) == ("freezing", "none")
    assert rows(db) == (1, 0)


@on_sqlite
@pytest.mark.parametrize(
    "endpoint",
    [
        # May not post scores.
        {
            "scope": ["https://purl.imsglobal.org/spec/lti-ags/scope/lineitem"],
            "lineitems": "https://lms.example/items",
        },
        # Says no place to post them to.
        {"scope": ["https://purl.imsglobal.org/spec/lti-ags/scope/score"]},
    ],
)
def test_a_gradebook_that_takes_no_scores_is_told_nothing(
    student: Student, db: Session, endpoint: dict[str, Any]
) -> None:
    again = student.launch_again(claims={ags("endpoint"): endpoint})
    assert again.submit().json["submission"]["lms"] == "none"
    assert rows(db) == (1, 0)


def test_a_test_user_tries_it_out_and_the_platform_is_told_nothing(
    browser: Browser, sessions: sessionmaker[Session], db: Session
) -> None:
    """lti.md 17: no platform takes their scores."""
    page = browser.launch("zoe", claims={lti("roles"): [LEARNER, TEST_USER]})
    tester = Student(browser, page, sessions)
    populate(sessions)
    assert db.scalars(sa.select(models.Person)).one().test_user
    told = tester.submit().json["submission"]
    assert (told["state"], told["lms"]) == ("freezing", "none")
    assert rows(db) == (1, 0)
