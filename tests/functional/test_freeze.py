"""Freezing what was handed in: once it is whole it is written down, and only then the platform is told."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ipylti import models
from ipylti.errors import DependencyDown, SpawnerError
from tests.functional.background import Background
from tests.functional.browser import Student
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite


@pytest.fixture
def handed_in(student: Student, background: Background) -> int:
    """A submission that waits to be frozen; its workspace holds 1,000 bytes."""
    background.containers.files[f"ipylti-take-{student.workspace_id}"] = 1000
    student.submit()
    with student.sessions() as db:
        return db.scalars(sa.select(models.Submission.id)).one()


def read(db: Session) -> models.Submission:
    db.rollback()
    return db.scalars(sa.select(models.Submission)).one()


def test_the_copy_is_made_hashed_and_written_down(
    handed_in: int, student: Student, background: Background, db: Session
) -> None:
    background.worker.freezer.freeze(handed_in)
    submission = read(db)
    assert submission.state == models.SubmissionState.FROZEN
    assert (submission.size, submission.files) == (1000, 1)
    assert submission.digest == "d" * 64
    assert submission.frozen_at is not None
    assert submission.frozen_at >= submission.submitted_at
    source, target, image = background.spawner.copy.call_args.args[:3]
    assert source == f"ipylti-take-{student.workspace_id}"
    assert target.name == f"ipylti-submission-{student.workspace_id}-1"
    assert target.kind == "submission"
    assert (target.workspace, target.instance) == (
        student.workspace_id,
        background.worker.settings.instance,
    )
    assert image == background.worker.settings.image
    assert student.browser.status(student.page)["submission"]["state"] == "frozen"


def test_the_platform_is_told_afterwards(handed_in: int, background: Background, db: Session) -> None:
    done = background.work()
    about_it = [name for name, _ in done if name in ("freeze_submission", "deliver_score")]
    assert about_it == ["freeze_submission", "deliver_score"]
    assert read(db).outbox.state == models.OutboxState.DELIVERED  # type: ignore[union-attr]


def test_a_frozen_submission_is_not_copied_again(handed_in: int, background: Background) -> None:
    """Its workspace has gone on since."""
    background.work()
    copies = background.spawner.copy.call_count
    background.jobs.ask("freeze_submission", handed_in)
    background.work()
    assert background.spawner.copy.call_count == copies


FAILURES: dict[str, Callable[[], Exception]] = {
    "podman is away": lambda: DependencyDown("podman"),
    "the disk is full": lambda: SpawnerError("copy", code="volume.no_space"),
    "redis is away": lambda: DependencyDown("redis"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_copy_that_fails_is_made_later(
    handed_in: int, background: Background, db: Session, failure: str
) -> None:
    background.spawner.copy.side_effect = FAILURES[failure]()
    done = background.work()
    assert ("deliver_score", 1) not in done
    submission = read(db)
    assert submission.state == models.SubmissionState.FREEZING
    assert submission.outbox is not None
    assert (submission.outbox.state, submission.outbox.attempts) == (models.OutboxState.WAITING, 0)
    assert background.later() == [("freeze_submission", handed_in)]
    background.spawner.copy.side_effect = background.containers.copy
    background.jobs.ask("sweep", "")
    background.work()
    assert read(db).state == models.SubmissionState.FROZEN
    assert read(db).outbox.state == models.OutboxState.DELIVERED  # type: ignore[union-attr]


def test_what_fails_for_long_does_not_become_ever_more_jobs(handed_in: int, background: Background) -> None:
    """A missing image over a weekend: each sweep asks again, and so does each try that failed."""
    background.spawner.copy.side_effect = SpawnerError("copy")
    for _ in range(5):
        background.jobs.ask("sweep", "")
        background.work()
        background.keep_waiting("freeze_submission", handed_in)
    assert background.later() == [("freeze_submission", handed_in)]


def test_a_worker_killed_while_it_copied_is_made_up_for(
    handed_in: int, background: Background, db: Session
) -> None:
    """Whatever the copy holds by then, it is made anew from the workspace."""

    class Killed(BaseException):
        pass

    def copy(_source: str, target: Any, *_args: Any, **_options: Any) -> None:
        background.containers.files[target.name] = 500
        raise Killed

    background.spawner.copy.side_effect = copy
    with pytest.raises(Killed):
        background.worker.freezer.freeze(handed_in)
    assert read(db).state == models.SubmissionState.FREEZING
    background.spawner.copy.side_effect = background.containers.copy
    assert background.worker.freezer.unfrozen() == [handed_in]
    background.worker.freezer.freeze(handed_in)
    assert read(db).size == 1000


def test_two_workers_do_not_copy_to_one_place_at_once(handed_in: int, background: Background) -> None:
    begun: list[str] = []

    def copy(source: str, target: Any, *args: Any, **options: Any) -> Any:
        begun.append(target.name)
        background.worker.freezer.freeze(handed_in)
        return background.containers.copy(source, target, *args, **options)

    background.spawner.copy.side_effect = copy
    background.worker.freezer.freeze(handed_in)
    assert len(begun) == 1


def test_whoever_loses_the_lock_stops(handed_in: int, background: Background, db: Session) -> None:
    def copy(source: str, target: Any, image: str, progress: Any, *, digest: bool) -> Any:
        background.worker.locks.client.delete(f"ipylti:lock:freeze:{handed_in}")
        return background.containers.copy(source, target, image, progress, digest=digest)

    background.spawner.copy.side_effect = copy
    with pytest.raises(DependencyDown):
        background.worker.freezer.freeze(handed_in)
    assert read(db).state == models.SubmissionState.FREEZING


def test_each_submission_is_a_copy_of_its_own(
    handed_in: int, student: Student, background: Background, db: Session
) -> None:
    background.work()
    student.submit()
    background.work()
    names = [call.args[1].name for call in background.spawner.copy.call_args_list]
    ours = [name for name in names if name.startswith("ipylti-submission-")]
    assert ours == [f"ipylti-submission-{student.workspace_id}-{number}" for number in (1, 2)]


def test_what_is_not_frozen_yet_is_known_oldest_first(
    handed_in: int, student: Student, background: Background
) -> None:
    student.submit()
    student.submit()
    assert background.worker.freezer.unfrozen() == [handed_in, handed_in + 1, handed_in + 2]
