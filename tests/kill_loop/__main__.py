"""The kill loop's command; ``bin/kill-loop`` prepares the host and starts it."""

import argparse
import tempfile
import time
from pathlib import Path

from tests.kill_loop.loop import STACK, KillLoop
from tests.stack import Stack


def main() -> int:
    """Run the loop; returns the exit status, 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="bin/kill-loop", description="Kill parts while people work.")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="the most it may take")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    until = time.monotonic() + options.minutes * 60
    folder = Path(tempfile.mkdtemp(prefix="ipylti-kill-"))
    with Stack(folder, **STACK) as stack:
        loop = KillLoop(stack, options.seed, lambda text: print(f"{time.strftime('%X')} {text}", flush=True))
        outcome = loop.run(options.rounds, until)
        print(outcome.summary(), flush=True)
    print(f"logs: {folder}")
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
