"""The gate on real parts: who passes to a notebook host, and what gets through in either direction."""

import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import redis

from ipylti import gate, ids, models, volatile
from ipylti.gate import COOKIE, FRESH, Gatekeeper, Pass
from ipylti.servers import labels
from ipylti.servers.spawner import Limits, ServerSpec
from ipylti.volatile import Locks
from tests.integration.conftest import Exercise, enrol
from tests.kernel import Kernel, Refused
from tests.parts import wait_for
from tests.person import Answer, Notebook, Person
from tests.stack import Stack

NAVIGATION = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe", "Sec_Fetch_Site": "same-site"}
FETCH = {"Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty", "Sec_Fetch_Site": "same-origin"}

#: In a container in Jupyter's place: answers with the headers that arrived.
ECHO = """
import http.server, json

class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if "content-length" in self.headers:
            self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps([[name.lower(), value] for name, value in self.headers.items()]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_PUT = do_GET

http.server.ThreadingHTTPServer(("", 8888), Echo).serve_forever()
"""


@pytest.fixture(scope="module")
def mine(running_stack: Stack, exercise: Exercise) -> Notebook:
    """A student's notebook, running."""
    return enrol(running_stack).launch(exercise.link).enter()


@pytest.fixture(scope="module")
def theirs(running_stack: Stack, exercise: Exercise) -> Notebook:
    """A fellow student's notebook, running, with a file in it."""
    notebook = enrol(running_stack).launch(exercise.link).enter()
    assert notebook.save("secret.txt", "the answer").status == 201
    return notebook


@pytest.fixture
def keeper(stack: Stack) -> Gatekeeper:
    """The gate's own sealing."""
    return Gatekeeper(stack.settings)


@pytest.fixture
def launched(stack: Stack, exercise: Exercise, mine: Notebook) -> Notebook:
    """The student's notebook in a fresh browser, by a launch of its own."""
    return Person(stack.campus, mine.person.login).launch(exercise.link).enter()


def opened(keeper: Gatekeeper, notebook: Notebook) -> Pass:
    """Return what the browser's cookie says."""
    value = notebook.person.cookies[notebook.host][COOKIE]
    found = keeper.open(value, str(urlsplit(notebook.origin).hostname), time.time())
    assert found
    return found


def carry(keeper: Gatekeeper, notebook: Notebook, given: Pass) -> None:
    """Give the browser another cookie of the gate's."""
    notebook.person.cookies[notebook.host][COOKIE] = keeper.seal(given)


def show(notebook: Notebook, cookie: str | None, **headers: str) -> Answer:
    """Ask for a file with just this cookie of the gate's."""
    return notebook.get("/api/contents", Cookie=f"{COOKIE}={cookie}" if cookie else "", **headers)


# Who is in


def test_without_a_cookie_nobody_gets_in(theirs: Notebook) -> None:
    page = show(theirs, None, **NAVIGATION)
    assert page.status == 401
    assert "Launch again from your course" in page.text
    assert page.headers["cache-control"] == "no-store"
    line = show(theirs, None, **FETCH)
    assert (line.status, "<" in line.text) == (401, False)


def test_one_hosts_cookie_is_worth_nothing_on_another(mine: Notebook, theirs: Notebook) -> None:
    cookie = mine.person.cookies[mine.host][COOKIE]
    assert show(mine, cookie).status == 200
    assert show(theirs, cookie).status == 401
    for forged in (mine.host, f"{mine.host}, {theirs.host}"):
        assert show(theirs, cookie, X_Forwarded_Host=forged).status == 401
    # The other way about, it is still the browser's own host that counts.
    assert show(mine, cookie, X_Forwarded_Host=theirs.host).json()["name"] == ""


