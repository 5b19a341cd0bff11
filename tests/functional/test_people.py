"""What a launch makes of people, courses and links, and what later launches change of it."""

import json
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ipylti import models
from ipylti.platforms import Platforms
from tests.campus import ags, lti
from tests.functional.browser import Browser, path_of
from tests.functional.conftest import on_sqlite

MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
INSTITUTION = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#"
SYSTEM = "http://purl.imsglobal.org/vocab/lis/v2/system/person#"


def all_of(db: Session, model: Any) -> list[Any]:
    db.rollback()
    return list(db.scalars(sa.select(model)))


def kind(db: Session) -> str:
    """Return the kind of the workspace of the newest launch."""
    db.rollback()
    newest = db.scalars(sa.select(models.Launch).order_by(models.Launch.created_at.desc())).first()
    assert newest is not None
    return newest.workspace.kind


def test_a_launch_names_everything_once(browser: Browser, db: Session) -> None:
    for _ in range(3):
        browser.launch("zoe")
    for model in (models.Person, models.Context, models.Assignment, models.ResourceLink, models.Workspace):
        assert len(all_of(db, model)) == 1, model
    assert len(all_of(db, models.Launch)) == 3
    (person,), (context,) = all_of(db, models.Person), all_of(db, models.Context)
    assert (person.sub, person.name) == (browser.campus.person("zoe").sub, "Zoë Müller")
    assert context.title == "Introduction to Notebooks"


def test_a_launch_ends_after_half_a_day(browser: Browser, db: Session) -> None:
    browser.launch("zoe")
    (launch,) = all_of(db, models.Launch)
    assert launch.expires_at - launch.created_at == timedelta(hours=12)


def test_an_instructor_of_the_institution_is_a_student_here(browser: Browser, db: Session) -> None:
    """lti.md 16: Canvas sends the institution's role for students, too."""
    assert "Student" in browser.launch("sam")
    assert kind(db) == models.WorkspaceKind.TAKE


@on_sqlite
@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ([MEMBERSHIP + "Instructor"], models.WorkspaceKind.BUILD),
        (["Instructor"], models.WorkspaceKind.BUILD),
        ([MEMBERSHIP + "Learner", MEMBERSHIP + "Instructor"], models.WorkspaceKind.BUILD),
        ([MEMBERSHIP + "Learner"], models.WorkspaceKind.TAKE),
        ([INSTITUTION + "Administrator"], models.WorkspaceKind.TAKE),
        ([SYSTEM + "Administrator"], models.WorkspaceKind.TAKE),
        (["http://example.org/vocab/membership#Instructor"], models.WorkspaceKind.TAKE),
        ([], models.WorkspaceKind.TAKE),
        ([""], models.WorkspaceKind.TAKE),
    ],
)
def test_only_the_courses_own_teachers_build(
    browser: Browser, db: Session, roles: list[str], expected: str
) -> None:
    browser.launch("zoe", claims={lti("roles"): roles})
    assert kind(db) == expected


def test_who_becomes_a_teacher_builds_and_keeps_what_they_took(browser: Browser, db: Session) -> None:
    browser.launch("zoe")
    browser.launch("zoe", claims={lti("roles"): [MEMBERSHIP + "Instructor"]})
    assert kind(db) == models.WorkspaceKind.BUILD
    browser.launch("zoe")
    assert kind(db) == models.WorkspaceKind.TAKE
    assert len(all_of(db, models.Workspace)) == 2
    assert len(all_of(db, models.Person)) == 1


def test_teachers_share_what_they_build(browser: Browser, another_browser: Browser, db: Session) -> None:
    browser.launch("nora")
    another_browser.launch("layla", claims={lti("roles"): [MEMBERSHIP + "Instructor"]})
    (workspace,) = all_of(db, models.Workspace)
    assert workspace.person_id is None


def test_names_and_titles_follow_the_platform(browser: Browser, db: Session) -> None:
    browser.launch("zoe")
    link = {"id": browser.campus.link().id, "title": "Exercise 1 (new)", "description": "Other words"}
    context = {"id": "course-7d1c2f", "title": "Notebooks II"}
    changed = {"name": "Zoë Maier", lti("resource_link"): link, lti("context"): context}
    assert "Exercise 1 (new)" in browser.launch("zoe", claims=changed)
    (person,), (found,), (course,) = (
        all_of(db, models.Person),
        all_of(db, models.ResourceLink),
        all_of(db, models.Context),
    )
    assert (person.name, found.title, course.title) == ("Zoë Maier", "Exercise 1 (new)", "Notebooks II")
    assert found.description == "Other words"
    assert found.assignment.title == "Exercise 1 (new)"


def test_what_a_later_launch_does_not_say_stays(browser: Browser, db: Session) -> None:
    """Some launches carry less than others."""
    browser.launch("zoe")
    bare = {lti("resource_link"): {"id": browser.campus.link().id}, lti("context"): {"id": "course-7d1c2f"}}
    browser.launch("zoe", claims=bare, without=("name", "given_name", "family_name", ags("endpoint")))
    (person,), (link,), (course,) = (
        all_of(db, models.Person),
        all_of(db, models.ResourceLink),
        all_of(db, models.Context),
    )
    assert person.name == "Zoë Müller"
    assert link.title == browser.campus.link().title
    assert course.title == "Introduction to Notebooks"
    assert link.line_item
    assert link.scopes


