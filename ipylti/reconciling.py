"""Brings database, board, Podman and Traefik back into agreement, whatever crashed meanwhile; in the sweep.

The database says what there is to be, Podman what there is. Nothing is ever done to a volume here: one that
belongs to nothing may hold somebody's work, and is named in the log.
"""

import logging
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models
from ipylti.jobs import Jobs
from ipylti.servers.spawner import ServerState, ServerStatus, Spawner
from ipylti.settings import Settings
from ipylti.volatile import STALE, Locks, Progress, State
from ipylti.workspaces import Servers

log = logging.getLogger(__name__)

#: Seconds without a sign of life after which a start counts as one that nobody waits for: whoever looks at
#: its page would have asked for it again by then.
_GIVEN_UP = 3 * STALE


class Reconciler:
    """Looks at all servers and at what is said of them; in the worker."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        spawner: Spawner,
        locks: Locks,
        servers: Servers,
        jobs: Jobs,
    ) -> None:
        self.settings = settings
        self.sessions = sessions
        self.spawner = spawner
        self.board = servers.board
        self.line = servers.line
        self.locks = locks
        self.servers = servers
        self.jobs = jobs

    def reconcile(self) -> None:
        """Look at each server, at what the board says of those that there is none of, and at the routes.

        What somebody is at is left alone: that is whoever has the workspace's lock.
        """
        statuses = self.spawner.servers(self.settings.instance)
        half_made = self._half_made([status.workspace for status in statuses])
        unrouted = []
        for status in statuses:
            with self.locks.hold(f"server:{status.workspace}") as lock:
                if lock is None:
                    continue
                if status.workspace not in half_made:
                    self._remove_nobodys(status)
                elif status.state is not ServerState.RUNNING:
                    self._clear_away(status)
                elif not self._settle(status, half_made[status.workspace]):
                    unrouted.append(status)
        if unrouted:
            self._mend_routes(unrouted)
        there = {status.workspace for status in statuses}
        for workspace, progress in self.board.all().items():
            if workspace not in there:
                self._agree(workspace, progress)

    def _half_made(self, workspaces: list[str]) -> dict[str, bool]:
        """Return, of those of the workspaces that the database knows, whether its volume is not whole yet."""
        query = sa.select(models.Workspace).where(models.Workspace.id.in_(workspaces))
        with self.sessions.begin() as db:
            return {
                row.id: row.kind == models.WorkspaceKind.TAKE and row.populated_at is None
                for row in db.scalars(query)
            }

    def _remove_nobodys(self, status: ServerStatus) -> None:
        log.warning("a server of no workspace is removed", extra={"workspace": status.workspace})
        self.spawner.stop(status.workspace)

    def _clear_away(self, status: ServerStatus) -> None:
        """Say of a server that has ended by itself that it has, and how, and clear it away.

        It may have been listed while somebody was stopping it, and be gone or another one by now.
        """
        if self.spawner.status(status.workspace).state is not ServerState.STOPPED:
            return
        log.warning(
            "server ended by itself",
            extra={
                "workspace": status.workspace,
                "exit_code": status.exit_code,
                "out_of_memory": status.out_of_memory,
            },
        )
        self.spawner.stop(status.workspace)
        self.line.leave(status.workspace)
        error = "server.out_of_memory" if status.out_of_memory else "server.ended"
        self.board.write(status.workspace, Progress(State.FAILED, error=error, limit=status.memory or 0))

    def _settle(self, status: ServerStatus, half_made: bool) -> bool:
        """Bring what is said of a server that runs into agreement with it.

        :return: False where it should be reached through Traefik and is not.
        """
        workspace = status.workspace
        progress = self.board.read(workspace)
        if progress.state in (State.QUEUED, State.STARTING) and not progress.old:
            return True
        if self.line.was_sent_away(workspace):
            # Whoever was stopping it died, or has ended it since it was listed.
            if self.spawner.status(workspace).state is ServerState.RUNNING:
                self.jobs.ask("stop_server", workspace)
            return True
        # Since that was looked up, its copy may have become whole, and somebody have been let in.
        if half_made and self._half_made([workspace]).get(workspace, False):
            # Whoever was copying into its volume died; nobody was let in.
            log.warning("a server over half a copy is removed", extra={"workspace": workspace})
            self.spawner.stop(workspace, grace=0)
            return True
        if not self.servers.routed(workspace):
            if not self.servers.is_cut_off(status):
                return False
            self.spawner.stop(workspace)
            self.board.write(workspace, Progress(State.FAILED, error="server.ended"))
            return True
        if progress.state is not State.READY:
            # Redis was emptied, or a start was given up that did succeed.
            self.line.leave(workspace, runs=True)
            self.board.write(workspace, Progress(State.READY, extension=status.extension))
        return True

    def _mend_routes(self, unrouted: list[ServerStatus]) -> None:
        """Have Traefik look at all containers again, if it and the gate are there and Jupyter answers.

        It reads a container when that starts, and misses it where Podman gave no answer just then.
        """
        missing = [status.workspace for status in unrouted if self.servers.lacks_route(status)]
        if missing:
            log.warning("routes are missing: Traefik is to look again", extra={"workspaces": missing})
            self.spawner.announce(self.settings.instance, self.settings.image)

    def _agree(self, workspace: str, progress: Progress) -> None:
        """Say that a workspace is stopped, where a server is said to be there or on its way and is not."""
        if not self._is_amiss(progress):
            return
        with self.locks.hold(f"server:{workspace}") as lock:
            if (
                lock is not None
                and self._is_amiss(self.board.read(workspace))
                and self.spawner.status(workspace).state is not ServerState.RUNNING
            ):
                self.line.leave(workspace)
                self.board.write(workspace, Progress())

    def _is_amiss(self, progress: Progress) -> bool:
        if progress.state is State.STARTING:
            return progress.silent_for(_GIVEN_UP)
        if progress.state is State.QUEUED:
            return progress.silent_for(_GIVEN_UP) and not self.jobs.depth("servers")
        return progress.state is State.READY


@dataclass(frozen=True)
class Inventory:
    """The volumes that don't agree with the database.

    :param strange: volumes that belong to nothing that the database knows.
    :param gone: volumes that the database knows and that are not there.
    """

    strange: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


def take_inventory(settings: Settings, sessions: sessionmaker[Session], spawner: Spawner) -> Inventory:
    """Compare the volumes that there are with those that the database knows.

    Podman is asked first: whatever is made meanwhile is known to the database before there is a volume.
    """
    there = {volume.name for volume in spawner.volumes(settings.instance)}
    with sessions.begin() as db:
        known = set(db.scalars(sa.select(models.Workspace.volume)))
        known |= set(db.scalars(sa.select(models.Submission.volume)))
        taken = sa.select(models.Workspace.volume).where(
            models.Workspace.kind == models.WorkspaceKind.TAKE, models.Workspace.populated_at.is_not(None)
        )
        frozen = sa.select(models.Submission.volume).filter_by(state=models.SubmissionState.FROZEN)
        whole = {*db.scalars(taken), *db.scalars(frozen)}
    return Inventory(sorted(there - known), sorted(whole - there))


class Volumes:
    """Says in the log which volumes don't agree with the database, once each time that they change."""

    def __init__(self, settings: Settings, sessions: sessionmaker[Session], spawner: Spawner) -> None:
        self.settings = settings
        self.sessions = sessions
        self.spawner = spawner
        self._said = Inventory()

    def look(self) -> None:
        """Compare, and tell what is new."""
        found = take_inventory(self.settings, self.sessions, self.spawner)
        if found != self._said:
            self._said = found
            if found.strange:
                log.warning("volumes that belong to nothing are kept", extra={"volumes": found.strange})
            if found.gone:
                log.error("volumes are gone", extra={"volumes": found.gone})
