"""Servers at which nobody works end by themselves; files stay.

Work is what Jupyter says of itself (requests of a page that somebody touches, kernels, terminals), somebody
who comes, and whoever asks for more time. A kernel that computes keeps its server, up to an age that is set.
"""

import logging
from datetime import datetime, timedelta
from enum import StrEnum

from ipylti import models, trace
from ipylti.jobs import Jobs
from ipylti.servers.probe import Activity, Probe
from ipylti.servers.spawner import ServerState, ServerStatus, Spawner
from ipylti.settings import Settings
from ipylti.volatile import Board, Cache
from ipylti.workspaces import Servers

log = logging.getLogger(__name__)

#: How long before its end a server's people are warned.
WARNING = timedelta(minutes=5)


class Reason(StrEnum):
    """Why a server ends."""

    IDLE = "nobody works there"
    AGE = "it is as old as one may be"


class Visits:
    """When somebody last came to a workspace's notebook, or asked for it to be kept awake."""

    def __init__(self, cache: Cache, settings: Settings) -> None:
        self.cache = cache
        self.seconds = int(settings.idle_timeout.total_seconds()) + 1

    def note(self, workspace: str) -> None:
        """Write down that somebody is there.

        :raises DependencyDown: Redis does not answer.
        """
        self.cache.set(workspace, models.now().isoformat(), self.seconds)

    def last(self, workspace: str) -> datetime | None:
        """Return when somebody last was there, None if that is longer ago than a server idles."""
        found = self.cache.get(workspace)
        return datetime.fromisoformat(found) if found is not None else None


class Idling:
    """Looks after the servers that run; in the worker."""

    def __init__(
        self,
        settings: Settings,
        spawner: Spawner,
        board: Board,
        probe: Probe,
        servers: Servers,
        jobs: Jobs,
        visits: Visits,
    ) -> None:
        self.settings = settings
        self.spawner = spawner
        self.board = board
        self.probe = probe
        self.servers = servers
        self.jobs = jobs
        self.visits = visits

    def look(self) -> None:
        """Have the servers stopped whose time has come, and warn the people of those whose time is near."""
        for status in self.spawner.servers(self.settings.instance):
            ends = self._ends(status)
            if ends is None:
                continue
            end, now = ends[0], models.now()
            if end <= now:
                self.jobs.ask("stop_idle_server", status.workspace)
            else:
                near = end - now <= min(WARNING, self.settings.idle_timeout / 2)
                self.board.warn(status.workspace, end if near else None)

    def stop(self, workspace: str) -> None:
        """Stop a server whose time has come, unless somebody came since that was found."""
        ends = self._ends(self.spawner.status(workspace))
        if ends is None or ends[0] > models.now():
            return
        reason = ends[1]
        log.info("server is stopped", extra={"workspace": workspace, "reason": reason.value})
        with trace.acting(trace.program(reason.name.lower())):
            self.servers.stop(workspace)

    def _ends(self, status: ServerStatus) -> tuple[datetime, Reason] | None:
        """Return when a server is to end, and why; None where it does not say what is done there."""
        if status.state is not ServerState.RUNNING or status.address is None:
            return None
        activity = self.probe.activity(status.address, self.settings.jupyter_token(status.workspace))
        return None if activity is None else self._end(status.workspace, activity, models.now())

    def _end(self, workspace: str, activity: Activity, now: datetime) -> tuple[datetime, Reason]:
        """Return when a server is to end, as things stand, and why."""
        last = max(activity.last, self.visits.last(workspace) or activity.last)
        idle = (now if activity.busy else last) + self.settings.idle_timeout
        if self.settings.max_age is None:
            return idle, Reason.IDLE
        age = activity.started + self.settings.max_age
        return (age, Reason.AGE) if age < idle else (idle, Reason.IDLE)
