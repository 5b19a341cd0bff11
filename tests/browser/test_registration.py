"""A platform is connected by an invitation alone, and a course goes on from there."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.people import LOADED, Visitor
from tests.browser.test_pages import overflow
from tests.campus import Campus, Config
from tests.campus.course import Link
from tests.campus.families import MOODLE
from tests.stack import Stack


@pytest.fixture(scope="module")
def platform(stack: Stack) -> Iterator[Campus]:
    """Another campus, which knows no tool, and behaves as Moodle does."""

    def published() -> dict[str, Any]:
        with urllib.request.urlopen(f"{stack.web_url}/.well-known/jwks.json", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    config = Config(
        base_url="http://127.0.0.1:{port}",
        registered=False,
        behaviour=MOODLE,
        tool_url=stack.tool_url,
        tool_jwks=published,
        custom={},
    )
    with Campus(config) as made:
        yield made


@pytest.fixture
def visit_platform(stack: Stack, chrome: Browser, platform: Campus) -> Iterator[Callable[[str], Visitor]]:
    """Lets somebody sit down in front of a new browser; their complaints fail the test."""
    visitors: list[Visitor] = []

    def sit_down(login: str) -> Visitor:
        context = chrome.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
        visitors.append(Visitor(context, platform.url, login))
        return visitors[-1]

    yield sit_down
    complaints = [complaint for visitor in visitors for complaint in visitor.complaints]
    for visitor in visitors:
        visitor.context.close()
    assert not complaints


def test_an_invitation_is_all_that_it_takes(
    stack: Stack, platform: Campus, visit_platform: Callable[[str], Visitor]
) -> None:
    """lti.md 35, and from there to the gradebook: nobody touches the platform or the tool otherwise."""
    url = stack.run("platform", "invite", str(stack.ini)).split()[0]
    ada = visit_platform("ada")
    ada.page.goto(f"{ada.campus}/tools?as=ada")
    ada.page.get_by_label("Register a tool").fill(url)
    ada.page.get_by_role("button", name="Register").click()
    page = ada.page.frame_locator("#tool")
    expect(page.get_by_role("heading", level=1)).to_have_text("The tool is registered")
    expect(page.get_by_text(platform.config.client_id)).to_be_visible()
    expect(page.get_by_role("heading", name="Still to do in your platform")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(ada.page.get_by_role("heading", name="Tools")).to_be_visible()
    ada.page.get_by_role("button", name="Activate").click()
    expect(ada.page.get_by_role("button", name="Activate")).to_have_count(0)

    nora = visit_platform("nora")
    nora.open_course()
    nora.page.get_by_role("link", name="Add an activity").click()
    chosen = nora.page.frame_locator("#tool")
    chosen.get_by_label("Title").fill("Rain")
    chosen.get_by_role("button", name="Add to the course").click()
    expect(nora.page.get_by_role("status").filter(has_text="Rain")).to_be_visible()
    link: Link = next(each for each in platform.course.links if each.title == "Rain")
    nora.launch(link).open().new_notebook("Rain.ipynb")

    zoe = visit_platform("zoe")
    bench = zoe.launch(link)
    expect(bench.open().file("Rain.ipynb")).to_be_visible(timeout=LOADED)
    bench.submit()
    expect(bench.facts).to_contain_text("Your course has it.")
    bench.root.get_by_role("link", name="Close").click()
    expect(zoe.page).to_have_url(f"{zoe.campus}/course")
    expect(zoe.grades(link)).to_contain_text("Handed in")


def test_an_invitation_that_is_opened_by_hand_says_where_it_belongs(
    stack: Stack, visit_platform: Callable[[str], Visitor]
) -> None:
    url = stack.run("platform", "invite", str(stack.ini)).split()[0]
    page = visit_platform("ada").page
    page.goto(url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Connect your platform")
    expect(page.get_by_text(url)).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    assert overflow(page) == 0
