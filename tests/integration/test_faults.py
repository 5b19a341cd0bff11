"""Each part away, hanging or saying no: told plainly and soon, nothing is lost, and it goes on afterwards."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
import redis
import sqlalchemy as sa

from ipylti import models
from ipylti.gate import COOKIE, FRESH, GRACE, Gatekeeper
from ipylti.jobs import Jobs
from tests.campus.wire import Score
from tests.integration.conftest import Exercise, enrol, new_link
from tests.kernel import Kernel
from tests.parts import wait_for
from tests.person import Answer, Notebook, Person, Workbench
from tests.stack import Stack

STACK = {"postgresql": True}

#: Seconds within which a page says that something is away.
SOON = 10.0


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Have a block end in time."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


def refused(ask: Callable[[], Answer], status: int, code: str, seconds: float = SOON) -> Answer:
    """Return an answer that says what is wrong, in words and with a code."""
    with within(seconds):
        answer = ask()
    assert answer.status == status, answer.text
    if "json" in answer.headers["content-type"]:
        told = answer.json()["error"]
        assert (told["code"], bool(told["message"]), bool(told["request_id"])) == (code, True, True)
    else:
        assert f"Code <code>{code}</code>" in answer.text
        assert "Traceback" not in answer.text
    return answer


def status_of(workbench: Workbench) -> Answer:
    """Ask for the status as the page's scripts do."""
    return workbench.person.get(f"{workbench.page.url}/status", Accept="application/json")


def scores(stack: Stack, link: str, person: Person) -> tuple[Score, ...]:
    """Return what came into the gradebook for somebody, in whichever column of the link, oldest first."""
    gradebook = stack.campus.gradebook
    who = stack.campus.person(person.login)
    items = gradebook.items_of(stack.campus.link(link))
    return tuple(score for item in items for score in gradebook.scores(item, who))


def restarted(stack: Stack, name: str, **environment: str) -> None:
    """Start a part anew with something else in its environment."""
    with stack.without(name):
        stack.processes[name].env.update(environment)


@pytest.fixture
def working(exercise: Exercise, student: Person) -> tuple[Workbench, Notebook]:
    """A student at work, with something saved."""
    workbench = student.launch(exercise.link)
    notebook = workbench.enter()
    assert notebook.save("answer.txt", "4").status == 201
    return workbench, notebook


def goes_on(notebook: Notebook) -> None:
    """See that somebody at work can go on working: look, save, compute."""
    assert notebook.read("answer.txt") == "4"
    assert notebook.save("more.txt", str(time.time())).status in (200, 201)
    with Kernel(notebook) as kernel:
        assert kernel.run("print(open('answer.txt').read())") == "4\n"


# The platform's keys


def test_a_platform_whose_keys_hang_is_said(stack: Stack, student: Person) -> None:
    """First of all, while no process knows a key yet."""
    stack.campus.slow("jwks", 30)
    url, form = student.message()
    answer = refused(lambda: student.request("POST", url, form=form), 502, "platform.unreachable")
    assert "not answering" in answer.text
    stack.campus.slow("jwks", 0)
    # A process asks a platform that did not answer again after half a minute; another one asks at once.
    restarted(stack, "web")
    assert student.launch().page.status == 200


# Podman


def test_a_missing_image_is_said_and_forgotten_when_it_is_there(
    stack: Stack, exercise: Exercise, student: Person
) -> None:
    restarted(stack, "worker", IPYLTI_IMAGE="localhost/nowhere:1")
    with within(SOON):
        workbench = student.launch(exercise.link)
        error = workbench.wait("failed")["error"]
    assert error["code"] == "server.image_missing"
    assert "image is missing" in error["message"]
    assert stack.server(workbench.workspace) == ""
    restarted(stack, "worker", IPYLTI_IMAGE=stack.settings.image)
    assert workbench.reload().enter().read("task.txt")


def test_podman_away_at_a_launch(stack: Stack, exercise: Exercise, student: Person) -> None:
    with stack.without("podman"):
        with within(SOON):
            workbench = student.launch(exercise.link)
            error = workbench.wait("failed")["error"]
        assert error["code"] == "podman.down"
        assert "Your files are safe" in error["message"]
        wait_for(lambda: stack.dependencies().get("podman") == "down", "word of it")
    assert workbench.reload().enter().read("task.txt")


