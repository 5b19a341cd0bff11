"""campus fails, waits, stops and comes back when told to."""

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from webtest import TestApp

from tests.campus import Campus, Config
from tests.functional.campus.good_tool import CLIENT, LAUNCH, Service

CHECKOUT = Path(__file__).resolve().parents[3]


def test_an_endpoint_fails_when_told_and_as_often_as_told(campus: Campus, service: Service) -> None:
    campus.fail_next("scores", 503, times=2, headers={"Retry-After": "7"})
    assert service.post_score(503).headers["Retry-After"] == "7"
    service.post_score(503)
    service.post_score(204)
    assert [entry.status for entry in campus.log.refused("scores")] == [503, 503]


def test_an_endpoint_is_slow_when_told(campus: Campus, server: TestApp) -> None:
    campus.slow("jwks", 3)
    began = time.monotonic()
    server.get("/jwks")
    assert time.monotonic() - began >= 3
    campus.slow("jwks", 0)
    began = time.monotonic()
    server.get("/jwks")
    assert time.monotonic() - began < 3


def test_a_process_is_controlled_over_http(campus: Campus, service: Service) -> None:
    lever = service.server.post_json
    lever("/_control/fail", {"endpoint": "scores", "status": 500, "times": 1})
    service.post_score(500)
    service.post_score(comment="here")
    lever("/_control/slow", {"endpoint": "scores", "seconds": 0})
    kid = lever("/_control/rotate", {}).json["kid"]
    link = lever("/_control/link", {"title": "Third", "due": "2030-01-01T00:00:00Z"}).json["id"]
    state = service.server.get("/_control/state").json
    assert state["registration"]["client-id"] == CLIENT
    assert state["links"][-1] == {
        "id": link, "title": "Third", "due": "2030-01-01T00:00:00Z", "points": 10.0,
    }  # fmt: skip
    assert [(score["login"], score["comment"]) for score in state["scores"]] == [("zoe", "here")]
    assert state["scores"][0]["link"] == campus.link().id
    assert {"told to fail by a test"} == {one["text"] for one in state["log"] if not one["accepted"]}
    assert kid in {key["kid"] for key in campus.keys.jwks()["keys"]}
    lever("/_control/revoke", {})
    service.post_score(401)


def test_a_process_is_copied_registered_with_and_left_over_http(campus: Campus, server: TestApp) -> None:
    lever = server.post_json
    custom = {"exercise": "9"}
    link = lever("/_control/link", {"title": "Ninth", "url": f"{LAUNCH}?x=9", "custom": custom}).json["id"]
    copy = lever("/_control/copy", {}).json
    twin = lever("/_control/duplicate", {"link": copy["links"][-1]}).json["id"]
    first, second = server.get("/_control/state").json["courses"]
    assert (second["id"], second["history"]) == (copy["id"], [first["id"]])
    assert second["links"][-1] == {
        "id": twin, "title": "Ninth (copy)", "due": None, "points": 10.0, "url": f"{LAUNCH}?x=9",
        "custom": custom, "history": [copy["links"][-1], link],
    }  # fmt: skip
    lever("/_control/status", {"login": "sam", "status": "Inactive"})
    assert campus.person("sam") not in campus.course.learners
    told = lever("/_control/invite", {"url": "https://new.example/register"}).json["url"]
    assert "registration_token=" in told
    assert set(lever("/_control/invite", {}).json) == {"openid_configuration", "registration_token"}
    lever("/_control/activate", {})
    assert server.get("/_control/state").json["tool"] == "active"


@pytest.mark.parametrize(
    ("lever", "body", "status"),
    [
        ("explode", {}, 404),
        ("fail", {}, 400),
        ("fail", {"endpoint": "scores", "status": "much"}, 400),
        ("slow", {"endpoint": "scores"}, 400),
        ("link", {"title": "T", "due": "soon"}, 400),
        ("invite", {"url": "new.example"}, 400),
        ("copy", {"course": "none"}, 400),
        ("duplicate", {"link": "none"}, 400),
        ("status", {"login": "nobody", "status": "Active"}, 400),
        ("status", {"login": "sam", "status": "Gone"}, 400),
    ],
)
def test_a_lever_pulled_wrongly_says_so(
    server: TestApp, lever: str, body: dict[str, Any], status: int
) -> None:
    server.post_json(f"/_control/{lever}", body, status=status)


def test_control_takes_no_form_and_is_not_there_unless_wanted(
    campus: Campus, server: TestApp, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    server.post("/_control/revoke", {}, status=415)
    plain = TestApp(Campus(replace(campus.config, control=False), keys["campus"]).app)
    plain.get("/_control/state", status=404)
    plain.post_json("/_control/revoke", {}, status=404)


@pytest.fixture
def running(keys: dict[str, rsa.RSAPrivateKey]) -> Iterator[Campus]:
    """A campus on a free port."""
    with Campus(Config(), keys["campus"]) as campus:
        yield campus


def test_it_serves_on_a_free_port_and_comes_back_there(running: Campus) -> None:
    jwks = running.config.jwks_url
    assert requests.get(jwks, timeout=30).json() == running.keys.jwks()
    running.slow("jwks", 600)
    with pytest.raises(requests.Timeout):
        requests.get(jwks, timeout=0.2)
    running.slow("jwks", 0)
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 60, "a slow answer does not hold it up"
    with pytest.raises(requests.ConnectionError):
        requests.get(jwks, timeout=30)
    running.start()
    assert requests.get(jwks, timeout=30).json() == running.keys.jwks()


def test_it_runs_as_a_process_until_it_is_told_to_end() -> None:
    command = [sys.executable, "-m", "tests.campus", "--port", "0", "--client-id", CLIENT, "--control"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(8)]
        named = dict(line.strip().split(": ", 1) for line in told[1:])
        state = requests.get(named["token-url"].replace("/token", "/_control/state"), timeout=30).json()
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert told[0] == f"campus is at {named['issuer']}\n"
    assert state["registration"] == named
    assert named["client-id"] == CLIENT


def test_a_process_may_behave_as_a_family_and_know_no_tool() -> None:
    options = ["--port", "0", "--family", "moodle", "--storage", "_parent", "--no-tool", "--control"]
    command = [sys.executable, "-m", "tests.campus", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("campus is at ").strip()
        assert process.stdout.readline() == f"  register a tool at {url}/tools?as=ada\n"
        port = url.rpartition(":")[2]
        state = requests.get(f"http://127.0.0.1:{port}/_control/state", timeout=30).json()
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert state["tool"] == "none"


def test_it_imports_nothing_of_the_tool_that_it_judges() -> None:
    for source in (CHECKOUT / "tests" / "campus").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                named = [node.module or ""]
            assert not [name for name in named if name.split(".")[0] == "ipylti"], source
