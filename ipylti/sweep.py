"""What a worker does each minute: asks again for what is still to be done, and puts right what is amiss.

The database is the truth: an emptied queue or a worker that was killed delays work but never loses it.
"""

import logging
from collections.abc import Callable, Mapping

from ipylti.errors import DependencyDown, IpyltiError
from ipylti.jobs import Jobs
from ipylti.volatile import Locks

log = logging.getLogger(__name__)

#: Seconds after which another sweep may begin although the last one did not end.
_SWEEPING = 15.0


class Sweep:
    """Several steps, of which one that fails keeps no other from being done.

    :param steps: what to do, by name, in order. A step takes a few seconds at most, may be repeated, and
        leaves what takes longer to jobs.
    """

    def __init__(self, locks: Locks, jobs: Jobs, steps: Mapping[str, Callable[[], None]]) -> None:
        self.locks = locks
        self.jobs = jobs
        self.steps = steps

    def run(self) -> None:
        """Do all steps, unless another worker is at it.

        :raises DependencyDown: Redis is away, or the lock was lost: another worker may be sweeping by now.
        """
        with self.locks.hold("sweep", seconds=_SWEEPING) as lock:
            if lock is None:
                # Somebody sweeps, or died doing so.
                self.jobs.ask("sweep", "", delay=_SWEEPING)
                return
            for name, step in self.steps.items():
                lock.renew()
                _try(name, step)


def _try(name: str, step: Callable[[], None]) -> None:
    try:
        step()
    except DependencyDown as err:
        log.warning("sweep's step has to wait", extra={"step": name, "code": err.code})
    except IpyltiError as err:
        log.warning("sweep's step failed", extra={"step": name, "code": err.code}, exc_info=True)
    except Exception:
        log.exception("sweep's step failed", extra={"step": name})
