"""In Chromium, without notebooks: the pages that administrators and teachers meet on the way to one.

Each is looked at in the light and in the dark, as large as a screen and as small as a phone, by axe, too.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa
from playwright.sync_api import Browser, Frame, Page, expect
from sqlalchemy.orm import Session, sessionmaker
from waitress.server import create_server

import ipylti
from ipylti import models
from ipylti.invitations import Invitations
from ipylti.lti import keys
from tests.browser.test_pages import AXE, DESK, PHONE, SCHEMES, findings, overflow
from tests.campus import Campus, Config
from tests.campus.families import MOODLE
from tests.chrome import without_cookies
from tests.functional.conftest import connect, ini_for, on_sqlite, shallow
from tests.parts import free_port

pytestmark = on_sqlite

#: Notes what stands on the button that copies: after two seconds it is what it was.
LABELS = """
window.labels = [];
const button = document.querySelector(".copy");
new MutationObserver(() => labels.push(button.textContent)).observe(button, { childList: true });
"""


class Tool:
    """The tool as browsers reach it, on a port of its own."""

    def __init__(self, url: str, sessions: sessionmaker[Session]) -> None:
        self.url = url
        self.sessions = sessions

    def invite(self) -> str:
        """Return an invitation's address."""
        with self.sessions.begin() as db:
            return f"{self.url}/register?token={Invitations(db).make(models.now(), timedelta(days=1))}"


@pytest.fixture
def tool(database_url: str, redis_url: str, compiled: Path) -> Iterator[Tool]:
    redis.Redis.from_url(redis_url).flushall()
    port = free_port()
    url = f"http://tool.localhost:{port}"
    changes = {
        "ipylti.url": url,
        "ipylti.notebook_domain": "notebooks.localhost",
        "ipylti.notebook_scheme": "http",
        "ipylti.notebook_port": str(port),
    }
    app = shallow(ipylti.main, {}, **ini_for(database_url, redis_url, compiled) | changes)
    services = app.registry["ipylti.services"]
    server = create_server(app, host="127.0.0.1", port=port, threads=4)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield Tool(url, services.sessions)
    server.close()
    thread.join()
    services.engine.dispose()


@pytest.fixture
def campus(tool: Tool, platform_key: rsa.RSAPrivateKey, tool_key: keys.ToolKey) -> Iterator[Campus]:
    """A platform that behaves as Moodle does, and knows no tool."""
    published = keys.public_jwks([tool_key], models.now())
    config = Config(
        base_url="http://campus.localhost:{port}",
        registered=False,
        behaviour=MOODLE,
        tool_url=tool.url,
        tool_jwks=lambda: published,
        custom={},
    )
    with shallow(Campus, config, platform_key) as made:
        yield made


@pytest.fixture
def sit_down(chrome: Browser) -> Iterator[Callable[[], Page]]:
    """Lets somebody sit down in front of a new browser."""
    contexts = []

    def opened() -> Page:
        contexts.append(chrome.new_context(viewport=DESK, locale="en-GB"))
        return contexts[-1].new_page()

    yield opened
    for context in contexts:
        context.close()


def look_at(page: Page, shown: Page | Frame, title: str) -> None:
    """See a page of the tool, which may stand in a frame of `page`."""
    expect(shown.get_by_role("heading", level=1, name=title)).to_be_visible()
    shown.evaluate(AXE.read_text())
    for viewport, scheme in itertools.product((PHONE, DESK), SCHEMES):
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert overflow(shown) == 0, (title, viewport)
        assert findings(shown) == [], (title, viewport, scheme)


def framed(page: Page, tool: Tool) -> Frame:
    """Return the tool's frame in campus' page."""
    page.frame_locator("#tool").locator("h1:visible").first.wait_for()
    return next(frame for frame in page.frames if frame.url.startswith(tool.url))


