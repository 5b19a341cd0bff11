"""People's data: erased so that nothing is left, handed out, and kept no longer than the settings say."""

import json
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.orm import Session, sessionmaker

from ipylti import cli, models
from ipylti.backups import dump
from ipylti.errors import DependencyDown
from ipylti.privacy import exporting
from ipylti.privacy.erasing import course_digest, person_digest
from ipylti.privacy.exporting import Export
from ipylti.privacy.retention import Due, Retention
from tests.campus import Campus
from tests.functional.background import Background
from tests.functional.browser import Browser, Student
from tests.functional.conftest import on_sqlite
from tests.functional.test_copies import COPY, COURSE, School, carrying

#: What campus tells of Zoë.
NAMES = ("Zoë",)


@pytest.fixture
def key(campus: Campus) -> tuple[str, str]:
    """The platform: issuer and client id."""
    return campus.registration["issuer"], campus.registration["client-id"]


@pytest.fixture
def worked(student: Student, layla: Student, background: Background) -> Student:
    """Zoë, after some work: a server, a submission that the platform knows of; Layla is beside her."""
    background.work()
    for person in (student, layla):
        background.containers.files[f"ipylti-take-{person.workspace_id}"] = 1000
        person.submit()
    background.work()
    return student


def sub_of(sessions: sessionmaker[Session], workspace: str) -> str:
    with sessions() as db:
        person = db.get_one(models.Workspace, workspace).person
        assert person is not None
        return person.sub


def remains(sessions: sessionmaker[Session], redis_url: str, folder: Path) -> str:
    """All that database and Redis hold, as one text."""
    path = folder / f"rows-{len(list(folder.iterdir()))}"
    dump.write(sessions.kw["bind"], path)
    client = redis.Redis.from_url(redis_url)
    texts = [path.read_text()]
    for name in client.scan_iter("*"):
        kind = client.type(name)
        value = {
            b"string": lambda name: client.get(name),
            b"zset": lambda name: client.zrange(name, 0, -1),
            b"hash": lambda name: client.hgetall(name),
            b"list": lambda name: client.lrange(name, 0, -1),
            b"set": lambda name: client.smembers(name),
        }[kind](name)
        texts.append(f"{name!r} {value!r}")
    return "\n".join(texts)


def erase(background: Background, digest: str) -> None:
    background.worker.eraser.begin(digest, models.now())
    background.worker.eraser.finish()


def test_nothing_is_left_of_a_person(
    worked: Student,
    layla: Student,
    background: Background,
    sessions: sessionmaker[Session],
    redis_url: str,
    key: tuple[str, str],
    tmp_path: Path,
) -> None:
    workspace, other = worked.workspace_id, layla.workspace_id
    sub = sub_of(sessions, workspace)
    before = remains(sessions, redis_url, tmp_path)
    assert sub in before and workspace in before
    others = {name for name in background.containers.files if workspace not in name}
    assert len(others) < len(background.containers.files)

    erase(background, person_digest(*key, sub))
    after = remains(sessions, redis_url, tmp_path)
    for trace in (sub, workspace, worked.launch_id, *NAMES):
        assert trace not in after
    assert set(background.containers.files) == others
    assert workspace not in background.containers.servers
    # Of others, everything is.
    assert other in background.containers.servers
    with sessions() as db:
        assert db.scalars(sa.select(models.Submission.workspace_id)).all() == [other]
        assert db.scalars(sa.select(models.OutboxItem)).one()

    # Who comes again begins anew.
    background.work()
    again = worked.launch_again()
    background.work()
    assert again.workspace_id == workspace
    assert again.submissions() == []


@on_sqlite
def test_who_is_being_erased_can_not_launch(
    worked: Student,
    layla: Student,
    background: Background,
    sessions: sessionmaker[Session],
    key: tuple[str, str],
) -> None:
    sub = sub_of(sessions, worked.workspace_id)
    background.worker.eraser.begin(person_digest(*key, sub), models.now())
    form = worked.browser.message("zoe")
    page = worked.browser.app.post("/launch", form, status=409)
    assert "is being deleted" in page.text and "launch.erasing" in page.text
    layla.browser.launch("layla")