def test_podman_away_while_people_work(
    stack: Stack, exercise: Exercise, working: tuple[Workbench, Notebook]
) -> None:
    workbench, notebook = working
    container = stack.server(notebook.workspace)
    with stack.without("podman"):
        goes_on(notebook)
        again = Person(stack.campus, notebook.person.login).launch(exercise.link)
        assert again.enter().read("answer.txt") == "4"
        workbench.submit()
        assert workbench.status()["submission"]["state"] == "freezing"
    assert workbench.wait_for_submission()["number"] == 1
    assert stack.server(notebook.workspace) == container


# Redis


def test_redis_away(stack: Stack, exercise: Exercise, working: tuple[Workbench, Notebook]) -> None:
    workbench, notebook = working
    container = stack.server(notebook.workspace)
    person = Person(stack.campus, notebook.person.login)
    url, form = person.message(exercise.link)
    with stack.without("redis"):
        page = refused(lambda: person.begin_login(exercise.link), 503, "redis.down")
        assert "try again in a minute" in page.text
        assert "retry-after" in page.headers
        refused(lambda: person.request("POST", url, form=form), 503, "redis.down")
        refused(lambda: workbench.person.get(workbench.page.url), 503, "redis.down")
        refused(lambda: status_of(workbench), 503, "redis.down")
        refused(workbench.try_to_submit, 503, "redis.down")
        assert stack.dependencies()["redis"] == "down"
        goes_on(notebook)
    again = person.launch(exercise.link).enter()
    assert again.read("answer.txt") == "4"
    assert stack.server(notebook.workspace) == container


def test_redis_hanging(stack: Stack, exercise: Exercise, working: tuple[Workbench, Notebook]) -> None:
    _, notebook = working
    person = Person(stack.campus, notebook.person.login)
    with stack.processes["redis"].hanging():
        goes_on(notebook)
        # Two tries of five seconds each.
        refused(lambda: person.begin_login(exercise.link), 503, "redis.down", seconds=15)
    assert person.launch(exercise.link).enter().read("answer.txt") == "4"


def test_redis_emptied(stack: Stack, exercise: Exercise, working: tuple[Workbench, Notebook]) -> None:
    workbench, notebook = working
    container = stack.server(notebook.workspace)
    stack.kill("worker")
    workbench.submit()
    redis.Redis.from_url(stack.redis_url).flushall()
    refused(lambda: workbench.person.get(workbench.page.url), 403, "access.denied")
    refused(lambda: status_of(workbench), 403, "access.denied")
    goes_on(notebook)
    stack.revive("worker")
    again = Person(stack.campus, notebook.person.login).launch(exercise.link)
    assert again.enter().read("answer.txt") == "4"
    assert stack.server(notebook.workspace) == container
    # The word that something was handed in was lost with the queue; the hand-in was not.
    assert again.wait_for_submission()["number"] == 1


# Web and Traefik


def test_web_killed(stack: Stack, working: tuple[Workbench, Notebook]) -> None:
    workbench, notebook = working
    with stack.without("web"):
        with within(SOON):
            assert workbench.person.get(workbench.page.url).status == 502
            closed = notebook.get("/api/contents/answer.txt")
        assert closed.status >= 500
        assert '"4"' not in closed.text
    goes_on(notebook)
    assert workbench.status()["state"] == "ready"
    assert workbench.submit()["number"] == 1


def test_traefik_killed(stack: Stack, working: tuple[Workbench, Notebook]) -> None:
    workbench, notebook = working
    with stack.without("traefik"), pytest.raises(ConnectionRefusedError):
        notebook.get("/api")
    wait_for(lambda: notebook.get("/api").status == 200, "the routes")
    goes_on(notebook)
    assert workbench.status()["state"] == "ready"


# The database


