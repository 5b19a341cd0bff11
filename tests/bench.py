"""The bench: ``bin/bench`` prints how long things take, as ratios within one interleaved run.

Absolute seconds depend on the machine and on what else it does; a ratio of medians, measured turn by turn,
says something. Nothing here is a test: see ``docs/architecture.md`` for the numbers to reach.
"""

import argparse
import json
import secrets
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.parts import free_port
from tests.person import Person
from tests.stack import Stack

IMAGE = "localhost/ipylti-notebook:latest"
PLAIN_IMAGE = "localhost/ipylti-notebook-plain:latest"

#: The options that ipylti gives a server, for the bare container to be measured against.
OPTIONS = ("--cap-drop", "all", "--security-opt", "no-new-privileges", "--log-driver", "k8s-file")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    :param measured: median seconds of what is measured; ``against`` that of what it is compared with.
    :param value: the ratio, or the milliseconds, that counts.
    :param reach: what it should be at most.
    """

    name: str
    measured: float
    against: float | None
    value: float
    unit: str
    reach: float
    rounds: int
    note: str = ""

    @property
    def reached(self) -> bool:
        """Whether it is as it should be."""
        return self.value <= self.reach


def main() -> int:
    """Measure, print, and write the JSON; returns the exit status."""
    options = _arguments().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder))
        try:
            with stack:
                rows = _rows(stack, options.rounds)
        except RuntimeError as err:
            print(err, file=sys.stderr)
            return 1
    _print(rows)
    if options.json:
        told = [asdict(row) | {"reached": row.reached} for row in rows]
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bin/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each measurement")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    return parser


def _rows(stack: Stack, rounds: int) -> list[Row]:
    rows = []
    image = _interleaved(rounds, _bare(stack, IMAGE), _bare(stack, PLAIN_IMAGE))
    rows.append(_ratio("image: bare start, against JupyterLab as pip installs it", image, 0.35))
    _build_base(stack)
    again = _again(stack)
    again()
    cold = _interleaved(rounds, again, _bare(stack, IMAGE))
    rows.append(_ratio("cold launch of a workspace, against bare", cold, 1.15))
    new = _interleaved(rounds, _new_student(stack), _bare(stack, IMAGE))
    rows.append(_ratio("cold launch of a new student (with the copy), against bare", new, 1.15))
    times, requests = _warm(stack, rounds * 3)
    warm = statistics.median(times)
    name = f"launch with the server running, fresh browser ({requests} requests)"
    rows.append(Row(name, warm, None, warm * 1000, "ms", 50.0, len(times)))
    return rows


def _interleaved(
    rounds: int, measured: Callable[[], float], against: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Run both in turns, so that what else the machine does falls on both."""
    pairs = [(measured(), against()) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _ratio(name: str, times: tuple[list[float], list[float]], reach: float) -> Row:
    measured, against = statistics.median(times[0]), statistics.median(times[1])
    return Row(name, measured, against, measured / against, "x", reach, len(times[0]))


def _bare(stack: Stack, image: str) -> Callable[[], float]:
    """Return what measures ``podman run`` of an image until JupyterLab answers."""

    def measure() -> float:
        port, token, name = free_port(), secrets.token_hex(16), f"ipylti-bench-{secrets.token_hex(4)}"
        begun = time.perf_counter()
        stack.podman(
            *("run", "--detach", "--rm", "--name", name, *OPTIONS),
            *("--publish", f"127.0.0.1:{port}:8888", "--volume", f"{name}:/home/jovyan/work"),
            *("--env", f"JUPYTER_TOKEN={token}", image),
        )
        try:
            _until_answered(f"http://127.0.0.1:{port}/lab?token={token}")
            return time.perf_counter() - begun
        finally:
            stack.podman("rm", "--force", "--time", "0", name)
            stack.podman("volume", "rm", "--force", name)

    return measure


def _until_answered(url: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.01)
    raise RuntimeError("JupyterLab did not answer")


def _launched(person: Person) -> float:
    """Return the seconds from posting the message until JupyterLab's page came through Traefik."""
    url, form = person.message()
    begun = time.perf_counter()
    workbench = person.post_message(url, form)
    page = workbench.enter().get("/lab")
    if page.status != 200:
        raise RuntimeError(f"JupyterLab answered {page.status}")
    return time.perf_counter() - begun


def _build_base(stack: Stack) -> None:
    """Have the teacher save something, so that students have something to copy."""
    notebook = Person(stack.campus, "nora").launch().enter()
    for number in range(10):
        notebook.save(f"file-{number}.txt", "x" * 10_000)


def _again(stack: Stack) -> Callable[[], float]:
    """Return what measures a student's launch when their server is stopped."""
    zoe = Person(stack.campus, "zoe")

    def measure() -> float:
        for name in stack.containers():
            if "take" in stack.podman(
                "inspect", "--format", '{{index .Config.Labels "io.ipylti.kind"}}', name
            ):
                stack.stop_server(name.removeprefix("ipylti-server-"))
        return _launched(zoe)

    return measure


def _new_student(stack: Stack) -> Callable[[], float]:
    """Return what measures the first launch of somebody new."""

    def measure() -> float:
        word = secrets.token_hex(4)
        zoe = stack.campus.person("zoe")
        stack.campus.enrol(replace(zoe, login=f"z{word}", sub=word, hint=f"h-{word}"))
        return _launched(Person(stack.campus, f"z{word}"))

    return measure


def _warm(stack: Stack, rounds: int) -> tuple[list[float], int]:
    """Return the seconds of launches by fresh browsers while the server runs, and the requests of one."""
    Person(stack.campus, "zoe").launch().enter()
    times = []
    for _ in range(rounds):
        person = Person(stack.campus, "zoe")
        url, form = person.message()
        begun = time.perf_counter()
        before = person.requests
        page = person.post_message(url, form)
        entered = person.get(page.embedded_status()["url"])
        person.get(entered.location)
        times.append(time.perf_counter() - begun)
    return times, person.requests - before


def _print(rows: list[Row]) -> None:
    width = max(len(row.name) for row in rows)
    print(f"{'':{width}}  median s  against s     value     reach")
    for row in rows:
        against = f"{row.against:9.3f}" if row.against is not None else " " * 9
        mark = "" if row.reached else "  <- not reached"
        print(
            f"{row.name:{width}}  {row.measured:8.3f}  {against}  {row.value:7.2f} {row.unit:<2}"
            f"{row.reach:7.2f}{mark}"
        )


if __name__ == "__main__":
    raise SystemExit(main())
