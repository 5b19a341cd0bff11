"""Launches in a frame of the platform's page: cookies kept, the platform keeps the secret, a tab of its own.

What browsers do with the pages is for the browser tests; here the server is asked, by right and wrong ones.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from webtest import TestResponse

from ipylti import models
from tests.functional.background import Background
from tests.functional.browser import TOOL, Browser, csrf_token, populate
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite

FRAME = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}


class Framed:
    """A browser with a frame of campus' page in which the tool stands.

    :param keeps: whether it keeps cookies there.
    """

    def __init__(self, browser: Browser, keeps: bool) -> None:
        self.browser = browser
        self.keeps = keeps
        self.app = browser.app

    def _seen(self, answer: TestResponse) -> TestResponse:
        if not self.keeps:
            self.app.reset()
        return answer

    def get(self, path: str, status: int = 200, **params: str) -> TestResponse:
        return self._seen(self.app.get(path, params, headers=FRAME, status=status))

    def post(self, path: str, fields: dict[str, str], status: int = 200, **headers: str) -> TestResponse:
        return self._seen(self.app.post(path, fields, headers=headers, status=status))

    def follow(self, answer: TestResponse, status: int) -> TestResponse:
        parts = urlsplit(answer.location)
        return self.get(f"{parts.path}?{parts.query}", status)

    def leaving(self, person: str = "zoe", **params: str) -> "Leaving":
        """Begin a login; returns the page of a browser that keeps no cookies."""
        look = self.get("/login", 302, **self.browser.campus.initiation(person), **params)
        return Leaving(self, self.follow(look, 200))

    def post_message(self, asked: dict[str, str], person: str = "zoe") -> TestResponse:
        """Have campus post its message."""
        token = self.browser.campus.id_token(person, nonce=asked["nonce"])
        fields = {"state": asked["state"], "id_token": token}
        return self._seen(self.app.post("/launch", fields, headers=FRAME))


class Leaving:
    """The page that finds out what can be done without cookies."""

    def __init__(self, framed: Framed, page: TestResponse) -> None:
        self.framed = framed
        self.page = page
        self.told = data_of(page)
        self.asked = dict(parse_qsl(urlsplit(self.told["location"]).query))

    def ticket(self, status: int = 200, **changes: str) -> TestResponse:
        fields = {"state": self.told["state"], "secret": self.told["secret"]} | changes
        return self.framed.post(self.told["ticket-url"], fields, status, Accept="application/json")

    def waiting(self) -> "Waiting":
        """Go to the platform and come back with its message."""
        return Waiting(self, self.framed.post_message(self.asked))


class Waiting:
    """The page on which a message waits for its login's secret."""

    def __init__(self, leaving: Leaving, page: TestResponse) -> None:
        self.leaving = leaving
        self.told = data_of(page)

    def match(self, secret: str | None = None, status: int = 200) -> TestResponse:
        fields = {"parked": self.told["parked"], "secret": secret or self.leaving.told["secret"]}
        framed = self.leaving.framed
        return framed.post(self.told["match-url"], fields, status, Accept="application/json")


def data_of(page: TestResponse) -> dict[str, str]:
    """Return the data attributes of a page's main part."""
    main = page.html.find("main")
    return {name.removeprefix("data-"): value for name, value in main.attrs.items() if "data-" in name}


def launches(db: Session) -> int:
    db.rollback()
    return db.scalar(sa.select(sa.func.count(models.Launch.id))) or 0


@pytest.fixture
def keeping(browser: Browser) -> Framed:
    return Framed(browser, keeps=True)


@pytest.fixture
def refusing(browser: Browser) -> Framed:
    return Framed(browser, keeps=False)


def test_where_cookies_are_kept_all_is_redirects(keeping: Framed) -> None:
    """lti.md 22: the platform is then asked by its own page's frame, and gets its own cookies."""
    look = keeping.get("/login", 302, **keeping.browser.campus.initiation("zoe"))
    assert urlsplit(look.location).path == "/login/look"
    on = keeping.follow(look, 302)
    assert on.location.startswith(keeping.browser.campus.registration["auth-url"])
    answer = keeping.post_message(dict(parse_qsl(urlsplit(on.location).query)))
    assert answer.status_int == 303


