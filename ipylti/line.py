"""The line in which those stand who want a server, and who of them is let in; on Redis, for all processes.

Places never rise: who comes is put behind all others in one step, and who had a place keeps it. A start whose
worker died comes back to where it stood; those behind it are not told of that.
"""

import json
import time
from collections.abc import Collection
from enum import StrEnum
from typing import Any

import redis

from ipylti.volatile import STALE, Board, Progress, State, Step, translated

#: Seconds without a sign of life after which a start under way counts as dead, and its room is free.
_ALIVE = STALE

#: Seconds for which room is kept after a start ended: until whoever counts servers sees it among them.
_SEEN = 5.0

#: Seconds without a sign of life after which whoever waits counts as gone: a line may take minutes.
_FORGOTTEN = 600.0

#: Seconds for which it is known that a workspace was sent away: longer than a job waits for its turn.
_SENT_AWAY = 3600

#: Starts of which it is known how long they took.
_STARTS_KEPT = 20

_PREFIX = "ipylti:line"
_KEYS = tuple(f"{_PREFIX}:{name}" for name in ("waiting", "tickets", "last", "told", "starting", "taken"))

#: When those in the line came to it, in seconds since 1970.
_SINCE = f"{_PREFIX}:since"

#: What follows names the keys in each script.
_NAMES = "local waiting, tickets, last, told, starting, taken = unpack(KEYS)\n"

_QUEUE = """
local name = ARGV[1]
local ticket = redis.call('HGET', tickets, name)
if not ticket then
    ticket = redis.call('INCR', last)
    redis.call('HSET', tickets, name, ticket)
end
redis.call('ZADD', waiting, 'NX', ticket, name)
"""

_POSITION = """
local name = ARGV[1]
local rank = redis.call('ZRANK', waiting, name)
if not rank then return false end
local place = rank + 1
local before = tonumber(redis.call('HGET', told, name))
if before and before <= place then return before end
redis.call('HSET', told, name, place)
return place
"""

_ADMIT = """
local left = -1
local name, now, at_a_time, places, alive = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
for _, key in ipairs({starting, taken}) do redis.call('ZREMRANGEBYSCORE', key, '-inf', now) end
if not redis.call('ZSCORE', starting, name) then
    if redis.call('ZCARD', starting) >= at_a_time then return {'busy', -1} end
    local inside = {}
    local count = 0
    for _, list in ipairs({redis.call('ZRANGE', taken, 0, -1), {unpack(ARGV, 6)}}) do
        for _, each in ipairs(list) do
            if not inside[each] then inside[each] = true; count = count + 1 end
        end
    end
    if places >= 0 and not inside[name] then
        local free = places - count
        if free <= 0 then return {'full', 0} end
        local rank = redis.call('ZRANK', waiting, name) or redis.call('ZCARD', waiting)
        if rank >= free then return {'later', free} end
        left = free - 1
    end
end
redis.call('ZADD', starting, alive, name)
redis.call('ZADD', taken, alive, name)
redis.call('ZREM', waiting, name)
return {'in', left}
"""

_LEAVE = """
local name = ARGV[1]
redis.call('ZREM', starting, name)
redis.call('ZREM', waiting, name)
redis.call('HDEL', tickets, name)
redis.call('HDEL', told, name)
"""


class Answer(StrEnum):
    """What somebody is told who wants to start: come in; or why not yet."""

    IN = "in"
    BUSY = "busy"
    FULL = "full"
    LATER = "later"