def test_from_the_invitation_to_the_assignment(
    tool: Tool, campus: Campus, sit_down: Callable[[], Page], chrome: Browser, tmp_path: Path
) -> None:
    """lti.md 24, 25 and 35: each page on the way, and those beside it."""
    ada = sit_down()
    ada.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=tool.url)
    invitation = tool.invite()
    ada.goto(invitation)
    look_at(ada, ada, "Connect your platform")
    ada.evaluate(LABELS)
    ada.get_by_role("button", name="Copy").click()
    expect(ada.locator("#announcer")).to_have_text("Copied")
    assert ada.evaluate("labels")[0] == "Copied"
    assert ada.evaluate("navigator.clipboard.readText()") == invitation
    ada.goto(f"{campus.url}/tools?as=ada")
    ada.get_by_label("Register a tool").fill(invitation)
    ada.get_by_role("button", name="Register").click()
    look_at(ada, framed(ada, tool), "The tool is registered")
    framed(ada, tool).get_by_role("button", name="Close").click()
    ada.get_by_role("button", name="Activate").click()
    expect(ada.get_by_role("button", name="Activate")).to_have_count(0)
    ada.goto(f"{invitation}&openid_configuration={campus.config.openid_configuration_url}")
    look_at(ada, ada, "This invitation was used")

    nora = sit_down()
    nora.goto(f"{campus.url}/course?as=nora")
    nora.get_by_role("link", name="Add an activity").click()
    choosing = framed(nora, tool)
    expect(choosing.get_by_label("Title")).to_have_value("")
    choosing.get_by_label("Points").fill("-3")
    choosing.get_by_label("Title").fill("Rain")
    choosing.evaluate("document.forms[0].noValidate = true")
    choosing.get_by_role("button", name="Add to the course").click()
    expect(choosing.get_by_text("Give points above 0")).to_be_visible()
    look_at(nora, choosing, "Add an assignment")
    choosing.get_by_label("Points").fill("20")
    choosing.get_by_role("button", name="Add to the course").click()
    expect(nora.get_by_role("status").filter(has_text="Rain")).to_be_visible()

    in_a_browser_without_cookies(tool, campus, chrome, tmp_path)
    in_a_place_that_is_not_known(tool, nora, campus)


#: Has a page take longer for the first message of each kind than the tool waits for an answer.
BUSY = """
const late = new Set();
window.addEventListener("message", ({ data }) => {
  if (!/^lti[.](put|get)_data$/.test(data?.subject) || late.has(data.subject)) return;
  late.add(data.subject);
  for (const until = Date.now() + 2500; Date.now() < until; );
});
"""


def test_a_platform_whose_page_is_busy_keeps_the_secret_all_the_same(
    tool: Tool, platform_key: rsa.RSAPrivateKey, chrome: Browser, tmp_path: Path
) -> None:
    """lti.md 23: asked what it can do, it says so a little later, and is asked to do it once more."""
    config = Config(
        base_url="http://campus.localhost:{port}",
        tool_url=tool.url,
        client_id="client",
        storage="_parent",
        cookie_samesite="None",
    )
    with shallow(Campus, config, platform_key) as campus:
        connect(tool.sessions, campus)
        made = without_cookies(chrome, tmp_path, "tool.localhost", "campus.localhost", viewport=DESK)
        with made as context:
            context.add_init_script(BUSY)
            zoe = context.new_page()
            zoe.goto(f"{campus.url}/course?as=zoe")
            zoe.get_by_role("link", name=f"Open {campus.link().title}", exact=True).click()
            expect(zoe.frame_locator("#tool").locator("#workbench")).to_be_visible()


def in_a_browser_without_cookies(tool: Tool, campus: Campus, chrome: Browser, folder: Path) -> None:
    """The page that offers a tab."""
    with without_cookies(chrome, folder, "tool.localhost", "campus.localhost", viewport=DESK) as context:
        zoe = context.new_page()
        zoe.goto(f"{campus.url}/course?as=zoe")
        zoe.get_by_role("link", name="Open Rain", exact=True).click()
        look_at(zoe, framed(zoe, tool), "Open it in a new tab")


def in_a_place_that_is_not_known(tool: Tool, nora: Page, campus: Campus) -> None:
    """The page with a line for the shell."""
    with tool.sessions.begin() as db:
        db.scalars(sa.select(models.Deployment)).one().deployment_id = "elsewhere"
    nora.goto(f"{campus.url}/course?as=nora")
    nora.get_by_role("link", name="Open Rain", exact=True).click()
    page = framed(nora, tool)
    look_at(nora, page, "This course is not connected yet")
    expect(page.locator(".command code")).to_contain_text("ipylti deployment add")
    expect(page.get_by_role("button", name="Copy")).to_be_visible()
