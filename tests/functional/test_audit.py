"""Who did what to whose work, as the table and the log tell it."""

import json
import logging
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

import ipylti
from ipylti import audit, models, trace
from tests.functional.background import Background
from tests.functional.browser import Browser, Student, csrf_token, path_of
from tests.functional.conftest import on_sqlite
from tests.functional.test_cli import PLATFORM, ini_path, quiet, run, words

__all__ = ["ini_path", "quiet", "run"]

Entries = Callable[..., list[models.AuditEntry]]


@pytest.fixture
def entries(sessions: sessionmaker[Session]) -> Entries:
    """Reads the table."""

    def entries(**wanted: Any) -> list[models.AuditEntry]:
        with sessions() as db:
            return audit.find(db, limit=1000, **wanted)

    return entries


def test_every_act_stands_in_the_administrators_table() -> None:
    house = Path(ipylti.__file__).parent
    source = "\n".join(path.read_text() for path in house.rglob("*.py"))
    written = r"(?:\brecord|record_apart|_record|_write_down)\([^\")]*(?:\([^)]*\)[^\")]*)*\"(\w+ \w+)\""
    acts = set(re.findall(written, source))
    assert {"launch opened", "server stopped", "assignment limited", "data erased", "key rotated"} <= acts
    table = (house.parent / "docs" / "operations.md").read_text().partition("## Who did what")[2]
    told = set(re.findall(r"`(\w+ [\w…]+)`", table.partition("\n## ")[0]))
    assert {act for act in acts if act not in told and act.split()[0] + " …" not in told} == set()


def acts(found: list[models.AuditEntry]) -> list[str]:
    return [entry.action for entry in found]


def person_of(student: Student) -> int:
    with student.sessions() as db:
        return db.get_one(models.Launch, student.launch_id).person_id


def test_a_launch_and_a_submission(student: Student, entries: Entries) -> None:
    student.submit()
    launched, made = entries()
    assert (launched.action, made.action) == ("launch opened", "submission made")
    zoe = person_of(student)
    for entry in (launched, made):
        assert (entry.actor_kind, entry.actor, entry.person_id) == ("person", str(zoe), zoe)
        assert (entry.owner_id, entry.workspace_id) == (zoe, student.workspace_id)
        assert len(entry.request_id) == 16
    assert launched.details == {"launch": student.launch_id, "role": "student"}
    assert made.details == {"submission": student.submissions()[0], "number": 1}


@on_sqlite
def test_a_launch_that_is_refused_leaves_no_entry(browser: Browser, entries: Entries) -> None:
    form = browser.message("zoe") | {"id_token": "no.such.token"}
    browser.app.post("/launch", form, status=403)
    assert entries() == []


def look(browser: Browser, workbench: Any, submission: int, status: int = 200) -> Any:
    return browser.app.get(f"{path_of(workbench)}/submissions/{submission}", status=status)


def test_a_teacher_opens_a_students_submission(
    student: Student, another_browser: Browser, entries: Entries, background: Background
) -> None:
    student.submit()
    [submission] = student.submissions()
    page = another_browser.launch("nora")
    look(another_browser, page, submission)
    [opened] = entries(action="submission opened")
    assert opened.owner_id == person_of(student) != opened.person_id
    assert opened.details == {"submission": submission, "number": 1}
    assert "submission opened" in acts(entries(person=person_of(student)))


@on_sqlite
def test_who_looks_at_their_own_work_is_nobodys_business(student: Student, entries: Entries) -> None:
    student.submit()
    look(student.browser, student.page, student.submissions()[0])
    assert entries(action="submission opened") == []


