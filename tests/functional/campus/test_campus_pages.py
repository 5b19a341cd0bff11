"""campus' pages show what they should to those who may see it."""

from datetime import UTC, datetime

import pytest
from webtest import TestApp

from tests.campus import Campus, ags
from tests.campus.course import Link
from tests.functional.campus.good_tool import Service, authentication_request, last_refusal


def test_the_pages_need_somebody_and_come_back_after_signing_in(campus: Campus, server: TestApp) -> None:
    wanted = f"/course/launch/{campus.link().id}"
    home = server.get(wanted, status=303).follow()
    buttons = [button["value"] for button in home.html.find_all("button", attrs={"name": "login"})]
    assert buttons == ["nora", "zoe", "layla", "sam"]
    arrived = server.post("/sign-in", {"login": "layla", "next": wanted}, status=303)
    assert arrived.location.endswith(wanted)
    frame = arrived.follow().html.find("iframe")
    assert frame["src"] == f"/course/open/{campus.link().id}?target=iframe"
    assert frame["title"] == campus.link().title


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/course", "//evil.example/course", "/log", "/course\\@e"]
)
def test_signing_in_leads_nowhere_else(server: TestApp, elsewhere: str) -> None:
    arrived = server.post("/sign-in", {"login": "zoe", "next": elsewhere}, status=303)
    assert arrived.location == "http://localhost/course"


def test_an_address_may_say_who_comes(campus: Campus, server: TestApp) -> None:
    page = server.get(f"/course/launch/{campus.link().id}?as=sam&x=1", status=303)
    assert page.location.endswith(f"/course/launch/{campus.link().id}?x=1")
    cookie = page.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert "Sam Okafor" in page.follow().text
    assert "short name" in server.get("/course?as=nobody", status=303).follow().text


def test_signing_out_ends_the_session(campus: Campus, browser: TestApp) -> None:
    session = browser.cookies["campus_session"]
    browser.post("/sign-out", status=303)
    assert campus.logins.who(session) is None
    browser.get("/course", status=303)


def test_pages_may_be_framed_by_campus_only(server: TestApp) -> None:
    assert "frame-ancestors 'self'" in server.get("/").headers["Content-Security-Policy"]


def test_the_teacher_sees_all_grades_and_students_their_own(
    campus: Campus, service: Service, browser: TestApp
) -> None:
    service.post_score(comment="<b>bold</b>")
    service.post_score(userId=campus.person("sam").sub, comment="for Sam")
    mine = browser.get("/course/gradebook").text
    assert "&lt;b&gt;bold" in mine and "Zoë Müller" in mine
    assert "for Sam" not in mine and "ليلى حداد" not in mine
    browser.get("/course?as=nora")
    everything = browser.get("/course/gradebook").text
    for seen in ("Zoë Müller", "ليلى حداد", "for Sam", "Completed / PendingManual", "Handed in"):
        assert seen in everything


def test_the_log_page_gives_the_reasons(campus: Campus, service: Service, browser: TestApp) -> None:
    service.post_score(400, timestamp="<yesterday>")
    service.post_score()
    page = browser.get("/log").text
    assert "timestamp is not an RFC 3339 time with a zone" in page
    assert "Zoë Müller, “Exercise 1: First steps in Python”: Completed, PendingManual, no score" in page
    only = browser.get("/log?show=refused").text
    assert "timestamp is not" in only and "PendingManual, no score" not in only


def test_the_log_keeps_no_secrets(campus: Campus, service: Service, browser: TestApp) -> None:
    token = service.headers["Authorization"].removeprefix("Bearer ")
    service.post_score()
    browser.get("/auth", authentication_request(campus))
    assert not any(token in entry.text or "eyJ" in entry.text for entry in campus.log)


def test_the_teacher_adds_an_assignment(campus: Campus, browser: TestApp) -> None:
    browser.get("/course?as=nora")
    form = browser.get("/course/links/new").forms[1]
    form["title"] = "Exercise 3: <Ωmega>"
    form["due"] = "2030-05-06T07:08"
    page = form.submit(status=303).follow()
    assert "Exercise 3: &lt;Ωmega&gt;" in page.text
    link = campus.course.links[-1]
    assert link.due == datetime(2030, 5, 6, 7, 8, tzinfo=UTC)
    assert campus.gradebook.items_of(link)[0].fields.maximum == 10.0


def test_a_link_without_a_column_launches_without_a_line_item(campus: Campus, browser: TestApp) -> None:
    browser.get("/course?as=nora")
    form = browser.get("/course/links/new").forms[1]
    form["title"] = "Playground"
    form["graded"] = False
    form.submit(status=303)
    endpoint = campus.claims("zoe", campus.course.links[-1].id)[ags("endpoint")]
    assert set(endpoint) == {"scope", "lineitems"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("title", "", "Give a title"),
        ("title", "x" * 201, "Give a title"),
        ("points", "0", "Points go"),
        ("points", "nan", "Points go"),
        ("points", "ten", "Points go"),
        ("due", "soon", "not a date"),
        ("description", "x" * 2001, "At most"),
    ],
)
def test_a_form_filled_in_wrongly_says_where(
    campus: Campus, browser: TestApp, field: str, value: str, message: str
) -> None:
    browser.get("/course?as=nora")
    given = {"title": "T", "description": "", "due": "", "points": "5", "graded": "1"} | {field: value}
    page = browser.post("/course/links/new", given, status=400)
    assert message in page.html.find(id=f"{field}-problem").text
    assert page.html.find(id=field)["aria-invalid"] == "true"
    assert len(campus.course.links) == 2


def test_only_the_teacher_adds_assignments(campus: Campus, browser: TestApp) -> None:
    browser.get("/course/links/new", status=403)
    browser.post("/course/links/new", {"title": "Mine"}, status=403)
    assert len(campus.course.links) == 2


def test_the_tool_sends_people_back_with_a_word(campus: Campus, server: TestApp) -> None:
    """Without a cookie: from a frame of another site campus' own does not come along."""
    page = server.get(
        "/course/return", {"link": campus.link().id, "lti_msg": "Saved <it>", "lti_log": "fine"}
    )
    address = page.html.find("a", id="back")["href"]
    assert "the tool's lti_log: fine" in campus.log.entries[-1].text
    server.get("/?as=zoe")
    assert "The tool says: <bdi>Saved &lt;it&gt;</bdi>" in server.get(address).text


def test_what_is_not_there_is_said_plainly(campus: Campus, browser: TestApp) -> None:
    browser.get("/course/launch/none", status=404)
    assert "no such link" in last_refusal(campus)
    assert "nothing at this address" in browser.get("/nowhere", status=404).text
    browser.get(f"/course/open/{campus.link().id}?target=popup", status=404)


def test_a_link_may_be_added_by_a_test(campus: Campus, browser: TestApp) -> None:
    campus.add_link(Link("link-x", "Extra", "", None, None))
    assert "Extra" in browser.get("/course").text