def test_a_cookie_ends(keeper: Gatekeeper, mine: Notebook) -> None:
    now = int(time.time())
    given = opened(keeper, mine)
    assert show(mine, keeper.seal(given)).status == 200
    assert show(mine, keeper.seal(replace(given, expires=now - 1))).status == 401
    assert show(mine, keeper.seal(replace(given, issued=now - 2 * 86400, expires=now - 86400))).status == 401


def test_a_cookie_that_was_tampered_with_is_none(
    stack: Stack, keeper: Gatekeeper, mine: Notebook, theirs: Notebook
) -> None:
    given = opened(keeper, mine)
    value = keeper.seal(given)
    mac = value.rpartition(".")[2]
    stranger = Gatekeeper(replace(stack.settings, secret="x" * 40))
    forgeries = {
        "longer": f"{given.workspace}.{given.launch}.{given.issued}.{given.expires + 60}.{mac}",
        "younger": f"{given.workspace}.{given.launch}.{given.issued + 60}.{given.expires}.{mac}",
        "another launch": value.replace(given.launch, ids.random_id()),
        "another workspace": value.replace(given.workspace, theirs.workspace),
        "by another secret": stranger.seal(given),
        "cut short": value[:-1],
        "without the hash": value.rpartition(".")[0],
        "only the hash": mac,
        "no text": "\xff\xfe.\xf0\x28.1.2.\x80",
        "a quoted string": f'"{value[:-1]}\\377"',
        "nothing": ".",
        "long": "a." * 2000,
    }
    for what, forged in forgeries.items():
        assert show(mine, forged).status == 401, what
    assert show(mine, value).status == 200


def test_the_cookie_holds_in_a_frame_and_on_its_host_only(stack: Stack, exercise: Exercise) -> None:
    person = enrol(stack)
    workbench = person.launch(exercise.link)
    [cookie] = person.get(workbench.ticket()).set_cookies
    name, _, attributes = cookie.partition("; ")
    assert name.startswith("__Host-ipylti-gate=")
    told = {attribute.strip().lower() for attribute in attributes.split(";")}
    assert {"path=/", "secure", "httponly", "samesite=none", "partitioned"} <= told
    assert not any(attribute.startswith("domain") for attribute in told)


# Where a request comes from


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "", "Sec_Fetch_Site": ""},
        {"Origin": "", "Sec_Fetch_Site": "same-site"},
        {"Origin": "", "Sec_Fetch_Site": "same-site", "X_Forwarded_Method": "GET"},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://ipylti.localhost"},
        {"Origin": "sibling"},
        {"Origin": "sibling", "Sec_Fetch_Mode": "navigate"},
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_changes_something_must_come_from_the_notebooks_own_pages(
    mine: Notebook, theirs: Notebook, method: str, headers: dict[str, str]
) -> None:
    sent = {name: mine.origin if text == "sibling" else text for name, text in headers.items()}
    content = {"type": "file", "format": "text", "content": "changed"}
    assert theirs.send(method, "/api/contents/secret.txt", content, **sent).status == 403
    assert theirs.read("secret.txt") == "the answer"


def test_the_notebooks_own_pages_may_change_things(mine: Notebook) -> None:
    content = {"type": "file", "format": "text", "content": "x"}
    for site, origin in (("same-origin", mine.origin), ("", mine.origin), ("same-origin", "")):
        answer = mine.send("PUT", "/api/contents/own.txt", content, Sec_Fetch_Site=site, Origin=origin)
        assert answer.status in (200, 201)


def test_a_neighbours_page_can_not_embed_what_is_here(theirs: Notebook) -> None:
    for mode, dest in (("no-cors", "script"), ("no-cors", "image"), ("cors", "empty")):
        for site in ("same-site", "cross-site"):
            answer = theirs.get(
                "/files/secret.txt", Sec_Fetch_Site=site, Sec_Fetch_Mode=mode, Sec_Fetch_Dest=dest
            )
            assert answer.status == 403
            assert "the answer" not in answer.text


