"""Deep Linking: a teacher chooses what a new activity is to be, and the platform gets it signed."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import sqlalchemy as sa
from bs4 import BeautifulSoup
from sqlalchemy.orm import Session, sessionmaker
from webtest import TestResponse

from ipylti import ids, models
from ipylti.lti import claims, keys
from tests.campus import lti
from tests.functional.browser import TOOL, Browser
from tests.functional.conftest import on_sqlite

DL = "https://purl.imsglobal.org/spec/lti-dl/claim/"
RETURN = "https://campus.example/return?course=1&sesskey=abc"
SETTINGS = {
    "deep_link_return_url": RETURN,
    "accept_types": ["link", "ltiResourceLink"],
    "accept_presentation_document_targets": ["iframe"],
    "accept_multiple": "false",
    "data": "csrf:é\"'",
}


class Teacher:
    """A browser in which somebody adds an activity to a course."""

    def __init__(self, browser: Browser, tool_key: keys.ToolKey) -> None:
        self.browser = browser
        self.tool_key = tool_key

    def begin(
        self, person: str = "nora", settings: Mapping[str, Any] | None = None, status: int = 303, **more: Any
    ) -> TestResponse:
        """Send the platform's request; returns the page of choosing, or of a refusal."""
        told = {
            lti("message_type"): "LtiDeepLinkingRequest",
            DL + "deep_linking_settings": SETTINGS | dict(settings or {}),
        } | more
        form = self.browser.message(person, claims=told, without=(lti("resource_link"),))
        answer = self.browser.app.post("/launch", form, status=status)
        return self.browser.app.get(urlsplit(answer.location).path) if status == 303 else answer

    def choose(self, page: TestResponse, status: int = 200, **fields: str) -> TestResponse:
        """Fill in the form and press "Add to the course"."""
        form = page.forms["selection"]
        for name, value in fields.items():
            form[name] = value
        return form.submit(status=status, headers={"Origin": TOOL})

    def cancel(self, page: TestResponse) -> TestResponse:
        return page.forms["selection"].submit("do", value="cancel", headers={"Origin": TOOL})

    def answer(self, page: TestResponse) -> dict[str, Any]:
        """Return what the platform is told, as a platform reads it."""
        form = BeautifulSoup(page.text, "html.parser").select_one("form#returning")
        assert form is not None
        assert (form["action"], form["method"]) == (RETURN, "post")
        field = form.select_one("input[name=JWT]")
        assert field is not None
        token = str(field["value"])
        assert jwt.get_unverified_header(token)["kid"] == self.tool_key.kid
        key = jwt.PyJWK(dict(self.tool_key.private) | {"alg": "RS256"}).key.public_key()
        issuer = self.browser.campus.registration["issuer"]
        told: dict[str, Any] = jwt.decode(token, key, ["RS256"], audience=issuer, issuer="client")
        return told

    def item(self, page: TestResponse) -> dict[str, Any]:
        """Return the one content item of an answer."""
        (item,) = self.answer(page)[DL + "content_items"]
        return dict(item)


@pytest.fixture
def teacher(browser: Browser, tool_key: keys.ToolKey) -> Teacher:
    return Teacher(browser, tool_key)


def blueprints(db: Session) -> list[models.Blueprint]:
    db.rollback()
    return list(db.scalars(sa.select(models.Blueprint)))


