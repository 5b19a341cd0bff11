"""The command line: which platforms are connected, and what may come from them."""

import hashlib
import json
import time
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import gate, models
from ipylti.gate import Gatekeeper, Pass
from ipylti.lti.registrations import FAMILIES, Quirks
from ipylti.settings import Settings
from tests.campus import Campus
from tests.functional.browser import TOOL, Browser, Student, path_of
from tests.functional.conftest import on_sqlite

# Their fixtures too: an ini file, and what runs a command on it.
from tests.functional.test_cli import PLATFORM, Run, engine, ini_path, one_line, quiet, run, words

__all__ = ["engine", "ini_path", "quiet", "run"]

KNOWN = ["--issuer", "https://lms.example", "--client-id", "client-1"]


@pytest.fixture
def connected(run: Run) -> Run:
    """A command line on which one platform is connected."""
    run("platform add", *words(PLATFORM), "--deployment", "1")
    return run


def show(run: Run, *names: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(run("platform show", *(names or KNOWN), "--json").output)
    return shown


# Families


@on_sqlite
@pytest.mark.parametrize("name", ["canvas", "blackboard", "schoology", "BlackboardLearn"])
def test_where_customers_share_an_issuer_two_ids_are_enough(run: Run, name: str) -> None:
    """lti.md 2: the issuer and the endpoints are the vendor's."""
    family = FAMILIES["blackboard" if name.startswith("Black") else name]
    run("platform add", "--family", name, "--client-id", "4711", "--deployment", "1:ab")
    assert family.issuer
    shown = show(run, "--issuer", family.issuer, "--client-id", "4711")
    endpoints = family.endpoints(family.issuer, "4711")
    assert len(endpoints) == 3
    assert {each: shown[each] for each in endpoints} == endpoints
    assert shown["token_audience"] == shown["token_url"]
    assert shown["quirks"] == family.quirks.to_dict()


@on_sqlite
@pytest.mark.parametrize(
    ("name", "audience"), [("moodle", None), ("d2l", "https://api.brightspace.com/auth/token")]
)
def test_where_endpoints_lie_below_the_issuer_it_is_asked_for(
    run: Run, name: str, audience: str | None
) -> None:
    told = run("platform add", "--family", name, "--client-id", "c", "--deployment", "1", code=2).output
    assert "Missing option '--issuer'" in told
    issuer = "https://school.example/lms"
    run("platform add", "--family", name, "--issuer", issuer, "--client-id", "c", "--deployment", "1")
    shown = show(run, "--issuer", issuer, "--client-id", "c")
    assert shown["auth_url"].startswith(issuer)
    assert shown["token_audience"] == audience or audience is None
    assert shown["token_audience"] == audience or shown["token_audience"] == shown["token_url"]


@on_sqlite
@pytest.mark.parametrize(("name", "missing"), [("sakai", "--token-url"), ("openedx", "--token-url")])
def test_what_nobody_can_know_before_is_asked_for(run: Run, name: str, missing: str) -> None:
    given = ["--family", name, *KNOWN, "--deployment", "1"]
    assert f"Missing option '{missing}'" in run("platform add", *given, code=2).output


@on_sqlite
def test_what_is_given_goes_before_the_familys(run: Run) -> None:
    """A Canvas of one's own."""
    own = PLATFORM | {"--token-audience": "https://lms.example/audience"}
    run("platform add", "--family", "canvas", *words(own), "--deployment", "1")
    shown = show(run)
    assert shown["auth_url"] == PLATFORM["--auth-url"]
    assert shown["token_audience"] == "https://lms.example/audience"
    assert shown["quirks"]["canvas_submission"] is True


@on_sqlite
@pytest.mark.parametrize("name", ["canvsa", "", "other"])
def test_a_family_that_is_none_is_told_with_those_there_are(run: Run, name: str) -> None:
    told = run("platform add", *words(PLATFORM), "--deployment", "1", "--family", name, code=2).output
    assert all(code in told for code in FAMILIES)
    assert json.loads(run("platform list", "--json").output) == []


# Show, edit


def test_all_that_is_known_is_shown(connected: Run) -> None:
    shown = show(connected)
    assert shown.pop("connected").endswith("+00:00")
    assert shown == {
        "name": "",
        "issuer": "https://lms.example",
        "client_id": "client-1",
        "auth_url": "https://lms.example/auth",
        "token_url": "https://lms.example/token",
        "token_audience": "https://lms.example/token",
        "jwks_url": "https://lms.example/jwks",
        "deployments": ["1"],
        "awaits_deployment": False,
        "quirks": Quirks().to_dict(),
        "enabled": True,
        "people": 0,
    }
    lines = connected("platform show", *KNOWN).output.splitlines()
    assert [line.split("  ")[0] for line in lines[1:3]] == ["issuer", "client id"]
    assert any(line.startswith("quirks") and "no_ags_limit=False" in line for line in lines)


@on_sqlite
def test_no_secret_is_shown(connected: Run, ini: dict[str, str], db: Session) -> None:
    private = db.scalars(sa.select(models.ToolKey)).one().private["d"]
    for command in (["platform show", *KNOWN], ["platform list"], ["deployment list"], ["key list"]):
        for form in ([], ["--json"]):
            told = connected(command[0], *command[1:], *form).output
            assert private not in told
            assert ini["ipylti.secret"] not in told


def test_what_is_given_is_changed_and_the_rest_stays(connected: Run) -> None:
    before = show(connected)
    changes = {
        "--name": "The school's",
        "--token-url": "https://lms.example/new-token",
        "--quirk": "submit_progress=Submitted",
    }
    assert connected("platform edit", *KNOWN, *words(changes)).output == (
        "https://lms.example is changed (client id client-1).\n"
    )
    after = show(connected)
    assert after == before | {
        "name": "The school's",
        "token_url": "https://lms.example/new-token",
        "token_audience": "https://lms.example/new-token",
        "quirks": before["quirks"] | {"submit_progress": "Submitted"},
    }
    more = ["--quirk", "no_ags_limit=true", "--quirk", "frame_origins=https://a.example https://b.example"]
    connected("platform edit", *KNOWN, *more)
    assert (
        show(connected)["quirks"]
        == Quirks("Submitted", True, False, ("https://a.example", "https://b.example")).to_dict()
    )


@on_sqlite
def test_an_audience_is_taken_back_by_an_empty_one(connected: Run) -> None:
    connected("platform edit", *KNOWN, "--token-audience", "https://lms.example/aud")
    assert show(connected)["token_audience"] == "https://lms.example/aud"
    connected("platform edit", *KNOWN, "--token-audience", "")
    assert show(connected)["token_audience"] == "https://lms.example/token"


@on_sqlite
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--auth-url", ""], "is not an https URL"),
        (["--jwks-url", "lms.example/jwks"], "is not an https URL"),
        (["--quirk", "no_ags_limit=perhaps"], "no_ags_limit is neither true nor false"),
        (["--quirk", "ags_limit=true"], "unknown quirks: ags_limit"),
        (["--name", "N", "--quirk", "frame_origins=*"], "not an origin"),
    ],
)
def test_a_wrong_change_changes_nothing(connected: Run, change: list[str], told: str) -> None:
    before = show(connected)
    assert told in one_line(connected("platform edit", *KNOWN, *change, code=1))
    assert show(connected) == before


