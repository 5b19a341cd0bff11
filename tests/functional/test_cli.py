"""The command line: what an administrator types, reads, and mistypes."""

import json
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from sqlalchemy.orm import sessionmaker

from ipylti import models
from ipylti.cli import main
from ipylti.cli import workspaces as cli_workspaces
from ipylti.jobs import Jobs
from ipylti.line import Line
from ipylti.lti.registrations import FAMILIES, Quirks
from ipylti.platforms import Platforms, ToolKeys
from ipylti.servers.spawner import Spawner
from ipylti.usage import Files, Usage
from ipylti.volatile import Board, Progress, Pulse, State, connect
from tests.functional.browser import Browser
from tests.functional.conftest import disposable, on_sqlite
from tests.parts import wait_for

PLATFORM = {
    "--issuer": "https://lms.example",
    "--client-id": "client-1",
    "--auth-url": "https://lms.example/auth",
    "--token-url": "https://lms.example/token",
    "--jwks-url": "https://lms.example/jwks",
}

Run = Callable[..., Result]


def words(options: dict[str, str]) -> list[str]:
    return [word for pair in options.items() for word in pair]


def write_ini(path: Path, settings: dict[str, str]) -> Path:
    lines = [f"{name} = {value.replace('%', '%%')}" for name, value in settings.items()]
    path.write_text("\n".join(["[app:main]", "use = egg:ipylti", *lines]) + "\n")
    return path


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The command line sets logging up for a process of its own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def ini_path(ini: dict[str, str], tmp_path: Path) -> Path:
    return write_ini(tmp_path / "test.ini", ini)


