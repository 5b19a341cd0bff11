"""The notebook outside of campus' frame: in a tab, in a window of its own, and twice on one page."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from ipylti import models
from tests.browser.conftest import BARE_IMAGE, add_link, build
from tests.browser.people import LOADED, Lab, Visitor, Workbench
from tests.campus.course import Link
from tests.parts import wait_for
from tests.stack import Stack

Visit = Callable[..., Visitor]


#: Another's image: JupyterLab, but no extension of ours in it.
BARE = """
FROM {image}
USER root
RUN rm -r /opt/jupyter/share/jupyter/labextensions/ipylti
USER jovyan
LABEL io.ipylti.extension=
"""


@pytest.fixture
def bare_image(stack: Stack, tmp_path: Path) -> Iterator[str]:
    """An image without the extension."""
    recipe = tmp_path / "Containerfile"
    recipe.write_text(BARE.format(image=stack.settings.image))
    stack.podman("build", "--tag", BARE_IMAGE, "--file", str(recipe), str(tmp_path))
    yield BARE_IMAGE
    stack.podman("rmi", "--force", BARE_IMAGE)


def open_tab(visitor: Visitor, bench: Workbench) -> Page:
    """Press "Open in a new tab", and return the tab."""
    with visitor.context.expect_page() as opened:
        bench.button("Open in a new tab").click()
    return opened.value


def reload(page: Page) -> bool:
    """Reload a page, and return whether it is there again."""
    page.reload()
    return not page.get_by_text("Bad Gateway").is_visible()


def test_from_the_frame_the_notebook_opens_in_a_tab_and_wakes_there(
    stack: Stack, visit: Visit, exercise: Link
) -> None:
    zoe = visit("zoe")
    bench = zoe.launch(exercise)
    bench.open()
    tab = open_tab(zoe, bench)
    lab = Lab(tab, tab)
    lab.wait()
    lab.open_notebook("First.ipynb").run("six times seven is 42")
    assert tab.evaluate("window.opener") is None
    assert "ticket" not in tab.url

    bench.submit_button.click()
    asked = bench.root.get_by_role("dialog")
    expect(asked).to_contain_text("a tab of its own")
    asked.get_by_role("button", name="Submit").click()
    expect(bench.facts).to_contain_text("Handed in at")

    stack.stop_server(bench.workspace)
    with stack.without_worker():
        wait_for(lambda: reload(tab), "Traefik's news of the server's end", pause=1.0)
        expect(tab.get_by_role("heading", level=2)).to_have_text("Waking your notebook…")
        expect(tab.locator("#panel [aria-current=step]")).to_contain_text("1st in the queue")
    lab.wait()
    expect(lab.file("First.ipynb")).to_be_visible()


def test_a_launch_in_a_window_works_and_close_leads_back_to_the_course(visit: Visit, exercise: Link) -> None:
    zoe = visit("zoe")
    bench = zoe.launch_in_window(exercise)
    bench.open().open_notebook("First.ipynb").run("six times seven is 42")
    bench.submit()
    expect(bench.facts).to_contain_text("Your course has it.")

    bench.root.get_by_role("link", name="Close").click()
    expect(bench.page).to_have_url(f"{zoe.campus}/course")
    badge = bench.page.get_by_role("listitem").filter(has_text=exercise.title)
    expect(badge).to_contain_text("Handed in")


def test_close_in_the_frame_leads_the_whole_window_back_to_the_course(visit: Visit, link: Link) -> None:
    sam = visit("sam")
    sam.launch(link).root.get_by_role("link", name="Close").click()
    expect(sam.page).to_have_url(f"{sam.campus}/course")


def test_two_assignments_in_two_frames_of_one_page_both_work(stack: Stack, visit: Visit) -> None:
    links = [add_link(stack, title) for title in ("On the left", "On the right")]
    for link in links:
        build(stack, link, f"print('this is {link.title}')")
    zoe = visit("zoe", viewport={"width": 1800, "height": 900})
    zoe.open_course()
    style = "<style>iframe { width: 49%; height: 97vh }</style>"
    frames = (
        f'<iframe id="{link.id}" src="/course/open/{link.id}?target=iframe"></iframe>' for link in links
    )
    page = style + "".join(frames)
    both = f"{stack.campus.url}/course/both"
    zoe.page.route(both, lambda route: route.fulfill(body=page, content_type="text/html"))
    zoe.page.goto(both)
    benches = [Workbench(zoe.page, zoe.page.frame_locator(f"#{link.id}")) for link in links]
    for bench in benches:
        expect(bench.panel).to_be_hidden(timeout=LOADED)
    for bench, link in zip(benches, links, strict=True):
        bench.open().open_notebook("First.ipynb").run(f"this is {link.title}")
    for bench in benches:
        bench.submit()
    hosts = [urlsplit(url).hostname for url in zoe.kernel_channels()]
    assert len(set(hosts)) == len(links)


def test_a_notebook_without_the_extension_opens_in_a_tab_and_submit_says_to_save_first(
    stack: Stack, visit: Visit, exercise: Link, bare_image: str
) -> None:
    with stack.sessions.begin() as db:
        where = models.Assignment.title == exercise.title
        db.execute(sa.update(models.Assignment).where(where).values(image=bare_image))
    zoe = visit("zoe")
    bench = zoe.launch(exercise)
    expect(bench.heading).to_have_text("Your notebook is ready", timeout=LOADED)
    with zoe.context.expect_page() as opened:
        bench.panel.get_by_role("button", name="Open in a new tab").click()
    lab = Lab(opened.value, opened.value)
    lab.wait()
    notebook = lab.open_notebook("First.ipynb")
    notebook.add("# saved in the tab")
    notebook.save()

    bench.submit_button.click()
    asked = bench.root.get_by_role("dialog")
    expect(asked).to_contain_text("Save first: Ctrl+S")
    asked.get_by_role("button", name="Submit").click()
    expect(bench.facts).to_contain_text("Handed in at")