def test_who_was_seen_to_keep_cookies_is_not_asked_again(keeping: Framed) -> None:
    keeping.get("/login", 302, **keeping.browser.campus.initiation("zoe"))
    again = keeping.get("/login", 302, **keeping.browser.campus.initiation("zoe"))
    assert again.location.startswith(keeping.browser.campus.registration["auth-url"])


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Dest": "document"}])
def test_outside_of_a_frame_the_platform_is_next(browser: Browser, headers: dict[str, str]) -> None:
    """lti.md 4."""
    params = browser.campus.initiation("zoe") | {"lti_storage_target": "_parent"}
    answer = browser.app.get("/login", params, headers=headers, status=302)
    assert answer.location.startswith(browser.campus.registration["auth-url"])


def test_a_look_is_good_once(refusing: Framed) -> None:
    look = refusing.get("/login", 302, **refusing.browser.campus.initiation("zoe"))
    refusing.follow(look, 200)
    assert "login.ticket" in refusing.follow(look, 403)


@pytest.mark.parametrize(
    ("given", "frame"),
    [("", "_parent"), ("_parent", "_parent"), ("storage_1", "storage_1"), ("a b'\"<script>", "_parent")],
)
def test_the_page_knows_which_frame_may_keep_the_secret(refusing: Framed, given: str, frame: str) -> None:
    """lti.md 23: the frame that the platform names, on its login's origin."""
    leaving = refusing.leaving(lti_storage_target=given)
    assert leaving.told["storage"] == frame
    assert leaving.told["storage-origin"] == refusing.browser.campus.url
    assert len(leaving.told["secret"]) >= 22


def test_the_secret_that_the_platform_kept_opens_the_launch(
    refusing: Framed, db: Session, background: Background
) -> None:
    """lti.md 23: verified and parked first; nothing begins before the secret matched."""
    waiting = refusing.leaving().waiting()
    assert waiting.told["state"] == waiting.leaving.told["state"]
    assert launches(db) == 0
    assert background.waiting() == []
    told = waiting.match().json
    assert launches(db) == 1
    assert "start_server" in dict(background.waiting())
    assert "session" not in told["location"]


@pytest.fixture
def workbench(refusing: Framed, app: Any) -> Iterator[tuple[str, dict[str, str], TestResponse]]:
    """The workbench of a browser without cookies: its path, its session's header, the page."""
    told = refusing.leaving().waiting().match().json
    fields = {"session": told["session"], "csrf_token": told["csrf_token"]}
    page = refusing.post(told["location"], fields, Origin=TOOL)
    yield told["location"], {"X-Ipylti-Session": told["session"], "Accept": "application/json"}, page


def test_the_workbench_works_without_cookies(
    refusing: Framed,
    workbench: tuple[str, dict[str, str], TestResponse],
    background: Background,
    app: Any,
) -> None:
    path, session, page = workbench
    assert data_of(page)["session"] == session["X-Ipylti-Session"]
    assert not re.search("[?&]session=", page.text)
    refusing.app.get(f"{path}/status", headers={"Accept": "application/json"}, status=403)
    background.containers.files.update({f"ipylti-base-{each}": 1 for each in assignments(app)})
    with app.registry["ipylti.services"].sessions.begin() as db:
        for each in assignments(app):
            db.add(models.Workspace(id=each, assignment_id=each, kind="build", volume=f"ipylti-base-{each}"))
    background.work()
    status = refusing.app.get(f"{path}/status", headers=session).json
    # The notebook's own cookie would not be kept in this frame either.
    assert (status["state"], status["url"]) == ("ready", None)
    populate(app.registry["ipylti.services"].sessions)
    sent = session | {"Origin": TOOL, "X-CSRF-Token": csrf_token(page)}
    submit = path.replace("/launches/", "/submit/")
    assert refusing.post(submit, {}, 201, **sent).json["submission"]["number"] == 1


def assignments(app: Any) -> list[str]:
    with app.registry["ipylti.services"].sessions() as db:
        return list(db.scalars(sa.select(models.Assignment.id)))


def test_its_button_opens_all_of_it_in_a_tab(
    refusing: Framed, workbench: tuple[str, dict[str, str], TestResponse], another_browser: Browser
) -> None:
    path, session, page = workbench
    sent = session | {"Origin": TOOL, "X-CSRF-Token": csrf_token(page)}
    url = refusing.post(f"{path}/tab", {}, **sent).json["url"]
    # A tab of the browser's own keeps cookies: as another jar here.
    tab = Framed(another_browser, keeps=True)
    lured = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    another_browser.app.get(url, headers=lured, status=403)
    tab.app.get(url, headers={"Sec-Fetch-Site": "same-origin"}, status=302)
    page = tab.app.get(path, status=200)
    assert "session" not in data_of(page)
    assert "login.ticket" in tab.app.get(url, status=403)