def invoke(*arguments: str | Path) -> Result:
    """Run a command; whatever is wrong, it says so in a line and not with a traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def run(ini_path: Path) -> Run:
    """Runs a command on the ini file: ``run("platform list", "--json")``."""

    def run(command: str, *arguments: str, code: int = 0) -> Result:
        result = invoke(*command.split(), ini_path, *arguments)
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    with disposable(database_url) as made:
        yield made


def one_line(result: Result) -> str:
    """Return the one line in which a command says why it did nothing."""
    assert result.exit_code == 1, result.output
    lines = result.output.strip().splitlines()
    assert len(lines) == 1, result.output
    assert lines[0].startswith("Error: ")
    assert len(lines[0]) < 400
    return lines[0]


# Platforms


def test_a_platform_is_added_and_listed(run: Run) -> None:
    said = run("platform add", *words(PLATFORM), "--deployment", "1", "--deployment", "2").output
    assert said == "https://lms.example is connected (client id client-1; deployments: 1, 2).\n"
    listed = run("platform list").output.splitlines()
    assert listed[0].split() == ["issuer", "client", "id", "deployments", "enabled", "name"]
    assert listed[1].split() == ["https://lms.example", "client-1", "1,", "2", "True"]
    assert json.loads(run("platform list", "--json").output) == [
        {
            "issuer": "https://lms.example",
            "client_id": "client-1",
            "deployments": ["1", "2"],
            "enabled": True,
            "name": "",
        }
    ]


def test_adding_it_again_changes_nothing(run: Run) -> None:
    for _ in range(2):
        run("platform add", *words(PLATFORM), "--deployment", "1")
    (row,) = json.loads(run("platform list", "--json").output)
    assert row["deployments"] == ["1"]


def test_a_deployment_is_added_to_what_is_there(run: Run) -> None:
    run("platform add", *words(PLATFORM), "--deployment", "1")
    said = run("platform add", *words(PLATFORM), "--deployment", "b").output
    assert "deployments: 1, b" in said


def test_two_clients_of_one_issuer_are_two_platforms(run: Run) -> None:
    """lti.md 2: Canvas and Blackboard share one issuer among all customers."""
    run("platform add", *words(PLATFORM), "--deployment", "1")
    run("platform add", *words(PLATFORM | {"--client-id": "client-2"}), "--deployment", "1")
    assert [row["client_id"] for row in json.loads(run("platform list", "--json").output)] == [
        "client-1",
        "client-2",
    ]


@pytest.mark.parametrize("option", ["--auth-url", "--token-url", "--jwks-url", "--token-audience"])
@on_sqlite
def test_what_is_there_is_not_changed_by_adding(run: Run, option: str) -> None:
    run("platform add", *words(PLATFORM), "--deployment", "1")
    other = PLATFORM | {option: "https://other.example/x"}
    said = one_line(run("platform add", *words(other), "--deployment", "2", code=1))
    assert "registered already, with other endpoints" in said
    (row,) = json.loads(run("platform list", "--json").output)
    assert row["deployments"] == ["1"]


@on_sqlite
def test_endpoints_are_https_unless_private_platforms_are_allowed(
    run: Run, ini: dict[str, str], tmp_path: Path
) -> None:
    plain = PLATFORM | {"--jwks-url": "http://lms.example/jwks"}
    run("platform add", *words(plain), "--deployment", "1")
    strict = write_ini(tmp_path / "strict.ini", ini | {"ipylti.allow_private_platforms": "false"})
    said = one_line(invoke("platform", "add", strict, *words(plain), "--deployment", "1"))
    assert "http://lms.example/jwks is not an https URL" in said


@on_sqlite
@pytest.mark.parametrize("url", ["lms.example", "javascript:alert(1)", "https://", "https://a b", ""])
def test_an_endpoint_is_a_url(run: Run, url: str) -> None:
    one_line(run("platform add", *words(PLATFORM | {"--auth-url": url}), "--deployment", "1", code=1))
    assert json.loads(run("platform list", "--json").output) == []


@on_sqlite
@pytest.mark.parametrize("option", [*PLATFORM, "--deployment"])
def test_every_option_is_asked_for_by_name(run: Run, option: str) -> None:
    given = {name: value for name, value in (PLATFORM | {"--deployment": "1"}).items() if name != option}
    assert f"Missing option '{option}'" in run("platform add", *words(given), code=2).output


@on_sqlite
@pytest.mark.parametrize("family", [*FAMILIES, "Canvas"])
def test_a_family_brings_its_quirks(run: Run, engine: sa.Engine, family: str) -> None:
    run("platform add", *words(PLATFORM), "--deployment", "1", "--family", family)
    with sessionmaker(engine)() as db:
        (row,) = Platforms(db).all()
        assert Quirks.from_dict(row.quirks) == FAMILIES[family.lower()].quirks


@on_sqlite
def test_no_platform_is_none(run: Run) -> None:
    assert run("platform list").output == "none\n"
    assert json.loads(run("platform list", "--json").output) == []


# The database and the key


def test_the_database_is_made_and_made_once(
    empty_database_url: str, redis_url: str, ini: dict[str, str], tmp_path: Path
) -> None:
    path = write_ini(tmp_path / "new.ini", ini | {"sqlalchemy.url": empty_database_url})
    for _ in range(2):
        result = invoke("db", "upgrade", path)
        assert (result.exit_code, result.output) == (0, "The database is up to date.\n")
    with disposable(empty_database_url) as engine, sessionmaker(engine)() as db:
        assert len(ToolKeys(db).all()) == 1


@on_sqlite
@pytest.mark.parametrize(
    "command",
    [
        ["platform", "list"],
        ["platform", "add", *words(PLATFORM), "--deployment", "1"],
        ["key", "rotate"],
        ["workspace", "list"],
        ["workspace", "stop", "--all"],
        ["worker"],
    ],
)
def test_before_that_all_others_say_what_to_do(
    ini: dict[str, str], tmp_path: Path, command: list[str]
) -> None:
    path = write_ini(tmp_path / "new.ini", ini | {"sqlalchemy.url": f"sqlite:///{tmp_path}/new.sqlite"})
    at = 2 if len(command) > 1 else 1
    said = one_line(invoke(*command[:at], path, *command[at:]))
    assert "ipylti db upgrade INI" in said


def test_a_new_key_waits_a_day(run: Run, engine: sa.Engine) -> None:
    assert "takes over in 24 hours" in run("key rotate").output
    assert "waits to take over already" in run("key rotate").output
    with sessionmaker(engine)() as db:
        assert len(ToolKeys(db).published(models.now())["keys"]) == 2
        db.execute(sa.delete(models.ToolKey).where(models.ToolKey.activates_at > models.now()))
        db.execute(sa.update(models.ToolKey).values(retires_at=None))
        db.commit()


# Workspaces


@pytest.fixture
def workspaces(browser: Browser, another_browser: Browser, engine: sa.Engine, redis_url: str) -> list[str]:
    """Two workspaces, the teacher's and a student's; nothing is asked of the worker."""
    browser.launch("nora")
    another_browser.launch("zoe")
    for queue in Jobs(redis_url).queues.values():
        queue.flush()
    client = connect(redis_url)
    client.delete("ipylti:waiting", *client.keys("ipylti:progress:*"))
    with sessionmaker(engine)() as db:
        return list(db.scalars(sa.select(models.Workspace.id).order_by(models.Workspace.created_at)))


def asked(redis_url: str) -> list[tuple[str, Any]]:
    queues = Jobs(redis_url).queues.values()
    return [(task.name, *task.args) for queue in queues for task in queue.pending()]


def test_workspaces_are_listed_with_what_their_servers_do(
    run: Run, workspaces: list[str], redis_url: str
) -> None:
    build, take = workspaces
    Board(connect(redis_url)).write(take, Progress(State.READY))
    rows = json.loads(run("workspace list", "--json").output)
    assert [(row["workspace"], row["kind"], row["server"]) for row in rows] == [
        (build, "build", "stopped"),
        (take, "take", "ready"),
    ]
    assert rows[0]["assignment"].startswith("Exercise 1")
    assert rows[0]["person"] is None and isinstance(rows[1]["person"], int)
    assert all(row["last_used"] >= row["created"] for row in rows)
    assert take in run("workspace list").output


@on_sqlite
def test_workspaces_are_listed_by_state_and_by_person(
    run: Run, workspaces: list[str], redis_url: str
) -> None:
    _build, take = workspaces
    client = connect(redis_url)
    Board(client).write(take, Progress(State.READY))
    Usage(client).note_files(take, Files(size=5 << 20, limit=1 << 30))

    def listed(*options: str) -> list[str]:
        return [row["workspace"] for row in json.loads(run("workspace list", "--json", *options).output)]

    assert listed("--state", "ready") == [take]
    assert listed("--state", "failed") == []
    assert listed("--state", "ready", "--state", "stopped") == workspaces
    [row] = json.loads(run("workspace list", "--json", "--state", "ready").output)
    assert row["size"] == 5 << 20
    assert "5.0 MiB" in run("workspace list", "--state", "ready").output
    assert listed("--person", str(row["person"])) == [take]
    assert "none" in run("workspace list", "--person", "99999").output
    assert "Invalid value" in run("workspace list", "--state", "asleep", code=2).output


@on_sqlite
def test_programs_read_what_was_asked_for(run: Run, workspaces: list[str]) -> None:
    told = json.loads(run("workspace start", *workspaces, "--json").output)
    assert told == [{"workspace": name, "asked": "start"} for name in workspaces]
    assert json.loads(run("workspace stop", workspaces[0], "--json").output)[0]["asked"] == "stop"
    assert "asked to stop 2 servers" in run("workspace stop", "--all").output


@on_sqlite
def test_a_servers_log(run: Run, workspaces: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What students' programs write does nothing to an administrator's terminal."""
    spawner = create_autospec(Spawner, instance=True)
    spawner.logs.return_value = "ready\tat last\n\x1b[2Jgone \x9b31m\u202e\n"
    monkeypatch.setattr(cli_workspaces, "PodmanSpawner", lambda _url: spawner)
    assert run("workspace logs", workspaces[1], "--lines", "7").output == (
        "ready\tat last\n\ufffd[2Jgone \ufffd31m\ufffd\n"
    )
    spawner.logs.assert_called_with(workspaces[1], 7)
    told = json.loads(run("workspace logs", workspaces[1], "--json").output)
    assert told["lines"][0] == "ready\tat last"
    spawner.logs.return_value = ""
    assert "no server" in run("workspace logs", workspaces[1]).output
    assert "there is no workspace nobody" in one_line(run("workspace logs", "nobody", code=1))