class Line:
    """Who waits, who starts, and for whom room is kept."""

    def __init__(self, client: redis.Redis, board: Board) -> None:
        self.client = client
        self.board = board
        self._queue, self._position, self._admit, self._leave = (
            client.register_script(_NAMES + text) for text in (_QUEUE, _POSITION, _ADMIT, _LEAVE)
        )

    def queue(self, workspace: str) -> None:
        """Put a workspace at the end of the line, and say so; where it has a place, it keeps it."""
        self.call_back(workspace)
        self.wait(workspace)

    def wait(self, workspace: str) -> None:
        """Give a sign of life of one that waits, unless it was sent away meanwhile."""
        if not self.was_sent_away(workspace):
            self._run(self._queue, workspace)
            with translated():
                self.client.hsetnx(_SINCE, workspace, f"{time.time():.3f}")
            self.board.write(workspace, Progress(state=State.QUEUED, step=Step.QUEUE))

    def waited(self, workspace: str) -> float:
        """Return the seconds since somebody that is let in came to the line."""
        with translated():
            since: Any = self.client.hget(_SINCE, workspace)
        return max(0.0, time.time() - float(since)) if since is not None else 0.0

    def position(self, workspace: str) -> int | None:
        """Return the place in the line, 1 being next, or None if it does not wait."""
        found = self._run(self._position, workspace)
        return int(found) if found is not None else None

    def length(self) -> int:
        """Return how many wait."""
        with translated():
            return int(self.client.zcard(_KEYS[0]))

    def admit(
        self, workspace: str, *, at_a_time: int, places: int | None, running: Collection[str] = ()
    ) -> Answer:
        """Let a workspace's start in, if there is room and others are not to come first; else it waits on.

        Room is kept for it as long as it gives signs of life, and a moment longer.

        :param at_a_time: starts that may be under way.
        :param places: servers that may run; None for any number, and then nobody looks at who comes first.
        :param running: whose servers run.
        """
        if places is not None:
            self._forget_the_gone()
        now = time.time()
        limit = -1 if places is None else places
        answer, free = self._run(self._admit, workspace, now, at_a_time, limit, now + _ALIVE, *running)
        if free >= 0:
            self._say_free(int(free))
        return Answer(answer.decode())

    def starting(self) -> int:
        """Return how many starts are under way."""
        with translated():
            return int(self.client.zcount(_KEYS[-2], time.time(), "+inf"))

    def starts(self, workspace: str) -> bool:
        """Return whether a workspace's start is under way."""
        with translated():
            return self.client.zscore(_KEYS[-2], workspace) is not None

    def alive(self, workspace: str) -> None:
        """Give a sign of life of a start under way."""
        with translated(), self.client.pipeline(transaction=False) as pipe:
            for key in _KEYS[-2:]:
                pipe.zadd(key, {workspace: time.time() + _ALIVE}, xx=True)
            pipe.execute()

    def leave(self, workspace: str, *, runs: bool = False) -> None:
        """Say that a start has ended, or that whoever waited does so no more.

        :param runs: whether the server runs now.
        """
        self._run(self._leave, workspace)
        with translated():
            self.client.hdel(_SINCE, workspace)
            if runs:
                self.client.zadd(_KEYS[-1], {workspace: time.time() + _SEEN}, xx=True)
        if not runs:
            self.give_room(workspace)

    def keep_room(self, workspace: str) -> None:
        """Keep room for a server that is being stopped: until it has ended, it takes what others do."""
        with translated():
            self.client.zadd(_KEYS[-1], {workspace: time.time() + _ALIVE})

    def give_room(self, workspace: str) -> None:
        """Say that a server takes no room any more."""
        with translated():
            self.client.zrem(_KEYS[-1], workspace)

    def send_away(self, workspace: str) -> None:
        """Have a workspace wait no more, and a start of it that was asked for before be none."""
        with translated():
            self.client.set(self._away(workspace), b"1", ex=_SENT_AWAY)
        self.leave(workspace)

    def call_back(self, workspace: str) -> None:
        """Say that a workspace is wanted again."""
        with translated():
            self.client.delete(self._away(workspace))

    def was_sent_away(self, workspace: str) -> bool:
        """Return whether a workspace was sent away after it was last asked for."""
        with translated():
            return bool(self.client.exists(self._away(workspace)))

    def free(self) -> int | None:
        """Return how many more servers had room when somebody was last refused, None if that is long ago."""
        with translated():
            found = self.client.get(f"{_PREFIX}:free")
        return int(found) if isinstance(found, bytes) else None

    def took(self, seconds: float) -> None:
        """Note how long a start took."""
        with translated():
            self.client.lpush(f"{_PREFIX}:took", f"{seconds:.3f}")
            self.client.ltrim(f"{_PREFIX}:took", 0, _STARTS_KEPT - 1)

    def usual_start(self) -> float | None:
        """Return the seconds that starts take of late, None where there was none yet."""
        with translated():
            found: Any = self.client.lrange(f"{_PREFIX}:took", 0, -1)
        seconds = sorted(float(each) for each in found)
        return seconds[len(seconds) // 2] if seconds else None

    def _say_free(self, places: int) -> None:
        with translated():
            self.client.set(f"{_PREFIX}:free", json.dumps(places), ex=int(STALE))

    def _forget_the_gone(self) -> None:
        """Take out whoever is first and gave no sign of life for long, or does not wait at all."""
        while True:
            with translated():
                found: Any = self.client.zrange(_KEYS[0], 0, 0)
            if not found:
                return
            name = found[0].decode()
            known = self.board.read(name)
            if known.state is State.QUEUED and time.time() - known.at < _FORGOTTEN:
                return
            self.leave(name)

    def _run(self, script: Any, *arguments: object) -> Any:
        with translated():
            return script(keys=_KEYS, args=arguments)

    @staticmethod
    def _away(workspace: str) -> str:
        return f"{_PREFIX}:away:{workspace}"