def test_the_platform_gets_a_signed_link(teacher: Teacher, db: Session) -> None:
    """lti.md 25."""
    page = teacher.choose(teacher.begin(), title="Rain & <sun>", points="12,5", graded="1")
    told = teacher.answer(page)
    assert told["iss"] == "client"
    assert told["exp"] - told["iat"] <= 300
    assert told["nonce"]
    assert told[lti("message_type")] == "LtiDeepLinkingResponse"
    assert told[lti("version")] == "1.3.0"
    assert told[lti("deployment_id")] == teacher.browser.campus.registration["deployment"]
    assert told[DL + "data"] == SETTINGS["data"]
    (blueprint,) = blueprints(db)
    item = teacher.item(page)
    assert item == {
        "type": "ltiResourceLink",
        "url": f"{TOOL}/launch",
        "title": "Rain & <sun>",
        "custom": {"ipylti_assignment": blueprint.id, **claims.CUSTOM_FIELDS},
        "lineItem": {
            "label": "Rain & <sun>",
            "scoreMaximum": 12.5,
            "resourceId": blueprint.id,
            "tag": "ipylti",
            "submissionReview": {"reviewableStatus": ["Submitted", "Completed"]},
        },
    }


def test_data_that_was_not_given_does_not_come_back(teacher: Teacher) -> None:
    """lti.md 25."""
    page = teacher.choose(teacher.begin(settings={"data": None}), title="T")
    assert DL + "data" not in teacher.answer(page)
    page = teacher.choose(teacher.begin(settings={"data": ""}), title="T")
    assert teacher.answer(page)[DL + "data"] == ""


def test_the_link_launches_what_was_chosen(
    teacher: Teacher, sessions: sessionmaker[Session], ini: dict[str, str]
) -> None:
    page = teacher.choose(
        teacher.begin(), title="Rain", points="7", due="2031-05-01T23:59", zone="Europe/Berlin"
    )
    custom = teacher.item(page)["custom"]
    assert teacher.item(page)["submission"] == {"endDateTime": "2031-05-01T21:59:00.000Z"}
    # The platform fills in what it knows, which is nothing here.
    told = {lti("custom"): custom, lti("resource_link"): {"id": "new", "title": "Rain"}}
    workbench = teacher.browser.launch("zoe", claims=told)
    assert "2031-05-01" in workbench.text
    with sessions() as db:
        link = db.scalars(sa.select(models.ResourceLink)).one()
        assert link.assignment.blueprint_id == custom["ipylti_assignment"]
        assert link.assignment.maximum == 7
        assert link.assignment.due_at == datetime(2031, 5, 1, 21, 59, tzinfo=UTC)


def test_the_courses_own_date_goes_before_the_teachers(teacher: Teacher, db: Session) -> None:
    """lti.md 19."""
    page = teacher.choose(teacher.begin(), title="Rain", due="2031-05-01T23:59")
    custom = teacher.item(page)["custom"] | {claims.CUSTOM_DUE_AT: "2032-01-01T00:00:00Z"}
    told = {lti("custom"): custom, lti("resource_link"): {"id": "new", "title": "Rain"}}
    assert "2032-01-01" in teacher.browser.launch("zoe", claims=told).text


def test_a_link_without_a_grade_has_no_line_item(teacher: Teacher) -> None:
    page = teacher.begin()
    page.forms["selection"]["graded"] = False
    assert "lineItem" not in teacher.item(teacher.choose(page, title="Play"))
    refusing = teacher.begin(settings={"accept_lineitem": False})
    assert "graded" not in refusing.forms["selection"].fields
    assert "lineItem" not in teacher.item(teacher.choose(refusing, title="Play"))


def test_cancelling_gives_nothing(teacher: Teacher, db: Session) -> None:
    """lti.md 25: an empty list."""
    page = teacher.begin()
    assert teacher.answer(teacher.cancel(page))[DL + "content_items"] == []
    assert blueprints(db) == []


def test_an_answer_is_given_once(teacher: Teacher, db: Session) -> None:
    page = teacher.begin()
    teacher.choose(page, title="Rain")
    again = teacher.choose(page, status=403, title="Rain")
    assert "selection.over" in again
    assert len(blueprints(db)) == 1


@on_sqlite
@pytest.mark.parametrize("person", ["zoe", "sam"])
def test_only_teachers_choose(teacher: Teacher, person: str) -> None:
    """lti.md 25."""
    assert "selection.not_teacher" in teacher.begin(person, status=403)


