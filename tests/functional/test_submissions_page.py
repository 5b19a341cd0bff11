"""Who handed in what: the teacher's page, a submission's page, and sending again."""

import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker
from webtest import TestResponse

from ipylti import models
from ipylti.lti.roles import TEST_USER
from ipylti.views.delivery import SENTENCES, sentence_for
from ipylti.views.people import entries
from tests.campus import Campus, lti
from tests.functional.browser import TOOL, Browser, Student, csrf_token, path_of
from tests.functional.conftest import on_sqlite
from tests.functional.delivery import Delivery
from tests.unit.test_errors_words import CODES

WAITING, DELIVERED, FAILED = models.OutboxState

MEMBERSHIPS = ("Instructor", "Learner")


class Teacher:
    """Nora, with a browser of her own, at the first link."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.workbench = browser.launch("nora")

    @property
    def path(self) -> str:
        return f"{path_of(self.workbench)}/submissions"

    def people(self) -> TestResponse:
        return self.browser.app.get(self.path, status=200)

    def rows(self) -> dict[str, str]:
        """Return what stands of each person, by name."""
        found = {}
        for row in self.people().html.select("table.people tbody tr"):
            words = [" ".join(cell.get_text(" ", strip=True).split()) for cell in row.select("th, td")]
            found[words[0]] = " | ".join(words[1:]).strip()
        return found

    def submission(self, number: int, status: int = 200) -> TestResponse:
        return self.browser.app.get(f"{self.path}/{number}", status=status)

    def resend(self, which: int | str, status: int = 303) -> TestResponse:
        fields = {"csrf_token": csrf_token(self.workbench)}
        headers = {"Origin": TOOL}
        return self.browser.app.post(f"{self.path}/{which}/resend", fields, headers=headers, status=status)


@pytest.fixture
def teacher(app: Any, campus: Campus) -> Teacher:
    return Teacher(Browser(app, campus))


def test_of_those_who_did_not_come_only_students_are_missed(
    teacher: Teacher, sessions: sessionmaker[Session]
) -> None:
    """lti.md 34: who teaches, too, has nothing to hand in, nor has a test user, nor somebody who left."""
    teaches, learns = (f"http://purl.imsglobal.org/vocab/lis/v2/membership#{role}" for role in MEMBERSHIPS)
    members = {
        "Learns": ([learns], True),
        "Both": ([learns, teaches], True),
        "Teaches": ([teaches], True),
        "Tests": ([learns, TEST_USER], True),
        "Left": ([learns], False),
    }
    with sessions.begin() as writing:
        link = writing.scalars(sa.select(models.ResourceLink)).one()
        link.roster_at = models.now()
        for name, (roles, active) in members.items():
            writing.add(
                models.Member(resource_link_id=link.id, sub=name, name=name, roles=roles, active=active)
            )
    assert set(teacher.rows()) == {"Learns"}


def test_the_teacher_sees_how_far_everybody_is(delivery: Delivery, layla: Student, teacher: Teacher) -> None:
    """lti.md 34: the roster tells who has not come yet."""
    delivery.background.work()
    names = {login: delivery.campus.person(login).name for login in ("zoe", "layla", "sam", "nora")}
    rows = teacher.rows()
    assert set(rows) == {names["zoe"], names["layla"], names["sam"]}
    assert rows[names["sam"]] == "Not opened yet |"
    assert rows[names["zoe"]].startswith("Not yet; opened ")
    assert "0 of 3 handed in." in teacher.people()

    delivery.deliver(delivery.hand_in())
    delivery.deliver(delivery.hand_in())
    rows = teacher.rows()
    assert re.search(r"UTC 2 times \| Your course has it\.$", rows[names["zoe"]])
    assert "1 of 3 handed in." in teacher.people()


@on_sqlite
def test_who_left_and_who_is_late_is_said(delivery: Delivery, teacher: Teacher) -> None:
    delivery.hand_in()
    delivery.campus.set_status("zoe", "Inactive")
    with delivery.student.sessions.begin() as db:
        db.execute(sa.update(models.Launch).values(due_at=models.now() - timedelta(hours=1)))
        db.execute(sa.update(models.ResourceLink).values(roster_at=None))
    teacher.people()
    delivery.background.work()
    (row,) = (row for name, row in teacher.rows().items() if name.endswith("Left the course"))
    assert "Late" in row


@on_sqlite
def test_a_name_is_only_ever_text(delivery: Delivery, teacher: Teacher) -> None:
    with delivery.student.sessions.begin() as db:
        db.execute(sa.update(models.Person).values(name="<script>alert(1)</script>"))
    page = teacher.people()
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text


@on_sqlite
def test_nobody_without_a_name_is_mistaken_for_another(delivery: Delivery, teacher: Teacher) -> None:
    with delivery.student.sessions.begin() as db:
        db.execute(sa.update(models.Person).values(name=""))
        db.execute(sa.delete(models.Member))
    assert list(teacher.rows()) == [f"Person {delivery.campus.person('zoe').sub[:8]}"]


# One submission


def test_a_submissions_page_lists_what_is_in_it(delivery: Delivery, teacher: Teacher) -> None:
    delivery.deliver(delivery.hand_in())
    (number,) = delivery.student.submissions()
    with delivery.student.sessions.begin() as db:
        found = db.get_one(models.Submission, number)
        found.manifest = (
            "f 0644 1200 ab caf%C3%A9%3Cb%3E.ipynb\nd 0755 0 - data\nl 0777 0 etc%2Fpasswd l%0Ank"
        )
        found.files = 2
        digest = found.digest
    page = teacher.submission(number)
    listed = [row.select_one("bdi").get_text() for row in page.html.select("table.files tbody tr")]
    assert listed == ["café<b>.ipynb", "data", "l\ufffdnk"]
    assert digest in page
    assert "1.2 KiB" in page
    assert "Your course has it." in page


@on_sqlite
def test_students_see_their_own_and_nobody_elses(
    delivery: Delivery, layla: Student, teacher: Teacher
) -> None:
    """lti.md 33: staff of the course, or that person."""
    delivery.hand_in()
    (number,) = delivery.student.submissions()
    own, other = delivery.student, layla
    page = own.browser.app.get(f"{path_of(own.page)}/submissions/{number}", status=200)
    assert "All submissions" not in page
    other.browser.app.get(f"{path_of(other.page)}/submissions/{number}", status=404)
    for wrong in ("0", "999", "x", "1e3", "%C2%B2", "9" * 30):
        teacher.browser.app.get(f"{teacher.path}/{wrong}", status=404)
    for student in (own, other):
        student.browser.app.get(f"{path_of(student.page)}/submissions", status=403)


@on_sqlite
def test_another_assignments_teacher_sees_nothing_of_it(delivery: Delivery, app: Any, campus: Campus) -> None:
    delivery.hand_in()
    (number,) = delivery.student.submissions()
    browser = Browser(app, campus)
    other = browser.launch("nora", campus.course.links[1].id)
    browser.app.get(f"{path_of(other)}/submissions/{number}", status=404)


@on_sqlite
def test_one_that_is_being_copied_says_so(delivery: Delivery, teacher: Teacher) -> None:
    delivery.student.submit()
    (number,) = delivery.student.submissions()
    assert "It is being copied at this moment." in teacher.submission(number)


@on_sqlite
def test_a_launch_that_is_over_opens_none_of_these(delivery: Delivery, teacher: Teacher) -> None:
    with delivery.student.sessions.begin() as db:
        db.execute(sa.update(models.Launch).values(expires_at=models.now()))
    assert "launch.expired" in teacher.browser.app.get(teacher.path, status=403)


# From the platform


def test_a_review_opens_the_submission(delivery: Delivery, teacher: Teacher) -> None:
    """lti.md 33."""
    delivery.hand_in()
    (number,) = delivery.student.submissions()
    claims = {
        lti("message_type"): "LtiSubmissionReviewRequest",
        lti("for_user"): {"user_id": delivery.campus.person("zoe").sub},
    }
    form = teacher.browser.message("nora", claims=claims)
    answer = teacher.browser.app.post("/launch", form, status=303)
    assert answer.location.endswith(f"/submissions/{number}")
    assert delivery.campus.person("zoe").name in teacher.browser.app.get(answer.location)


def test_canvas_opens_a_submission_by_a_launch(delivery: Delivery, teacher: Teacher) -> None:
    """lti.md 32: the URL that the platform was told."""
    delivery.hand_in()
    (number,) = delivery.student.submissions()
    target = {lti("target_link_uri"): f"{TOOL}/launch?submission={number}"}
    form = teacher.browser.message("nora", claims=target)
    answer = teacher.browser.app.post("/launch", form, status=303)
    assert answer.location.endswith(f"/submissions/{number}")
    form = teacher.browser.message("layla", claims=target)
    answer = teacher.browser.app.post("/launch", form, status=303)
    assert "/submissions" not in answer.location


# Sending again


def test_what_was_refused_is_sent_again(delivery: Delivery, teacher: Teacher) -> None:
    """lti.md 30: by the teacher, with a new time stamp and the old time of submission."""
    item = delivery.hand_in()
    delivery.campus.fail_next("scores", 422)
    delivery.deliver(item)
    name = delivery.campus.person("zoe").name
    assert "Your course didn't take it. Your learning platform refused it." in teacher.rows()[name]
    assert "1 could not be told to your course" in teacher.people()
    before = delivery.read(item).timestamp
    (number,) = delivery.student.submissions()

    teacher.resend(number)
    delivery.background.work()
    assert delivery.read(item).state == DELIVERED
    (score,) = delivery.scores()
    assert score.timestamp > before
    assert teacher.rows()[name].endswith("Your course has it.")
    teacher.resend(number)
    delivery.background.work()
    assert len(delivery.scores()) == 1


@on_sqlite
def test_all_that_was_refused_is_sent_again_at_once(
    delivery: Delivery, layla: Student, teacher: Teacher
) -> None:
    items = [delivery.hand_in(), delivery.hand_in(layla)]
    delivery.campus.fail_next("scores", 400, times=2)
    for item in items:
        delivery.deliver(item)
    teacher.resend("all")
    delivery.background.work()
    assert [delivery.read(item).state for item in items] == [DELIVERED, DELIVERED]


@on_sqlite
def test_only_the_newest_of_a_person_is_sent_again_at_once(delivery: Delivery, teacher: Teacher) -> None:
    first, second = delivery.hand_in(), delivery.hand_in()
    delivery.campus.fail_next("scores", 400)
    delivery.deliver(first)
    delivery.deliver(second)
    teacher.resend("all")
    assert [delivery.read(item).state for item in (first, second)] == [FAILED, DELIVERED]


@on_sqlite
def test_two_weeks_are_counted_anew(delivery: Delivery, teacher: Teacher) -> None:
    """lti.md 30."""
    item = delivery.hand_in()
    delivery.change(item, state=FAILED, created_at=models.now() - timedelta(days=20))
    teacher.resend("all")
    delivery.campus.fail_next("scores", 503)
    assert delivery.deliver(item).state == WAITING


@on_sqlite
def test_students_send_nothing_again(delivery: Delivery) -> None:
    item = delivery.hand_in()
    delivery.campus.fail_next("scores", 422)
    delivery.deliver(item)
    (number,) = delivery.student.submissions()
    page = delivery.student.page
    headers = {"Origin": TOOL, "X-CSRF-Token": csrf_token(page)}
    path = f"{path_of(page)}/submissions/{number}"
    delivery.student.browser.app.post(f"{path}/resend", headers=headers, status=403)
    assert "Send again" not in delivery.student.browser.app.get(path)


# A browser that keeps no cookies


@on_sqlite
def test_without_cookies_all_goes_by_forms(
    delivery: Delivery, teacher: Teacher, app: Any, campus: Campus
) -> None:
    """lti.md 23: the session's token goes along in the body, and after a deed the page is there at once."""
    item = delivery.hand_in()
    delivery.campus.fail_next("scores", 422)
    delivery.deliver(item)
    (cookie,) = (value for name, value in teacher.browser.app.cookies.items() if "session" in name)
    fields = {"session": cookie.strip('"'), "csrf_token": csrf_token(teacher.workbench)}
    bare = Browser(app, campus).app
    page = bare.post(teacher.path, fields | {"do": "show"}, headers={"Origin": TOOL}, status=200)
    bare.reset()
    assert not page.html.select("main a")
    forms = {form.action.rpartition("/")[2]: form for form in page.forms.values()}
    again = forms["resend"].submit(headers={"Origin": TOOL}, status=200)
    bare.reset()
    assert "On its way to your course." in again
    delivery.background.work()
    assert delivery.read(item).state == DELIVERED


# Words


HEADS = {"lineitem", "result", "score", "service", "token"}
#: What a service's name stands before (ipylti/lti/services.py).
ENDINGS = {code.partition(".")[2] for code in CODES if code.startswith("*.")}


@pytest.mark.parametrize("code", sorted(code for code in CODES if code.partition(".")[0] in HEADS))
def test_every_failure_has_words_for_teachers(code: str) -> None:
    assert sentence_for(code)


@pytest.mark.parametrize("word", ["throttled", "failed", "unauthorized", "forbidden", "missing", "conflict"])
@pytest.mark.parametrize("head", ["lineitem", "score", "result", "token"])
def test_every_refusal_has_words_for_teachers(head: str, word: str) -> None:
    assert sentence_for(f"{head}.{word}")


def test_a_code_of_another_kind_says_nothing() -> None:
    assert sentence_for("") == sentence_for("server.ended") == ""
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())


def test_no_manifest_has_no_entries() -> None:
    assert entries("") == []