@pytest.mark.parametrize("when", [0, 1, None])
@on_sqlite
def test_whoever_comes_next_goes_on_with_an_erasure(
    worked: Student,
    background: Background,
    sessions: sessionmaker[Session],
    redis_url: str,
    key: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: int | None,
) -> None:
    """Killed at each volume, and at the rows; Podman is away first when it is begun anew."""
    workspace, sub = worked.workspace_id, sub_of(sessions, worked.workspace_id)
    digest = person_digest(*key, sub)
    eraser, spawner = background.worker.eraser, background.spawner
    remove, calls = spawner.remove_volume.side_effect, []

    def killed(name: str) -> None:
        calls.append(name)
        if when is not None and len(calls) > when:
            raise SystemExit
        remove(name)

    spawner.remove_volume.side_effect = killed
    if when is None:
        monkeypatch.setattr("ipylti.privacy.rows.remove_person", lambda _db, _person: 1 / 0)
    eraser.begin(digest, models.now())
    with pytest.raises((SystemExit, ZeroDivisionError)):
        eraser.finish()
    monkeypatch.undo()
    spawner.remove_volume.side_effect = remove
    spawner.stop.side_effect = DependencyDown("podman", "away")
    with sessions() as db:
        left = db.get(models.Workspace, workspace) is not None
    assert left == (when is not None), "its row goes after its volumes"
    if left:
        with pytest.raises(DependencyDown):
            eraser.finish()
    spawner.stop.side_effect = lambda name, grace=10.0: background.containers.servers.pop(name, None)
    redis.Redis.from_url(redis_url).delete("ipylti:lock:data")
    background.jobs.ask("look_after_data", "")
    background.work()
    after = remains(sessions, redis_url, tmp_path)
    assert sub not in after and workspace not in after
    assert not [name for name in background.containers.files if workspace in name]
    with sessions() as db:
        assert db.get_one(models.Erasure, digest).done_at is not None


@pytest.fixture
def school(browser: Browser, sessions: sessionmaker[Session]) -> School:
    made = School(browser, sessions)
    made.launch("known-before")
    return made


def test_nothing_is_left_of_a_course(
    school: School,
    layla: Student,
    background: Background,
    sessions: sessionmaker[Session],
    redis_url: str,
    campus: Campus,
    key: tuple[str, str],
    tmp_path: Path,
) -> None:
    blueprint = school.blueprint(image=None)
    original = school.launch("link-1", custom=carrying(blueprint))
    school.launch("link-1", "zoe", custom=carrying(blueprint))
    background.work()
    copy = school.launch("link-2", course=COPY, custom=carrying(blueprint, courses=COURSE))
    background.work()
    workspace = layla.workspace_id
    kept = {name for name in background.containers.files if copy in name}
    erase(background, course_digest(*key, campus.registration["deployment"], COURSE))
    after = remains(sessions, redis_url, tmp_path)
    for trace in ("link-1", "known-before", *NAMES):
        assert trace not in after
    assert kept <= set(background.containers.files)
    assert not [each for each in background.containers.files if original in each or workspace in each]
    assert school.assignment(copy).source_id is None
    assert school.launch("link-2", course=COPY) == copy
    with sessions() as db:
        assert COURSE not in set(db.scalars(sa.select(models.Context.context_id)))


