"""A notebook at which nobody works: what counts as work, the warning, and what is open then."""

import time
from collections.abc import Callable
from dataclasses import replace

from playwright.sync_api import Frame, Request, expect

from ipylti.volatile import Board, connect
from tests.browser.people import UNSAVED, Visitor
from tests.campus.course import Link
from tests.stack import Stack

Visit = Callable[..., Visitor]

#: When Jupyter last noted that somebody did something.
LAST = "fetch('/api/status?no_track_activity=1').then(r => r.json()).then(told => told.last_activity)"

#: What JupyterLab asks for by itself.
ASK = """async () => {
  await fetch('/api/kernels');
  await fetch(new Request('/api/sessions', { headers: { 'X-Any': '1' } }));
  const body = JSON.stringify({ data: {}, metadata: { id: 'default' } });
  const xsrf = document.cookie.match(/_xsrf=([^;]+)/)?.[1] ?? '';
  const headers = { 'X-XSRFToken': xsrf };
  return (await fetch('/lab/api/workspaces/default', { method: 'PUT', body, headers })).status;
}"""


def lab_frame(visitor: Visitor) -> Frame:
    return next(frame for frame in visitor.page.frames if "/lab" in frame.url)


def test_what_a_page_asks_for_that_nobody_touches_is_no_work(visit: Visit, exercise: Link) -> None:
    zoe = visit("zoe")
    sent: list[Request] = []
    zoe.page.on("request", lambda request: sent.append(request))
    lab = zoe.launch(exercise).open()
    frame = lab_frame(zoe)
    # Two minutes later; what was under way by then is noted.
    frame.evaluate("Date.now = (now => () => now() + 120_000)(Date.now.bind(Date))")
    for request in [each for each in sent if "/api/" in each.url]:
        request.response()
    before = frame.evaluate(LAST)
    assert frame.evaluate(ASK) in (200, 204)
    assert frame.evaluate(LAST) == before
    lab.file("First.ipynb").click()
    assert frame.evaluate(ASK) in (200, 204)
    assert frame.evaluate(LAST) > before


def test_people_are_warned_and_what_is_open_is_saved(stack: Stack, visit: Visit, exercise: Link) -> None:
    zoe = visit("zoe")
    bench = zoe.launch(exercise)
    notebook = bench.open().open_notebook("First.ipynb")
    notebook.add("x = 1")
    ending = bench.root.locator("#ending")
    expect(ending).to_be_hidden()
    # As the worker does, whose hour would be a little long here.
    board = Board(connect(stack.redis_url))
    with stack.without_worker():  # who looks each minute, and would take it back
        known = board.read(bench.workspace)
        board.write(bench.workspace, replace(known, ends_at=time.time() + 240))
        bench.come_back()
        expect(ending).to_contain_text("Nobody has worked here for a while: your notebook stops at")
    expect(notebook.tab).not_to_contain_class(UNSAVED)
    ending.get_by_role("button", name="Keep it awake").click()
    expect(ending).to_be_hidden()
    assert bench.heard()[-1] == "Your notebook stays awake."
    assert board.read(bench.workspace).ends_at == 0


def test_whatever_ends_a_server_what_is_open_is_saved_first(
    stack: Stack, visit: Visit, exercise: Link
) -> None:
    """Here an administrator in the shell; the workbench is not asked, only the notebook's own tabs are."""
    zoe = visit("zoe")
    bench = zoe.launch(exercise)
    notebook = bench.open().open_notebook("First.ipynb")
    notebook.add("saved_at_the_end = 1")
    expect(notebook.tab).to_contain_class(UNSAVED)
    stack.stop_server(bench.workspace)
    saved = stack.on_volume(f"ipylti-take-{bench.workspace}", "print(open('First.ipynb').read())")
    assert "saved_at_the_end = 1" in saved
