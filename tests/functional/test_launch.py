"""Launching, from the platform's click to the workbench."""

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.orm import Session

from ipylti import models
from tests.campus import Campus, Config, lti
from tests.functional.browser import TOOL, Browser, path_of
from tests.functional.conftest import connect, shallow


def test_a_teacher_gets_the_build_workspace(browser: Browser, db: Session) -> None:
    page = browser.launch("nora")
    assert "Teacher" in page
    workspace = db.scalars(sa.select(models.Workspace)).one()
    assert workspace.kind == models.WorkspaceKind.BUILD
    assert workspace.volume == f"ipylti-base-{workspace.assignment_id}"


def test_a_student_gets_a_copy_of_their_own(browser: Browser, another_browser: Browser, db: Session) -> None:
    browser.launch("zoe")
    another_browser.launch("sam")
    workspaces = db.scalars(sa.select(models.Workspace)).all()
    assert {workspace.kind for workspace in workspaces} == {models.WorkspaceKind.TAKE}
    assert len({workspace.volume for workspace in workspaces}) == 2


def test_launching_again_finds_the_same_workspace(browser: Browser, db: Session) -> None:
    first, second = browser.launch("zoe"), browser.launch("zoe")
    assert path_of(first) != path_of(second)
    assert db.scalar(sa.select(sa.func.count()).select_from(models.Workspace)) == 1


@pytest.mark.parametrize("person", ["nora", "zoe"])
def test_nothing_is_used_before_it_is_made(browser: Browser, db: Session, person: str) -> None:
    browser.launch(person)
    launch = db.scalars(sa.select(models.Launch)).one()
    assert launch.created_at >= launch.workspace.created_at


def test_the_same_link_id_at_two_clients_is_two_assignments() -> None:
    from ipylti import ids

    assert ids.assignment_id("i", "a", "bc", "d") != ids.assignment_id("i", "ab", "c", "d")


def test_the_launch_is_the_browsers_own(browser: Browser, another_browser: Browser) -> None:
    page = browser.launch("zoe")
    for suffix in ("", "/status"):
        answer = another_browser.app.get(path_of(page) + suffix, status=403)
        assert "Zoë" not in answer


def test_two_launches_in_one_browser_do_not_disturb_each_other(browser: Browser) -> None:
    """lti.md 5: two frames on one page."""
    first, second = browser.message("zoe"), browser.message("nora")
    pages = [browser.app.post("/launch", form, status=303) for form in (second, first)]
    for page in pages:
        browser.app.get(page.location, status=200)


def test_a_message_comes_in_only_where_its_login_went_out(browser: Browser, another_browser: Browser) -> None:
    form = browser.message("zoe")
    another_browser.login("zoe")
    refused = another_browser.app.post("/launch", form, status=403)
    assert "another browser" in refused
    browser.app.post("/launch", form, status=303)


def test_a_message_is_good_once(browser: Browser) -> None:
    form = browser.message("zoe")
    browser.app.post("/launch", form, status=303)
    browser.app.post("/launch", form, status=403)