@on_sqlite
def test_without_podman_there_is_no_log(run: Run, workspaces: list[str]) -> None:
    said = one_line(run("workspace logs", workspaces[1], code=1))
    assert said.startswith("Error: Podman does not answer (“ipylti doctor INI” says what helps)")


@on_sqlite
def test_all_at_a_glance(run: Run, workspaces: list[str], redis_url: str) -> None:
    client = connect(redis_url)
    Board(client).write(workspaces[1], Progress(State.READY))
    Pulse(client).beat({"podman": "ok", "traefik": "down"})
    told = json.loads(run("status", "--json").output)
    assert told["servers"]["ready"] == 1
    assert told["parts"] == {
        "database": "ok",
        "redis": "ok",
        "worker": "ok",
        "podman": "ok",
        "traefik": "down",
    }
    assert told["scores"] == {"waiting": 0, "delivered": 0, "failed": 0}
    assert told["oldest_score_seconds"] == 0
    assert "traefik=down" in run("status").output


@on_sqlite
def test_a_glance_without_redis(ini: dict[str, str], tmp_path: Path) -> None:
    path = write_ini(tmp_path / "odd.ini", ini | {"redis.sessions.url": f"unix://{tmp_path}/nobody.sock"})
    told = json.loads(invoke("status", path, "--json").output)
    assert told["parts"]["redis"] == "down"
    assert told["workers"] is None
    assert told["scores"] == {"waiting": 0, "delivered": 0, "failed": 0}