@on_sqlite
def test_a_change_says_what(connected: Run) -> None:
    assert "say what to change" in connected("platform edit", *KNOWN, code=2).output
    told = connected("platform edit", *KNOWN, "--quirk", "no_ags_limit", code=2).output
    assert "not of the form name=value" in told


@on_sqlite
@pytest.mark.parametrize(
    "command",
    [
        "platform show",
        "platform edit --name N",
        "platform disable",
        "platform enable",
        "platform remove",
        "deployment add --deployment 1",
        "deployment remove --deployment 1",
    ],
)
def test_a_platform_that_is_not_there_is_told(connected: Run, command: str) -> None:
    group, name, *options = command.split()
    unknown = [*KNOWN[:3], "client-2", *options]
    said = one_line(connected(f"{group} {name}", *unknown, code=1))
    assert "https://lms.example with client id client-2 is not connected" in said


# Disable, enable, remove


def named(campus: Campus) -> list[str]:
    """Return the options that name campus' registration."""
    told = campus.registration
    return ["--issuer", told["issuer"], "--client-id", told["client-id"]]


def test_a_disabled_platform_launches_nothing_and_what_was_open_closes(
    student: Student, another_browser: Browser, run: Run, config: Settings
) -> None:
    form = another_browser.message("layla")
    launch_id, workspace = student.launch_id, student.workspace_id
    host = config.notebook_host(workspace)
    earlier = int(time.time()) - gate.FRESH - 1
    cookie = Gatekeeper(config).seal(Pass(workspace, launch_id, earlier, earlier + 3600))

    def gate_says(status: int) -> None:
        headers = {
            "X-Forwarded-Host": host,
            "X-Forwarded-Method": "GET",
            "Cookie": f"{gate.COOKIE}={cookie}",
        }
        student.browser.app.get("/gate", headers=headers, status=status)

    gate_says(200)
    said = run("platform disable", *named(student.browser.campus)).output
    assert "is disabled" in said
    assert "closed: 1;" in said

    another_browser.app.post("/launch", form, status=403)
    another_browser.app.get("/login", params=student.browser.campus.initiation("layla"), status=400)
    answer = student.browser.app.get(path_of(student.page), status=403)
    assert "launch.expired" in answer
    student.submit(status=403)
    gate_says(401)
    assert "closed: 0;" in run("platform disable", *named(student.browser.campus)).output


