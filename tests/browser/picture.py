"""Take the picture of the workbench that README.md shows, from a running demo.

    python -m tests.browser.picture [--campus http://campus.localhost:8001] FILE.png

The teacher gets a small notebook into the first assignment, a student runs it and hands it in.
"""

import argparse
from datetime import UTC, datetime

from playwright.sync_api import expect

from tests.browser.people import LOADED, SOON, Lab, Visitor, Workbench
from tests.campus.course import Link, first_links
from tests.chrome import chromium

NAME = "First steps.ipynb"

WELCOME = """# First steps in Python

Run each cell with **Shift + Enter**. Change something, and run it again."""

DAYLIGHT = """hours = {"Jan": 7, "Mar": 12, "May": 17, "Jun": 19, "Sep": 13, "Nov": 8}

for month, light in hours.items():
    print(month, "━" * light, light)"""

TASK = """## Your turn

In which month is the day longest? Let Python find it in the *table*."""

ANSWER = "max(hours, key=hours.get)"

CELLS = [("markdown", WELCOME), ("code", DAYLIGHT), ("markdown", TASK), ("code", ANSWER)]

#: Saves what Jupyter's contents API calls a model.
SAVE = """async ({ path, model }) => {
  const options = { method: "PUT", body: JSON.stringify(model) };
  const answer = await fetch(`/api/contents/${encodeURIComponent(path)}`, options);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
}"""


def notebook() -> dict[str, object]:
    """Return the notebook, nothing in it run yet."""
    cells: list[dict[str, object]] = [
        {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text}
        | ({"outputs": [], "execution_count": None} if kind == "code" else {})
        for number, (kind, text) in enumerate(CELLS)
    ]
    python = {"name": "python3", "language": "python", "display_name": "Python 3 (ipykernel)"}
    return {"cells": cells, "metadata": {"kernelspec": python}, "nbformat": 4, "nbformat_minor": 5}


def save(lab: Lab, path: str, **model: object) -> None:
    """Save something into the workspace that a JupyterLab shows."""
    lab.files.evaluate(f"(_, what) => ({SAVE})(what)", {"path": path, "model": model})


def build(bench: Workbench) -> Lab:
    """Put the assignment's files into a workspace."""
    lab = bench.open()
    save(lab, NAME, type="notebook", content=notebook())
    save(lab, "measurements", type="directory")
    save(lab, "notes.md", type="file", format="text", content="Where do the numbers come from?\n")
    return lab


def work(bench: Workbench) -> None:
    """Run the notebook and hand it in."""
    lab = build(bench)  # again, for a student who started before there was this notebook
    lab.root.get_by_title("Refresh the file browser.").click()
    opened = lab.open_notebook(NAME)
    lab.root.get_by_role("menuitem", name="Run", exact=True).click()
    lab.root.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(opened.cells.last.locator(".jp-OutputArea-output")).to_contain_text("Jun", timeout=LOADED)
    launcher = lab.root.locator(".lm-DockPanel-tabBar .lm-TabBar-tab").filter(has_text="Launcher")
    for _ in range(launcher.count()):
        launcher.first.locator(".lm-TabBar-tabCloseIcon").click()
    if bench.facts.get_attribute("data-state") == "none":
        bench.submit()
    expect(bench.facts).to_contain_text("Your course has it.")
    opened.panel.locator(".jp-WindowedPanel-outer").evaluate("element => { element.scrollTop = 0; }")
    status = lab.root.locator("#jp-main-statusbar")
    status.hover()
    expect(status).not_to_contain_text("Saving")


def main() -> None:
    """Take the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--campus", default="http://campus.localhost:8001", help="campus' address")
    parser.add_argument("file", help="where the picture goes")
    given = parser.parse_args()
    expect.set_options(timeout=SOON)
    link: Link = first_links(datetime.now(UTC))[0]
    with chromium() as browser:
        build(Visitor(browser.new_context(), given.campus, "nora").launch(link))
        zoe = Visitor(
            browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB"), given.campus, "zoe"
        )
        work(zoe.launch(link))
        zoe.page.screenshot(path=given.file)


if __name__ == "__main__":
    main()
