"""Seeing, on real parts: one id from launch to worker, what Prometheus scrapes, what the doctor finds."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from ipylti import cli, models
from ipylti.doctor import podman
from ipylti.doctor.findings import Level
from ipylti.servers.podman import PodmanSpawner
from tests.functional.test_metrics import samples, told_names
from tests.integration.conftest import Exercise
from tests.parts import wait_for
from tests.person import Notebook, Person
from tests.stack import Stack

DOCS = Path(__file__).parents[2] / "docs"


def ask(stack: Stack, path: str) -> str:
    """Return what a web answers at its own address."""
    return subprocess.run(
        ["curl", "-sf", f"{stack.web_url}{path}"], capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def notebook(stack: Stack, exercise: Exercise, student: Person) -> Notebook:
    """A student at work."""
    return student.launch(exercise.link).enter()


def test_one_id_finds_the_whole_launch(stack: Stack, notebook: Notebook) -> None:
    with stack.sessions() as db:
        query = sa.select(models.AuditEntry).filter_by(workspace_id=notebook.workspace)
        entries = {entry.action: entry for entry in db.scalars(query)}
    request_id = entries["launch opened"].request_id
    assert entries["server started"].request_id == request_id
    assert entries["server started"].person_id == entries["launch opened"].person_id

    def lines(part: str) -> list[str]:
        text = stack.processes[part].log.read_text(errors="replace")
        return [line for line in text.splitlines() if f"request_id='{request_id}'" in line]

    assert any("launch opened" in line for line in lines("web"))
    assert any("server started" in line for line in lines("worker"))


def test_prometheus_scrapes_what_happened(stack: Stack, notebook: Notebook) -> None:
    text, numbers = "", {}

    def read(name: str, **labels: str) -> float:
        return numbers.get((name, frozenset(labels.items())), 0.0)

    def counted() -> bool:
        """A start is counted just after its page was told that it is ready, the time of all of it last."""
        nonlocal text, numbers
        text = ask(stack, "/metrics")
        numbers = samples(text)
        ready = read("ipylti_starts_total", outcome="ready")
        return ready >= 2 and read("ipylti_start_seconds_count") == ready

    wait_for(counted, "the starts' numbers")
    assert read("ipylti_launches_total", outcome="opened") >= 2
    assert read("ipylti_gate_decisions_total", decision="passed") >= 1
    for step in ("queue", "copy", "container", "jupyter", "route"):
        assert read("ipylti_start_step_seconds_count", step=step) >= 1, step
    whole = read("ipylti_start_seconds_sum")
    parts = sum(
        read("ipylti_start_step_seconds_sum", step=step) for step in ("copy", "container", "jupyter", "route")
    )
    assert 0 < parts <= whole * 1.01
    assert read("ipylti_servers", state="ready") >= 2
    assert read("ipylti_workers") == 1
    for part in ("database", "redis", "worker", "podman", "traefik"):
        assert read("ipylti_up", part=part) == 1, part
    names = told_names(text)
    shown = (DOCS / "grafana.json").read_text() + (DOCS / "alerts.yml").read_text()
    assert set(re.findall(r"\bipylti_\w+_(?:total|seconds|bytes)\b", shown)) <= names


def doctor(stack: Stack) -> dict[str, dict[str, Any]]:
    done = CliRunner().invoke(cli.main, ["doctor", str(stack.ini), "--json"])
    found = {each["about"]: each for each in json.loads(done.output)}
    assert done.exit_code == int(any(each["level"] == "failed" for each in found.values()))
    return found


def test_the_doctor_finds_a_whole_installation(stack: Stack, notebook: Notebook) -> None:
    wait_for(stack.ready, "all parts")
    found = doctor(stack)
    well = (
        "podman",
        "rootless",
        "storage driver",
        "disk",
        f"image {stack.settings.image}",
        "sqlite",
        "database",
        "tool's key",
        "redis",
        "redis eviction",
        "redis access",
        "worker",
        "names",
        "traefik",
        "/metrics from outside",
        "/gate from outside",
        "gate",
        "gate before a running notebook",
        f"platform {stack.campus.registration['issuer']}",
        "clock",
    )
    assert {about: found.get(about, {}).get("level") for about in well} == dict.fromkeys(well, "ok")
    assert not [each for each in found.values() if each["level"] == "failed"]
    assert notebook.get("/api/status").status == 200, "and nobody noticed"


def test_the_doctor_finds_what_is_away(stack: Stack) -> None:
    with stack.without("traefik"):
        found = doctor(stack)
        assert found["traefik"]["level"] == "failed"
        assert found["podman"]["level"] == "ok"
    with stack.without("podman"):
        found = doctor(stack)
        assert found["podman"]["level"] == "failed"
        assert found["podman"]["mend"] == ["systemctl --user enable --now podman.socket"]
        assert found["database"]["level"] == "ok"


def test_an_image_that_is_not_there_and_one_without_the_extension(stack: Stack) -> None:
    spawner = PodmanSpawner(stack.podman_url)
    image = stack.settings.image
    assert spawner.image_extension(image) is True
    assert spawner.image_extension("localhost/ipylti-nowhere:1") is None
    facts = spawner.describe()
    assert podman.version(facts).level is Level.OK
    assert Path(facts.root).is_dir()


def test_an_administrator_reads_what_a_server_wrote(stack: Stack, notebook: Notebook) -> None:
    told = json.loads(stack.run("workspace", "logs", str(stack.ini), notebook.workspace, "--json"))
    assert told["workspace"] == notebook.workspace
    listed = json.loads(stack.run("workspace", "list", str(stack.ini), "--json", "--state", "ready"))
    [row] = [row for row in listed if row["workspace"] == notebook.workspace]
    assert (row["kind"], row["server"]) == ("take", "ready")
    status = json.loads(stack.run("status", str(stack.ini), "--json"))
    assert status["servers"]["ready"] >= 1