def test_an_enabled_platform_launches_again(student: Student, run: Run) -> None:
    workspace = student.workspace_id
    platform = named(student.browser.campus)
    run("platform disable", *platform)
    assert json.loads(run("platform list", "--json").output)[0]["enabled"] is False
    run("platform enable", *platform)
    assert json.loads(run("platform list", "--json").output)[0]["enabled"] is True
    student.browser.app.get(path_of(student.page), status=403)
    assert student.launch_again().workspace_id == workspace


@on_sqlite
def test_other_platforms_stay_open(student: Student, connected: Run) -> None:
    """lti.md 2: also one of the same issuer, with another client id."""
    told = student.browser.campus.registration
    other = [*named(student.browser.campus)[:3], "another"]
    urls = [f"--{name}={told[name]}" for name in ("auth-url", "token-url", "jwks-url")]
    connected("platform add", *other, *urls, "--deployment", "1")
    for platform in (KNOWN, other):
        assert "closed: 0;" in connected("platform disable", *platform).output
    student.browser.app.get(path_of(student.page), status=200)


def test_a_platform_is_removed_before_anybody_worked_there(connected: Run, db: Session) -> None:
    connected("platform remove", *KNOWN)
    assert json.loads(connected("platform list", "--json").output) == []
    assert db.scalars(sa.select(models.Deployment)).all() == []
    connected("platform add", *words(PLATFORM), "--deployment", "2")


def test_a_platform_from_which_people_worked_stays(student: Student, run: Run, db: Session) -> None:
    platform = named(student.browser.campus)
    said = one_line(run("platform remove", *platform, code=1))
    assert "people have worked there" in said
    assert "“ipylti platform disable” closes it" in said
    assert show(run, *platform)["people"] == 1
    student.browser.app.get(path_of(student.page), status=200)


@on_sqlite
def test_what_came_of_an_invitation_can_be_removed(connected: Run, sessions: sessionmaker[Session]) -> None:
    connected("platform invite")
    with sessions.begin() as db:
        db.execute(sa.update(models.Invitation).values(registration_id=1))
    connected("platform remove", *KNOWN)
    with sessions() as db:
        assert db.scalars(sa.select(models.Invitation)).one().registration_id is None


# Invitations


