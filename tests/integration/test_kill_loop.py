"""A short kill loop (:mod:`tests.kill_loop`); ``bin/kill-loop`` runs a long one."""

import time
from pathlib import Path

from tests.integration.conftest import needs_ordinary_user
from tests.kill_loop.loop import STACK, KillLoop
from tests.stack import Stack

#: Rounds, and the seconds after which no further one begins.
ROUNDS, LIMIT = 15, 60.0


def test_whatever_is_killed_nothing_is_lost(tmp_path: Path) -> None:
    needs_ordinary_user()
    with Stack(tmp_path, **STACK) as stack:
        outcome = KillLoop(stack, seed=1, say=print).run(ROUNDS, time.monotonic() + LIMIT)
        print(outcome.summary())
        assert outcome.findings == []
        assert outcome.saves > 0
