"""Where a server is asked for, by web and shell; workers make it real (:mod:`ipylti.workspaces`)."""

from ipylti.jobs import Jobs
from ipylti.line import Line
from ipylti.volatile import Board, Progress, State


class Desk:
    """Where a server is asked for."""

    def __init__(self, board: Board, line: Line, jobs: Jobs) -> None:
        self.board = board
        self.line = line
        self.jobs = jobs

    def ask(self, workspace: str) -> Progress:
        """Ask for a workspace's server and return how far it is; asking often does no harm.

        A server that is said to be ready is looked after, too: its container may have ended meanwhile; so is
        an assignment that was not ready: its teacher may have saved something. The board goes on saying
        so until the look is done.
        """
        progress = self.board.read(workspace)
        if progress.state in (State.READY, State.NOT_READY):
            self.line.call_back(workspace)
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
        self.line.queue(workspace)
        self.jobs.ask("start_server", workspace)
        return self.board.read(workspace)
