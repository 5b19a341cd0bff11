"""One way through a course, from end to end, on campus behaving as each product family."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import sqlalchemy as sa
from bs4 import BeautifulSoup
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.orm import Session, sessionmaker
from webtest import TestResponse

from ipylti import models
from ipylti.invitations import Invitations
from ipylti.lti import keys, registrations
from tests.campus import Campus, Config
from tests.campus.course import Course, Link
from tests.campus.families import CAMPUS, FAMILIES, Behaviour
from tests.campus.scopes import LINEITEM, MEMBERS, RESULT_READONLY
from tests.functional.background import Background
from tests.functional.browser import TOOL, Browser, Student, populate
from tests.functional.conftest import connect, on_sqlite, shallow
from tests.functional.delivery import Delivery

pytestmark = on_sqlite

WAITING, DELIVERED, FAILED = models.OutboxState


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES)
def family(request: pytest.FixtureRequest) -> Behaviour:
    found: Behaviour = request.param
    return found


@pytest.fixture
def campus(
    family: Behaviour, app: Any, platform_key: rsa.RSAPrivateKey, tool_key: keys.ToolKey
) -> Iterator[Campus]:
    """The platform, connected as one connects the product: by invitation, or by hand where all customers of a
    vendor share one issuer."""
    by_hand = bool(family.issuer)
    published = keys.public_jwks([tool_key], models.now())
    config = Config(
        base_url="http://127.0.0.1:{port}",
        tool_url=TOOL,
        tool_jwks=lambda: published,
        behaviour=family,
        registered=by_hand,
        custom={},
        # Whose links to further pages can't be read must not be made to need them.
        page_size=None if "“" in family.link_format else 2,
    )
    with shallow(Campus, config, platform_key) as made:
        if by_hand:
            connect(app.registry["ipylti.services"].sessions, made, registrations.preset(family.family))
        else:
            invite(app, made)
            made.activate()
        yield made


def invite(app: Any, campus: Campus) -> None:
    """Connect a platform by invitation: its administrator opens the URL there."""
    with app.registry["ipylti.services"].sessions.begin() as db:
        token = Invitations(db).make(models.now(), timedelta(days=1))
    url = campus.registration_url(f"{TOOL}/register?{urlencode({'token': token})}")
    page = Browser(app, campus).app.get(url.removeprefix(TOOL), status=200)
    assert campus.config.client_id in page.text


class Class:
    """A teacher and students of a course, each with an own browser."""

    def __init__(
        self, app: Any, campus: Campus, background: Background, sessions: sessionmaker[Session]
    ) -> None:
        self.campus = campus
        self.background = background
        self.sessions = sessions
        self.teacher = Browser(app, campus)
        self.students = {login: Browser(app, campus) for login in ("zoe", "layla")}

    def add(self, title: str) -> Link:
        """Have the teacher add an assignment by Deep Linking."""
        app = self.teacher.app
        asked = self._log_in(self.teacher, self.campus.deep_linking_initiation("nora"))
        token = self.campus.deep_linking_token("nora", asked["nonce"])
        answer = app.post("/launch", {"state": asked["state"], "id_token": token}, status=303)
        form = app.get(urlsplit(answer.location).path).forms["selection"]
        form["title"], form["points"] = title, "20"
        page = BeautifulSoup(form.submit(headers={"Origin": TOOL}).text, "html.parser")
        field = page.select_one("form#returning input[name=JWT]")
        assert field is not None
        (link,) = self.campus.take_content_items(str(field["value"]))
        return link

    def build(self, link: Link) -> None:
        """Have the teacher put something into the assignment."""
        self.teacher.launch("nora", link.id)
        self.background.work()
        with self.sessions() as db:
            found = db.scalars(sa.select(models.ResourceLink).filter_by(resource_link_id=link.id)).one()
            self.background.containers.files[f"ipylti-base-{found.assignment_id}"] = 1000

    def take(self, login: str, link: Link) -> Delivery:
        """Have a student open the assignment, and the worker make the copy."""
        browser = self.students[login]
        student = Student(browser, browser.launch(login, link.id), self.sessions)
        self.background.work()
        populate(self.sessions)
        return Delivery(student, self.background, self.campus, link)

    def review(self, link: Link) -> TestResponse:
        """Have the teacher look at what Zoë handed in, from the platform's gradebook."""
        asked = self._log_in(self.teacher, self.campus.review_initiation("nora", "zoe", link.id))
        token = self.campus.review_token("nora", "zoe", asked["nonce"], link=link.id)
        form = {"state": asked["state"], "id_token": token}
        answer = self.teacher.app.post("/launch", form, status=303)
        return self.teacher.app.get(urlsplit(answer.location).path, status=200)

    def _log_in(self, browser: Browser, initiation: dict[str, str]) -> dict[str, str]:
        answer = browser.app.get("/login", initiation, status=302)
        return dict(re.findall(r"[?&](state|nonce)=([^&]+)", answer.location))


