"""Workspaces and their servers: asking for a server, and making it real, step by step.

Web processes only ask and read (:class:`Desk`); workers do (:class:`Servers`). Every step may be repeated
after a crash without harm, and two at once make one server: a lock keeps them apart, and where a lock was
lost, the spawner finds what is there by its name.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import gate, models
from ipylti.errors import EmptySource, IpyltiError, NotReady, ServerTimeout
from ipylti.jobs import Jobs
from ipylti.platforms import Platforms
from ipylti.servers.probe import Probe
from ipylti.servers.spawner import Limits, ServerSpec, ServerState, ServerStatus, Spawner, VolumeSpec
from ipylti.settings import Settings
from ipylti.volatile import Board, HeldLock, Locks, Progress, State, Step

log = logging.getLogger(__name__)

#: Seconds between two looks at whether Jupyter answers.
_LOOK = 0.02
#: Seconds between two looks at whether its container still lives, meanwhile.
_CHECK = 1.0


class Desk:
    """Where a server is asked for."""

    def __init__(self, board: Board, jobs: Jobs) -> None:
        self.board = board
        self.jobs = jobs

    def ask(self, workspace: str) -> Progress:
        """Ask for a workspace's server and return how far it is; asking often does no harm.

        A server that is said to be ready is looked after, too: its container may have ended meanwhile; so is
        an assignment that was not ready: its teacher may have saved something. The board goes on saying
        so until the look is done.
        """
        progress = self.board.read(workspace)
        if progress.state in (State.READY, State.NOT_READY):
            self.jobs.ask("start_server", workspace)
            return progress
        return progress if self._on_its_way(progress) else self._queue(workspace)

    def look(self, workspace: str) -> Progress:
        """Return how far a workspace's server is; a start that was lost is asked for again."""
        progress = self.board.read(workspace)
        begun = progress.state in (State.QUEUED, State.STARTING)
        return self._queue(workspace) if begun and not self._on_its_way(progress) else progress

    def _on_its_way(self, progress: Progress) -> bool:
        if progress.state is State.QUEUED:
            return not progress.old or self.jobs.depth("servers") > 0
        return progress.state is State.STARTING and not progress.old

    def _queue(self, workspace: str) -> Progress:
        self.board.queue(workspace)
        self.jobs.ask("start_server", workspace)
        return self.board.read(workspace)


@dataclass(frozen=True)
class _Facts:
    """What a start needs to know of a workspace, read in one short transaction."""

    spec: ServerSpec
    volume: VolumeSpec
    base: VolumeSpec | None
    base_opened: bool
    copy_begun: bool