def test_the_workbench_may_open_the_notebook(mine: Notebook) -> None:
    for site in ("same-site", "cross-site", "none"):
        assert mine.get("/lab", **NAVIGATION | {"Sec_Fetch_Site": site}).status == 200


def test_a_websocket_must_come_from_the_notebooks_own_pages(mine: Notebook, theirs: Notebook) -> None:
    with Kernel(mine) as kernel:
        assert kernel.run("print(6 * 7)") == "42\n"
        for origin in ("https://evil.example", theirs.origin, "null", ""):
            with pytest.raises(Refused) as refused:
                kernel.connect(Origin=origin)
            assert refused.value.status == 403
        with pytest.raises(Refused) as refused:
            kernel.connect(Cookie="")
        assert refused.value.status == 401
        with pytest.raises(Refused) as refused:
            kernel.connect(Cookie=f"{COOKIE}={theirs.person.cookies[theirs.host][COOKIE]}")
        assert refused.value.status == 401
        assert kernel.run("print(6 * 8)") == "48\n"


# What gets through


@pytest.fixture(scope="module")
def echo(running_stack: Stack) -> Iterator[Notebook]:
    """A notebook host in whose container, instead of Jupyter, something tells which headers arrive."""
    stack, workspace = running_stack, ids.random_id()
    settings = stack.settings
    spec = ServerSpec(
        workspace=workspace,
        assignment=workspace,
        kind="take",
        instance=stack.instance,
        image=settings.image,
        volume="",
        hostname=settings.notebook_host(workspace),
        token=settings.jupyter_token(workspace),
        tool_origin=settings.url,
        frame_ancestors=(settings.url,),
        limits=Limits(None, None, None),
    )
    carried = labels.server_labels(spec, entrypoint="web", tls=False)
    now = int(time.time())
    notebook = Notebook(Person(stack.campus, "zoe"), settings.notebook_origin(workspace))
    notebook.person.cookies[notebook.host] = {
        COOKIE: Gatekeeper(settings).seal(Pass(workspace, ids.random_id(), now, now + 3600))
    }
    # Each minute's sweep removes servers of no workspace, but none that somebody is at.
    with Locks(volatile.connect(stack.redis_url)).hold(f"server:{workspace}", seconds=3600.0):
        stack.podman(
            *("run", "--detach", "--name", f"ipylti-server-{workspace}", "--publish", "127.0.0.1::8888"),
            *(word for name, value in carried.items() for word in ("--label", f"{name}={value}")),
            *("--entrypoint", "python3", settings.image, "-c", ECHO),
        )
        wait_for(lambda: notebook.get("/").status == 200, "the echo")
        yield notebook
        stack.podman("rm", "--force", "--time", "0", f"ipylti-server-{workspace}")


def test_the_tools_cookies_stop_at_the_gate_and_others_get_through(echo: Notebook) -> None:
    own = echo.person.cookies[echo.host][COOKIE]
    for sent, arrives in (
        (f"{COOKIE}={own}", None),
        (f"{COOKIE}={own}; _xsrf=2|abc; theme=dark", "_xsrf=2|abc; theme=dark"),
        (f"a=1; __Host-ipylti-session-x=S3CRET; {COOKIE}={own};b=2", "a=1; b=2"),
        (f"__Host-ipylti-state-y=S3CRET;{COOKIE}={own}; __Host-other=kept", "__Host-other=kept"),
    ):
        for answer in (echo.get("/", Cookie=sent), echo.send("POST", "/", {}, Cookie=sent)):
            arrived = [value for name, value in answer.json() if name == "cookie"]
            assert arrived == ([] if arrives is None else [arrives])
            assert "S3CRET" not in answer.text
            assert own not in answer.text


def test_the_container_gets_its_own_token_and_no_other(stack: Stack, echo: Notebook) -> None:
    token = f"token {stack.settings.jupyter_token(echo.workspace)}"
    for headers in ({}, {"Authorization": "token forged"}, {"Authorization": "Bearer forged"}):
        arrived = echo.get("/", **headers).json()
        assert [value for name, value in arrived if name == "authorization"] == [token]