@pytest.fixture
def hanging(app: Any, platform_key: rsa.RSAPrivateKey) -> Iterator[tuple[Campus, socket.socket]]:
    """A platform whose keys are at a server that takes connections and answers nothing; and that server."""
    services = app.registry["ipylti.services"]
    config = Config(base_url="http://other.example", tool_url=TOOL, client_id="other", port=None)
    made = shallow(Campus, config, platform_key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        connect(services.sessions, made)
        with services.sessions.begin() as db:
            row = db.scalars(sa.select(models.Registration).filter_by(client_id="other")).one()
            row.jwks_url = f"http://127.0.0.1:{server.getsockname()[1]}/jwks"
        yield made, server


def test_a_platform_that_hangs_keeps_nobody_elses_launch_waiting(
    app: Any, browser: Browser, hanging: tuple[Campus, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """lti.md 9: while its keys are awaited, the launch has no hold of the database, not even to read."""
    services = app.registry["ipylti.services"]
    monkeypatch.setattr(services.http, "_timeout", 120.0)
    platform, server = hanging
    stuck = Browser(app, platform)
    form = stuck.message("zoe")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(stuck.app.post, "/launch", form, status=502)
        connection, _ = server.accept()
        with connection:
            assert services.engine.pool.checkedout() == 0
            assert "Teacher" in browser.launch("nora")
            assert "Student" in browser.launch("zoe")
            assert not answer.done()
        assert "platform.unreachable" in answer.result(60)


def test_cookies_hold_in_a_frame_and_nowhere_else(browser: Browser) -> None:
    """lti.md 22."""
    answer = browser.app.post("/launch", browser.message("zoe"), status=303)
    cookies = answer.headers.getall("Set-Cookie")
    assert cookies
    for cookie in cookies:
        assert cookie.startswith("__Host-ipylti-")
        for attribute in ("Secure", "HttpOnly", "SameSite=None", "Partitioned", "Path=/"):
            assert attribute.lower() in cookie.lower() or "max-age=0" in cookie.lower()


def test_the_platform_may_frame_the_workbench_and_others_may_not(browser: Browser) -> None:
    page = browser.launch("zoe")
    policy = page.headers["Content-Security-Policy"]
    ancestors = re.search(r"frame-ancestors ([^;]+)", policy)
    assert ancestors
    assert ancestors[1].split() == ["https://tool.example", browser.campus.config.base_url]
    assert "unsafe-inline" not in policy


def test_what_goes_wrong_before_the_platform_is_known_is_said_in_any_frame(browser: Browser) -> None:
    """A platform that is not connected, or whose pages are on another host, shows the page all the same; the
    workbench's own errors are for its platform alone."""
    unknown = browser.campus.initiation("zoe") | {"iss": "https://elsewhere.example"}
    answers = [
        browser.app.get("/login", unknown, headers={"Accept": "text/html"}, status="*"),
        browser.app.post("/launch", {"error": "login_required", "state": "x"}, status="*"),
        browser.app.get("/launches/nothing", headers={"Accept": "text/html"}, status="*"),
    ]
    policies = [
        answer.headers["Content-Security-Policy"].partition("frame-ancestors")[2] for answer in answers
    ]
    assert ["https:" in policy.split() for policy in policies] == [True, True, False]
    assert all(answer.status_int >= 400 for answer in answers)


def test_markup_in_a_title_is_text(browser: Browser) -> None:
    title = "</script><script>alert(1)</script>"
    link = {"id": "x", "title": title, "description": title}
    page = browser.launch("zoe", claims={lti("resource_link"): link})
    assert "<script>alert" not in page.text


def test_an_unknown_platform_is_told_in_words(browser: Browser) -> None:
    params = browser.campus.initiation("zoe") | {"iss": "https://other.example"}
    answer = browser.app.get("/login", params=params, status=400)
    assert "not connected yet" in answer
    assert "platform add" in answer


def test_an_error_of_the_platform_becomes_a_page(browser: Browser) -> None:
    """lti.md 6."""
    asked = browser.login("zoe")
    form = {"state": asked["state"], "error": "login_required", "error_description": "<b>nobody</b>"}
    answer = browser.app.post("/launch", form, status=403)
    assert "log in" in answer
    assert "<b>nobody" not in answer


@pytest.mark.parametrize("missing", ["deployment_id", "resource_link", "roles", "message_type", "version"])
def test_a_message_without_a_claim_is_refused(browser: Browser, missing: str) -> None:
    form = browser.message("zoe", without=(lti(missing),))
    answer = browser.app.post("/launch", form, status=403)
    assert re.search(r"Code\s*<code>message\.", answer.text)


def test_an_expired_message_is_refused(browser: Browser) -> None:
    form = browser.message("zoe", claims={"exp": 1000, "iat": 900})
    assert "too old" in browser.app.post("/launch", form, status=403)


def test_the_status_is_what_the_contract_says(browser: Browser) -> None:
    page = browser.launch("nora")
    told = browser.status(page)
    assert {"state", "step", "progress", "position", "url", "error"} <= set(told)
    assert told["state"] == "queued"
    assert told["position"] == 1
    embedded = re.search(r'<script type="application/json" id="status">(.*?)</script>', page.text, re.DOTALL)
    assert embedded
    assert json.loads(embedded[1])["state"] == "queued"


def test_a_teachers_title_reaches_the_students(browser: Browser, another_browser: Browser) -> None:
    title = browser.campus.link().title
    assert title in browser.launch("nora")
    assert title in another_browser.launch("zoe")


def test_the_tool_publishes_its_public_keys_only(browser: Browser) -> None:
    """lti.md 36."""
    keys = browser.app.get("/.well-known/jwks.json", status=200).json["keys"]
    assert keys
    for key in keys:
        assert set(key) == {"kty", "n", "e", "kid", "alg", "use"}


def test_canvas_is_told_how_to_install_the_tool(browser: Browser) -> None:
    """lti.md 37."""
    told = browser.app.get("/.well-known/canvas.json", status=200).json
    assert told["oidc_initiation_url"] == "https://tool.example/login"
    assert told["target_link_uri"] == "https://tool.example/launch"


def test_nothing_of_the_tool_is_on_a_notebook_host(browser: Browser) -> None:
    host = {"HTTP_HOST": f"{'a' * 32}.notebooks.example"}
    for path in ("/login", "/.well-known/jwks.json", "/readyz", "/metrics", "/gate"):
        answer = browser.app.get(path, extra_environ=host, status=403)
        assert "course" in answer