def test_the_database_away(stack: Stack, exercise: Exercise, working: tuple[Workbench, Notebook]) -> None:
    workbench, notebook = working
    keeper = Gatekeeper(stack.settings)
    person = Person(stack.campus, notebook.person.login)
    url, form = person.message(exercise.link)
    jar = notebook.person.cookies[notebook.host]
    given = keeper.open(jar[COOKIE], str(urlsplit(notebook.origin).hostname), time.time())
    assert given
    with stack.without("postgresql"):
        page = refused(lambda: person.begin_login(exercise.link), 503, "database.down")
        assert "No work is lost" in page.text
        assert stack.campus.url in page.headers["content-security-policy"]
        refused(lambda: person.request("POST", url, form=form), 503, "database.down")
        refused(lambda: status_of(workbench), 503, "database.down")
        refused(workbench.try_to_submit, 503, "database.down")
        assert stack.dependencies()["database"] == "down"
        goes_on(notebook)
        now = int(time.time())
        for age, status in ((FRESH + 1, 200), (FRESH + GRACE - 60, 200), (FRESH + GRACE, 401)):
            jar[COOKIE] = keeper.seal(replace(given, issued=now - age))
            answer = notebook.contents("answer.txt")
            assert answer.status == status
            assert not any(cookie.startswith(COOKIE) for cookie in answer.set_cookies)
        jar[COOKIE] = keeper.seal(replace(given, issued=now - FRESH - 1))
    assert any(cookie.startswith(COOKIE) for cookie in notebook.contents("answer.txt").set_cookies)
    assert workbench.status()["submission"]["state"] == "none"
    assert workbench.submit()["number"] == 1
    assert person.launch(exercise.link).wait_for_submission()["number"] == 1


# The worker


def test_without_a_worker_a_launch_waits_its_turn(stack: Stack, exercise: Exercise, student: Person) -> None:
    with stack.without("worker"):
        workbench = student.launch(exercise.link)
        status = workbench.status()
        assert (status["state"], status["position"]) == ("queued", 1)
    assert workbench.enter().read("task.txt")


@dataclass
class Crash:
    """Who was in the middle of what when the worker was killed.

    :param base: the volume that was being copied.
    :param starting: somebody whose copy was being made.
    :param handing: somebody whose submission was being frozen.
    """

    link: str
    base: str
    starting: Workbench
    handing: Workbench


@pytest.fixture(scope="module")
def crash(running_stack: Stack) -> Crash:
    """The worker is killed in the middle of a copy and of a freeze, and another one started."""
    stack = running_stack
    link = new_link(stack)
    teacher = Person(stack.campus, "nora").launch(link).enter()
    stack.inside(teacher.workspace, "for n in range(5000): open(f'{n:04}.txt', 'w').write(str(n) * 1000)")
    handing = enrol(stack).launch(link)
    handing.wait()
    person = enrol(stack)
    message = person.message(link)
    handing.submit()
    starting = person.post_message(*message)
    wait_for(lambda: starting.status()["step"] == "copy", "the copy", pause=0.01)
    stack.kill("worker")
    assert starting.status()["step"] == "copy"
    assert handing.status()["submission"]["state"] == "freezing"
    stack.revive("worker")
    return Crash(link, f"ipylti-base-{teacher.workspace}", starting, handing)


def test_a_worker_killed_in_the_middle_of_a_start(stack: Stack, crash: Crash) -> None:
    """The page asks on, and its start is begun again once the dead worker's silence is noticed."""
    with within(90):
        crash.starting.wait(seconds=90)
        notebook = crash.starting.enter()
    assert len(notebook.files()) == 5000
    assert digest(stack, f"ipylti-take-{notebook.workspace}") == digest(stack, crash.base)
    assert stack.server(notebook.workspace)


def test_a_worker_killed_in_the_middle_of_a_freeze(stack: Stack, crash: Crash) -> None:
    crash.starting.wait(seconds=90)
    # What the worker does each minute, now.
    Jobs(stack.redis_url).ask("sweep", "")
    assert crash.handing.wait_for_submission()["number"] == 1
    copy = f"ipylti-submission-{crash.handing.workspace}-1"
    with stack.sessions() as db:
        receipt = db.scalars(sa.select(models.Submission).filter_by(volume=copy)).one()
    assert digest(stack, copy) == receipt.digest == digest(stack, crash.base)
    assert len(scores(stack, crash.link, crash.handing.person)) == 1
    wait_for(lambda: not any("copy" in name for name in stack.containers()), "the end of all helpers")


def digest(stack: Stack, volume: str) -> str:
    """Return the hash of what is in a volume."""
    return stack.on_volume(volume, "from ipylti.servers import copier; print(copier.digest(b'.')[0])")


# The gradebook