@on_sqlite
@pytest.mark.parametrize(("options", "days"), [([], 7), (["--days", "1"], 1), (["--days", "90"], 90)])
def test_an_invitation_is_a_url_that_ends(run: Run, db: Session, options: list[str], days: int) -> None:
    """lti.md 35: good once, and not for ever; the database can't tell it."""
    result = run("platform invite", *options)
    url = urlsplit(result.stdout.strip())
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{TOOL}/register"
    ((name, (token,)),) = parse_qs(url.query).items()
    assert name == "token"
    assert len(token) >= 43
    assert f"within {days} days" in result.stderr
    row = db.scalars(sa.select(models.Invitation)).one()
    assert row.digest == hashlib.sha256(token.encode()).hexdigest()
    assert row.used_at is None
    assert timedelta(0) <= row.created_at + timedelta(days=days) - row.expires_at < timedelta(seconds=1)
    columns = db.execute(sa.select(*models.Invitation.__table__.columns)).one()
    assert not any(token in str(value) for value in columns)


@on_sqlite
def test_two_invitations_are_two(run: Run) -> None:
    assert run("platform invite").stdout != run("platform invite").stdout


@on_sqlite
@pytest.mark.parametrize("days", ["0", "91", "-1", "soon"])
def test_an_invitation_is_neither_for_ever_nor_for_never(run: Run, db: Session, days: str) -> None:
    run("platform invite", "--days", days, code=2)
    assert db.scalars(sa.select(models.Invitation)).all() == []


# Deployments


def test_deployments_are_added_listed_and_removed(connected: Run) -> None:
    for _ in range(2):
        said = connected("deployment add", *KNOWN, "--deployment", "b").output
        assert said == "Deployment b of https://lms.example is known.\n"
    rows = json.loads(connected("deployment list", "--json").output)
    assert rows == [
        {"issuer": "https://lms.example", "client_id": "client-1", "deployment": name, "courses": 0}
        for name in ("1", "b")
    ]
    table = connected("deployment list").output.splitlines()
    assert table[0].split() == ["issuer", "client", "id", "deployment", "courses"]
    connected("deployment remove", *KNOWN, "--deployment", "1")
    assert [row["deployment"] for row in json.loads(connected("deployment list", "--json").output)] == ["b"]


@on_sqlite
def test_an_empty_id_is_refused(connected: Run, db: Session) -> None:
    """As where a variable of the shell is not set."""
    urls = [word for name in ("auth", "token", "jwks") for word in (f"--{name}-url", "https://lms.example/x")]
    for issuer, client_id, deployment in (
        ("https://lms.example", "", "1"),
        ("https://lms.example", "client-9", ""),
        (" ", "client-9", "1"),
    ):
        named = ["--issuer", issuer, "--client-id", client_id, "--deployment", deployment]
        assert "must not be empty" in one_line(connected("platform add", *named, *urls, code=1))
    assert "must not be empty" in one_line(connected("deployment add", *KNOWN, "--deployment", "", code=1))
    assert db.scalars(sa.select(models.Deployment.deployment_id)).all() == ["1"]


@on_sqlite
def test_a_deployment_that_is_not_there_is_told(connected: Run) -> None:
    said = one_line(connected("deployment remove", *KNOWN, "--deployment", "x", code=1))
    assert "https://lms.example has no deployment x" in said


def test_a_deployment_in_which_people_worked_stays(student: Student, run: Run) -> None:
    campus = student.browser.campus
    platform = [*named(campus), "--deployment", campus.registration["deployment"]]
    said = one_line(run("deployment remove", *platform, code=1))
    assert "people have worked in deployment" in said
    (row,) = json.loads(run("deployment list", "--json").output)
    assert row["courses"] == 1


# Keys


@on_sqlite
def test_keys_are_listed_with_what_they_do(run: Run) -> None:
    (row,) = json.loads(run("key list", "--json").output)
    assert (row["state"], row["published_until"]) == ("signs", None)
    run("key rotate")
    new, old = json.loads(run("key list", "--json").output)
    assert (new["state"], old["state"], old["kid"]) == ("waits", "signs", row["kid"])
    assert old["published_until"] > new["signs_from"]
    assert run("key list").output.splitlines()[0].split() == [
        *("kid", "state", "signs", "from", "published", "until")
    ]