@on_sqlite
def test_a_server_is_started_by_name(run: Run, workspaces: list[str], redis_url: str) -> None:
    run("workspace start", *workspaces)
    assert asked(redis_url) == [("start_server", workspace) for workspace in workspaces]
    client = connect(redis_url)
    assert Line(client, Board(client)).position(workspaces[1]) == 2


@on_sqlite
def test_servers_are_stopped_by_name_or_all(run: Run, workspaces: list[str], redis_url: str) -> None:
    run("workspace stop", workspaces[1])
    assert asked(redis_url) == [("stop_server", workspaces[1])]
    run("workspace stop", "--all")
    assert {argument for _job, argument in asked(redis_url)[1:]} == set(workspaces)


@on_sqlite
@pytest.mark.parametrize("command", ["workspace stop", "workspace start"])
def test_a_name_that_is_none_stops_nothing(
    run: Run, workspaces: list[str], redis_url: str, command: str
) -> None:
    said = one_line(run(command, workspaces[0], "nobody", code=1))
    assert "there is no workspace nobody" in said
    assert asked(redis_url) == []


@on_sqlite
def test_stopping_says_whom(run: Run, workspaces: list[str]) -> None:
    assert "name workspaces, or say --all" in run("workspace stop", code=2).output
    assert "name workspaces, or say --all" in run("workspace stop", workspaces[0], "--all", code=2).output
    assert "Missing argument" in run("workspace start", code=2).output


@on_sqlite
def test_without_redis_a_line_says_so(ini: dict[str, str], tmp_path: Path, workspaces: list[str]) -> None:
    path = write_ini(tmp_path / "odd.ini", ini | {"redis.sessions.url": f"unix://{tmp_path}/nobody.sock"})
    for command in (["list"], ["start", workspaces[0]], ["stop", "--all"]):
        said = one_line(invoke("workspace", command[0], path, *command[1:]))
        assert said.startswith("Error: Redis does not answer (“ipylti doctor INI” says what helps)")


# Mistakes in the ini file

MISTAKES: dict[str, tuple[Callable[[dict[str, str]], dict[str, str]], str]] = {
    "a missing key": (lambda ini: {k: v for k, v in ini.items() if k != "ipylti.url"}, "ipylti.url: missing"),
    "a bad value": (lambda ini: ini | {"ipylti.memory": "much"}, "ipylti.memory: must be a size"),
    "a misspelt key": (lambda ini: ini | {"ipylti.memroy": "1g"}, "ipylti.memroy: unknown key"),
    "a short secret": (lambda ini: ini | {"ipylti.secret": "hush-hush"}, "ipylti.secret: must have"),
    "no such database": (
        lambda ini: ini | {"sqlalchemy.url": "sqlite:////nowhere/at/all.sqlite"},
        "the database does not answer",
    ),
    "no database at all": (
        lambda ini: ini | {"sqlalchemy.url": f"sqlite:///{__file__}"},
        "the database can't be used: file is not a database",
    ),
    "a database elsewhere": (
        lambda ini: ini | {"sqlalchemy.url": "postgresql+psycopg://ipylti@/ipylti?host=/nowhere"},
        "the database does not answer",
    ),
    "no URL of a database": (
        lambda ini: ini | {"sqlalchemy.url": "postgresql+psycopg://ipylti@host:hush/ipylti"},
        "sqlalchemy.url: not the URL of a database",
    ),
}