def test_a_gradebook_that_fails_for_a_while_gets_it_later(stack: Stack, exercise: Exercise) -> None:
    workbenches = [enrol(stack).launch(exercise.link) for _ in range(2)]
    for workbench in workbenches:
        workbench.enter()
    told = []
    for workbench, status, headers in zip(workbenches, (429, 500), ({"Retry-After": "8"}, {}), strict=True):
        before = len(stack.campus.log.refused("scores"))
        stack.campus.fail_next("scores", status, headers=headers)
        workbench.submit()
        told.append(workbench.wait_for_submission("waiting"))
        wait_for(lambda before=before: len(stack.campus.log.refused("scores")) > before, "the refusal")
    busy, failed = stack.campus.log.refused("scores")[-2:]
    assert (busy.status, failed.status) == (429, 500)
    for workbench, waiting in zip(workbenches, told, strict=True):
        assert workbench.wait_for_submission() == waiting | {"lms": "delivered"}
    first, second = (scores(stack, exercise.link, workbench.person) for workbench in workbenches)
    assert (len(first), len(second)) == (1, 1)
    assert first[0].received - busy.at >= timedelta(seconds=8)
    for score, waiting in zip((*first, *second), told, strict=True):
        handed_in = datetime.fromisoformat(str(score.submitted_at))
        assert abs(handed_in - datetime.fromisoformat(waiting["submitted_at"])) < timedelta(seconds=0.01)


def test_a_token_that_is_no_longer_taken_is_renewed(
    stack: Stack, exercise: Exercise, working: tuple[Workbench, Notebook]
) -> None:
    workbench, _ = working
    workbench.submit()
    workbench.wait_for_submission()
    stack.campus.tokens.revoke_all()
    workbench.submit()
    with within(SOON):
        assert workbench.wait_for_submission()["number"] == 2
    assert len(scores(stack, exercise.link, workbench.person)) == 2


def test_a_column_that_was_deleted_is_made_again(stack: Stack, student: Person) -> None:
    link = new_link(stack)
    teacher = Person(stack.campus, "nora").launch(link).enter()
    assert teacher.save("task.txt", "x").status == 201
    workbench = student.launch(link)
    workbench.enter()
    [column] = stack.campus.gradebook.items_of(stack.campus.link(link))
    stack.campus.gradebook.delete(column.id)
    workbench.submit()
    with within(SOON):
        workbench.wait_for_submission()
    [made] = stack.campus.gradebook.items_of(stack.campus.link(link))
    assert made.id != column.id
    assert len(scores(stack, link, student)) == 1


def test_a_score_that_is_refused_for_good_is_said_and_the_next_one_goes_on(
    stack: Stack, exercise: Exercise, working: tuple[Workbench, Notebook]
) -> None:
    workbench, _ = working
    stack.campus.fail_next("scores", 422)
    workbench.submit()
    with within(SOON):
        workbench.wait_for_submission("failed")
    page = workbench.reload().page.text
    assert 'data-state="frozen" data-lms="failed"' in page
    assert "Your work is safe here" in page
    assert f"ipylti-submission-{workbench.workspace}-1" in stack.volumes()
    workbench.submit()
    assert workbench.wait_for_submission()["number"] == 2
    assert len(scores(stack, exercise.link, workbench.person)) == 1


def test_a_gradebook_that_hangs_delays_nobody_and_is_told_once(
    stack: Stack, exercise: Exercise, working: tuple[Workbench, Notebook]
) -> None:
    """It takes the score after all, when the worker has given up waiting: the worker's next try is refused,
    since there is one as new."""
    workbench, notebook = working
    stack.campus.slow("scores", 22)
    workbench.submit()
    workbench.wait_for_submission("waiting")
    with within(SOON):
        assert enrol(stack).launch(exercise.link).enter().read("task.txt")
    goes_on(notebook)
    wait_for(lambda: newest(stack, workbench)[1] == "score.unreachable", "the time-out")
    # What has come there waits on; the next try is not to.
    stack.campus.slow("scores", 0)
    frozen_at, _ = newest(stack, workbench)
    assert timedelta(seconds=20) <= models.now() - frozen_at < timedelta(seconds=30)
    assert workbench.status()["submission"]["lms"] == "waiting"
    wait_for(lambda: bool(scores(stack, exercise.link, workbench.person)), "the late score")
    workbench.wait_for_submission(seconds=20)
    assert len(scores(stack, exercise.link, workbench.person)) == 1


def newest(stack: Stack, workbench: Workbench) -> tuple[datetime, str]:
    """Return when the newest submission was frozen, and how the last try to deliver it failed, if it did."""
    with stack.sessions() as db:
        query = sa.select(models.Submission).filter_by(workspace_id=workbench.workspace)
        found = db.scalars(query.order_by(models.Submission.number.desc())).first()
        assert found and found.frozen_at and found.outbox
        return found.frozen_at, found.outbox.error