def test_jupyters_token_never_reaches_the_browser(stack: Stack, mine: Notebook) -> None:
    token = stack.settings.jupyter_token(mine.workspace)
    assert mine.save("page.html", "<p>hello").status in (200, 201)
    with Kernel(mine):
        answers = [
            mine.get(path, **NAVIGATION)
            for path in (
                *("/", "/lab", "/lab/tree/page.html", "/lab/workspaces/auto-x", "/doc", "/tree", "/login"),
                *("/lab?token=", "/lab?reset", "/logout", "/files/page.html", "/nowhere", "/lab/nowhere"),
                *("/static/favicons/favicon.ico", "/metrics", "/terminals/1", "/edit/page.html"),
                *("/api", "/api/status", "/api/me", "/api/contents", "/api/contents/page.html"),
                *("/api/sessions", "/api/kernels", "/api/kernelspecs", "/api/terminals", "/api/spec.yaml"),
                *("/api/config/notebook", "/lab/api/settings", "/lab/api/workspaces", "/lab/api/themes"),
                *("/lab/api/translations", "/lab/api/listings/@jupyterlab/extensionmanager-extension/list"),
            )
        ]
        answers.append(mine.send("POST", "/api/contents", {"type": "file"}))
        answers.append(mine.send("DELETE", "/api/contents/nowhere"))
    assert {200, 302, 404} <= {answer.status for answer in answers}
    for answer in answers:
        assert token.encode() not in answer.body, answer.url
        assert token not in str((answer.headers, answer.set_cookies)), answer.url


def test_the_lms_may_frame_the_notebook_and_peoples_own_pages_are_fenced_in(
    stack: Stack, mine: Notebook
) -> None:
    assert mine.save("page.html", "<script>alert(1)</script>").status in (200, 201)
    ancestors = f"frame-ancestors 'self' {stack.campus.url} {stack.tool_url}"
    assert mine.get("/lab", **NAVIGATION).headers["content-security-policy"] == ancestors
    fenced = mine.get("/files/page.html", **NAVIGATION).headers["content-security-policy"]
    assert fenced == f"{ancestors}; sandbox allow-scripts"


def test_the_gate_and_the_metrics_are_for_this_machine_only(stack: Stack, mine: Notebook) -> None:
    direct = Person(stack.campus, "zoe")
    metrics = direct.get(f"{stack.web_url}/metrics", Host=f"ipylti.localhost:{stack.ports.traefik}")
    [started] = [line for line in metrics.text.splitlines() if line.startswith("process_start_time_seconds")]
    cookie = {"Cookie": f"{COOKIE}={mine.person.cookies[mine.host][COOKIE]}"}
    forged = cookie | {"X_Forwarded_Host": mine.host, "X_Forwarded_Method": "GET"}
    asleep = mine.origin.replace(mine.workspace, ids.random_id())
    for origin in (stack.tool_url, asleep, mine.origin):
        for path in ("gate", "metrics"):
            for spelt in (
                path,
                f"{path}/",
                f"/{path}",
                f"./{path}",
                f"%{ord(path[0]):x}{path[1:]}",
                f"x/../{path}",
            ):
                answer = direct.get(f"{origin}/{spelt}", **forged)
                where = (origin, spelt, answer.status)
                assert "authorization" not in answer.headers, where
                assert started not in answer.text, where
                if origin != mine.origin:
                    assert answer.status in (301, 307, 308, 400, 403, 404), where


# Coming in


