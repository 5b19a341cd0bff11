"""What an assignment's notebooks may use: chosen by its teacher, within what the ini allows."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models
from ipylti.servers.spawner import Limits
from ipylti.volatile import State
from tests.functional.background import Background
from tests.functional.browser import TOOL, Browser, path_of
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite


@pytest.fixture
def ini(ini: dict[str, str]) -> dict[str, str]:
    """The settings of an administrator who lets teachers choose."""
    return ini | {
        "ipylti.images": "localhost/r:1  memory=3g pids=64  R",
        "ipylti.max_memory": "4g",
        "ipylti.max_cpus": "2",
    }


def launch_of(page: Any) -> str:
    return path_of(page).rpartition("/")[2]


def chosen(db: Session) -> list[tuple[int | None, float | None]]:
    db.rollback()
    return [(each.memory, each.cpus) for each in db.scalars(sa.select(models.Assignment))]


def test_a_teacher_chooses_and_the_next_server_has_it(
    browser: Browser, db: Session, background: Background
) -> None:
    workbench = browser.launch("nora")
    page = workbench.click("Memory")
    form = page.forms["limits"]
    assert [words for *_, words in form["cpus"].options] == [
        "as usual: 1 core",
        "0.5 cores",
        "1 core",
        "2 cores",
    ]
    form["memory"], form["cpus"] = str(2 << 30), "0.5"
    saved = form.submit(headers={"Origin": TOOL}).follow()
    assert "Saved" in saved
    assert saved.forms["limits"]["memory"].value == str(2 << 30)
    assert chosen(db) == [(2 << 30, 0.5)]
    background.work()
    (spec,) = background.containers.specs.values()
    assert spec.limits == Limits(2 << 30, 0.5, 512)
    form = saved.forms["limits"]
    form["memory"] = form["cpus"] = ""
    form.submit(headers={"Origin": TOOL})
    assert chosen(db) == [(None, None)]


def test_no_more_than_the_ini_allows(browser: Browser, db: Session) -> None:
    page = browser.app.get(f"{path_of(browser.launch('nora'))}/limits")
    for name, value in (("memory", str(64 << 30)), ("memory", "-1"), ("cpus", "64"), ("cpus", "nan")):
        form = page.forms["limits"]
        form[name].force_value(value)
        answer = form.submit(headers={"Origin": TOOL}, status=400)
        assert "Choose one of the amounts in the list." in answer
        form[name].force_value("")
    assert chosen(db) == [(None, None)]


def test_students_choose_nothing(browser: Browser, db: Session) -> None:
    workbench = browser.launch("zoe")
    assert "/limits" not in workbench
    token = workbench.forms["submit-form"]["csrf_token"].value
    path = f"{path_of(workbench)}/limits"
    browser.app.get(path, status=403)
    fields = {"csrf_token": token, "memory": str(1 << 30)}
    browser.app.post(f"{path}/save", fields, headers={"Origin": TOOL}, status=403)
    assert chosen(db) == [(None, None)]


def test_a_page_of_another_site_saves_nothing(browser: Browser, db: Session) -> None:
    form = browser.app.get(f"{path_of(browser.launch('nora'))}/limits").forms["limits"]
    form["memory"] = str(1 << 30)
    form.submit(headers={"Origin": "https://evil.example"}, status=400)
    form["csrf_token"] = "guessed"
    form.submit(headers={"Origin": TOOL}, status=400)
    assert chosen(db) == [(None, None)]


@pytest.mark.parametrize(
    ("image", "state", "error"),
    [("localhost/r:1", State.READY, ""), ("docker.io/evil", State.FAILED, "server.image_refused")],
)
def test_a_server_is_made_of_a_listed_image_only(
    browser: Browser,
    sessions: sessionmaker[Session],
    background: Background,
    image: str,
    state: State,
    error: str,
) -> None:
    """The administrator may have taken it off the list after it was chosen."""
    workbench = browser.launch("nora")
    with sessions.begin() as db:
        db.execute(sa.update(models.Assignment).values(image=image))
    background.work()
    with sessions() as db:
        workspace = db.get_one(models.Launch, launch_of(workbench)).workspace_id
    progress = background.servers.board.read(workspace)
    assert (progress.state, progress.error) == (state, error)
    assert [spec.limits for spec in background.containers.specs.values()] == (
        [Limits(3 << 30, 1.0, 64)] if state is State.READY else []
    )
    if error:
        assert "not offered any more" in browser.status(workbench)["error"]["message"]