@on_sqlite
@pytest.mark.parametrize("command", ["platform list", "db upgrade"])
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_in_one_line(ini: dict[str, str], tmp_path: Path, name: str, command: str) -> None:
    make, expected = MISTAKES[name]
    said = one_line(invoke(*command.split(), write_ini(tmp_path / "odd.ini", make(ini))))
    assert expected in said
    assert "hush" not in said


@on_sqlite
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("thraeds = 8", "[server:main]: Unknown adjustment 'thraeds'"),
        ("port = 80a", "[server:main]: invalid literal"),
        ("port = {taken}", "[server:main]: [Errno 98] Address already in use"),
    ],
)
def test_a_mistake_in_the_servers_section_is_told_in_one_line(
    ini_path: Path, engine: sa.Engine, line: str, expected: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, ini_path.open("a") as file:
        file.write(f"[server:main]\n{line.format(taken=other.getsockname()[1])}\n")
        file.flush()
        assert expected in one_line(invoke("web", ini_path))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "nonsense",
        "[app:other]\nuse = egg:ipylti\n",
        "[app:main]\nuse = egg:ipylti\nipylti.url = %(nothing)s\n",
        "[app:main]\nuse = egg:ipylti\nsqlalchemy.url = postgresql+psycopg:///x?host=%2Frun\n",
        "[app:main]\nuse = egg:ipylti\n[app:main]\n",
        "[app:main]\nuse = egg:ipylti\nipylti.url = a\nipylti.url = b\n",
        "\x00\xff",
    ],
)
def test_a_file_that_is_no_ini_file_is_told_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "odd.ini"
    path.write_bytes(content.encode("latin-1"))
    one_line(invoke("platform", "list", path))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = invoke("platform", "list", tmp_path / "nowhere.ini")
    assert result.exit_code == 2
    assert "does not exist" in result.output


@on_sqlite
def test_a_secret_can_come_from_the_environment(
    ini: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_ini(tmp_path / "open.ini", {k: v for k, v in ini.items() if k != "ipylti.secret"})
    assert "IPYLTI_SECRET" in one_line(invoke("platform", "list", path))
    monkeypatch.setenv("IPYLTI_SECRET", ini["ipylti.secret"])
    assert invoke("platform", "list", path).exit_code == 0


def test_help_names_the_commands() -> None:
    result = invoke("--help")
    for command in ("worker", "db", "platform", "deployment", "key", "workspace"):
        assert f"\n  {command}" in result.output
    for group, commands in {
        "platform": ("add", "list", "show", "edit", "disable", "enable", "remove", "invite"),
        "deployment": ("list", "add", "remove"),
        "workspace": ("list", "start", "stop"),
        "key": ("list", "rotate"),
        "db": ("upgrade",),
    }.items():
        told = invoke(group, "--help").output
        assert all(f"\n  {command}" in told for command in commands)


# The worker


@on_sqlite
def test_the_worker_works_until_it_is_told_to_stop(ini_path: Path, redis_url: str) -> None:
    """Here without Podman and Traefik, which it says."""
    program = [sys.executable, "-c", "from ipylti.cli import main; main()", "worker", str(ini_path)]
    worker = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        pulse = Pulse(connect(redis_url))
        wait_for(lambda: worker.poll() is not None or pulse.read() is not None, "the worker", seconds=120)
        assert pulse.read() == {"podman": "down", "traefik": "down"}
        jobs = Jobs(redis_url)
        jobs.ask("start_server", "x" * 32)
        board = Board(connect(redis_url))
        wait_for(lambda: board.read("x" * 32).state is State.FAILED, "the job", seconds=120)
        worker.send_signal(signal.SIGTERM)
        said, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0, said.decode()
    finally:
        worker.kill()
        worker.wait()
