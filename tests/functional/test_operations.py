"""For the people who run it: is it alive, what does it depend on; and what every answer carries."""

import io
import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from webtest import TestApp

import ipylti
from ipylti import routes
from ipylti.logs import FieldsFormatter
from ipylti.platforms import Platforms
from tests.functional.background import Background, Jupyter
from tests.functional.browser import Browser, Student, path_of
from tests.functional.conftest import on_sqlite, shallow

HOST = {"HTTP_HOST": "tool.example", "wsgi.url_scheme": "https"}
HTML = {"Accept": "text/html"}
JSON = {"Accept": "application/json"}


@pytest.fixture
def client(app: Any) -> TestApp:
    return TestApp(app, extra_environ=HOST)


@pytest.fixture
def without_redis(ini: dict[str, str], tmp_path: Path) -> Iterator[TestApp]:
    """The application with a Redis that is not there."""
    made = shallow(ipylti.main, {}, **ini | {"redis.sessions.url": f"unix://{tmp_path}/nobody.sock"})
    yield TestApp(made, extra_environ=HOST)
    made.registry["ipylti.services"].engine.dispose()


@pytest.fixture
def without_database(app: Any, monkeypatch: pytest.MonkeyPatch) -> TestApp:
    """The application after its database went away."""
    lose_database(app, monkeypatch)
    return TestApp(app, extra_environ=HOST)


def lose_database(app: Any, monkeypatch: pytest.MonkeyPatch, pause: float = 0.0) -> list[float]:
    """Let nobody connect to the database any more; returns when it was tried, as the tries come in."""
    engine, tried = app.registry["ipylti.services"].engine, []

    def connect(*_args: Any, **_options: Any) -> None:
        tried.append(time.monotonic())
        time.sleep(pause)
        raise engine.dialect.dbapi.OperationalError("nobody there")

    engine.dispose()
    monkeypatch.setattr(engine.pool, "_creator", connect, raising=False)
    monkeypatch.setattr(engine.pool, "_invoke_creator", connect, raising=False)
    return tried


# Alive, ready, counted


def test_it_is_alive(client: TestApp) -> None:
    assert client.get("/healthz", status=200).text == "ok\n"


@on_sqlite
def test_it_is_alive_whatever_it_depends_on(without_redis: TestApp, without_database: TestApp) -> None:
    assert without_redis.get("/healthz", status=200).text == "ok\n"
    assert without_database.get("/healthz", status=200).text == "ok\n"


def test_everything_is_there(client: TestApp, background: Background) -> None:
    background.worker.pulse.beat({"podman": "ok", "traefik": "ok"})
    told = client.get("/readyz", status=200).json
    assert told == dict.fromkeys(("database", "redis", "worker", "podman", "traefik"), "ok")


@on_sqlite
@pytest.mark.parametrize("part", ["podman", "traefik"])
def test_a_part_that_only_the_worker_sees_is_named(
    client: TestApp, background: Background, part: str
) -> None:
    background.worker.pulse.beat({"podman": "ok", "traefik": "ok"} | {part: "down"})
    told = client.get("/readyz", status=503).json
    assert [name for name, state in told.items() if state != "ok"] == [part]


@on_sqlite
def test_the_worker_itself_may_be_away(client: TestApp) -> None:
    told = client.get("/readyz", status=503).json
    assert told == {"database": "ok", "redis": "ok", "worker": "down"}


@on_sqlite
def test_the_worker_says_what_it_sees(client: TestApp, background: Background, jupyter: Jupyter) -> None:
    """A double answers for Traefik, or does not; the containers' double answers a ping."""
    background.worker._beat()
    assert client.get("/readyz", status=200).json["traefik"] == "ok"
    jupyter.proxied = False
    background.worker._beat()
    told = client.get("/readyz", status=503).json
    assert told == {"database": "ok", "redis": "ok", "worker": "ok", "podman": "ok", "traefik": "down"}


@on_sqlite
def test_redis_may_be_away(without_redis: TestApp) -> None:
    begun = time.monotonic()
    told = without_redis.get("/readyz", status=503).json
    assert told == {"database": "ok", "redis": "down", "worker": "down"}
    assert time.monotonic() - begun < 5


def test_the_database_may_be_away(without_database: TestApp) -> None:
    told = without_database.get("/readyz", status=503).json
    assert told["database"] == "down"
    assert told["redis"] == "ok"


@on_sqlite
def test_a_database_without_its_tables_does_not_count(client: TestApp, app: Any) -> None:
    with app.registry["ipylti.services"].engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE outbox"))
        connection.execute(sa.text("ALTER TABLE registrations RENAME TO odd"))
    assert client.get("/readyz", status=503).json["database"] == "down"


