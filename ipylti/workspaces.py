"""Workspaces' servers, made real and ended, step by step; asked for by others (:mod:`ipylti.desk`).

Every step may be repeated after a crash without harm, and two at once make one server: a lock keeps them
apart, and where a lock was lost, the spawner finds what is there by its name.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from sqlalchemy.orm import Session, sessionmaker

from ipylti import audit, gate, models
from ipylti.admission import Admission
from ipylti.bases import Bases
from ipylti.errors import EmptySource, IpyltiError, NotReady, ServerTimeout, SpawnerError
from ipylti.facts import Facts
from ipylti.facts import read as read_facts
from ipylti.line import Line
from ipylti.servers.probe import Probe
from ipylti.servers.spawner import ServerState, ServerStatus, Spawner, VolumeSpec
from ipylti.settings import Settings
from ipylti.tally import START_SECONDS, START_STEPS, STARTS, Tally
from ipylti.volatile import Board, HeldLock, Locks, Progress, State, Step

log = logging.getLogger(__name__)

#: Seconds between two looks at whether Jupyter answers.
_LOOK = 0.02
#: Seconds after which a route is late: Traefik reads a container within a tenth of that.
_LATE = 5.0
#: Seconds between two looks at whether its container still lives, meanwhile.
_CHECK = 1.0

_STOPPED = Progress()


class Servers:
    """Starts and stops servers; one of them per worker process, shared by its threads."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        spawner: Spawner,
        board: Board,
        line: Line,
        locks: Locks,
        probe: Probe,
        tally: Tally,
    ) -> None:
        self.settings = settings
        self.sessions = sessions
        self.spawner = spawner
        self.board = board
        self.line = line
        self.locks = locks
        self.probe = probe
        self.tally = tally
        self.bases = Bases(settings, sessions, spawner, locks)
        self.admission = Admission(settings, spawner, line)

    def start(self, workspace: str) -> bool:
        """Make a workspace's server real, and say on the board how far it is and how it ended.

        :return: False where it has to be asked for again in a while: there is no room for one more, and the
            workspace keeps its place in the queue; or somebody is at it, who may be stopping it.
        """
        with self.locks.hold(f"server:{workspace}") as lock:
            if lock is None:
                return False
            if self.line.was_sent_away(workspace):
                return True
            known, runs = self.board.read(workspace), False
            if known.state is State.READY and self.routed(workspace):
                # Whoever gets through to it needs no Podman, which may be away.
                self.board.write(workspace, known)
                return True
            if not self.admission.admits(workspace):
                # In its place, if it has one; and a sign of life: the start is not lost.
                self.line.wait(workspace)
                return False
            begun = time.monotonic()
            report = _Report(self.board, self.line, lock, workspace, known, self.tally)
            self.tally.observe(START_STEPS, self.line.waited(workspace), Step.QUEUE.value)
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
                runs = True
                self.line.took(time.monotonic() - begun)
                self.tally.observe(START_SECONDS, time.monotonic() - begun)
            self.line.leave(workspace, runs=runs)
        return True

    def stop(self, workspace: str, why: Progress = _STOPPED) -> None:
        """Stop a workspace's server, or have it wait for one no more; its volume stays.

        What JupyterLab holds unsaved in open tabs is saved first.

        :param why: what the board is to say of it then.
        """
        with self.locks.hold(f"server:{workspace}", wait=30.0):
            self.line.send_away(workspace)
            status = self.spawner.status(workspace)
            ran = status.state is ServerState.RUNNING
            if status.address is not None:
                self._save(workspace, status.address)
            # Before it ends: whoever comes meanwhile asks for it anew, and that must not be written over, nor
            # their place in the line be taken.
            self.board.write(workspace, why)
            if ran:
                self.line.keep_room(workspace)
            self.spawner.stop(workspace)
            self.line.give_room(workspace)
            if ran:
                audit.record_apart(self.sessions, "server stopped", workspace)

    def _save(self, workspace: str, address: str) -> None:
        """Have all open tabs save what they hold, as far as they answer."""
        saved = self.probe.save_all(address, self.settings.jupyter_token(workspace))
        if saved is not None and saved.tabs:
            log.info(
                "documents saved",
                extra={
                    "workspace": workspace,
                    "tabs": saved.tabs,
                    "silent": saved.silent,
                    "unsaved": len(saved.unsaved),
                },
            )

    def _start(self, workspace: str, report: "_Report") -> ServerStatus:
        facts = read_facts(self.settings, self.sessions, workspace)
        status = self.spawner.status(workspace)
        # Of a start that ended halfway, the server may run over a volume that is not whole.
        whole = facts.base is None
        if whole and status.state is ServerState.RUNNING and self.routed(workspace):
            return status
        if self.is_cut_off(status):
            self.spawner.stop(workspace)
        if not facts.base_cloned:
            report(state=State.STARTING, step=Step.COPY)
            self.bases.prepare(facts.spec.assignment, report.copied, report.alive)
        if facts.base is None or self._is_of_earlier_life(facts):
            report(state=State.STARTING, step=Step.CONTAINER)
            if self.spawner.ensure_volume(facts.volume) and facts.populated:
                self.spawner.remove_volume(facts.volume.name)
                raise SpawnerError(f"{facts.volume.name} is gone", code="volume.gone")
            status = self.spawner.start(facts.spec)
        else:
            status = self._start_with_copy(facts, facts.base, report)
        report(state=State.STARTING, step=Step.JUPYTER)
        # Now, while Jupyter starts, it keeps nobody waiting.
        audit.record_apart(self.sessions, "server started", workspace)
        self._wait(lambda: self._jupyter_answers(status), workspace, report, "jupyter")
        report(state=State.STARTING, step=Step.ROUTE)
        self._wait(self._routed_at_last(status), workspace, report, "route")
        return status

    def _routed_at_last(self, status: ServerStatus) -> Callable[[], bool]:
        """Return what says whether a server is routed, and has Traefik look again where that takes long."""
        asked = time.monotonic()

        def routed() -> bool:
            nonlocal asked
            if self.routed(status.workspace):
                return True
            if time.monotonic() - asked > _LATE and self.lacks_route(status):
                asked = time.monotonic()
                log.warning("a route is late", extra={"workspace": status.workspace})
                self.spawner.announce(self.settings.instance, self.settings.image)
            return False

        return routed

    def _is_of_earlier_life(self, facts: Facts) -> bool:
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

    def _start_with_copy(self, facts: Facts, base: VolumeSpec, report: "_Report") -> ServerStatus:
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
            starting = None if doubtful else beside.submit(copy_context().run, self.spawner.start, facts.spec)
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

    def _jupyter_answers(self, status: ServerStatus) -> bool:
        return status.address is not None and self.probe.answers(f"{status.address}/api")

    def routed(self, workspace: str) -> bool:
        """Whether a request to the notebook host gets through Traefik and the gate to Jupyter."""
        return self.probe.answers(
            f"{self.settings.traefik_url}/api",
            host=self.settings.notebook_host(workspace),
            cookie=gate.probe_cookie(self.settings, workspace),
        )

    def is_cut_off(self, status: ServerStatus) -> bool:
        """Return whether a server runs that nobody can ever reach again; log it then."""
        if status.address is None or not self.probe.refuses(status.address):
            return False
        log.warning("a server's port is dead: it is ended", extra={"workspace": status.workspace})
        return True

    def lacks_route(self, status: ServerStatus) -> bool:
        """Return whether Traefik does not know a server that does answer, though it knows the tool."""
        settings = self.settings
        return (
            self._jupyter_answers(status)
            and self.probe.alive(f"{settings.traefik_url}/healthz", host=settings.host)
            and not self.routed(status.workspace)
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
                status = self.spawner.status(workspace)
                if self.is_cut_off(status):
                    self.spawner.stop(workspace)
                    raise ServerTimeout("its port was dead", code="server.ended")
                if status.state is not ServerState.RUNNING:
                    raise ServerTimeout(self.spawner.logs(workspace), code="server.ended")
            if moment - begun > self.settings.start_timeout.total_seconds():
                raise ServerTimeout(self.spawner.logs(workspace), code=f"server.timeout.{what}")
            time.sleep(_LOOK)


class _Report:
    """Puts the progress of one start on the board, and keeps its lock alive."""

    def __init__(
        self,
        board: Board,
        line: Line,
        lock: HeldLock,
        workspace: str,
        progress: Progress,
        tally: Tally,
    ) -> None:
        self.board = board
        self.line = line
        self.lock = lock
        self.workspace = workspace
        self.progress = progress
        self.tally = tally
        self.step: Step | None = None
        self.since = 0.0

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
        self._count(step)

    def _count(self, step: Step | None) -> None:
        """Note how long the step took that is over, and what a start came to that ended."""
        moment = time.monotonic()
        if step is not self.step:
            if self.step is not None:
                self.tally.observe(START_STEPS, moment - self.since, self.step.value)
            self.step, self.since = step, moment
        if self.progress.state is not State.STARTING:
            self.tally.count(STARTS, self.progress.error or self.progress.state.value)

    def copied(self, done: int, total: int) -> None:
        """Say how far the copy is."""
        self.progress = Progress(state=State.STARTING, step=Step.COPY, done=done, total=total)
        self.alive()

    def alive(self) -> None:
        """Give a sign of life."""
        self.lock.renew()
        self.line.alive(self.workspace)
        self.board.write(self.workspace, self.progress)