def test_a_ticket_lets_one_browser_in_once(stack: Stack, exercise: Exercise, mine: Notebook) -> None:
    person = Person(stack.campus, mine.person.login)
    ticket = person.launch(exercise.link).ticket()
    assert person.get(ticket).location == f"{mine.origin}/lab"
    used = Person(stack.campus, "sam").get(ticket)
    assert used.status == 403
    assert "used already" in used.text
    assert not used.set_cookies
    # Its own browser is in: a frame that is loaded again goes on.
    assert person.get(ticket).location == f"{mine.origin}/lab"


def test_a_ticket_is_for_its_own_host(
    stack: Stack, exercise: Exercise, mine: Notebook, theirs: Notebook
) -> None:
    person = Person(stack.campus, mine.person.login)
    ticket = person.launch(exercise.link).ticket()
    elsewhere = person.get(ticket.replace(mine.origin, theirs.origin))
    assert elsewhere.status == 403
    assert not elsewhere.set_cookies


def test_a_ticket_ends_within_a_minute(stack: Stack, exercise: Exercise, mine: Notebook) -> None:
    person = Person(stack.campus, mine.person.login)
    url = person.launch(exercise.link).ticket()
    client = redis.Redis.from_url(stack.redis_url)
    [name] = [key for key in client.scan_iter("ipylti:ticket:*") if key.decode().endswith(url[-32:])]
    assert 0 < client.ttl(name) <= 60
    client.pexpire(name, 1)
    wait_for(lambda: not client.exists(name), "the end of the ticket")
    assert person.get(url).status == 403


# Renewal


def test_a_cookie_that_is_no_longer_fresh_is_renewed_on_the_way(
    keeper: Gatekeeper, launched: Notebook
) -> None:
    now = int(time.time())
    given = opened(keeper, launched)
    assert given.launch
    carry(keeper, launched, replace(given, issued=now - FRESH - 1))
    answer = launched.contents("")
    assert answer.status == 200
    [cookie] = [text for text in answer.set_cookies if text.startswith(COOKIE)]
    for attribute in ("Path=/", "Secure", "HttpOnly", "SameSite=None", "Partitioned"):
        assert attribute in cookie
    renewed = opened(keeper, launched)
    assert renewed.issued >= now
    assert replace(renewed, issued=0) == replace(given, issued=0)
    # A fresh one is left alone.
    assert not any(text.startswith(COOKIE) for text in launched.contents("").set_cookies)


def test_a_websocket_passes_with_a_cookie_that_is_due_for_renewal(
    keeper: Gatekeeper, launched: Notebook
) -> None:
    with Kernel(launched) as kernel:
        carry(keeper, launched, replace(opened(keeper, launched), issued=int(time.time()) - FRESH - 1))
        kernel.connect().close()


@pytest.mark.parametrize("change", ["revoked_at", "expires_at", "gone"])
def test_a_launch_that_is_no_longer_good_is_out_at_renewal(
    stack: Stack, keeper: Gatekeeper, launched: Notebook, change: str
) -> None:
    given = opened(keeper, launched)
    with stack.sessions.begin() as db:
        launch = db.get_one(models.Launch, given.launch)
        if change == "gone":
            db.delete(launch)
        else:
            setattr(launch, change, models.now())
    assert launched.contents("").status == 200, "while the cookie is fresh, nobody is asked"
    carry(keeper, launched, replace(given, issued=int(time.time()) - FRESH - 1))
    answer = launched.get("/lab", **NAVIGATION)
    assert answer.status == 401
    assert "Launch again from your course" in answer.text
    assert not answer.set_cookies
    assert launched.get("/_ipylti/enter?ticket=used").status == 403


def test_a_cookie_of_the_workers_own_probe_is_not_renewed(
    stack: Stack, keeper: Gatekeeper, mine: Notebook
) -> None:
    now = int(time.time())
    probe = gate.probe_cookie(stack.settings, mine.workspace).partition("=")[2]
    assert show(mine, probe).status == 200
    assert show(mine, keeper.seal(Pass(mine.workspace, "", now - FRESH - 1, now + 60))).status == 401