def test_a_launch_of_one_browser_is_not_finished_in_another(
    refusing: Framed, another_browser: Browser, db: Session
) -> None:
    """lti.md 23: the other browser's platform page has kept another secret, or none."""
    waiting = refusing.leaving().waiting()
    other = Framed(another_browser, keeps=False).leaving("layla")
    assert waiting.match(other.told["secret"], 403).json["error"]["code"] == "message.other_browser"
    assert launches(db) == 0
    # Whoever guessed once has used it up.
    assert waiting.match(status=403).json["error"]["code"] == "message.state"


@pytest.mark.parametrize("secret", ["", "x", "é", "a" * 5000])
def test_a_wrong_secret_opens_nothing(refusing: Framed, db: Session, secret: str) -> None:
    waiting = refusing.leaving().waiting()
    fields = {"parked": waiting.told["parked"], "secret": secret}
    refusing.post(waiting.told["match-url"], fields, 403, Accept="application/json")
    assert launches(db) == 0


def test_a_bad_message_does_not_wait(refusing: Framed) -> None:
    leaving = refusing.leaving()
    token = refusing.browser.campus.id_token("zoe", nonce="another")
    form = {"state": leaving.asked["state"], "id_token": token}
    assert "message.nonce" in refusing.post("/launch", form, 403)


def test_a_message_waits_once(refusing: Framed) -> None:
    """lti.md 12."""
    leaving = refusing.leaving()
    first, second = leaving.waiting(), leaving.waiting()
    first.match()
    assert second.match(status=403).json["error"]["code"] == "message.state"


def test_without_a_frame_a_missing_cookie_is_no_reason_to_ask_anybody(browser: Browser) -> None:
    form = browser.message("zoe")
    browser.app.reset()
    assert "message.cookie_missing" in browser.app.post("/launch", form, status=403)


def test_a_ticket_begins_the_login_anew_in_a_tab(refusing: Framed, another_browser: Browser) -> None:
    """lti.md 24."""
    leaving = refusing.leaving()
    url = leaving.ticket().json["url"]
    answer = another_browser.app.get(url, status=302)
    asked = dict(parse_qsl(urlsplit(answer.location).query))
    assert asked["login_hint"] == leaving.asked["login_hint"]
    assert asked["lti_message_hint"] == leaving.asked["lti_message_hint"]
    assert asked["state"] != leaving.asked["state"]
    token = another_browser.campus.id_token("zoe", nonce=asked["nonce"])
    form = {"state": asked["state"], "id_token": token}
    assert another_browser.app.post("/launch", form).status_int == 303


def test_a_tabs_launch_is_not_finished_in_another_browser(
    refusing: Framed, browser: Browser, another_browser: Browser
) -> None:
    """lti.md 24."""
    url = refusing.leaving().ticket().json["url"]
    asked = dict(parse_qsl(urlsplit(another_browser.app.get(url, status=302).location).query))
    token = another_browser.campus.id_token("zoe", nonce=asked["nonce"])
    form = {"state": asked["state"], "id_token": token}
    assert "message.cookie_missing" in browser.app.post("/launch", form, headers=FRAME, status=403)


def test_a_ticket_is_good_once_and_soon(refusing: Framed, app: Any) -> None:
    """lti.md 24."""
    leaving = refusing.leaving()
    url = leaving.ticket().json["url"]
    logins = app.registry["ipylti.services"].logins
    ticket = re.sub(r".*ticket=", "", url)
    assert 0 < logins.client.ttl(logins._name(ticket)) <= 60
    refusing.app.get(url, status=302)
    assert "login.ticket" in refusing.app.get(url, status=403)


def test_a_ticket_is_for_whoever_began_the_login(refusing: Framed) -> None:
    leaving = refusing.leaving()
    assert leaving.ticket(403, secret="guessed").json["error"]["code"] == "login.state"
    assert leaving.ticket(403, state="x" * 43).json["error"]["code"] == "login.state"
    assert leaving.ticket(403, state="é").json["error"]["code"] == "login.state"


def test_any_page_may_frame_what_has_nothing_to_click_for_a_victim(refusing: Framed) -> None:
    leaving = refusing.leaving()
    policy = leaving.page.headers["Content-Security-Policy"]
    assert "https:" in policy.partition("frame-ancestors")[2]
    assert "default-src 'none'" in policy
