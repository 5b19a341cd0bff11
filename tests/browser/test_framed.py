"""Launches in campus' frame by a browser that keeps none of our cookies there."""

from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Request, expect

from tests.browser.people import LOADED, Visitor, Workbench
from tests.campus.course import Link
from tests.stack import Stack

Visit = Callable[..., Visitor]


def test_where_the_platform_keeps_nothing_either_it_opens_in_a_tab(
    visit_without_cookies: Visit, exercise: Link
) -> None:
    """lti.md 24."""
    zoe = visit_without_cookies("zoe")
    zoe.open_course()
    zoe.page.get_by_role("link", name=f"Open {exercise.title}", exact=True).click()
    frame = zoe.page.frame_locator("#tool")
    button = frame.get_by_role("button", name="Open in a new tab")
    expect(button).to_be_visible(timeout=LOADED)
    expect(frame.locator("#announcer")).to_have_text("Open it in a new tab")
    with zoe.context.expect_page() as opened:
        button.click()
    bench = Workbench(opened.value, opened.value)
    bench.open().open_notebook("First.ipynb").run("six times seven is 42")
    bench.submit()
    expect(frame.get_by_role("heading")).to_have_text("It is open in a new tab")
    assert opened.value.evaluate("window.opener") is None
    assert "ticket" not in opened.value.url


@pytest.fixture(params=["_parent", "storage_frame"])
def storage(request: pytest.FixtureRequest, stack: Stack) -> Iterator[str]:
    """campus keeps data for tools: its own page does, or a frame beside the tool's.

    The tool's page then asks campus for the message, and campus knows who that is all the same.
    """
    registry = stack.campus.registry
    registry.register(registry.state, storage=request.param, cookie_samesite="None")
    yield request.param
    registry.register(registry.state, storage="", cookie_samesite="Lax")


def test_where_the_platform_keeps_the_secret_the_workbench_opens_in_its_frame(
    visit_without_cookies: Visit, exercise: Link, storage: str
) -> None:
    """lti.md 23: no cookie of ours is kept there; the notebook, which needs one, opens in a tab."""
    zoe = visit_without_cookies("zoe")
    bench = zoe.launch(exercise)
    open_it = bench.panel.get_by_role("button", name="Open in a new tab")
    expect(open_it).to_be_visible(timeout=LOADED)
    assert not [cookie for cookie in zoe.context.cookies() if "ipylti" in cookie["name"]]
    with zoe.context.expect_page() as opened:
        open_it.click()
    tab = Workbench(opened.value, opened.value)
    tab.open().open_notebook("First.ipynb").run("six times seven is 42")
    tab.submit()
    expect(bench.facts).to_contain_text("Handed in at", timeout=LOADED)
    assert "ticket" not in opened.value.url


#: Has this page's frame post what another browser's was about to.
REPLAY = """([address, fields]) => {
  const frame = document.createElement("iframe");
  frame.name = frame.id = "stolen";
  document.body.append(frame);
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action: address, target: "stolen" });
  for (const [name, value] of fields) {
    const field = document.createElement("input");
    Object.assign(field, { name, value, type: "hidden" });
    form.append(field);
  }
  document.body.append(form);
  form.submit();
}"""


def test_what_one_browser_began_is_not_finished_in_another(
    visit_without_cookies: Visit, exercise: Link, storage: str
) -> None:
    """lti.md 23: the platform's page of the other browser keeps nothing of it."""
    zoe, layla = visit_without_cookies("zoe"), visit_without_cookies("layla")
    zoe.open_course()
    with zoe.context.expect_event("request", is_launch) as posted:
        zoe.context.route("**/launch", lambda route: route.abort())
        zoe.page.get_by_role("link", name=f"Open {exercise.title}", exact=True).click()
    layla.open_course()
    layla.page.evaluate(REPLAY, [posted.value.url, parse_qsl(posted.value.post_data or "")])
    stolen = layla.page.frame_locator("#stolen")
    expect(stolen.get_by_role("heading")).to_have_text("This launch can't be used", timeout=LOADED)
    zoe.complaints.clear()


def is_launch(request: Request) -> bool:
    return request.method == "POST" and urlsplit(request.url).path == "/launch"
