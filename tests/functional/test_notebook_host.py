"""The gate as Traefik asks it, tickets, and the page of a server that sleeps."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
import sqlalchemy as sa
from webtest import TestApp, TestResponse

from ipylti import gate, models
from ipylti.gate import FRESH, GRACE, Gatekeeper, Pass
from ipylti.settings import Settings
from ipylti.volatile import Board, Progress, State
from tests.functional.browser import NOTEBOOKS, Browser, Student, path_of
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite

PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
SCRIPT = {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}


class Notebook:
    """A student's notebook host, seen from their browser.

    :param app: a browser there, with a cookie jar of its own.
    """

    def __init__(self, student: Student, wsgi: Any, config: Settings) -> None:
        services = wsgi.registry["ipylti.services"]
        self.student = student
        self.config = config
        self.board: Board = services.board
        self.jobs = services.jobs
        self.engine = services.engine
        self.workspace = student.workspace_id
        self.host = config.notebook_host(self.workspace)
        self.keeper = Gatekeeper(config)
        self.app = TestApp(wsgi, extra_environ={"HTTP_HOST": self.host, "wsgi.url_scheme": "https"})
        self.tool = TestApp(wsgi, extra_environ={"HTTP_HOST": "127.0.0.1:8002"})
        self.tool.cookiejar.clear()

    def ticket(self) -> str:
        """Return the URL's path and query that the workbench opens."""
        self.board.write(self.workspace, Progress(State.READY))
        url = self.student.browser.status(self.student.page)["url"]
        assert url.startswith(f"https://{self.host}/_ipylti/enter?ticket=")
        return str(url).removeprefix(f"https://{self.host}")

    def sealed(self, age: float = 0.0, launch: str | None = None, expires: float = 3600.0) -> str:
        """Return the gate's cookie as it was issued a while ago."""
        now = int(time.time())
        launch = self.student.launch_id if launch is None else launch
        return self.keeper.seal(Pass(self.workspace, launch, int(now - age), int(now + expires)))

    def cookie(self, **how: Any) -> dict[str, str]:
        """Return a Cookie header with the gate's cookie."""
        return {"Cookie": f"{gate.COOKIE}={self.sealed(**how)}"}

    def ask_gate(self, status: int = 200, method: str = "GET", **headers: str) -> TestResponse:
        """Ask the gate about a request, as Traefik does."""
        sent = {"X-Forwarded-Host": self.host, "X-Forwarded-Method": method, "X-Forwarded-Uri": "/lab"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.tool.get("/gate", headers=sent | named, status=status)


@pytest.fixture
def notebook(student: Student, app: Any, config: Settings) -> Notebook:
    return Notebook(student, app, config)


def set_cookie(answer: TestResponse) -> str:
    """Return the value of the gate's cookie that an answer sets."""
    (header,) = answer.headers.getall("Set-Cookie")
    for attribute in ("Secure", "HttpOnly", "SameSite=None", "Partitioned", "Path=/"):
        assert attribute in header
    assert "Domain" not in header
    return SimpleCookie(header.replace("; Partitioned", ""))[gate.COOKIE].value


# The gate


def test_whoever_has_the_cookie_passes_with_jupyters_token(notebook: Notebook) -> None:
    answer = notebook.ask_gate(**notebook.cookie())
    assert answer.headers["Authorization"] == f"token {notebook.config.jupyter_token(notebook.workspace)}"
    assert "Set-Cookie" not in answer.headers
    assert answer.body == b""


def test_the_containers_get_their_own_cookies_only(notebook: Notebook) -> None:
    own = f"a=1; {gate.COOKIE}={notebook.sealed()}; __Host-ipylti-session-x=y; _xsrf=z"
    assert notebook.ask_gate(Cookie=own).headers["Cookie"] == "a=1; _xsrf=z"
    assert "Cookie" not in notebook.ask_gate(**notebook.cookie()).headers


def test_another_cookie_that_can_not_be_read_is_not_in_the_way(notebook: Notebook) -> None:
    header = f'odd="\xff\xfe; a,b; =; {gate.COOKIE}={notebook.sealed()}'
    notebook.ask_gate(Cookie=header)


@pytest.mark.parametrize("headers", [PAGE, SCRIPT, {}])
def test_nobody_passes_without(notebook: Notebook, headers: dict[str, str]) -> None:
    answer = notebook.tool.get("/gate", headers=headers | {"X-Forwarded-Host": notebook.host}, status=401)
    assert "Authorization" not in answer.headers
    assert "course" in answer
    assert ("<html" in answer) is (headers is PAGE)


BAD: dict[str, Callable[[Notebook], dict[str, str]]] = {
    "tampered": lambda it: {"Cookie": f"{gate.COOKIE}={it.sealed()[:-1]}_"},
    "ended": lambda it: it.cookie(expires=-1),
    "of another host": lambda it: it.cookie() | {"X-Forwarded-Host": f"{'b' * 32}.{NOTEBOOKS}"},
    "no host": lambda it: it.cookie() | {"X-Forwarded-Host": ""},
    "the tool's host": lambda it: it.cookie() | {"X-Forwarded-Host": "tool.example"},
    "two hosts": lambda it: it.cookie() | {"X-Forwarded-Host": f"{it.host}, evil.example"},
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_cookie_is_none(notebook: Notebook, name: str) -> None:
    headers = {"X-Forwarded-Host": notebook.host, "X-Forwarded-Method": "GET"} | BAD[name](notebook)
    answer = notebook.tool.get("/gate", headers=headers, status=401)
    assert "Authorization" not in answer.headers


@pytest.mark.parametrize("host", ["{host}:443", "{host}:8000", "{HOST}"])
def test_the_host_may_be_written_as_hosts_are(notebook: Notebook, host: str) -> None:
    given = host.format(host=notebook.host, HOST=notebook.host.upper())
    notebook.ask_gate(X_Forwarded_Host=given, **notebook.cookie())


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {}, 403),
        ("POST", {"Origin": "https://tool.example"}, 403),
        ("POST", {"Origin": "https://{host}"}, 200),
        ("DELETE", {"Sec-Fetch-Site": "same-site"}, 403),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ("", {}, 403),
    ],
)
def test_requests_from_elsewhere_do_not_use_the_cookie(
    notebook: Notebook, method: str, headers: dict[str, str], status: int
) -> None:
    sent = {name: value.format(host=notebook.host) for name, value in headers.items()}
    answer = notebook.ask_gate(status, method, **notebook.cookie(), **sent)
    assert ("Authorization" in answer.headers) is (status == 200)