@pytest.fixture
def course(app: Any, campus: Campus, background: Background, sessions: sessionmaker[Session]) -> Class:
    return Class(app, campus, background, sessions)


def deliver(delivery: Delivery, *items: int) -> None:
    """Let time pass until the items are delivered or given up."""
    for _ in range(6):
        for item in items:
            delivery.now_due(item)
        delivery.background.jobs.ask("sweep", "")
        delivery.background.work()


def test_from_the_first_link_to_the_copied_course(course: Class, campus: Campus, family: Behaviour) -> None:
    """The ways of a family are data of tests/campus/families.py."""
    link = course.add("Rain")
    assert (link.title, link.points) == ("Rain", 20)
    course.build(link)

    zoe, layla = course.take("zoe", link), course.take("layla", link)
    close = zoe.student.page.html.find("a", string="Close")
    assert close.get("target") == ("_top" if family.return_known else None)
    campus.set_status("layla", "Inactive")
    items = [zoe.hand_in(), zoe.hand_in(), layla.hand_in(layla.student)]
    deliver(zoe, *items)
    assert [zoe.read(item).state for item in items] == [DELIVERED, DELIVERED, FAILED]
    (column,) = campus.gradebook.items_of(link)
    assert len(campus.gradebook.items) == len(campus.course.links)
    first, second = campus.gradebook.scores(column, campus.person("zoe"))
    assert (second.timestamp - first.timestamp).total_seconds() >= 1
    assert (first.activity_progress, first.grading_progress) == ("Completed", "PendingManual")
    assert first.comment.startswith("Handed in 20" if family.family == "moodle" else "")
    assert campus.gradebook.scores(column, campus.person("layla")) == ()

    roster_is_known(course, family)
    a_grade_is_never_cleared(zoe, family)
    if family.review_messages:
        assert campus.person("zoe").name in course.review(link)
    copies_have_their_own(course, link, family)


def roster_is_known(course: Class, family: Behaviour) -> None:
    """lti.md 34."""
    with course.sessions() as db:
        known = set(db.scalars(sa.select(models.Member.sub)))
    assert known == {member.person.sub for member in course.campus.course.roster.members}


def a_grade_is_never_cleared(zoe: Delivery, family: Behaviour) -> None:
    """lti.md 29: what the teacher gave stays, whatever is handed in afterwards."""
    campus, who = zoe.campus, zoe.campus.person("zoe")
    before = campus.gradebook.scores(zoe.item, who)
    graded = {
        "userId": who.sub,
        "timestamp": (before[-1].timestamp + timedelta(seconds=1)).isoformat(),
        "activityProgress": "Completed",
        "gradingProgress": "FullyGraded",
        "scoreGiven": 17,
        "scoreMaximum": 20,
    }
    campus.gradebook.post(zoe.item.id, json.dumps(graded).encode())
    item = zoe.hand_in()
    deliver(zoe, item)
    assert zoe.read(item).state == DELIVERED
    grade = campus.gradebook.grade(zoe.item, who)
    assert grade is not None
    assert grade.given == 17
    assert len(campus.gradebook.scores(zoe.item, who)) == len(before) + 1


def copies_have_their_own(course: Class, link: Link, family: Behaviour) -> None:
    """lti.md 21: along the history that the platform tells, and nowhere else."""
    copied: Course = course.campus.copy_course()
    (copy,) = (each for each in copied.links if each.title == link.title)
    form = course.teacher.message("nora", copy.id)
    known = family.context_history or family.link_history
    answer = course.teacher.app.post("/launch", form, status=303 if known else 403)
    if not known:
        assert "message.assignment" in answer.text
        return
    with course.sessions() as db:
        links = {row.resource_link_id: row.assignment for row in db.scalars(sa.select(models.ResourceLink))}
        assert links[copy.id].source_id == links[link.id].id


@pytest.mark.parametrize(
    "family",
    [
        replace(CAMPUS, refused_scopes=frozenset({scope}), fewer_scopes=fewer)
        for scope in (RESULT_READONLY, MEMBERS, LINEITEM)
        for fewer in (True, False)
    ],
    indirect=True,
)
def test_one_scope_that_is_refused_takes_no_other_along(course: Class, campus: Campus) -> None:
    """lti.md 26: each service asks for its own scope."""
    link = course.add("Rain")
    course.build(link)
    zoe = course.take("zoe", link)
    item = zoe.hand_in()
    deliver(zoe, item)
    assert zoe.read(item).state == DELIVERED
    assert len(zoe.scores()) == 1
