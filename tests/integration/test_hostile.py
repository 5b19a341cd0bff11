"""Hostile code in a notebook, run by its kernel in all of ipylti, and what it can't do.

What takes limits that not every host enforces, and the world outside, is in tests/root.
"""

import json
import re
import secrets
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from ipylti.gate import COOKIE
from ipylti.jobs import Jobs
from tests.integration.conftest import Exercise, enrol, podman
from tests.kernel import Kernel
from tests.parts import wait_for
from tests.person import Notebook, Person, Workbench
from tests.stack import Stack

STACK = {"ini": {"ipylti.volume_size": "32m"}}

SECRET = f"the answer is {secrets.token_hex(16)}"

MIB = 1 << 20


@pytest.fixture(scope="module")
def victim(running_stack: Stack, exercise: Exercise) -> Notebook:
    """A student's notebook, running, with a secret in it."""
    notebook = enrol(running_stack).launch(exercise.link).enter()
    assert notebook.save("secret.txt", SECRET).status == 201
    return notebook


@pytest.fixture(scope="module")
def mallory(running_stack: Stack, exercise: Exercise) -> Notebook:
    """A fellow student's notebook, running."""
    return enrol(running_stack).launch(exercise.link).enter()


@pytest.fixture(scope="module")
def kernel(mallory: Notebook) -> Iterator[Kernel]:
    """The fellow student's kernel."""
    with Kernel(mallory) as made:
        yield made


def told(kernel: Kernel, program: str, **given: Any) -> Any:
    """Run a program in the kernel, with names given to it; returns what it leaves in ``done``."""
    values = f"import json\nglobals().update(json.loads({json.dumps(given)!r}))"
    return json.loads(kernel.run(f"{values}\n{program}\nprint(json.dumps(done))"))


def host_addresses() -> list[str]:
    """Return the host's own addresses, the loopback's left out."""
    found = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True)
    return found.stdout.split()


def doors(victim: Notebook) -> list[str]:
    """Return every name and address under which a notebook might find the host, or a sibling."""
    (entry,) = json.loads(podman("inspect", f"ipylti-server-{victim.workspace}"))
    return [
        *("127.0.0.1", "::1", "0.0.0.0", "169.254.0.2", "169.254.0.3", "169.254.0.100"),
        *("host.containers.internal", "host.docker.internal", socket.gethostname()),
        *(entry["Id"][:12], entry["Name"], entry["Config"]["Hostname"], victim.host.partition(":")[0]),
        *host_addresses(),
    ]


#: Which of hosts and ports take a connection.
CONNECT = """
import concurrent.futures, socket
def opened(door):
    try:
        with socket.create_connection(door, 2):
            return True
    except OSError:
        return False
tried = [(host, port) for host in hosts for port in ports]
with concurrent.futures.ThreadPoolExecutor(40) as pool:
    done = [door for door, found in zip(tried, pool.map(opened, tried)) if found]
"""


def test_the_siblings_jupyter_is_behind_no_door(kernel: Kernel, victim: Notebook) -> None:
    port = int(podman("port", f"ipylti-server-{victim.workspace}", "8888/tcp").rpartition(":")[2])
    assert told(kernel, CONNECT, hosts=["127.0.0.1"], ports=[8888]) == [["127.0.0.1", 8888]]
    assert told(kernel, CONNECT, hosts=doors(victim), ports=[port]) == []
    # Under the host's name, a container finds itself.
    own = ("127.0.0.1", "0.0.0.0", "::1", "169.254.0.100", socket.gethostname())
    others = [host for host in doors(victim) if host not in own]
    assert told(kernel, CONNECT, hosts=others, ports=[8888]) == []


def test_nothing_on_the_hosts_loopback_is_reached(stack: Stack, kernel: Kernel, victim: Notebook) -> None:
    """The tool and Traefik; and witnesses where Redis, the database and Podman's API would listen."""
    witnesses = [socket.create_server((host, 0), family=family) for host, family in LOOPBACKS]
    try:
        ports = [stack.ports.web, stack.ports.traefik, stack.ports.campus]
        ports += [witness.getsockname()[1] for witness in witnesses]
        assert told(kernel, CONNECT, hosts=doors(victim), ports=ports) == []
        for witness in witnesses:
            witness.settimeout(0.1)
            with pytest.raises(TimeoutError):
                witness.accept()
    finally:
        for witness in witnesses:
            witness.close()