def test_a_person_without_a_name_works(browser: Browser, db: Session) -> None:
    """lti.md 15: with ``sub`` alone."""
    browser.launch("zoe", without=("name", "given_name", "family_name", "email", "locale"))
    (person,) = all_of(db, models.Person)
    assert person.name == ""


@on_sqlite
def test_a_link_without_a_course_works(browser: Browser, db: Session) -> None:
    browser.launch("zoe", without=(lti("context"),))
    (assignment,) = all_of(db, models.Assignment)
    assert assignment.context_id is None


@on_sqlite
def test_nobody_without_a_sub(browser: Browser, db: Session) -> None:
    answer = browser.app.post("/launch", browser.message("zoe", without=("sub",)), status=403)
    assert "did not say who you are" in answer
    assert all_of(db, models.Person) == []


def test_another_link_is_another_assignment(browser: Browser, db: Session) -> None:
    one, other = browser.campus.course.links
    browser.launch("zoe", one.id)
    browser.launch("zoe", other.id)
    assert len(all_of(db, models.Assignment)) == 2
    assert len({workspace.volume for workspace in all_of(db, models.Workspace)}) == 2
    assert len(all_of(db, models.Person)) == 1


def test_another_deployment_is_another_course(browser: Browser, db: Session, app: Any) -> None:
    """The same ids mean something else there."""
    told = browser.campus.registration
    with app.registry["ipylti.services"].sessions.begin() as own:
        Platforms(own).add_deployment(told["issuer"], told["client-id"], "another")
    browser.launch("zoe")
    params = browser.campus.initiation("zoe") | {"lti_deployment_id": "another"}
    answer = browser.app.get("/login", params=params, status=302)
    query = dict(pair.split("=", 1) for pair in answer.location.partition("?")[2].split("&"))
    token = browser.campus.id_token("zoe", nonce=query["nonce"], claims={lti("deployment_id"): "another"})
    browser.app.post("/launch", {"state": query["state"], "id_token": token}, status=303)
    assert len(all_of(db, models.Assignment)) == len(all_of(db, models.Workspace)) == 2
    assert len(all_of(db, models.Person)) == 1


@on_sqlite
def test_a_disabled_platform_is_not_connected(browser: Browser, db: Session, app: Any) -> None:
    form = browser.message("zoe")
    with app.registry["ipylti.services"].sessions.begin() as own:
        own.execute(sa.update(models.Registration).values(enabled=False))
    browser.app.post("/launch", form, status=403)
    browser.app.get("/login", params=browser.campus.initiation("zoe"), status=400)
    assert all_of(db, models.Launch) == []


def test_the_platforms_dates_come_along(browser: Browser, db: Session) -> None:
    custom = {
        "ipylti_due_at": "2030-05-01T12:00:00Z",
        "ipylti_available_until": "2030-06-01T00:00:00+02:00",
    }
    page = browser.launch("zoe", claims={lti("custom"): custom})
    (launch,) = all_of(db, models.Launch)
    assert launch.due_at.isoformat() == "2030-05-01T12:00:00+00:00"
    assert launch.available_until.isoformat() == "2030-05-31T22:00:00+00:00"
    assert "2030-05-01T12:00:00+00:00" in page


@on_sqlite
def test_where_people_go_back_to_may_frame_the_tool(browser: Browser, db: Session) -> None:
    """A platform's pages can stand on another host than its login."""
    presentation = {"return_url": "https://pages.lms.example/back?x=1"}
    page = browser.launch("zoe", claims={lti("launch_presentation"): presentation})
    assert "https://pages.lms.example" in page.headers["Content-Security-Policy"]
    assert "https://pages.lms.example/back?x=1" in page
    status = browser.app.get(f"{path_of(page)}/status", status=200)
    assert "https://pages.lms.example" in status.headers["Content-Security-Policy"]


@on_sqlite
@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "ftp://x.example"]
)
def test_nobody_goes_back_to_what_is_no_web_page(browser: Browser, db: Session, url: str) -> None:
    """lti.md 20."""
    page = browser.launch("zoe", claims={lti("launch_presentation"): {"return_url": url}})
    (launch,) = all_of(db, models.Launch)
    assert launch.return_url is None
    assert url not in page


@on_sqlite
def test_a_session_is_json_and_says_one_thing(browser: Browser, app: Any, db: Session) -> None:
    """Whoever can write to Redis must not thereby run code, as with pickle."""
    browser.launch("zoe")
    (launch,) = all_of(db, models.Launch)
    client = app.registry["ipylti.services"].redis
    sessions = [
        json.loads(client.get(name))
        for name in client.scan_iter()
        if client.type(name) == b"string" and b"ipylti" not in name
    ]
    (session,) = sessions
    assert launch.id in json.dumps(session)
    assert "Zoë" not in json.dumps(session, ensure_ascii=False)
