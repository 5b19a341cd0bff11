"""What has to be so once everything runs again: each check returns what is not."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from ipylti import models, volatile
from ipylti.line import Line
from ipylti.volatile import Board, State
from tests.kill_loop.people import Worker
from tests.stack import ROOT, Stack

#: Reads volumes, as their root: folders and names from standard input; files and digests to standard output.
_READER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from ipylti.servers import copier
told = {}
for volume, folder in json.load(sys.stdin).items():
    os.chdir(folder)
    files = {}
    for name in os.listdir('.'):
        if name.endswith('.txt'):
            with open(name, errors='replace') as file:
                files[name] = file.read()
    told[volume] = {'files': files, 'digest': copier.digest(b'.')[0]}
json.dump(told, sys.stdout)
"""


def quiet(stack: Stack) -> list[str]:
    """Return what is still under way, or does not agree: servers, helpers, the board, the outbox."""
    return [*_containers(stack), *_board(stack), *_submissions(stack)]


def lasting(stack: Stack, people: Iterable[Worker]) -> list[str]:
    """Return what is lost or left over for good."""
    volumes = _read(stack, stack.volumes())
    return [
        *_volumes(stack, set(volumes)),
        *_networks(stack),
        *(each for person in people for each in _work(stack, person, volumes)),
        *_digests(stack, volumes),
    ]


def _containers(stack: Stack) -> Iterator[str]:
    with stack.sessions() as db:
        known = {f"ipylti-server-{name}" for name in db.scalars(sa.select(models.Workspace.id))}
    listed = stack.podman(
        "ps",
        "--all",
        *("--filter", f"label=io.ipylti.instance={stack.instance}"),
        *("--format", "{{.Names}} {{.State}}"),
    )
    for line in listed.splitlines():
        name, _, state = line.partition(" ")
        if name not in known:
            yield f"a container too many: {name}"
        elif not state.startswith(("Up", "running")):
            yield f"{name} is {state}"


def _board(stack: Stack) -> Iterator[str]:
    client = volatile.connect(stack.redis_url)
    board = Board(client)
    line = Line(client, board)
    running = {name.removeprefix("ipylti-server-") for name in stack.containers()}
    with stack.sessions() as db:
        names = list(db.scalars(sa.select(models.Workspace.id)))
    for name in names:
        state = board.read(name).state
        if state in (State.QUEUED, State.STARTING) or (state is State.READY) != (name in running):
            yield f"{name} is said to be {state}, and its container runs: {name in running}"
        if line.position(name) is not None:
            yield f"{name} waits in line"


def _submissions(stack: Stack) -> Iterator[str]:
    with stack.sessions() as db:
        for row in db.scalars(sa.select(models.Submission)):
            if row.state != models.SubmissionState.FROZEN:
                yield f"submission {row.id} is {row.state}"
            if row.outbox is None:
                yield f"submission {row.id} has no score"
            elif row.outbox.state != models.OutboxState.DELIVERED:
                yield f"submission {row.id}: its score is {row.outbox.state} {row.outbox.error}"


def _volumes(stack: Stack, there: set[str]) -> Iterator[str]:
    with stack.sessions() as db:
        wanted = set(db.scalars(sa.select(models.Submission.volume)))
        workspaces = db.execute(sa.select(models.Workspace.volume, models.Workspace.populated_at)).all()
    known = wanted | {volume for volume, _ in workspaces}
    wanted |= {volume for volume, populated in workspaces if populated is not None}
    yield from (f"a volume too many: {name}" for name in sorted(there - known))
    yield from (f"a volume is gone: {name}" for name in sorted(wanted - there))


def _networks(stack: Stack) -> Iterator[str]:
    label = f"label=io.ipylti.instance={stack.instance}"
    running = {name.removeprefix("ipylti-server-") for name in stack.containers()}
    for name in stack.podman("network", "ls", "--filter", label, "--format", "{{.Name}}").split():
        if not any(name.endswith(workspace) for workspace in running):
            yield f"a network too many: {name}"


def _work(stack: Stack, person: Worker, volumes: dict[str, dict]) -> Iterator[str]:
    """What a person saved and handed in has to be there, byte by byte, and in the gradebook once."""
    workspace = person.workbench.workspace if person.workbench else ""
    if not workspace:
        yield f"{person.login} never got in"
        return
    with stack.sessions() as db:
        volume = db.get_one(models.Workspace, workspace).volume
        submissions = db.scalars(sa.select(models.Submission).filter_by(workspace_id=workspace)).all()
    yield from _missing(f"{person.login}'s volume", person.saved, volumes.get(volume))
    by_number = {each.number: each for each in submissions}
    for number, files in person.handed_in:
        found = by_number.get(number)
        if found is None:
            yield f"{person.login}'s submission {number} is gone"
        else:
            yield from _missing(f"{person.login}'s submission {number}", files, volumes.get(found.volume))
    came = Counter(score.submitted_at for score in _scores(stack, person))
    if len(came) != len(submissions) or set(came.values()) - {1}:
        yield f"{person.login} has {len(submissions)} submissions, and in the gradebook {came}"


def _missing(where: str, files: dict[str, str], volume: dict | None) -> Iterator[str]:
    for name, text in files.items():
        if volume is None or volume["files"].get(name) != text:
            yield f"{where}: {name} is {'gone' if not volume or name not in volume['files'] else 'changed'}"


def _scores(stack: Stack, person: Worker) -> list:
    gradebook = stack.campus.gradebook
    who = stack.campus.person(person.login)
    items = gradebook.items_of(stack.campus.link(person.link))
    return [score for item in items for score in gradebook.scores(item, who)]


def _digests(stack: Stack, volumes: dict[str, dict]) -> Iterator[str]:
    with stack.sessions() as db:
        rows = db.scalars(sa.select(models.Submission).filter_by(state=models.SubmissionState.FROZEN)).all()
    for row in rows:
        if row.volume in volumes and volumes[row.volume]["digest"] != row.digest:
            yield f"submission {row.id}: {row.volume} is not what its digest says"


def _read(stack: Stack, names: list[str]) -> dict[str, dict]:
    """Return of each volume its text files and its digest."""
    if not names:
        return {}
    told = stack.podman("volume", "inspect", "--format", "{{.Name}} {{.Mountpoint}}", *names)
    folders = dict(line.split() for line in told.splitlines())
    done = subprocess.run(
        ["podman", "unshare", sys.executable, "-B", "-c", _READER, str(ROOT)],
        input=json.dumps(folders),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"volumes can't be read: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout))
