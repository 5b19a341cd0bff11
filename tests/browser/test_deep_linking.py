"""A teacher adds an assignment from the course, builds it, and copies the course; students take it."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import build
from tests.browser.people import LOADED, Visitor, Workbench
from tests.campus.course import Link
from tests.stack import Stack

Visit = Callable[..., Visitor]


def choose(teacher: Visitor, title: str, **fields: str) -> None:
    """Add an activity, in campus' frame, with these fields of our page filled in."""
    teacher.open_course()
    teacher.page.get_by_role("link", name="Add an activity").click()
    page = teacher.page.frame_locator("#tool")
    expect(page.get_by_role("heading", level=1)).to_have_text("Add an assignment")
    page.get_by_label("Title").fill(title)
    for label, value in fields.items():
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Add to the course").click()
    expect(teacher.page.get_by_role("status").filter(has_text=title)).to_be_visible()


def the_link(stack: Stack, title: str) -> Link:
    """Return the newest link of this title."""
    return [link for link in stack.campus.course.links if link.title == title][-1]


def test_a_teacher_adds_an_assignment_and_students_take_it(stack: Stack, visit: Visit) -> None:
    title = "Chosen: rain & <sun>"
    nora = visit("nora", timezone_id="America/New_York")
    choose(nora, title, Points="12", Due="2031-05-01T20:00")
    link = the_link(stack, title)
    assert link.points == 12
    assert link.due is not None
    assert link.due.isoformat() == "2031-05-02T00:00:00+00:00"
    build(stack, link)
    zoe = visit("zoe")
    bench = zoe.launch(link)
    bench.open().open_notebook("First.ipynb").run("six times seven is 42")
    bench.submit()
    expect(bench.facts).to_contain_text("Your course has it.")
    expect(zoe.grades(link)).to_contain_text("Handed in")


def test_what_is_wrong_is_said_at_its_field(visit: Visit) -> None:
    nora = visit("nora")
    nora.complaints.append("expected")
    nora.open_course()
    nora.page.get_by_role("link", name="Add an activity").click()
    page = nora.page.frame_locator("#tool")
    page.get_by_label("Title").fill("Rain")
    page.get_by_label("Points").fill("-3")
    page.get_by_role("button", name="Add to the course").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Points")).to_be_focused()
    expect(page.get_by_label("Title")).to_have_value("Rain")
    page.get_by_role("button", name="Cancel").click()
    expect(nora.page.get_by_role("heading", level=1)).to_have_text("Introduction to Notebooks")
    # The browser itself notes that our answer was a 400.
    nora.complaints.clear()


@pytest.fixture
def chosen(stack: Stack, visit: Visit) -> Link:
    """An assignment that was added by Deep Linking, and built."""
    title = "To be copied"
    choose(visit("nora"), title)
    link = the_link(stack, title)
    build(stack, link)
    return link


def test_a_copied_course_has_the_teachers_files_and_nobodys_work(
    stack: Stack, visit: Visit, chosen: Link
) -> None:
    zoe = visit("zoe")
    lab = zoe.launch(chosen).open()
    lab.new_folder("mine")

    nora = visit("nora")
    nora.open_course()
    nora.page.get_by_role("button", name="Copy this course").click()
    expect(nora.page).to_have_url(re.compile("course="))
    for person in ("zoe", "nora"):
        visitor = visit(person)
        visitor.page.goto(f"{nora.page.url}&as={person}")
        lab = open_in(visitor.page, chosen.title).open()
        expect(lab.file("First.ipynb")).to_be_visible(timeout=LOADED)
        expect(lab.file("mine")).to_have_count(0)


def open_in(page: Page, title: str) -> Workbench:
    """Open an assignment of the course that a page shows."""
    page.get_by_role("link", name=f"Open {title}", exact=True).click()
    return Workbench(page, page.frame_locator("#tool"))
