"""What the workbench shows while there is no notebook yet, or no more."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import build
from tests.browser.people import LOADED, Visitor
from tests.campus.course import Link
from tests.stack import Stack

Visit = Callable[..., Visitor]

STEPS = [
    "Waiting for a free place",
    "Copying your files",
    "Starting your notebook",
    "Loading JupyterLab",
    "Almost there",
]


def test_the_panel_shows_how_far_the_start_is(stack: Stack, visit: Visit, exercise: Link) -> None:
    zoe, layla = visit("zoe"), visit("layla")
    with stack.without_worker():
        first = zoe.launch(exercise)
        expect(first.heading).to_have_text("Starting your notebook")
        expect(first.step).to_contain_text("1st in the queue")
        second = layla.launch(exercise)
        expect(second.step).to_contain_text("2nd in the queue")
        expect(first.submit_button).to_be_disabled()
    for bench in (first, second):
        expect(bench.panel).to_be_hidden(timeout=LOADED)
        seen = bench.steps()
        assert seen == [step for step in STEPS if step in seen]
        assert seen[0] == STEPS[0]
        assert len(seen) > 1
        expect(bench.submit_button).to_be_enabled()


def test_who_is_too_early_waits_until_the_teacher_has_saved_something(
    stack: Stack, visit: Visit, link: Link
) -> None:
    zoe = visit("zoe")
    zoe.context.clock.install()
    bench = zoe.launch(link)
    expect(bench.heading).to_have_text("Your teacher hasn't saved anything yet")
    expect(bench.submit_button).to_be_disabled()

    zoe.context.clock.fast_forward("00:21")
    expect(bench.heading).to_have_text("Your teacher hasn't saved anything yet")

    build(stack, link)
    zoe.context.clock.fast_forward("00:21")
    expect(bench.open().file("First.ipynb")).to_be_visible()


def test_a_server_that_was_stopped_is_started_again_from_the_open_page(
    stack: Stack, visit: Visit, exercise: Link
) -> None:
    bench = visit("zoe").launch(exercise)
    bench.open()
    stack.stop_server(bench.workspace)
    bench.come_back()
    expect(bench.heading).to_have_text("Your notebook has stopped")
    expect(bench.button("Show what was open")).to_be_visible()

    bench.button("Start again").click()
    expect(bench.open().file("First.ipynb")).to_be_visible()