def test_while_it_is_fresh_nobody_is_asked(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the database nor Redis: it is asked for every file of JupyterLab."""
    import redis

    def asked(*_args: Any, **_options: Any) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(redis.ConnectionPool, "get_connection", asked)
    sa.event.listen(notebook.engine, "before_cursor_execute", asked)
    notebook.ask_gate(**notebook.cookie(age=FRESH - 5))


def test_then_the_launch_is_looked_up_and_the_cookie_renewed(notebook: Notebook) -> None:
    value = set_cookie(notebook.ask_gate(**notebook.cookie(age=FRESH + 5, expires=1000)))
    found = notebook.keeper.open(value, notebook.host, time.time())
    assert found is not None
    assert found.fresh(time.time())
    assert found.launch == notebook.student.launch_id
    assert abs(found.expires - time.time() - 1000) < 5


@pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
def test_revoking_takes_effect_at_the_next_renewal(notebook: Notebook, column: str) -> None:
    with notebook.student.sessions.begin() as db:
        db.execute(sa.update(models.Launch).values(**{column: models.now() - timedelta(seconds=1)}))
    notebook.ask_gate(**notebook.cookie(age=FRESH - 5))
    assert "Authorization" not in notebook.ask_gate(401, **notebook.cookie(age=FRESH + 5)).headers


def test_a_launch_that_is_gone_renews_nothing(notebook: Notebook) -> None:
    notebook.ask_gate(401, **notebook.cookie(age=FRESH + 5, launch="a" * 32))
    notebook.ask_gate(401, **notebook.cookie(age=FRESH + 5, launch=""))


def test_who_is_at_work_goes_on_while_the_database_is_away(notebook: Notebook) -> None:
    def away(*_args: Any) -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("away"))

    sa.event.listen(notebook.engine, "before_cursor_execute", away)
    answer = notebook.ask_gate(**notebook.cookie(age=FRESH + 60))
    assert answer.headers["Authorization"]
    assert "Set-Cookie" not in answer.headers
    notebook.ask_gate(401, **notebook.cookie(age=FRESH + GRACE + 5))


def test_the_workers_probe_passes(notebook: Notebook) -> None:
    notebook.ask_gate(Cookie=gate.probe_cookie(notebook.config, notebook.workspace))


# Tickets


def test_who_has_the_notebook_gets_no_ticket_any_more(notebook: Notebook, app: Any) -> None:
    """The page looks for hours, and each look would make one."""
    browser, redis = notebook.student.browser, app.registry["ipylti.services"].redis
    path = f"{path_of(notebook.student.page)}/status"
    notebook.ticket()
    before = len(redis.keys("*ticket*"))
    status = browser.app.get(f"{path}?opened", status=200).json
    assert (status["state"], status["url"]) == ("ready", None)
    assert len(redis.keys("*ticket*")) == before
    assert browser.app.get(path, status=200).json["url"]
    assert len(redis.keys("*ticket*")) == before + 1


def test_a_ticket_lets_this_browser_in(notebook: Notebook) -> None:
    answer = notebook.app.get(notebook.ticket(), status=302)
    assert answer.location == f"https://{notebook.host}/lab"
    value = set_cookie(answer)
    notebook.ask_gate(Cookie=f"{gate.COOKIE}={value}")
    found = notebook.keeper.open(value, notebook.host, time.time())
    assert found is not None
    assert found.launch == notebook.student.launch_id
    with notebook.student.sessions() as db:
        launch = db.get_one(models.Launch, notebook.student.launch_id)
        assert found.expires == int(launch.expires_at.timestamp())


def test_a_ticket_is_good_once(notebook: Notebook, app: Any) -> None:
    path = notebook.ticket()
    notebook.app.get(path, status=302)
    other = TestApp(app, extra_environ={"HTTP_HOST": notebook.host})
    answer = other.get(path, headers=PAGE, status=403)
    assert "used already" in answer
    assert "Set-Cookie" not in answer.headers


def test_a_ticket_that_two_use_at_once_lets_one_in(notebook: Notebook, app: Any) -> None:
    path = notebook.ticket()

    def use(_number: int) -> int:
        return (
            TestApp(app, extra_environ={"HTTP_HOST": notebook.host}).get(path, expect_errors=True).status_int
        )

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(use, range(6))) == [302, 403, 403, 403, 403, 403]


def test_a_reloaded_frame_is_let_in_again(notebook: Notebook) -> None:
    """Its ticket is used up, but the cookie is there."""
    path = notebook.ticket()
    notebook.app.get(path, status=302)
    assert notebook.app.get(path, headers=notebook.cookie(), status=302).location.endswith("/lab")


def test_a_ticket_is_good_for_its_own_host_only(notebook: Notebook, app: Any) -> None:
    path = notebook.ticket()
    other = TestApp(app, extra_environ={"HTTP_HOST": f"{'b' * 32}.{NOTEBOOKS}"})
    assert "Set-Cookie" not in other.get(path, status=403).headers
    notebook.app.get(path, status=403)


@pytest.mark.parametrize(
    "query", ["", "?ticket=", "?ticket=x", "?ticket=%00", "?other=1", "?ticket=a&ticket=b"]
)
def test_without_a_good_ticket_nobody_gets_in(notebook: Notebook, query: str) -> None:
    answer = notebook.app.get(f"/_ipylti/enter{query}", headers=PAGE, status=403)
    assert "launch again" in answer


def test_there_is_no_ticket_before_the_server_is_ready(notebook: Notebook) -> None:
    assert notebook.student.browser.status(notebook.student.page)["url"] is None


# A server that sleeps


def starts(notebook: Notebook) -> list[str]:
    return [task.args[0] for task in notebook.jobs.queues["servers"].pending()]


@pytest.fixture
def asleep(notebook: Notebook) -> Notebook:
    """The server was stopped; the tab with the notebook is still open."""
    notebook.board.write(notebook.workspace, Progress())
    notebook.jobs.queues["servers"].flush()
    return notebook


@pytest.mark.parametrize(
    "path", ["/", "/lab", "/lab/tree/a%20b.ipynb", "/static/lab/main.js", "/gate", "/login"]
)
def test_coming_back_wakes_it(asleep: Notebook, path: str) -> None:
    """Whatever the path: on this host all of them are the notebook's."""
    answer = asleep.app.get(path, headers=PAGE | asleep.cookie(), status=503)
    assert answer.headers["Retry-After"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Content-Security-Policy" in answer.headers
    assert "https://tool.example/static/" in answer
    assert starts(asleep) == [asleep.workspace]
    told = asleep.app.get("/_ipylti/awake", headers=asleep.cookie(), status=200).json
    assert (told["state"], told["position"]) == ("queued", 1)


@pytest.mark.parametrize("path", ["/api/contents", "/static/lab/main.js", "/gate", "/lab/api/x"])
def test_a_forgotten_tab_does_not(asleep: Notebook, path: str) -> None:
    for method in ("get", "post", "put", "delete", "patch", "options"):
        answer = getattr(asleep.app, method)(path, headers=SCRIPT | asleep.cookie(), status=503)
        assert answer.headers["Retry-After"]
    assert starts(asleep) == []


def test_a_large_upload_is_told_the_same(asleep: Notebook) -> None:
    for content_type in ("application/json", "application/x-www-form-urlencoded; charset=odd"):
        headers = SCRIPT | asleep.cookie() | {"Content-Type": content_type}
        asleep.app.post("/api/contents/x", b"x" * 300_000, headers=headers, status=503)


def test_looking_how_far_it_is_starts_nothing(asleep: Notebook) -> None:
    assert asleep.app.get("/_ipylti/awake", headers=asleep.cookie()).json["state"] == "stopped"
    assert starts(asleep) == []


@pytest.mark.parametrize("path", ["/", "/_ipylti/awake", "/static/lab/main.js", "/gate", "/launch"])
def test_strangers_are_sent_to_their_course(asleep: Notebook, path: str) -> None:
    answer = asleep.app.get(path, headers=PAGE, status=403)
    assert "course again" in answer
    assert starts(asleep) == []


def test_who_launched_yesterday_is_sent_there_too(asleep: Notebook) -> None:
    with asleep.student.sessions.begin() as db:
        db.execute(sa.update(models.Launch).values(expires_at=models.now()))
    asleep.app.get("/lab", headers=PAGE | asleep.cookie(), status=403)
    assert starts(asleep) == []


def test_the_neighbour_is_a_stranger(asleep: Notebook, another_browser: Browser, app: Any) -> None:
    theirs = Student(another_browser, another_browser.launch("layla"), asleep.student.sessions)
    other = TestApp(app, extra_environ={"HTTP_HOST": asleep.config.notebook_host(theirs.workspace_id)})
    other.get("/lab", headers=PAGE | asleep.cookie(), status=403)
