"""Two web processes and two workers beside each other: what is to be one stays one, and one may die."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import sqlalchemy as sa

from ipylti import models
from ipylti.jobs import Jobs
from tests.integration.conftest import Exercise, enrol
from tests.parts import wait_for
from tests.person import Person, Workbench
from tests.stack import Stack

PLACES = 3

STACK = {"webs": 2, "workers": 2, "ini": {"ipylti.max_servers": str(PLACES), "ipylti.max_starting": "1"}}


@contextmanager
def counted(stack: Stack) -> Iterator[list[int]]:
    """Count the stack's servers all the time for the length of a block."""
    seen: list[int] = []
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            seen.append(sum(name.startswith("ipylti-server-") for name in stack.containers()))
            done.wait(0.1)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def places_until_ready(workbench: Workbench) -> list[int]:
    """Wait for a server; returns the places in the line that were told meanwhile."""
    places = []

    def ready() -> bool:
        status = workbench.status()
        assert status["state"] in ("queued", "starting", "ready"), status
        if status["position"] is not None:
            places.append(status["position"])
        return bool(status["state"] == "ready")

    wait_for(ready, "a server", 120, pause=0.2)
    return places


def stop(stack: Stack, *workspaces: str) -> None:
    for workspace in workspaces:
        stack.stop_server(workspace)


def test_no_more_servers_run_than_may(stack: Stack, exercise: Exercise) -> None:
    """Who waits sees places that only fall, and gets in when somebody leaves."""
    people = [enrol(stack) for _ in range(PLACES + 2)]
    stop(stack, exercise.teacher.workspace)
    with counted(stack) as seen, ThreadPoolExecutor(len(people)) as pool:
        benches = list(pool.map(lambda person: person.launch(exercise.link), people))
        waiting = [pool.submit(places_until_ready, bench) for bench in benches]
        ended: set[str] = set()

        def somebody_is_in() -> bool:
            inside = [each for each, told in zip(benches, waiting, strict=True) if told.done()]
            for bench in inside:
                if bench.workspace not in ended and len(inside) < len(benches):
                    ended.add(bench.workspace)
                    stack.stop_server(bench.workspace)
            return len(inside) == len(benches)

        wait_for(somebody_is_in, "everybody", 180, pause=0.5)
        told = [each.result() for each in waiting]
    assert max(seen) <= PLACES
    assert all(places == sorted(places, reverse=True) for places in told)
    stop(stack, *(bench.workspace for bench in benches))


def test_two_launches_at_once_make_one_server(stack: Stack, exercise: Exercise) -> None:
    login = enrol(stack).login
    browsers = [Person(stack.campus, login) for _ in range(4)]
    urls, forms = zip(*(browser.message(exercise.link) for browser in browsers), strict=True)
    with ThreadPoolExecutor(4) as pool:
        benches = list(pool.map(Person.post_message, browsers, urls, forms))
        notebooks = list(pool.map(Workbench.enter, benches))
    (workspace,) = {notebook.workspace for notebook in notebooks}
    assert stack.servers_made(workspace) == 1
    stop(stack, workspace)


def test_what_is_asked_for_many_times_is_done_once(stack: Stack, exercise: Exercise) -> None:
    """One frozen copy, and one score in the gradebook."""
    person = enrol(stack)
    workbench = person.launch(exercise.link)
    workbench.enter()
    jobs = Jobs(stack.redis_url)
    workbench.submit()
    with stack.sessions() as db:
        found = db.scalars(sa.select(models.Submission).filter_by(workspace_id=workbench.workspace)).one()
        submission, item = found.id, found.outbox.id if found.outbox else 0
    for _ in range(5):
        jobs.ask("freeze_submission", submission)
        jobs.ask("deliver_score", item)
        jobs.ask("sweep", "")
    assert workbench.wait_for_submission()["number"] == 1
    wait_for(lambda: not any(jobs.depth(queue) for queue in jobs.queues), "the jobs")
    volumes = [name for name in stack.volumes() if name.startswith("ipylti-submission-")]
    assert volumes == [f"ipylti-submission-{workbench.workspace}-1"]
    gradebook, who = stack.campus.gradebook, stack.campus.person(person.login)
    items = gradebook.items_of(stack.campus.link(exercise.link))
    assert sum(len(gradebook.scores(each, who)) for each in items) == 1
    stop(stack, workbench.workspace)


def test_one_worker_is_enough(stack: Stack, exercise: Exercise) -> None:
    for name in ("worker", "worker2"):
        with stack.without(name):
            notebook = enrol(stack).launch(exercise.link).enter()
            assert notebook.read("task.txt")
            stop(stack, notebook.workspace)
