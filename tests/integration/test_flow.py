"""The way of the work on real parts: a teacher builds, students take and submit, and come back to it."""

import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import sqlalchemy as sa

from ipylti import models, volatile
from ipylti.gate import COOKIE, FRESH, Gatekeeper
from ipylti.volatile import Board
from tests.campus.wire import Score
from tests.integration.conftest import Exercise, enrol, new_link
from tests.kernel import Kernel
from tests.parts import wait_for
from tests.person import Answer, Notebook, Person
from tests.stack import Stack

T = TypeVar("T")

#: Traefik spreads the requests over two web processes: what one knows, the other has to find.
STACK = {"webs": 2}

#: How a browser says that a person wants to see a page, and that a page's script asks.
NAVIGATION = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document", "Sec_Fetch_Site": "none"}
FETCH = {"Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty", "Sec_Fetch_Site": "same-origin"}

REQUEST = re.compile(r"Request <code>\w+</code>")


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Make calls at the same time, and return what they return."""
    barrier = threading.Barrier(len(calls))
    found: dict[int, T] = {}

    def make(number: int) -> None:
        barrier.wait(30)
        found[number] = calls[number]()

    threads = [threading.Thread(target=make, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return [found[number] for number in range(len(calls))]


def scores(stack: Stack, link: str, person: Person) -> tuple[Score, ...]:
    """Return what came into the gradebook for somebody, oldest first."""
    gradebook = stack.campus.gradebook
    [item] = gradebook.items_of(stack.campus.link(link))
    return gradebook.scores(item, stack.campus.person(person.login))


def awake(notebook: Notebook) -> str:
    """Return what the page of a sleeping server is told of its state."""
    return str(notebook.get("/_ipylti/awake", Accept="application/json").json()["state"])


def test_what_the_teacher_builds_is_what_a_student_gets(stack: Stack, student: Person) -> None:
    link = new_link(stack)
    teacher = Person(stack.campus, "nora").launch(link).enter()
    cell = {"cell_type": "code", "source": "2 + 2", "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    content = {"type": "notebook", "content": notebook}
    assert teacher.send("PUT", "/api/contents/task.ipynb", content).status == 201
    assert teacher.make_folder("data").status == 201
    assert teacher.make_folder("empty").status == 201
    assert teacher.save("data/messwerte-ä.csv", "1;2").status == 201
    with Kernel(teacher) as kernel:
        kernel.run("open('.config', 'w').write('hidden'); import os; os.symlink('task.ipynb', 'link')")
        assert kernel.run("print(sorted(os.listdir()))").count("'") == 2 * 5

    taken = student.launch(link).enter()
    assert taken.contents("task.ipynb").json()["content"]["cells"][0]["source"] == "2 + 2"
    assert taken.read("data/messwerte-ä.csv") == "1;2"
    assert stack.inside(taken.workspace, "print(open('.config').read())") == "hidden"
    assert stack.inside(taken.workspace, "import os; print(os.readlink('link'))") == "task.ipynb"
    assert stack.inside(taken.workspace, "import os; print(os.listdir('empty'))") == "[]"
    assert taken.save("answer.txt", "4").status == 201


def test_before_the_teacher_saved_anything_a_student_is_told_to_wait(stack: Stack, student: Person) -> None:
    link = new_link(stack)
    workbench = student.launch(link)
    workbench.wait("not_ready")
    teacher = Person(stack.campus, "nora").launch(link).enter()
    board = Board(volatile.connect(stack.redis_url))
    before = board.read(workbench.workspace).at
    workbench = workbench.reload()
    wait_for(lambda: board.read(workbench.workspace).at > before, "another look at the base")
    assert workbench.wait("not_ready")["url"] is None
    assert workbench.view == "not_ready"
    assert "hasn't saved anything yet" in workbench.page.text
    assert stack.server(workbench.workspace) == ""

    assert teacher.save("task.txt", "At last.").status == 201
    workbench = workbench.reload()
    assert workbench.enter().read("task.txt") == "At last."


def test_three_students_at_once_have_three_places(stack: Stack, exercise: Exercise) -> None:
    people = [enrol(stack) for _ in range(3)]

    def take(person: Person) -> Notebook:
        notebook = person.launch(exercise.link).enter()
        assert notebook.save("own.txt", person.login).status == 201
        return notebook

    notebooks = at_once(*(lambda person=person: take(person) for person in people))
    assert len({notebook.host for notebook in notebooks}) == 3
    assert len({stack.server(notebook.workspace) for notebook in notebooks} - {""}) == 3
    assert {f"ipylti-take-{notebook.workspace}" for notebook in notebooks} <= set(stack.volumes())
    for person, notebook in zip(people, notebooks, strict=True):
        assert notebook.read("own.txt") == person.login


def test_two_launches_at_once_make_one_server(stack: Stack, exercise: Exercise, student: Person) -> None:
    another = Person(stack.campus, student.login)
    messages = [student.message(exercise.link), another.message(exercise.link)]
    one, two = at_once(
        lambda: student.post_message(*messages[0]).enter(),
        lambda: another.post_message(*messages[1]).enter(),
    )
    assert one.origin == two.origin
    assert stack.servers_made(one.workspace) == 1
    assert one.save("shared.txt", "seen by both").status == 201
    assert two.read("shared.txt") == "seen by both"


def test_launching_again_finds_the_same_running_server(
    stack: Stack, exercise: Exercise, student: Person
) -> None:
    first = student.launch(exercise.link).enter()
    container = stack.server(first.workspace)
    assert first.save("begun.txt", "half done").status == 201
    another_browser = Person(stack.campus, student.login)
    again = another_browser.launch(exercise.link).enter()
    assert again.read("begun.txt") == "half done"
    assert stack.server(again.workspace) == container != ""
    assert first.read("begun.txt") == "half done"


def test_the_work_outlives_its_server(stack: Stack, exercise: Exercise, student: Person) -> None:
    notebook = student.launch(exercise.link).enter()
    assert notebook.save("begun.txt", "half done").status == 201
    stack.inside(notebook.workspace, "open('.hidden', 'w').write('also')")
    before = stack.server(notebook.workspace)
    stack.stop_server(notebook.workspace)
    workbench = student.launch(exercise.link)
    assert workbench.enter().read("begun.txt") == "half done"
    assert stack.inside(notebook.workspace, "print(open('.hidden').read())") == "also"
    assert stack.server(notebook.workspace) not in ("", before)


def test_whoever_began_keeps_the_base_and_whoever_is_new_gets_the_new_one(stack: Stack) -> None:
    link = new_link(stack)
    teacher = Person(stack.campus, "nora").launch(link).enter()
    assert teacher.save("task.txt", "first").status == 201
    early, late = enrol(stack), enrol(stack)
    assert early.launch(link).enter().read("task.txt") == "first"
    assert teacher.save("task.txt", "second").status == 200
    assert teacher.save("more.txt", "more").status == 201
    assert late.launch(link).enter().files() == {"task.txt", "more.txt"}

    begun = early.launch(link).enter()
    assert (begun.files(), begun.read("task.txt")) == ({"task.txt"}, "first")
    stack.stop_server(begun.workspace)
    begun = early.launch(link).enter()
    assert (begun.files(), begun.read("task.txt")) == ({"task.txt"}, "first")


def test_a_submission_stays_as_it_was_handed_in(stack: Stack, exercise: Exercise, student: Person) -> None:
    workbench = student.launch(exercise.link)
    assert workbench.status()["submission"]["state"] == "none"
    notebook = workbench.enter()
    assert notebook.save("answer.txt", "4").status == 201
    assert workbench.submit()["number"] == 1
    told = workbench.wait_for_submission()
    assert told["number"] == 1
    assert workbench.reload().embedded_status()["submission"] == told

    assert notebook.save("answer.txt", "5, I think").status == 200
    copy = f"ipylti-submission-{workbench.workspace}-1"
    assert stack.on_volume(copy, "print(open('answer.txt').read())") == "4"
    assert notebook.read("answer.txt") == "5, I think"
    with stack.sessions() as db:
        receipt = db.scalars(sa.select(models.Submission).filter_by(volume=copy)).one()
    program = "from ipylti.servers import copier; print(copier.digest(b'.')[0])"
    assert stack.on_volume(copy, program) == receipt.digest
    # What went to the course is what the page says.
    [score] = scores(stack, exercise.link, student)
    assert (score.activity_progress, score.grading_progress) == ("Completed", "PendingManual")
    assert (score.given, score.maximum) == (None, None)
    assert receipt.submitted_at.isoformat() == told["submitted_at"]


def test_handing_in_again_is_another_submission_and_a_later_score(
    stack: Stack, exercise: Exercise, student: Person
) -> None:
    workbench = student.launch(exercise.link)
    notebook = workbench.enter()
    for number in (1, 2):
        notebook.save("answer.txt", f"try {number}")
        assert workbench.submit()["number"] == number
    assert workbench.wait_for_submission()["number"] == 2
    first, second = scores(stack, exercise.link, student)
    assert second.timestamp - first.timestamp >= timedelta(seconds=1)
    last = f"ipylti-submission-{workbench.workspace}-2"
    assert stack.on_volume(last, "print(open('answer.txt').read())") == "try 2"
    assert last.removesuffix("2") + "1" in stack.volumes()


def test_containers_and_volumes_are_named_and_labelled_as_the_contract_says(
    stack: Stack, exercise: Exercise, student: Person
) -> None:
    workbench = student.launch(exercise.link)
    notebook = workbench.enter()
    workbench.submit()
    workbench.wait_for_submission()
    assignment, workspace = exercise.teacher.workspace, notebook.workspace
    assert all(re.fullmatch("[a-z2-7]{32}", name) for name in (assignment, workspace))
    own = {"io.ipylti.instance": stack.instance, "io.ipylti.assignment": assignment}
    for kind, name, whose in (
        ("container", f"ipylti-server-{assignment}", {"kind": "build", "workspace": assignment}),
        ("container", f"ipylti-server-{workspace}", {"kind": "take", "workspace": workspace}),
        ("volume", f"ipylti-base-{assignment}", {"kind": "base", "workspace": assignment}),
        ("volume", f"ipylti-take-{workspace}", {"kind": "take", "workspace": workspace}),
        ("volume", f"ipylti-submission-{workspace}-1", {"kind": "submission", "workspace": workspace}),
    ):
        [entry] = json.loads(stack.podman(kind, "inspect", name))
        labels = entry["Config"]["Labels"] if kind == "container" else entry["Labels"]
        expected = own | {f"io.ipylti.{key}": value for key, value in whose.items()}
        assert {key: labels.get(key) for key in expected} == expected, name


def test_whoever_only_looks_waits_for_no_writer(stack: Stack, exercise: Exercise, student: Person) -> None:
    """On SQLite there is one writer at a time; a launch is one, and waits until the other is done."""
    workbench = student.launch(exercise.link)
    notebook = workbench.enter()
    message = student.message(exercise.link)
    keeper = Gatekeeper(stack.settings)
    jar = notebook.person.cookies[notebook.host]
    given = keeper.open(jar[COOKIE], stack.settings.notebook_host(notebook.workspace), time.time())
    assert given
    jar[COOKIE] = keeper.seal(replace(given, issued=given.issued - FRESH - 1))
    posted: list[Answer] = []
    with closing(sqlite3.connect(stack.folder / "ipylti.sqlite", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        launching = threading.Thread(
            target=lambda: posted.append(student.request("POST", message[0], form=message[1]))
        )
        launching.start()
        begun = time.monotonic()
        assert workbench.status()["state"] == "ready"
        assert workbench.reload().view == "ready"
        assert any(cookie.startswith(COOKIE) for cookie in notebook.contents("").set_cookies)
        # Whoever waits for a writer waits for 15 seconds.
        assert time.monotonic() - begun < 10
        assert not posted
        writer.execute("ROLLBACK")
    launching.join(30)
    assert [answer.status for answer in posted] == [303]


# A sleeping server


def test_a_person_who_comes_back_to_a_sleeping_notebook_wakes_it(
    stack: Stack, exercise: Exercise, student: Person
) -> None:
    notebook = student.launch(exercise.link).enter()
    assert notebook.save("begun.txt", "half done").status == 201
    stack.stop_server(notebook.workspace)
    wait_for(lambda: notebook.get("/lab", **NAVIGATION).status == 503, "the page of a sleeping server")
    page = notebook.get("/lab/tree/begun.txt", **NAVIGATION)
    assert "Waking your notebook" in page.text
    wait_for(lambda: awake(notebook) == "ready", "the server")
    assert notebook.get("/lab", **NAVIGATION).status == 200
    assert notebook.read("begun.txt") == "half done"


def test_a_forgotten_tab_does_not_wake_the_server(stack: Stack, exercise: Exercise, student: Person) -> None:
    notebook = student.launch(exercise.link).enter()
    stack.stop_server(notebook.workspace)
    wait_for(lambda: notebook.get("/api/status", **FETCH).status == 503, "the end of the route")
    answer = notebook.send("POST", "/api/kernels", {"name": "python3"}, **FETCH)
    assert answer.status == 503
    assert "asleep" in answer.text
    assert awake(notebook) == "stopped"
    assert stack.server(notebook.workspace) == ""


def test_a_stranger_neither_wakes_a_server_nor_learns_of_it(
    stack: Stack, exercise: Exercise, student: Person
) -> None:
    notebook = student.launch(exercise.link).enter()
    stack.stop_server(notebook.workspace)
    wait_for(lambda: notebook.get("/lab", **FETCH).status == 503, "the end of the route")
    stranger = Person(stack.campus, "sam")
    asleep = stranger.get(f"{notebook.origin}/lab", **NAVIGATION)
    never = stranger.get(notebook.origin.replace(notebook.workspace, "a" * 32) + "/lab", **NAVIGATION)
    assert (asleep.status, never.status) == (403, 403)
    assert "launch again" in asleep.text.lower()
    assert REQUEST.sub("", asleep.text) == REQUEST.sub("", never.text)
    assert awake(notebook) == "stopped"