def test_it_counts(client: TestApp) -> None:
    answer = client.get("/metrics", status=200)
    assert answer.content_type == "text/plain"
    assert re.search(r"^# TYPE \w+ (counter|gauge|histogram)$", answer.text, re.MULTILINE)


@on_sqlite
def test_nothing_hangs_on_a_database_that_hangs(
    client: TestApp, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may frame a page stands in the database: it is asked now and then, not for each answer."""
    tried = lose_database(app, monkeypatch, pause=0.2)
    for _ in range(6):
        client.get("/healthz", status=200)
    assert len(tried) <= 1


# What every answer carries

ANSWERS: dict[str, Callable[[TestApp], Any]] = {
    "a page": lambda client: client.get("/", status=200),
    "json": lambda client: client.get("/.well-known/jwks.json", status=200),
    "text": lambda client: client.get("/healthz", status=200),
    "nothing there": lambda client: client.get("/nothing", headers=HTML, status=404),
    "no launch": lambda client: client.get(f"/launches/{'a' * 32}", headers=HTML, status=404),
    "refused": lambda client: client.get("/login", headers=HTML, status=400),
    "static": lambda client: client.get("/static/ipylti.css", status=200),
    "no file": lambda client: client.get("/static/nothing.css", status=404),
}


@on_sqlite
@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_says_what_browsers_may_do_with_it(client: TestApp, name: str) -> None:
    headers = ANSWERS[name](client).headers
    policy = dict(
        directive.strip().partition(" ")[::2] for directive in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["base-uri"] == "'none'"
    # What is said before a platform is known may stand in any frame.
    ancestors = "https://tool.example" + (" http: https:" if name == "refused" else "")
    assert policy["frame-ancestors"] == ancestors
    assert policy["frame-src"] == "https://*.notebooks.example"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    # A browser that sent no referrer to ourselves would post our own forms with "Origin: null".
    assert headers["Referrer-Policy"] == "same-origin"
    assert re.fullmatch(r"[0-9a-f]{16}", headers["X-Request-Id"])
    if name not in ("static", "no file", "json"):
        assert headers["Cache-Control"] == "no-store"


@on_sqlite
def test_the_gates_answers_are_the_notebooks_business(client: TestApp) -> None:
    assert "Content-Security-Policy" not in client.get("/gate", status=401).headers


@on_sqlite
def test_a_request_keeps_the_proxys_id(client: TestApp) -> None:
    answer = client.get("/nothing", headers={"X-Request-Id": "trace-0123456789"}, status=404)
    assert answer.headers["X-Request-Id"] == "trace-0123456789"
    assert "trace-0123456789" in answer


@on_sqlite
@pytest.mark.parametrize("given", ["short", "x" * 65, "<script>alert(1)</script>", "a b c d e f", "ü" * 10])
def test_an_id_that_is_none_is_replaced(client: TestApp, given: str) -> None:
    header = given.encode().decode("latin-1")
    answer = client.get("/nothing", headers={"X-Request-Id": header}, status=404)
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-Id"])


@on_sqlite
def test_static_files_are_kept_and_may_be_used_by_notebook_hosts(client: TestApp) -> None:
    answer = client.get("/static/ipylti.css", status=200)
    assert answer.content_type == "text/css"
    assert "max-age=3600" in answer.headers["Cache-Control"]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


@on_sqlite
def test_pages_name_files_by_what_is_in_them(
    client: TestApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So a new page never gets an old script, nor a script another one: they import by relative paths."""
    page = client.get("/", status=200)
    (script,) = (tag["src"] for tag in page.html.select("script[src]"))
    assert re.fullmatch(r"/static/[0-9a-f]{12}/copying\.js", script)
    answer = client.get(script, status=200)
    assert f"max-age={365 * 86400}" in answer.headers["Cache-Control"]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    client.get(script.replace("copying.js", "times.js"), status=200)

    before = routes.files_version()
    assert before in script
    # Another process may have others; a page of its gets ours, and keeps none.
    answer = client.get(f"/static/{'0' * 12}/copying.js", status=200)
    assert answer.content_type == "text/javascript"
    assert answer.headers["Cache-Control"] == "no-store"
    for name in ("nothing.js", "icon.png", "..%2froutes.py"):
        client.get(f"/static/{'0' * 12}/{name}", status=404)
    copied = tmp_path / "static"
    shutil.copytree(routes.FILES, copied)
    monkeypatch.setattr(routes, "FILES", copied)
    assert routes.files_version() == before
    with (copied / "times.js").open("a") as file:
        file.write("\n")
    assert routes.files_version() != before


@on_sqlite
@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/../settings.py",
        "/static/%2e%2e/settings.py",
        "/static/..%2fsettings.py",
        "/static//",
    ],
)
def test_nothing_but_static_files_is_static(client: TestApp, path: str) -> None:
    answer = client.get(path, status=404)
    assert "SettingsError" not in answer


