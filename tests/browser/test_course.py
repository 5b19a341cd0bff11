"""The main job: a teacher builds, students take and submit, in campus' frame, third-party cookies blocked."""

import json
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import build
from tests.browser.people import LOADED, Visitor
from tests.campus.course import Link
from tests.stack import Stack

Visit = Callable[..., Visitor]

MAKE_HINTS = "open('.hints', 'w').write('count from nought'); print('hints are there')"
SUM = "print('the sum is', sum(range(1, 101)))"


def test_a_teacher_builds_and_students_take_and_submit(stack: Stack, visit: Visit, link: Link) -> None:
    nora = visit("nora")
    lab = nora.launch(link).open()
    lab.new_folder("measurements")
    notebook = lab.new_notebook("Sums.ipynb")
    notebook.write(MAKE_HINTS)
    notebook.run("hints are there")
    notebook.write(SUM)
    notebook.save()

    zoe, layla = visit("zoe"), visit("layla")
    benches = {visitor: visitor.launch(link) for visitor in (zoe, layla)}
    notebooks = {}
    for visitor, bench in benches.items():
        lab = bench.open()
        expect(lab.file("measurements")).to_be_visible()
        notebooks[visitor] = lab.open_notebook("Sums.ipynb")
    for visitor, notebook in notebooks.items():
        notebook.run("the sum is 5050")
        assert visitor.kernel_channels()
        notebook.add(f"# {visitor.login} typed this and did not save it")
    for bench in benches.values():
        bench.submit_button.click()
    for visitor, bench in benches.items():
        expect(bench.facts).to_contain_text("Handed in at")
        expect(bench.facts).to_contain_text("Your course has it.")
        files = submitted(stack, bench.workspace)
        assert f"{visitor.login} typed this" in str(files["Sums.ipynb"])
        assert files[".hints"] == "count from nought"
        assert files["measurements"] is None

    column = nora.grades(link)
    told = {"Zoë Müller": "Handed in", "ليلى حداد": "Handed in", "Sam Okafor": "Nothing yet"}
    for name, words in told.items():
        row = column.get_by_role("row").filter(has=nora.page.get_by_role("rowheader", name=name))
        expect(row).to_contain_text(words)


def test_who_comes_back_finds_their_work_and_who_is_new_gets_what_the_teacher_changed(
    stack: Stack, visit: Visit, exercise: Link
) -> None:
    bench = visit("zoe").launch(exercise)
    notebook = bench.open().open_notebook("First.ipynb")
    notebook.add("# mine, and saved")
    notebook.save()
    build(stack, exercise, "print('second edition')")
    stack.stop_server(bench.workspace)

    lab = visit("zoe").launch(exercise).open()
    again = lab.open_notebook("First.ipynb")
    expect(again.panel).to_contain_text("# mine, and saved", timeout=LOADED)
    expect(again.panel).to_contain_text("six times seven")
    expect(again.panel).not_to_contain_text("second edition")

    new = visit("sam").launch(exercise).open().open_notebook("First.ipynb")
    new.run("second edition")
    expect(new.panel).not_to_contain_text("six times seven")


def submitted(stack: Stack, workspace: str, number: int = 1) -> dict[str, str | None]:
    """Return what is in a submission: path -> text, None for a folder."""
    program = (
        "import json, pathlib; "
        "print(json.dumps({str(path): path.read_text() if path.is_file() else None "
        "for path in pathlib.Path('.').rglob('*')}))"
    )
    return dict(json.loads(stack.on_volume(f"ipylti-submission-{workspace}-{number}", program)))