@on_sqlite
def test_the_commands_ask_and_say_who_is_there(
    worked: Student,
    background: Background,
    sessions: sessionmaker[Session],
    ini: dict[str, str],
    key: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "test.ini"
    path.write_text(
        "[app:main]\nuse = egg:ipylti\n" + "".join(f"{name} = {each}\n" for name, each in ini.items())
    )
    monkeypatch.setattr("ipylti.cli.privacy.PodmanSpawner", lambda _url: background.spawner)
    sub = sub_of(sessions, worked.workspace_id)

    def run(*words: str, status: int = 0, typed: str = "") -> str:
        done = CliRunner().invoke(cli.main, [words[0], words[1], str(path), *words[2:]], input=typed)
        assert done.exit_code == status, done.output
        return done.output

    platform = ("--issuer", key[0], "--client-id", key[1])
    [found] = json.loads(run("person", "list", "--name", "zoë", "--json"))
    assert (found["sub"], found["issuer"]) == (sub, key[0])
    with sessions() as db:
        assert found["person"] == db.get_one(models.Workspace, worked.workspace_id).person_id
    [rostered] = json.loads(run("person", "list", "--name", "sam", "--json"))
    assert rostered["person"] is None
    assert "Aborted" in run("person", "erase", *platform, "--sub", sub, typed="n\n", status=1)
    assert worked.submissions()
    assert json.loads(run("course", "list", "--json"))
    zipped = tmp_path / "zoe.zip"
    run("person", "export", *platform, "--sub", sub, str(zipped))
    assert "exists" in run("person", "export", *platform, "--sub", sub, str(zipped), status=1)
    assert "nobody" in run("person", "export", *platform, "--sub", "who", str(tmp_path / "x"), status=1)
    run("person", "erase", *platform, "--sub", sub, "--yes")
    assert run("person", "list", "--name", sub).strip() == "none"
    context = json.loads(run("course", "list", "--json"))[0]["context"]
    run("course", "erase", *platform, "--context", context, typed="y\n")
    assert run("course", "list").strip() == "none"


@on_sqlite
def test_an_export_has_all_rows_and_all_files(
    worked: Student,
    layla: Student,
    background: Background,
    sessions: sessionmaker[Session],
    key: tuple[str, str],
    tmp_path: Path,
) -> None:
    workspace = worked.workspace_id
    sub = sub_of(sessions, workspace)
    export = Export(background.worker.settings, sessions, background.spawner)
    assert export.person(*key, sub, tmp_path / "zoe") == 2
    export.person(*key, sub, tmp_path / "zoe.zip")
    files = {path.name: path.read_bytes() for path in (tmp_path / "zoe").iterdir()}
    with zipfile.ZipFile(tmp_path / "zoe.zip") as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == files
    assert set(files) == {
        "data.json",
        f"ipylti-take-{workspace}.tar",
        f"ipylti-submission-{workspace}-1.tar",
    }
    data = json.loads(files["data.json"])
    assert {"persons", "workspaces", "launches", "submissions", "outbox"} <= set(data)
    assert data["persons"][0]["sub"] == sub
    assert layla.workspace_id not in files["data.json"].decode()
    assert (tmp_path / "zoe.zip").stat().st_mode & 0o077 == 0
    with sessions() as db:
        tables = {table.name for table in models.Base.metadata.sorted_tables if "person_id" in table.c}
        assert tables <= set(exporting.rows_of(db, *key, sub)) | {"blueprints", "audit"}


def kept_for(background: Background, **days: int) -> Retention:
    """What is kept by other settings."""
    changes = {name: timedelta(days=number) for name, number in days.items()}
    settings = replace(background.worker.settings, **changes)
    return Retention(settings, background.worker.sessions, background.worker.eraser)


def aged(sessions: sessionmaker[Session], days: int) -> None:
    """Let so many days pass."""
    back = timedelta(days=days)
    with sessions.begin() as db:
        for row in db.scalars(sa.select(models.Launch)):
            row.created_at, row.expires_at = row.created_at - back, row.expires_at - back
        for workspace in db.scalars(sa.select(models.Workspace)):
            workspace.created_at -= back
        for submission in db.scalars(sa.select(models.Submission)):
            submission.submitted_at -= back


def kinds(found: list[Due]) -> list[str]:
    return sorted(each.kind for each in found)


def test_work_stays_for_ever_if_nobody_says_otherwise(
    worked: Student, background: Background, sessions: sessionmaker[Session]
) -> None:
    """Of two launches, the one that says when the person was last there stays, and the submission's."""
    worked.launch_again()
    aged(sessions, 3000)
    last = worked.launch_again().launch_id
    assert kinds(background.worker.retention.due()) == ["launch"]
    assert kinds(background.worker.retention.step()) == ["launch"]
    assert background.worker.retention.due() == []
    with sessions() as db:
        assert db.get(models.Launch, last) and db.get(models.Launch, worked.launch_id)
    assert len(background.containers.files) > 3


def test_submissions_and_workspaces_go_when_they_are_old_enough(
    worked: Student, layla: Student, background: Background, sessions: sessionmaker[Session]
) -> None:
    workspace, other = worked.workspace_id, layla.workspace_id
    aged(sessions, 100)
    layla.browser.launch("layla")
    assert kept_for(background, keep_submissions=101, keep_workspaces=101).due() == []
    assert kept_for(background, keep_workspaces=99).due() == [], "one with a submission stays"
    kept = kept_for(background, keep_submissions=99, keep_workspaces=99)
    assert kinds(kept.step()) == ["submission", "submission"]
    [due] = kept.due()
    assert (due.kind, due.name) == ("workspace", workspace)
    kept.step()
    assert kept.due() == []
    left = set(background.containers.files)
    assert f"ipylti-take-{other}" in left
    assert not [name for name in left if workspace in name or "submission" in name]


@on_sqlite
def test_a_score_that_the_platform_does_not_have_yet_is_waited_for(
    worked: Student, background: Background, sessions: sessionmaker[Session]
) -> None:
    aged(sessions, 100)
    with sessions.begin() as db:
        db.execute(sa.update(models.OutboxItem).values(state=models.OutboxState.WAITING))
    assert kept_for(background, keep_submissions=99).due() == []


@on_sqlite
def test_a_little_goes_at_a_time(
    worked: Student, layla: Student, background: Background, sessions: sessionmaker[Session]
) -> None:
    aged(sessions, 100)
    kept = kept_for(background, keep_submissions=99)
    assert len(kept.step(1)) == 1
    assert len(kept.step(1)) == 1
    assert kept.step(1) == []