class Servers:
    """Starts and stops servers; one of them per worker process, shared by its threads."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        spawner: Spawner,
        board: Board,
        locks: Locks,
        probe: Probe,
    ) -> None:
        self.settings = settings
        self.sessions = sessions
        self.spawner = spawner
        self.board = board
        self.locks = locks
        self.probe = probe

    def start(self, workspace: str) -> bool:
        """Make a workspace's server real, and say on the board how far it is and how it ended.

        :return: False where it has to be asked for again in a while: there is no room for one more, and the
            workspace keeps its place in the queue; or somebody is at it, who may be stopping it.
        """
        with self.locks.hold(f"server:{workspace}") as lock:
            if lock is not None and self._full(workspace):
                # In its place, if it has one; and a sign of life: the start is not lost.
                self.board.queue(workspace)
                return False
            if lock is None:
                return False
            self.board.dequeue(workspace)
            known = self.board.read(workspace)
            report = _Report(self.board, lock, workspace, known)
            if known.state is State.READY and self._routed(workspace):
                # Whoever gets through to it needs no Podman, which may be away.
                self.board.write(workspace, known)
                return True
            try:
                status = self._start(workspace, report)
            except NotReady:
                report(state=State.NOT_READY, step=None)
            except IpyltiError as err:
                log.warning("start failed", extra={"workspace": workspace, "code": err.code}, exc_info=True)
                report(state=State.FAILED, error=err.code)
            except Exception:
                log.exception("start failed", extra={"workspace": workspace})
                report(state=State.FAILED, error="server.failed")
            else:
                report(state=State.READY, step=None, extension=status.extension)
        return True

    def stop(self, workspace: str) -> None:
        """Stop a workspace's server; its volume stays."""
        with self.locks.hold(f"server:{workspace}", wait=30.0):
            # First: whoever comes while it ends asks for it anew, and that must not be written over.
            self.board.write(workspace, Progress())
            self.spawner.stop(workspace)

    def stop_idle(self) -> None:
        """Stop the servers in which nobody has done anything for the time that is set; files stay."""
        oldest = models.now() - self.settings.idle_timeout
        for status in self.spawner.servers(self.settings.instance):
            if status.state is not ServerState.RUNNING or status.address is None:
                continue
            token = self.settings.jupyter_token(status.workspace)
            activity = self.probe.activity(status.address, token)
            if activity is not None and not activity.busy and activity.last < oldest:
                log.info("server is idle", extra={"workspace": status.workspace})
                self.stop(status.workspace)

    def _full(self, workspace: str) -> bool:
        """Return whether as many servers run as may, this workspace's not counted."""
        if self.settings.max_servers is None:
            return False
        try:
            servers = self.spawner.servers(self.settings.instance)
        except IpyltiError:
            # The start itself will say what is wrong.
            return False
        running = {status.workspace for status in servers if status.state is ServerState.RUNNING}
        return workspace not in running and len(running) >= self.settings.max_servers

    def reconcile(self) -> None:
        """Bring the board into agreement with what really runs, and clear ended servers away."""
        running = set()
        for status in self.spawner.servers(self.settings.instance):
            if status.state is ServerState.RUNNING:
                running.add(status.workspace)
                continue
            with self.locks.hold(f"server:{status.workspace}") as lock:
                if lock is None:
                    continue
                log.warning(
                    "server ended by itself",
                    extra={
                        "workspace": status.workspace,
                        "exit_code": status.exit_code,
                        "out_of_memory": status.out_of_memory,
                    },
                )
                self.spawner.stop(status.workspace)
                error = "server.out_of_memory" if status.out_of_memory else "server.ended"
                self.board.write(status.workspace, Progress(state=State.FAILED, error=error))
        for workspace in self.board.ready() - running:
            with self.locks.hold(f"server:{workspace}") as lock:
                if lock and self.spawner.status(workspace).state is not ServerState.RUNNING:
                    self.board.write(workspace, Progress())

    def _start(self, workspace: str, report: "_Report") -> ServerStatus:
        facts = self._facts(workspace)
        status = self.spawner.status(workspace)
        # Of a start that ended halfway, the server may run over a volume that is not whole.
        whole = facts.base is None
        if whole and status.state is ServerState.RUNNING and self._routed(workspace):
            return status
        if facts.base is None or self._is_of_earlier_life(facts):
            report(state=State.STARTING, step=Step.CONTAINER)
            self.spawner.ensure_volume(facts.volume)
            status = self.spawner.start(facts.spec)
        else:
            status = self._start_with_copy(facts, facts.base, report)
        report(state=State.STARTING, step=Step.JUPYTER)
        self._wait(lambda: self._jupyter_answers(status), workspace, report, "jupyter")
        report(state=State.STARTING, step=Step.ROUTE)
        self._wait(lambda: self._routed(workspace), workspace, report, "route")
        return status

    def _is_of_earlier_life(self, facts: _Facts) -> bool:
        """Return whether the workspace's volume was there before the database knew of the workspace.

        It then holds somebody's work, and is taken as it is. Otherwise the copy counts as begun from now on.
        """
        if facts.copy_begun:
            return False
        found = self.spawner.has_volume(facts.volume.name)
        with self.sessions.begin() as db:
            workspace = db.get_one(models.Workspace, facts.spec.workspace)
            workspace.copying_since = models.now()
            if found:
                log.warning("a volume is taken over", extra={"workspace": workspace.id})
                workspace.populated_at = models.now()
        return found

    def _start_with_copy(self, facts: _Facts, base: VolumeSpec, report: "_Report") -> ServerStatus:
        """Copy the base into the workspace's volume while its server starts beside it.

        Nobody is let in before the copy is whole: that is written down first, and a start that crashes
        before makes the copy again. Where nothing was there to copy a while ago, the copy goes first.
        """
        if not facts.base_opened:
            raise NotReady("the assignment was never built")
        doubtful = report.progress.state is State.NOT_READY
        if not doubtful:
            report(state=State.STARTING, step=Step.COPY)
        self.spawner.ensure_volume(facts.volume)
        with ThreadPoolExecutor(1, "start") as beside:
            starting = None if doubtful else beside.submit(self.spawner.start, facts.spec)
            try:
                self.spawner.copy(base.name, facts.volume, facts.spec.image, report.copied)
            except BaseException as err:
                if starting is not None:
                    starting.exception()
                self.spawner.stop(facts.spec.workspace, grace=0)
                if isinstance(err, EmptySource):
                    self.spawner.remove_volume(facts.volume.name)
                    raise NotReady("nothing was saved into the assignment") from err
                raise
            with self.sessions.begin() as db:
                db.get_one(models.Workspace, facts.spec.workspace).populated_at = models.now()
            report(state=State.STARTING, step=Step.CONTAINER)
            return starting.result() if starting is not None else self.spawner.start(facts.spec)

    def _facts(self, workspace: str) -> _Facts:
        settings = self.settings
        with self.sessions.begin() as db:
            row = db.get_one(models.Workspace, workspace)
            assignment = row.assignment
            volume = volume_of(row, settings.instance)
            origins = {settings.url, *Platforms(db).frame_origins(), *_launch_origins(db, workspace)}
            spec = ServerSpec(
                workspace=row.id,
                assignment=assignment.id,
                kind=row.kind,
                instance=settings.instance,
                image=assignment.image or settings.image,
                volume=row.volume,
                hostname=settings.notebook_host(row.id),
                token=settings.jupyter_token(row.id),
                tool_origin=settings.url,
                frame_ancestors=tuple(sorted(origins)),
                limits=Limits(settings.memory, settings.cpus, settings.pids),
                egress=settings.egress if assignment.egress is None else assignment.egress,
            )
            build = db.get(models.Workspace, assignment.id)
            copy = row.kind == models.WorkspaceKind.TAKE and row.populated_at is None
            return _Facts(
                spec=spec,
                volume=volume,
                base=VolumeSpec(
                    name=f"ipylti-base-{assignment.id}",
                    kind="base",
                    instance=settings.instance,
                    assignment=assignment.id,
                    workspace=assignment.id,
                )
                if copy
                else None,
                base_opened=build is not None,
                copy_begun=row.copying_since is not None,
            )

    def _jupyter_answers(self, status: ServerStatus) -> bool:
        return status.address is not None and self.probe.answers(f"{status.address}/api")

    def _routed(self, workspace: str) -> bool:
        """Whether a request to the notebook host gets through Traefik and the gate to Jupyter."""
        return self.probe.answers(
            f"{self.settings.traefik_url}/api",
            host=self.settings.notebook_host(workspace),
            cookie=gate.probe_cookie(self.settings, workspace),
        )

    def _wait(self, done: Callable[[], bool], workspace: str, report: "_Report", what: str) -> None:
        """Wait until something is so.

        :raises ServerTimeout: it is not so in time, or the server has ended.
        """
        begun = checked = time.monotonic()
        while not done():
            moment = time.monotonic()
            if moment - checked > _CHECK:
                checked = moment
                report.alive()
                if self.spawner.status(workspace).state is not ServerState.RUNNING:
                    raise ServerTimeout(self.spawner.logs(workspace), code="server.ended")
            if moment - begun > self.settings.start_timeout.total_seconds():
                raise ServerTimeout(self.spawner.logs(workspace), code=f"server.timeout.{what}")
            time.sleep(_LOOK)


