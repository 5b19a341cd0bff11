"""A student, the worker and campus' gradebook, from one place."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from ipylti import models
from tests.campus import Campus
from tests.campus.course import Link
from tests.campus.wire import Score
from tests.functional.background import Background
from tests.functional.browser import Student


class Delivery:
    """What a test of deliveries does and looks at.

    :param item: campus' column for the student's link.
    """

    def __init__(
        self, student: Student, background: Background, campus: Campus, link: Link | None = None
    ) -> None:
        self.student = student
        self.background = background
        self.campus = campus
        self.item = campus.gradebook.items_of(campus.link(link))[0]
        background.work()  # the server, asked for by the launch
        background.containers.files[f"ipylti-take-{student.workspace_id}"] = 1000

    def hand_in(self, student: Student | None = None) -> int:
        """Submit, and freeze what was submitted; returns the outbox item, which is not delivered yet."""
        who = student or self.student
        self.background.containers.files[f"ipylti-take-{who.workspace_id}"] = 1000
        who.submit()
        for submission in self.background.worker.freezer.unfrozen():
            self.background.worker.freezer.freeze(submission)
        for queue in self.background.jobs.queues.values():
            queue.flush()
        with self.student.sessions() as db:
            return db.scalar(sa.select(sa.func.max(models.OutboxItem.id))) or 0

    def deliver(self, item_id: int) -> models.OutboxItem:
        """Try once; returns the item as it then is."""
        self.background.outbox.deliver(item_id)
        return self.read(item_id)

    def read(self, item_id: int) -> models.OutboxItem:
        with self.student.sessions(expire_on_commit=False) as db:
            return db.get_one(models.OutboxItem, item_id)

    def change(self, item_id: int, **values: Any) -> None:
        """Change the item behind the worker's back."""
        with self.student.sessions.begin() as db:
            db.execute(sa.update(models.OutboxItem).where(models.OutboxItem.id == item_id).values(**values))

    def now_due(self, item_id: int) -> None:
        """Let the item's time have come, and the platform's."""
        self.change(item_id, next_at=models.now() - timedelta(seconds=1))
        with self.student.sessions() as db:
            for registration in db.scalars(sa.select(models.Registration.id)):
                self.background.outbox.away.delete(str(registration))

    def scores(self, person: str = "zoe") -> tuple[Score, ...]:
        return self.campus.gradebook.scores(self.item, self.campus.person(person))

    def answers(self, endpoint: str = "scores") -> list[int]:
        """Return the statuses that campus answered."""
        return [entry.status for entry in self.campus.log if entry.endpoint == endpoint]