@on_sqlite
def test_a_platform_that_takes_no_links_is_told(teacher: Teacher) -> None:
    """lti.md 25."""
    assert "deep_linking.not_accepted" in teacher.begin(settings={"accept_types": ["file"]}, status=400)


@on_sqlite
@pytest.mark.parametrize(
    "settings",
    [
        {"deep_link_return_url": None},
        {"deep_link_return_url": "javascript:alert(1)"},
        {"accept_types": "ltiResourceLink"},
        {"accept_types": None},
        {"data": 1},
        {"accept_multiple": "perhaps"},
    ],
)
def test_a_malformed_request_is_refused(teacher: Teacher, settings: dict[str, Any]) -> None:
    assert "Code <code>message." in teacher.begin(settings=settings, status=403)


@on_sqlite
@pytest.mark.parametrize(("suggested", "shown"), [("Rain", "Rain"), ("Notebooks", ""), ("", "")])
def test_the_tools_own_name_is_no_title(teacher: Teacher, suggested: str, shown: str) -> None:
    """Moodle suggests it where it has no better one."""
    page = teacher.begin(settings={"title": suggested})
    assert page.forms["selection"]["title"].value == shown


@on_sqlite
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "x" * 201),
        ("points", "0"),
        ("points", "-1"),
        ("points", "many"),
        ("points", "nan"),
        ("points", "1e9"),
        ("due", "tomorrow"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_typed_is_lost(
    teacher: Teacher, db: Session, field: str, value: str
) -> None:
    given = {"title": "Rain", "points": "10", "due": "2031-05-01T23:59"} | {field: value}
    page = teacher.choose(teacher.begin(), status=400, **given)
    shown = BeautifulSoup(page.text, "html.parser")
    assert shown.select_one("[role=alert]")
    wrong = shown.select_one(f"[name={field}]")
    assert wrong is not None
    assert wrong["aria-invalid"] == "true"
    for name, text in given.items():
        kept = shown.select_one(f"[name={name}]")
        assert kept is not None
        assert kept["value"] == text
    assert blueprints(db) == []
    mended = teacher.choose(page, title="Rain", points="10", due="")
    assert teacher.item(mended)["title"] == "Rain"


def test_a_teacher_copies_what_was_built_here_or_in_own_courses(
    teacher: Teacher, sessions: sessionmaker[Session]
) -> None:
    browser = teacher.browser
    context = lti("context")

    def build(link: str, course: str, person: str = "nora", **more: Any) -> str:
        told = {lti("resource_link"): {"id": link, "title": link}, context: {"id": course}} | more
        browser.launch(person, claims=told)
        with sessions() as db:
            found = db.scalars(sa.select(models.ResourceLink).filter_by(resource_link_id=link)).one()
            return found.assignment_id

    staff = {lti("roles"): ["Instructor"]}
    build("Last year", "last-year")
    build("Colleague's", "last-year", "sam", **staff)
    build("Not mine", "others", "sam", **staff)
    build("Only taken", "elsewhere", "nora", **{lti("roles"): ["Learner"]})
    offered = teacher.begin()
    titles = re.findall(r'data-title="([^"]*)"', offered.text)
    assert sorted(titles) == ["Colleague&#39;s", "Last year"]

    form = offered.forms["selection"]
    wanted = next(value for value, _, text in form["source"].options if "Last year" in text)
    page = teacher.choose(offered, title="Again", source=wanted)
    with sessions() as db:
        assert (
            db.get_one(models.Blueprint, teacher.item(page)["custom"]["ipylti_assignment"]).source_id
            == wanted
        )

    with sessions() as db:
        others = db.scalars(sa.select(models.Assignment).filter_by(title="Not mine")).one().id
    page = teacher.begin()
    page.forms["selection"]["source"].force_value(others)
    assert 'name="source" aria-invalid' in teacher.choose(page, status=400, title="Stolen")


@pytest.fixture
def choosy_ini(ini: dict[str, str]) -> None:
    ini["ipylti.images"] = "localhost/r:1  R <and> more"


@on_sqlite
def test_the_software_is_one_of_the_list(choosy_ini: None, teacher: Teacher, db: Session) -> None:
    page = teacher.begin()
    assert "R &lt;and&gt; more" in page
    forged = teacher.begin()
    forged.forms["selection"]["image"].force_value("docker.io/evil")
    assert teacher.choose(forged, status=400, title="T")
    teacher.choose(page, title="T", image="localhost/r:1")
    assert [each.image for each in blueprints(db)] == ["localhost/r:1"]


@pytest.fixture
def generous_ini(ini: dict[str, str]) -> None:
    ini["ipylti.max_memory"] = "4g"


@on_sqlite
def test_memory_is_chosen_within_what_the_ini_allows(
    generous_ini: None, teacher: Teacher, db: Session
) -> None:
    page = teacher.begin()
    words = [words for _value, _selected, words in page.forms["selection"]["memory"].options]
    assert words == ["as usual", "256 MiB", "512 MiB", "1 GiB", "2 GiB", "4 GiB"]
    assert "cpus" not in page.forms["selection"].fields
    forged = teacher.begin()
    forged.forms["selection"]["memory"].force_value(str(64 << 30))
    assert 'name="memory" aria-invalid' in teacher.choose(forged, status=400, title="T")
    teacher.choose(page, title="T", memory=str(2 << 30))
    assert [(each.memory, each.cpus) for each in blueprints(db)] == [(2 << 30, None)]


@on_sqlite
def test_the_way_out_can_be_closed_but_not_opened(teacher: Teacher, db: Session, ini: dict[str, str]) -> None:
    page = teacher.begin()
    page.forms["selection"]["egress"] = False
    teacher.choose(page, title="Closed")
    teacher.choose(teacher.begin(), title="Open")
    assert [each.egress for each in blueprints(db)] == [False, True]


@on_sqlite
def test_another_browser_does_not_answer(teacher: Teacher, another_browser: Browser) -> None:
    page = teacher.begin()
    path = urlsplit(page.request.url).path
    another_browser.app.get(path, status=403)
    token = page.forms["selection"]["csrf_token"].value
    fields = {"csrf_token": token, "title": "Mine"}
    another_browser.app.post(path, fields, headers={"Origin": TOOL}, status=(400, 403))


@on_sqlite
def test_a_page_of_another_site_does_not_answer(teacher: Teacher) -> None:
    page = teacher.begin()
    form = page.forms["selection"]
    form["title"] = "Forged"
    form.submit(headers={"Origin": "https://evil.example"}, status=400)
    form["csrf_token"] = "guessed"
    form.submit(headers={"Origin": TOOL}, status=400)


@on_sqlite
def test_an_unknown_choosing_is_over(browser: Browser) -> None:
    for name in (ids.random_id(), "x", "%00"):
        browser.app.get(f"/deep-links/{name}", status=(400, 403))


@on_sqlite
def test_the_answers_form_may_go_to_the_platform_and_the_page_stands_in_its_frame(teacher: Teacher) -> None:
    origin = teacher.browser.campus.url
    page = teacher.begin()
    framed_by = page.headers["Content-Security-Policy"].partition("frame-ancestors")[2].split()
    assert origin in framed_by
    assert "https://campus.example" in framed_by, "where the answer goes"
    policy = teacher.choose(page, title="T").headers["Content-Security-Policy"]
    assert "form-action 'self'" in policy
    assert "https:" in policy.partition("form-action")[2].partition(";")[0]


def test_the_page_takes_no_longer_than_a_teacher(teacher: Teacher, app: Any) -> None:
    page = teacher.begin()
    selections = app.registry["ipylti.services"].selections
    name = urlsplit(page.request.url).path.rpartition("/")[2]
    left = selections.client.ttl(selections._name(name))
    assert timedelta(hours=1) < timedelta(seconds=left) <= timedelta(hours=2)