def volume_of(workspace: models.Workspace, instance: str) -> VolumeSpec:
    """Return the volume of a workspace and what its labels say."""
    return VolumeSpec(
        name=workspace.volume,
        kind="base" if workspace.kind == models.WorkspaceKind.BUILD else "take",
        instance=instance,
        assignment=workspace.assignment_id,
        workspace=workspace.id,
    )


def _launch_origins(db: Session, workspace: str) -> set[str]:
    """Return the origins that the newest launch of a workspace came from."""
    query = sa.select(models.Launch.frame_origins).filter_by(workspace_id=workspace)
    found = db.scalars(query.order_by(models.Launch.created_at.desc()).limit(1)).first()
    return set(found or [])


class _Report:
    """Puts the progress of one start on the board, and keeps its lock alive."""

    def __init__(self, board: Board, lock: HeldLock, workspace: str, progress: Progress) -> None:
        self.board = board
        self.lock = lock
        self.workspace = workspace
        self.progress = progress

    def __call__(
        self,
        *,
        state: State,
        step: Step | None = None,
        error: str = "",
        extension: bool | None = None,
    ) -> None:
        self.progress = Progress(state=state, step=step, error=error, extension=extension)
        self.board.write(self.workspace, self.progress)

    def copied(self, done: int, total: int) -> None:
        """Say how far the copy is."""
        self.progress = Progress(state=State.STARTING, step=Step.COPY, done=done, total=total)
        self.alive()

    def alive(self) -> None:
        """Give a sign of life."""
        self.lock.renew()
        self.board.write(self.workspace, self.progress)
