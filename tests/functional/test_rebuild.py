"""The database is lost: what volumes' labels say of themselves is enough to go on."""

from datetime import datetime

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import about, models
from ipylti.about import About
from ipylti.backups.rebuilding import Rebuild
from ipylti.settings import Settings
from tests.campus import Campus
from tests.functional.background import Background
from tests.functional.browser import Browser, Student
from tests.functional.conftest import connect
from tests.functional.test_copies import COPY, COURSE, School, carrying


def test_a_label_says_what_it_was_told() -> None:
    told = About("https://lms.example", "client", "1", "link", title="Übung ‹1›\n" * 30, sub="zoë", number=3)
    text = told.encoded()
    assert about.read(text) == told
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=")


@pytest.mark.parametrize("text", ["", "nonsense", "e30=", "W10=", "bnVsbA==", "eyJpc3N1ZXIiOiAxfQ=="])
def test_a_label_of_anybody_elses_says_nothing(text: str) -> None:
    assert about.read(text) is None


def lose_database(sessions: sessionmaker[Session]) -> None:
    """Leave no row of anything, and nothing in Redis."""
    with sessions.begin() as db:
        for table in reversed(models.Base.metadata.sorted_tables):
            db.execute(sa.delete(table))


@pytest.fixture
def school(browser: Browser, sessions: sessionmaker[Session]) -> School:
    made = School(browser, sessions)
    made.launch("known-before")
    return made


@pytest.fixture
def rebuild(background: Background, config: Settings, sessions: sessionmaker[Session]) -> Rebuild:
    return Rebuild(config, sessions.kw["bind"], background.spawner)


def test_everybody_finds_their_work_again(
    school: School,
    student: Student,
    background: Background,
    rebuild: Rebuild,
    sessions: sessionmaker[Session],
    campus: Campus,
    redis_url: str,
) -> None:
    blueprint = school.blueprint(image=None, memory=300_000_000, due_at=datetime(2030, 5, 1).astimezone())
    carried = carrying(blueprint)
    assignment = school.launch("link-1", custom=carried)
    background.work()
    background.containers.files[f"ipylti-base-{assignment}"] = 1000
    school.launch("link-1", "zoe", custom=carried)
    background.work()
    background.containers.files[f"ipylti-take-{student.workspace_id}"] = 1000
    student.submit()
    background.work()
    volumes = dict(background.containers.files)
    with sessions() as db:
        before = {
            table: db.execute(sa.select(*columns)).all()
            for table, columns in {
                "workspaces": (models.Workspace.id, models.Workspace.kind, models.Workspace.volume),
                "assignments": (models.Assignment.id, models.Assignment.title, models.Assignment.due_at),
                "submissions": (models.Submission.volume, models.Submission.submitted_at),
            }.items()
        }
        settings_of = (models.Assignment.memory, models.Assignment.egress, models.Assignment.maximum)
        chosen = db.execute(sa.select(*settings_of).filter_by(id=assignment)).one()

    lose_database(sessions)
    redis.Redis.from_url(redis_url).flushall()
    found = rebuild.everything()
    assert rebuild.everything() == found, "it may be repeated"
    assert (found["submission"], found["unknown"]) == (1, 0)

    with sessions() as db:
        made = {each.id: each for each in db.scalars(sa.select(models.Workspace))}
        with_volume = [row for row in before["workspaces"] if row.volume in volumes]
        assert {(each.id, each.kind, each.volume) for each in made.values()} == set(with_volume)
        assert all(each.populated_at for each in made.values())
        assert {tuple(row) for row in before["assignments"]} >= {
            (each.id, each.title, each.due_at) for each in db.scalars(sa.select(models.Assignment))
        }
        assert db.execute(sa.select(*settings_of).filter_by(id=assignment)).one() == chosen
        [submission] = db.scalars(sa.select(models.Submission))
        assert [(submission.volume, submission.submitted_at)] == before["submissions"]
        assert (submission.state, submission.digest) == ("frozen", "d" * 64)
        assert db.scalars(sa.select(models.ToolKey)).one()
        [registration] = db.scalars(sa.select(models.Registration))
        assert not registration.enabled, "nobody knows its keys' address"

    connect(sessions, campus)
    assert school.launch("link-1", custom=carried) == assignment
    assert school.launch("link-1", "zoe", custom=carried) == assignment
    background.work()
    assert background.containers.files == volumes, "nothing was copied anew"
    # A copy of the course finds its original, too.
    copied = school.launch("link-2", course=COPY, custom=carrying(blueprint, courses=COURSE))
    assert school.assignment(copied).source_id == assignment


def test_a_newer_choice_that_is_lost_does_not_shut_anybody_out(
    school: School, background: Background, rebuild: Rebuild, sessions: sessionmaker[Session], campus: Campus
) -> None:
    """The teacher chose anew for the link after the volume was made: its label does not know."""
    assignment = school.launch("link-1", custom=carrying(school.blueprint(image=None)))
    background.work()
    newer = school.blueprint(image=None, title="Newer")
    school.launch("link-1", custom=carrying(newer))
    lose_database(sessions)
    rebuild.everything()
    connect(sessions, campus)
    assert school.launch("link-1", custom=carrying(newer)) == assignment
    assert "message.assignment" in school.launch("link-2", custom=carrying(newer), status=403)


def test_a_volume_of_before_there_were_labels_is_found_by_its_people(
    school: School, background: Background, rebuild: Rebuild, sessions: sessionmaker[Session], campus: Campus
) -> None:
    assignment = school.launch("link-1")
    background.work()
    for name, spec in background.containers.labels.items():
        background.containers.labels[name] = type(spec)(
            spec.name, spec.kind, spec.instance, spec.assignment, spec.workspace
        )
    lose_database(sessions)
    found = rebuild.everything()
    assert found["unknown"] == len(background.containers.files)
    connect(sessions, campus)
    assert school.launch("link-1") == assignment


def test_a_label_that_is_not_its_volumes_is_not_believed(
    school: School, background: Background, rebuild: Rebuild, sessions: sessionmaker[Session]
) -> None:
    school.launch("link-1")
    background.work()
    stranger = About("https://lms.example", "client", "1", "link").encoded()
    for name, spec in background.containers.labels.items():
        background.containers.labels[name] = type(spec)(
            spec.name, spec.kind, spec.instance, spec.assignment, spec.workspace, stranger
        )
    lose_database(sessions)
    rebuild.everything()
    with sessions() as db:
        assert db.scalars(sa.select(models.Workspace)).all() == []
