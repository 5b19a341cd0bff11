"""A teacher who has saved something, and a student who has launched; their containers are doubles."""

import json
from typing import Any

from ipylti import models
from ipylti.line import Line
from ipylti.volatile import Board, Progress
from tests.functional.background import Background
from tests.functional.browser import Browser, Student


class Class:
    """A teacher who has saved something, and a student who has launched.

    :param base: the teacher's volume.
    """

    def __init__(self, teacher: Browser, student: Browser, app: Any, background: Background) -> None:
        self.sessions = app.registry["ipylti.services"].sessions
        self.desk = app.registry["ipylti.services"].desk
        self.board: Board = app.registry["ipylti.services"].board
        self.line: Line = app.registry["ipylti.services"].line
        self.background = background
        self.containers = background.containers
        self.spawner = background.spawner
        self.servers = background.servers
        self.reconciler = background.worker.reconciler
        self.teacher = Student(teacher, teacher.launch("nora"), self.sessions)
        self.student = Student(student, student.launch("zoe"), self.sessions)
        self.build, self.take = self.teacher.workspace_id, self.student.workspace_id
        self.base, self.volume = f"ipylti-base-{self.build}", f"ipylti-take-{self.take}"
        self.containers.files[self.base] = 1000
        for queue in background.jobs.queues.values():
            queue.flush()
        client = self.board.client
        client.delete(*client.keys("ipylti:line:*"), *client.keys("ipylti:progress:*"))

    def row(self, workspace: str = "") -> models.Workspace:
        with self.sessions(expire_on_commit=False) as db:
            found: models.Workspace = db.get_one(models.Workspace, workspace or self.take)
            return found

    def start(self, workspace: str = "") -> Progress:
        """Start a server, the student's if not told; returns how it ended."""
        self.line.call_back(workspace or self.take)
        self.servers.start(workspace or self.take)
        return self.board.read(workspace or self.take)

    def make_old(self, workspace: str) -> None:
        """Let the last sign of life be a while ago."""
        client = self.board.client
        record = json.loads(client.get(f"ipylti:progress:{workspace}") or b"")
        client.set(f"ipylti:progress:{workspace}", json.dumps(record | {"at": 1.0}))

    def starts(self) -> list[str]:
        """Return the workspaces whose start was asked for."""
        return [argument for job, argument in self.background.waiting() if job == "start_server"]
