"""Volumes that are older than the database: somebody's work, never copied over."""

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ipylti import models
from ipylti.volatile import State
from tests.functional.background import Background
from tests.functional.browser import Browser, Student
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite


@pytest.fixture
def base(browser: Browser, background: Background, db: Session) -> str:
    """An assignment that was built; returns its id."""
    browser.launch("nora")
    background.work()
    assignment = db.scalars(sa.select(models.Assignment.id)).one()
    background.containers.files[f"ipylti-base-{assignment}"] = 1000
    return assignment


def launched(browser: Browser, db: Session) -> models.Workspace:
    """Launch as a student; returns the workspace."""
    browser.launch("zoe")
    db.rollback()
    return db.scalars(sa.select(models.Workspace).filter_by(kind="take")).one()


def test_a_workspaces_volume_that_is_there_already_is_taken_as_it_is(
    base: str, browser: Browser, background: Background, db: Session
) -> None:
    workspace = launched(browser, db)
    background.containers.files[workspace.volume] = 77
    background.work()
    assert background.containers.files[workspace.volume] == 77
    assert not background.spawner.copy.called
    assert background.servers.board.read(workspace.id).state is State.READY


def test_a_copy_that_ended_halfway_is_made_again_and_nobody_is_let_in_before(
    base: str, browser: Browser, background: Background, db: Session
) -> None:
    workspace = launched(browser, db)
    whole = background.spawner.copy.side_effect

    def killed(*_args: object, **_options: object) -> None:
        background.containers.files[workspace.volume] = 5
        raise SystemExit

    background.spawner.copy.side_effect = killed
    background.spawner.stop.side_effect = None
    with pytest.raises(SystemExit):
        background.servers.start(workspace.id)
    assert background.containers.servers
    background.spawner.copy.side_effect = whole
    background.servers.start(workspace.id)
    assert background.containers.files[workspace.volume] == 1000
    assert background.servers.board.read(workspace.id).state is State.READY


def test_a_submission_never_takes_the_place_of_an_older_one(
    base: str, student: Student, background: Background, db: Session
) -> None:
    db.rollback()
    workspace = db.scalars(sa.select(models.Workspace).filter_by(kind="take")).one()
    older = f"ipylti-submission-{workspace.id}-1"
    background.containers.files[older] = 77
    background.containers.files[workspace.volume] = 1000
    student.submit()
    background.work()
    assert background.containers.files[older] == 77
    db.rollback()
    submission = db.scalars(sa.select(models.Submission)).one()
    assert submission.state == models.SubmissionState.FROZEN
    assert submission.volume.startswith(f"{older}-")
