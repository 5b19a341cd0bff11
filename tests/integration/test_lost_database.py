"""A whole installation: backed up at work, its database lost and made anew of volumes; no name in any log.

One long story, since each part of it needs what the part before made.
"""

import json
import threading
from pathlib import Path

from ipylti.backups.store import Store
from tests.integration.conftest import Exercise, enrol
from tests.person import Person
from tests.stack import Stack

#: Writes to files until it is told to stop, in a student's server.
BUSY = """
import os, time
os.makedirs("busy", exist_ok=True)
for number in range(4000):
    with open(f"busy/{number % 20}.txt", "w") as file:
        file.write(str(number) * 5000)
    os.rename(f"busy/{number % 20}.txt", f"busy/{number % 7}.log")
"""


def backup(stack: Stack, folder: Path) -> Store:
    stack.run("backup", str(stack.ini), str(folder))
    return Store(folder)


def workspaces(stack: Stack) -> set[str]:
    return {row["workspace"] for row in json.loads(stack.run("workspace", "list", str(stack.ini), "--json"))}


def test_work_outlives_the_database(stack: Stack, exercise: Exercise, tmp_path: Path) -> None:
    students = [enrol(stack), enrol(stack)]
    here = []
    for number, student in enumerate(students):
        here.append(student.launch(exercise.link))
        assert here[number].enter().save("answer.txt", f"answer {number}").status == 201
    here[0].submit()
    here[0].wait_for_submission()
    before = workspaces(stack)

    # Backed up while somebody's program writes.
    busy = threading.Thread(target=stack.inside, args=(here[1].workspace, BUSY))
    busy.start()
    store = backup(stack, tmp_path / "backups")
    busy.join()
    assert store.verify(store.find()) == []
    assert store.find().missing == ()

    # One workspace as it was, while its owner is at work.
    notebook = students[1].launch(exercise.link).enter()
    assert notebook.save("answer.txt", "spoilt").status == 200
    workspace = here[1].workspace
    stack.run("restore", str(stack.ini), str(tmp_path / "backups"), "--workspace", workspace)
    assert stack.server(workspace) == ""
    again = students[1].launch(exercise.link).enter()
    assert again.read("answer.txt") == "answer 1"
    [kept] = [name for name in stack.volumes() if "-kept-" in name]
    assert stack.on_volume(kept, "print(open('answer.txt').read())") == "spoilt"

    # The database is lost, with Redis; volumes say what they are.
    for part in ("worker", "web"):
        stack.kill(part)
    stack.sessions.kw["bind"].dispose()
    for path in stack.folder.glob("ipylti.sqlite*"):
        path.unlink()
    stack.kill("redis")
    stack.revive("redis")
    said = stack.run("restore", str(stack.ini), "--from-volumes")
    assert "platform add" in said
    told = [text for name, value in stack.campus.registration.items() for text in (f"--{name}", value)]
    stack.run("platform", "add", str(stack.ini), *told)
    for part in ("web", "worker"):
        stack.revive(part)
    assert workspaces(stack) == before
    for number, student in enumerate(students):
        found = student.launch(exercise.link)
        assert found.enter().read("answer.txt") == f"answer {number}"
        assert found.workspace == here[number].workspace
    teacher = Person(stack.campus, "nora").launch(exercise.link)
    page = teacher.person.get(f"{teacher.page.url}/submissions")
    assert page.status == 200
    assert "1 of " in page.text
    workbench = students[0].launch(exercise.link)
    assert workbench.status()["submission"]["state"] == "frozen"
    workbench.submit()
    workbench.wait_for_submission()
    assert len(json.loads(stack.run("person", "list", str(stack.ini), "--json"))) >= len(students)

    no_name_in_a_log(stack)


def no_name_in_a_log(stack: Stack) -> None:
    """See that what the program's parts wrote says nothing of who anybody is."""
    people = stack.campus.course.people
    known = {text for person in people for text in (person.sub, person.name, person.email) if text}
    assert len(known) > 6
    for name in ("web", "worker"):
        log = stack.processes[name].log.read_text(errors="replace")
        assert "launch opened" in log or name != "web"
        for text in known:
            assert text not in log, name
