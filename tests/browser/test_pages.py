"""The pages themselves: by keyboard, to the ear, on a phone, in the dark, from right to left."""

import itertools
import re
from collections.abc import Callable
from importlib import resources
from typing import Literal

from playwright.sync_api import Frame, Page, ViewportSize, expect

from tests.browser.conftest import add_link
from tests.browser.people import Visitor, Workbench
from tests.campus.course import Link
from tests.stack import Stack

Visit = Callable[..., Visitor]

DESK: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
SCHEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")

#: What WCAG 2.2 AA asks for as far as machines can tell, and what is good practice.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

#: axe, which a page loads before it is looked at.
AXE = resources.files("axe_playwright_python").joinpath("axe.min.js")

#: Key presses from the notebook back to Submit, at most.
PRESSES = 200


def findings(page: Page | Frame) -> list[str]:
    """Return what axe, which the page has loaded, finds in it; the frames in it are left out."""
    told = page.evaluate("rules => axe.run({ iframes: false, runOnly: rules })", RULES)
    return [
        f"{violation['id']}: {node['html']} ({node['failureSummary']})"
        for violation in told["violations"]
        for node in violation["nodes"]
    ]


def overflow(frame: Page | Frame) -> int:
    """Return by how many pixels a page is wider than its window."""
    return int(frame.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def brightness(frame: Page | Frame) -> float:
    """Return how bright the ground of a page is, from 0 to 255."""
    colour = frame.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    return float(sum(colour[:3]) / 3)


def in_focus(bench: Workbench) -> str:
    """Return the id of what has the focus on the workbench."""
    return str(bench.frame.evaluate("document.hasFocus() ? document.activeElement.id : ''"))


def test_by_keyboard_and_by_ear(visit: Visit, exercise: Link) -> None:
    zoe = visit("zoe")
    zoe.open_course()
    zoe.page.get_by_role("link", name=f"Open {exercise.title}").press("Enter")
    bench = Workbench(zoe.page, zoe.page.frame_locator("#tool"))
    bench.open()
    for _ in range(PRESSES):
        if in_focus(bench) == "submit":
            break
        zoe.page.keyboard.press("Shift+Tab")
    expect(bench.submit_button).to_be_focused()
    zoe.page.keyboard.press("Enter")
    expect(bench.facts).to_contain_text("Your course has it.")
    heard = bench.heard()
    told = [text for text in heard if text in ("Opening your notebook…", "Your notebook is open.", "Saving…")]
    assert told[-2:] == ["Your notebook is open.", "Saving…"]
    # A page whose server was there at once says so itself.
    assert told[:-2] in ([], ["Opening your notebook…"])
    assert heard[-1].startswith("Handed in at")
    assert heard[-1].endswith("Your course has it.")
    expect(bench.submit_button).to_be_focused()

    zoe.page.keyboard.press("Enter")
    asked = bench.root.get_by_role("dialog", name="Hand in now?")
    expect(asked).to_contain_text("You have handed in before.")
    zoe.page.keyboard.press("Escape")
    expect(asked).to_be_hidden()
    expect(bench.submit_button).to_be_focused()


def test_a_phone_shows_everything_without_scrolling_sideways_by_day_and_by_night(
    visit: Visit, exercise: Link
) -> None:
    zoe = visit("zoe", viewport=PHONE, has_touch=True, is_mobile=True)
    bench = zoe.launch(exercise)
    bench.open()
    for control in (bench.submit_button, bench.button("Open in a new tab"), bench.root.get_by_text("Close")):
        expect(control).to_be_in_viewport(ratio=1)
    for page in (zoe.page, bench.frame):
        assert overflow(page) <= 0
    for scheme in SCHEMES:
        zoe.page.emulate_media(color_scheme=scheme)
        for page in (zoe.page, bench.frame):
            assert (brightness(page) < 60) == (scheme == "dark")


def test_axe_finds_nothing(stack: Stack, visit: Visit, link: Link) -> None:
    sam = visit("sam")
    bench = sam.launch(link)
    expect(bench.heading).to_have_text("Your teacher hasn't saved anything yet")
    front, nowhere = sam.context.new_page(), sam.context.new_page()
    front.goto(stack.tool_url)
    nowhere.goto(f"{stack.tool_url}/nowhere")
    for shown, page in ((sam.page, bench.frame), (sam.page, sam.page), (front, front), (nowhere, nowhere)):
        page.evaluate(AXE.read_text())
        for viewport, scheme in itertools.product((DESK, PHONE), SCHEMES):
            shown.set_viewport_size(viewport)
            shown.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert findings(page) == [], (page.url, viewport, scheme)
    sam.complaints.clear()  # that there is nothing at /nowhere


def test_a_title_in_arabic_stands_from_right_to_left_within_the_page(stack: Stack, visit: Visit) -> None:
    link = add_link(stack, "الحلقات والقوائم", "اكتب دالة تجمع الأعداد من 1 إلى 100.")
    layla = visit("layla", locale="ar")
    bench = layla.launch(link)
    expect(bench.root.get_by_role("heading", level=1)).to_have_text(link.title)
    bench.root.get_by_text("About").click()
    about = bench.root.get_by_text(link.description)
    expect(about).to_have_css("direction", "rtl")
    expect(about).to_be_in_viewport(ratio=1)
    button, text = bench.root.locator("summary").bounding_box(), about.bounding_box()
    assert button and text
    assert text["x"] < button["x"] < text["x"] + text["width"], "it opens below its button"
    for page in (layla.page, bench.frame):
        assert overflow(page) <= 0


def test_the_teachers_page_of_submissions(stack: Stack, visit: Visit, exercise: Link) -> None:
    """What stands there, by links, to axe, and on a phone."""
    for login in ("zoe", "layla"):
        bench = visit(login).launch(exercise)
        bench.open()
        bench.submit()
        expect(bench.facts).to_contain_text("Your course has it.")
    nora = visit("nora")
    nora.launch(exercise).root.get_by_role("link", name="Submissions").click()
    page = nora.page.frame_locator("#tool")
    expect(page.get_by_role("heading", level=1)).to_contain_text(exercise.title)
    expect(page.get_by_text("2 of 3 handed in.")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="Sam Okafor")).to_contain_text("Not opened yet")
    row = page.get_by_role("row").filter(has_text="Zoë Müller")
    expect(row).to_contain_text("Your course has it.")
    look_at(nora.page, r"/submissions$")

    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Zoë Müller")
    expect(page.get_by_role("row").filter(has_text="First.ipynb")).to_be_visible()
    look_at(nora.page, r"/submissions/[0-9]+$")
    page.get_by_role("link", name="All submissions").click()
    page.get_by_role("link", name="Back to the notebook").click()
    Workbench(nora.page, page).open()


def look_at(page: Page, path: str) -> None:
    """See what axe finds in the page that the tool's frame holds, and whether it fits a phone."""
    frame = next(frame for frame in page.frames if re.search(path, frame.url))
    frame.evaluate(AXE.read_text())
    assert findings(frame) == []
    page.set_viewport_size(PHONE)
    assert overflow(frame) == 0
    page.set_viewport_size(DESK)
