"""What people are told when a part of the house is away, and how they go on once it is back."""

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.people import Visitor
from tests.campus.course import Link
from tests.stack import Stack

Visit = Callable[..., Visitor]

#: Milliseconds until the second try to tell campus has failed, and the third has not.
TRIES = 120_000


def test_without_podman_there_is_a_plain_sentence_and_a_way_on(
    stack: Stack, visit: Visit, exercise: Link
) -> None:
    zoe = visit("zoe")
    with stack.without("podman"):
        bench = zoe.launch(exercise)
        expect(bench.heading).to_have_text("Your notebook can't run just now")
        expect(bench.panel).to_contain_text("The notebook service is not answering at the moment.")
        expect(bench.panel).to_contain_text("Your files are safe")
        expect(bench.panel.locator(".code")).to_have_text("podman.down")
        expect(bench.panel.locator(".request")).not_to_be_empty()
    bench.button("Try again").click()
    expect(bench.open().file("First.ipynb")).to_be_visible()


def test_a_course_that_fails_to_take_the_hand_in_gets_it_later(
    stack: Stack, visit: Visit, exercise: Link
) -> None:
    zoe = visit("zoe")
    bench = zoe.launch(exercise)
    bench.open()
    stack.campus.fail_next("scores", 500, times=2)
    bench.submit()
    expect(bench.facts).to_contain_text("Your course hasn't got it yet; we keep trying.")
    expect(bench.facts).to_contain_text("Your course has it.", timeout=TRIES)
    expect(zoe.grades(exercise)).to_contain_text("Handed in")


def test_who_hands_in_when_the_session_has_ended_is_told_that_nothing_was(
    visit: Visit, exercise: Link
) -> None:
    """As in a tab that was left open overnight; the next look at the status does not take the words away."""
    zoe = visit("zoe")
    bench = zoe.launch_in_window(exercise)
    bench.open()
    notice = bench.root.locator("#notice")
    with bench.page.expect_response(re.compile(r"/launches/[^/]+/status")):
        zoe.context.clear_cookies()
        bench.submit_button.click()
        expect(notice).to_contain_text("Not handed in. Your visit here has ended")
    expect(notice).to_contain_text("Not handed in.")
    expect(bench.facts).to_contain_text("Not handed in yet.")
    zoe.complaints.clear()
