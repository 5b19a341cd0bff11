"""Who may start a server now, where there is not room for all: in the order in which they came."""

import logging
import math
import time

from ipylti.errors import IpyltiError
from ipylti.line import Answer, Line
from ipylti.servers.host import free_memory
from ipylti.servers.spawner import ServerState, Spawner
from ipylti.settings import Settings

log = logging.getLogger(__name__)

#: Seconds after which whoever is next in line is looked at again, and the most for those further behind: less
#: than what a workspace may be silent for before its start counts as lost.
_NEXT = 2.0
_LONGEST = 15.0

#: Seconds for which a start waits at the door for others to end theirs, and between two looks.
_AT_THE_DOOR = 10.0
_LOOK = 0.05

#: Seconds after which what was listed of running servers is too old to decide by.
_LISTED = 3.0


class Admission:
    """Lets as many start at a time as may, whatever the number of workers, and as many run as the host can
    bear; in the worker."""

    def __init__(self, settings: Settings, spawner: Spawner, line: Line) -> None:
        self.settings = settings
        self.spawner = spawner
        self.line = line

    def admits(self, workspace: str) -> bool:
        """Return whether a workspace's server may start now; room is kept for it until it runs.

        Where others only have to end their starts, that is waited for a while.
        """
        begun = time.monotonic()
        while (answer := self._ask(workspace)) is Answer.BUSY and time.monotonic() - begun < _AT_THE_DOOR:
            time.sleep(_LOOK)
        return answer is Answer.IN

    def pause(self, workspace: str) -> float:
        """Return the seconds after which a workspace that waits is looked at again."""
        ahead = (self.line.position(workspace) or 1) - 1
        return min(_NEXT * (1 + ahead / 10), _LONGEST)

    def _ask(self, workspace: str) -> Answer:
        most, at_a_time = self.settings.max_servers, self.settings.max_starting
        if most is None and not self._memory_is_short():
            return self.line.admit(workspace, at_a_time=at_a_time, places=None)
        if self.line.starting() >= at_a_time and not self.line.starts(workspace):
            return Answer.BUSY
        begun = time.monotonic()
        try:
            servers = self.spawner.servers(self.settings.instance)
        except IpyltiError:
            # The start itself will say what is wrong.
            return self.line.admit(workspace, at_a_time=at_a_time, places=None)
        running = {status.workspace for status in servers if status.state is ServerState.RUNNING}
        # A host that is short of memory without any server is not made better by waiting.
        if self._memory_is_short():
            most = min(most or 1, 1)
        if time.monotonic() - begun > _LISTED:
            return Answer.BUSY
        return self.line.admit(workspace, at_a_time=at_a_time, places=most, running=running)

    def _memory_is_short(self) -> bool:
        least, free = self.settings.min_free_memory, free_memory()
        return least is not None and free is not None and free < least


def estimate(line: Line, position: int, at_a_time: int) -> int | None:
    """Return the seconds that somebody in the line is likely to wait; None where nobody can know.

    That is so for those for whom somebody else's server has to end first.

    :param position: 1 being next.
    :param at_a_time: servers that start at a time.
    """
    usual, free = line.usual_start(), line.free()
    if usual is None or (free is not None and position > free):
        return None
    return math.ceil(math.ceil(position / at_a_time) * usual)