LOOPBACKS = [("127.0.0.1", socket.AF_INET)] * 3 + [("::1", socket.AF_INET6)]


def test_no_socket_of_the_hosts_is_in_sight(kernel: Kernel) -> None:
    """Redis, PostgreSQL and Podman's API may listen on sockets in the file system, or on abstract ones."""
    found = told(kernel, SOCKETS)
    assert found == {"foreign": [], "abstract": []}


SOCKETS = """
import os, stat
foreign, mine = [], ("/proc", "/sys", "/home/jovyan", "/tmp")
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if not os.path.join(folder, name).startswith(mine)]
    for name in files:
        path = os.path.join(folder, name)
        try:
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                foreign.append(path)
        except OSError:
            pass
names = [line.split()[-1] for line in open("/proc/net/unix")]
done = {"foreign": foreign, "abstract": [name for name in names if name.startswith("@")]}
"""


@contextmanager
def reachable(port: int) -> Iterator[tuple[str, int]]:
    """Have Traefik, which listens on the loopback here, be reached as in production; gives where."""
    host = host_addresses()[0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as relay:
        threading.Thread(target=_relay, args=(relay, port), daemon=True).start()
        yield host, relay.getsockname()[1]


def _relay(relay: socket.socket, port: int) -> None:
    """Pass each connection's first request on, and its whole answer back."""
    while True:
        try:
            near, _ = relay.accept()
        except OSError:
            return
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            far.sendall(near.recv(1 << 16))
            while part := far.recv(1 << 16):
                near.sendall(part)


#: Sends requests through Traefik; what comes back are the status and the body.
ASK = """
import http.client
done = {}
for what, (name, path, headers) in requests.items():
    connection = http.client.HTTPConnection(host, port, timeout=10)
    connection.request("GET", path, headers={"Host": name, "Connection": "close", **headers})
    answer = connection.getresponse()
    done[what] = [answer.status, answer.read().decode(errors="replace")]
"""


def test_traefik_lets_nobody_through_to_a_sibling(
    stack: Stack, kernel: Kernel, mallory: Notebook, victim: Notebook
) -> None:
    """Not even with Jupyter's own token, nor with what the student has of their own."""
    path = "/api/contents/secret.txt"
    own = mallory.person.cookies[mallory.host][COOKIE]
    token = stack.settings.jupyter_token(victim.workspace)
    gate = {"Cookie": f"{COOKIE}={own}"}
    same = {"Origin": victim.origin, "Sec-Fetch-Site": "same-origin"}
    requests = {
        "nothing": (victim.host, path, {}),
        "own cookie": (victim.host, path, gate | same),
        "both hosts": (victim.host, path, gate | {"X-Forwarded-Host": mallory.host}),
        "the token": (victim.host, path, {"Authorization": f"token {token}"}),
        "the token in the path": (victim.host, f"{path}?token={token}", {}),
        "own cookie and the token": (victim.host, path, gate | {"Authorization": f"token {token}"}),
        "a way round the gate": (victim.host, "/_ipylti/../api/contents/secret.txt", gate),
        "the gate itself": (f"ipylti.localhost:{stack.ports.traefik}", "/gate", gate),
        "metrics": (f"ipylti.localhost:{stack.ports.traefik}", "/metrics", {}),
        "a launch": (f"ipylti.localhost:{stack.ports.traefik}", "/launches/x", gate),
    }
    with reachable(stack.ports.traefik) as (host, port):
        found = told(kernel, ASK, host=host, port=port, requests=requests)
        (ours,) = told(
            kernel, ASK, host=host, port=port, requests={"own": (mallory.host, "/api/contents", gate)}
        ).values()
    assert ours[0] == 200, "the way itself is open"
    assert {what: status for what, (status, _) in found.items() if status < 400} == {}
    assert not [what for what, (_, body) in found.items() if SECRET in body]


def test_the_siblings_files_are_nowhere(kernel: Kernel, mallory: Notebook, victim: Notebook) -> None:
    """Not by any path, and Jupyter leads out of its own container by no link."""
    # Backwards, since a kernel remembers what it was told to run.
    names = [victim.workspace, "ipylti-base", "ipylti-submission"]
    found = told(kernel, SEARCH, backwards=SECRET[::-1], names=names)
    assert found == []
    # What the links lead to is the container's own world, in which there is no such store.
    assert mallory.contents("store").status >= 400
    assert victim.workspace not in mallory.contents("out/etc/hosts").text


SEARCH = """
import os
secret = backwards[::-1]
store = "/home/ipylti/.local/share/containers/storage/volumes"
for name, target in (("out", "/proc/1/root"), ("store", store)):
    if not os.path.lexists(name):
        os.symlink(target, name)
done = []
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys")]
    done += [os.path.join(folder, name) for name in folders + files if any(each in name for each in names)]
    if folder.startswith(("/usr", "/opt")):
        continue
    for name in files:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                if os.path.isfile(file.name) and secret.encode() in file.read(1 << 20):
                    done.append(file.name)
        except OSError:
            pass
done += [line for line in open("/proc/self/mountinfo") if any(each in line for each in names)]
"""


def test_there_is_no_way_out_of_the_container(kernel: Kernel) -> None:
    """By mounts, namespaces, devices, keys, other people's processes, or more rights than one has."""
    assert told(kernel, Path(__file__).with_name("escapes.py").read_text()) == []


# Disks


class Full:
    """A student who fills the disk, and what is told to them.

    :param workbench: their page.
    """

    def __init__(self, stack: Stack, workbench: Workbench) -> None:
        self.stack = stack
        self.workbench = workbench
        self.server = f"ipylti-server-{workbench.workspace}"
        self.jobs = Jobs(stack.redis_url)

    def take(self, name: str, mebibytes: int) -> None:
        """Write a file of so many mebibytes."""
        program = f"open({name!r}, 'wb').write(b'x' * {mebibytes * MIB})"
        self.stack.inside(self.workbench.workspace, program)

    def watch_until(self, done: Callable[[], bool], what: str) -> None:
        """Have the worker look until something is so: each minute is too seldom for a test.

        Again and again, since it looks once at a time: what is asked for during the sweep's look, which may
        have been there too early, is left undone.
        """

        def looked() -> bool:
            self.jobs.ask("watch_servers", "")
            return done()

        wait_for(looked, what, pause=0.5)

    def told(self, *codes: str) -> None:
        """Wait until just these notices are given."""

        def so() -> bool:
            return [each["code"] for each in self.workbench.status()["notices"]] == list(codes)

        self.watch_until(so, f"notices {codes}")


def test_a_disk_is_not_filled_and_nothing_is_lost(stack: Stack, exercise: Exercise, victim: Notebook) -> None:
    person = enrol(stack)
    workbench = person.launch(exercise.link)
    workbench.enter()
    full = Full(stack, workbench)
    full.told()
    full.take("first", 28)
    full.told("volume.filling")
    full.take("second", 28)
    full.watch_until(lambda: workbench.status()["state"] != "ready", "the stop")
    error = workbench.wait("failed")["error"]
    assert error["code"] == "volume.full"
    assert re.search(r"Your files take 56(\.\d)? MiB; 32 MiB is what they may take", error["message"])
    wait_for(lambda: full.server not in stack.containers(), "the server's end")
    assert victim.read("secret.txt") == SECRET
    # All is there, and can be deleted.
    notebook = person.launch(exercise.link).enter()
    assert {"first", "second"} <= notebook.files()
    full.told("volume.too_full")
    assert full.server in stack.containers()
    assert notebook.send("DELETE", "/api/contents/second").status == 204
    assert notebook.send("DELETE", "/api/contents/first").status == 204
    full.told()


# Browsers


@pytest.fixture
def page(chrome: Browser) -> Iterator[Page]:
    """A page of a browser of one's own."""
    context = chrome.new_context()
    yield context.new_page()
    context.close()


def enter(page: Page, notebook: Notebook, exercise: Exercise) -> None:
    """Let somebody's browser into their notebook's host."""
    page.goto(Person(notebook.person.campus, notebook.person.login).launch(exercise.link).ticket())


#: Cookies for the sibling and the tool, under every name that either reads, from a page on a notebook's host.
COOKIES = """
names => {
  for (const name of names) {
    for (const domain of ["; Domain=notebook.localhost", "; Domain=localhost", ""]) {
      document.cookie = `${name}=forged; Path=/; Secure; SameSite=None${domain}`;
    }
  }
  return document.cookie;
}
"""


def test_a_notebooks_page_plants_no_cookie_that_the_sibling_or_the_tool_believes(
    stack: Stack, page: Page, exercise: Exercise, mallory: Notebook, victim: Notebook
) -> None:
    secret = f"{victim.origin}/api/contents/secret.txt"
    enter(page, mallory, exercise)
    names = [COOKIE, COOKIE.removeprefix("__Host-"), "session", "__Host-session"]
    assert "forged" in page.evaluate(COOKIES, names)
    answers = [page.goto(url) for url in (secret, f"{stack.tool_url}/launches/x")]
    assert [answer.status >= 400 for answer in answers if answer] == [True, True]
    received = [answer.request.all_headers().get("cookie", "") for answer in answers if answer]
    assert not [cookies for cookies in received if "__Host-" in cookies]
    assert "forged" not in received[1], "the tool is another site"
    # What was planted on the sibling does not keep its owner out either.
    enter(page, victim, exercise)
    answer = page.goto(secret)
    assert answer
    assert "forged" in answer.request.all_headers()["cookie"]
    assert answer.status == 200


#: Names of files that would be scripts, were they taken for HTML.
NAMES = [
    "<script>window.pwned=1.ipynb",
    "<img src=x onerror=window.pwned=1>",
    '"><svg onload=window.pwned=1>',
    "'-window.pwned=1-'.txt",
    "javascript:window.pwned=1",
    "{{ 7*7 }}{% raw %}.txt",
    "\u202etxt.exe",
    "new\nline",
]

#: A notebook whose output is a script.
SCRIPT = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
SHOWN = {"output_type": "display_data", "metadata": {}, "data": {"text/html": SCRIPT}}
CELL = {"cell_type": "code", "execution_count": 1, "metadata": {}, "source": "1", "outputs": [SHOWN]}
NOTEBOOK = {"cells": [CELL], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def test_what_is_handed_in_runs_no_script_where_the_teacher_looks(
    stack: Stack, page: Page, exercise: Exercise
) -> None:
    workbench = enrol(stack).launch(exercise.link)
    workbench.enter()
    stack.inside(
        workbench.workspace, f"for name in {NAMES!r}: open(name, 'w').write({json.dumps(NOTEBOOK)!r})"
    )
    workbench.submit()
    wait_for(lambda: workbench.status()["submission"]["state"] == "frozen", "the submission")
    teacher = Person(stack.campus, "nora").launch(exercise.link)
    asked: list[str] = []

    def answer(route: Route) -> None:
        """Answer the browser as the tool answers the teacher."""
        asked.append(route.request.url)
        told = teacher.person.get(route.request.url)
        route.fulfill(status=told.status, headers=told.headers, body=told.body)

    page.route("**/*", answer)
    page.goto(f"{teacher.page.url}/submissions")
    page.locator(f"table.people a[href*='{teacher.launch_id}']").last.click()
    page.wait_for_selector("text=window.pwned")
    told = page.inner_text("main")
    assert [name for name in NAMES if name.isprintable() and name not in told] == []
    assert page.evaluate("window.pwned") is None
    assert page.locator("main script, main img, main svg").count() == 0
    assert [url for url in asked if not url.startswith(stack.tool_url)] == []