# Errors


def test_a_page_that_is_not_there(client: TestApp) -> None:
    answer = client.get("/nothing", headers=HTML, status=404)
    assert "There is nothing here" in answer
    assert re.search(r"<code>missing</code>", answer.text)
    assert answer.headers["X-Request-Id"] in answer


@on_sqlite
def test_a_script_is_told_in_json(client: TestApp) -> None:
    answer = client.get("/nothing", headers=JSON, status=404)
    error = answer.json["error"]
    assert error["code"] == "missing"
    assert error["message"]
    assert error["request_id"] == answer.headers["X-Request-Id"]


@on_sqlite
@pytest.mark.parametrize("path", ["/launch", "/submit/x", "/launches/x/tab"])
def test_what_is_posted_can_not_be_looked_at(client: TestApp, path: str) -> None:
    client.get(path, status=404)


def test_no_launch_by_that_name(client: TestApp) -> None:
    """Whatever stands there in place of a launch's id, also what the database could not hold."""
    for launch in ("x", "%00", "a%00b", "%ED%A0%80", "%FF", "%C3%BC", "a" * 5000, "..", "'; DROP TABLE x"):
        for path in (f"/launches/{launch}", f"/launches/{launch}/status"):
            answer = client.get(path, headers=HTML, expect_errors=True)
            assert answer.status_int in (400, 404), path


@on_sqlite
@pytest.mark.parametrize("headers", [HTML, JSON])
def test_a_bug_is_told_without_its_insides(
    client: TestApp,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
) -> None:
    def bug(*_args: Any) -> None:
        raise ZeroDivisionError("the-insides")

    monkeypatch.setattr(Platforms, "by_client", bug)
    told = io.StringIO()
    handler = logging.StreamHandler(told)
    handler.setFormatter(FieldsFormatter())
    monkeypatch.setattr(logging.getLogger("ipylti"), "handlers", [handler])
    params = {"iss": "https://i", "client_id": "c", "login_hint": "h", "target_link_uri": "https://t"}
    answer = client.get("/login", params=params, headers=headers, status=500)
    for inside in ("the-insides", "ZeroDivisionError", "Traceback", "platforms.py"):
        assert inside not in answer
    assert "No work is lost" in answer
    assert "the-insides" in caplog.text
    assert answer.headers["X-Request-Id"] in told.getvalue()


@on_sqlite
def test_without_redis_a_page_says_so(without_redis: TestApp) -> None:
    begun = time.monotonic()
    params = {"iss": "https://i", "login_hint": "h", "target_link_uri": "https://t"}
    without_redis.get("/login", params=params, status=400)
    answer = without_redis.get(
        "/_ipylti/enter?ticket=x", extra_environ={"HTTP_HOST": f"{'a' * 32}.notebooks.example"}, status=503
    )
    assert "try again in a minute" in answer
    assert "redis.down" in answer
    assert answer.headers["Retry-After"]
    assert time.monotonic() - begun < 5


@on_sqlite
def test_a_session_that_can_not_be_read_is_told(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis went away while somebody works."""

    def away(*_args: Any, **_options: Any) -> None:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(redis.ConnectionPool, "get_connection", away)
    answer = student.browser.app.get(path_of(student.page), headers=JSON, status=503)
    assert answer.json["error"]["code"] == "redis.down"


def test_without_the_database_a_page_says_so(without_database: TestApp) -> None:
    params = {"iss": "https://i", "client_id": "c", "login_hint": "h", "target_link_uri": "https://t"}
    answer = without_database.get("/login", params=params, headers=HTML, status=503)
    assert "try again in a minute" in answer
    assert "database.down" in answer
    assert "sqlalche" not in answer


def test_a_platform_whose_keys_can_not_be_had(browser: Browser) -> None:
    """The first launch, and the platform does not answer its own tool."""
    form = browser.message("zoe")
    browser.campus.stop()
    answer = browser.app.post("/launch", form, status=502)
    assert "not answering" in answer
    assert "platform.unreachable" in answer


@on_sqlite
def test_many_requests_at_once_are_answered(app: Any) -> None:
    statuses: list[int] = []

    def ask() -> None:
        client = TestApp(app, extra_environ=HOST)
        for path in ("/", "/readyz", "/nothing", "/.well-known/jwks.json"):
            statuses.append(client.get(path, expect_errors=True).status_int)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(statuses)) == [200, 404, 503]
    assert len(statuses) == 24


@on_sqlite
def test_home_tells_an_administrator_what_to_type(client: TestApp) -> None:
    answer = client.get("/", status=200)
    for url in ("/launch", "/login", "/.well-known/jwks.json", "/.well-known/canvas.json"):
        assert f"https://tool.example{url}" in answer