@on_sqlite
def test_what_can_not_be_written_down_is_not_shown(
    student: Student, another_browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    student.submit()
    page = another_browser.launch("nora")

    def away(*_args: Any, **_details: Any) -> None:
        raise SQLAlchemyError("away")

    monkeypatch.setattr(audit, "record", away)
    answer = look(another_browser, page, student.submissions()[0], status=503)
    assert "submission-1" not in answer


@on_sqlite
def test_servers_start_and_stop_at_somebodys_wish(
    student: Student, background: Background, entries: Entries
) -> None:
    background.containers.files[f"ipylti-take-{student.workspace_id}"] = 1
    background.work()
    [started] = entries(action="server started")
    assert started.person_id == person_of(student)
    [launched] = entries(action="launch")
    assert started.request_id == launched.request_id

    with trace.begun(trace.Trace("0123456789abcdef", audit.administrator())):
        background.jobs.ask("stop_server", student.workspace_id)
    background.work()
    [stopped] = entries(action="server stopped")
    assert stopped.actor_kind == "administrator"
    assert (stopped.owner_id, stopped.request_id) == (person_of(student), "0123456789abcdef")

    background.jobs.ask("stop_server", student.workspace_id)
    background.work()
    assert len(entries(action="server stopped")) == 1, "there was none to stop"


@on_sqlite
def test_a_server_that_runs_is_not_started_again(
    student: Student, background: Background, entries: Entries
) -> None:
    background.work()
    student.launch_again()
    background.work()
    assert acts(entries(action="server")) == ["server started"]


@on_sqlite
def test_an_idle_server_is_stopped_by_the_program(
    student: Student, background: Background, entries: Entries, jupyter: Any
) -> None:
    background.work()
    jupyter.last_activity = jupyter.started = "2020-01-01T00:00:00+00:00"
    background.worker.idling.visits.cache.delete(student.workspace_id)
    background.worker.idling.look()
    background.work()
    [stopped] = entries(action="server stopped")
    assert stopped.actor_kind == "program"
    assert stopped.actor in ("idle", "age")
    assert stopped.person_id is None


# In the act's own transaction


def test_what_is_not_done_is_not_written_down(
    sessions: sessionmaker[Session], caplog: pytest.LogCaptureFixture, entries: Entries
) -> None:
    caplog.set_level(logging.INFO, "ipylti.audit")
    with pytest.raises(ZeroDivisionError), sessions.begin() as db:
        audit.record(db, trace.program("test"), "thing done")
        db.flush()
        raise ZeroDivisionError
    assert entries() == []
    assert not [line for line in caplog.records if line.name == "ipylti.audit"]


def test_the_log_tells_what_is_done_once_it_is(
    sessions: sessionmaker[Session], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ipylti.audit")
    with sessions() as db, db.begin():
        audit.record(db, trace.person(7), "thing done", owner=8, size=3)
        with db.begin_nested():
            db.execute(sa.text("SELECT 1"))
        assert caplog.records == [], "a savepoint makes nothing true"
    [line] = caplog.records
    assert line.message == "thing done"
    assert vars(line)["actor"] == "7"
    assert vars(line)["owner"] == 8
    assert vars(line)["details"] == {"size": 3}


# By command


@on_sqlite
def test_an_administrators_acts_have_a_name(run: Any, entries: Entries) -> None:
    run("platform add", *words(PLATFORM), "--deployment", "d1")
    platform = words({name: PLATFORM[name] for name in ("--issuer", "--client-id")})
    run("platform edit", *platform, "--name", "Example")
    run("platform disable", *platform)
    run("platform enable", *platform)
    run("deployment add", *platform, "--deployment", "d2")
    run("deployment remove", *platform, "--deployment", "d2")
    run("platform remove", *platform)
    run("platform invite")
    run("key rotate")
    found = entries()
    assert acts(found) == [
        "platform added",
        "platform edited",
        "platform disabled",
        "platform enabled",
        "deployment added",
        "deployment removed",
        "platform removed",
        "platform invited",
        "key rotated",
    ]
    assert {(entry.actor_kind, entry.actor) for entry in found} == {
        ("administrator", audit.administrator().name)
    }
    assert len({entry.request_id for entry in found}) == len(found)


@on_sqlite
def test_a_list_for_people_and_for_programs(student: Student, run: Any) -> None:
    student.submit()
    told = json.loads(run("audit list", "--json").output)
    assert [(each["action"], each["workspace"]) for each in told] == [
        ("launch opened", student.workspace_id),
        ("submission made", student.workspace_id),
    ]
    assert "submission made" in run("audit list").output
    number = str(person_of(student))
    assert len(json.loads(run("audit list", "--json", "--person", number).output)) == 2
    assert len(json.loads(run("audit list", "--json", "--action", "submission").output)) == 1
    assert len(json.loads(run("audit list", "--json", "--limit", "1").output)) == 1
    assert run("audit list", "--workspace", "nobody").output == "none\n"
    assert run("audit list", "--person", "99999").output == "none\n"


@on_sqlite
def test_a_list_of_a_time(student: Student, run: Any) -> None:
    with student.sessions.begin() as db:
        db.execute(sa.update(models.AuditEntry).values(created_at=models.now() - timedelta(days=3)))
    assert run("audit list", "--since", "2d").output == "none\n"
    assert "launch opened" in run("audit list", "--since", "4d").output
    assert "launch opened" in run("audit list", "--since", "2020-01-01").output
    assert "launch opened" in run("audit list", "--since", "2020-01-01T10:00").output
    assert "no time" in run("audit list", "--since", "yesterday", code=2).output


@on_sqlite
def test_no_name_and_no_id_of_a_platforms_is_kept(
    student: Student, another_browser: Browser, background: Background, sessions: sessionmaker[Session]
) -> None:
    student.submit()
    background.work()
    page = another_browser.launch("nora")
    look(another_browser, page, student.submissions()[0])
    another_browser.app.post(
        f"{path_of(page)}/submissions/all/resend", {"csrf_token": csrf_token(page)}, expect_errors=True
    )
    with sessions() as db:
        known = {word for row in db.scalars(sa.select(models.Person)) for word in (row.sub, row.name) if word}
        told = json.dumps([each.details for each in db.scalars(sa.select(models.AuditEntry))])
    assert known
    assert not {word for word in known if word in told}
