"""What an ini file becomes: units, Traefik's configuration, and what is said of what does not go together."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ipylti.errors import SettingsError
from ipylti.install import files, host, traefik
from ipylti.install.plan import Plan
from tests.production import production_plan

Make = Callable[..., Plan]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes the plan of production.ini, with lines replaced."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    monkeypatch.setenv("IPYLTI_SECRET", "6b1f0c9e8d27a45330f4e1b2c7d8596a")
    for name in ("fullchain.pem", "privkey.pem"):
        (tmp_path / name).write_text("PEM")
    # Whether this machine has Redis is not what is asked here.
    redis = tmp_path / "bin" / "redis-server"
    redis.parent.mkdir()
    redis.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(redis.parent), prepend=":")

    def plan(*changes: tuple[str, str]) -> Plan:
        return production_plan(tmp_path, *changes)

    return plan


def complaint(make: Make, *changes: tuple[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        make(*changes)
    return caught.value.detail


def by_name(plan: Plan) -> dict[str, str]:
    return {path.name: text for path, text in files.all_files(plan).items()}


def test_nothing_is_left_to_be_filled_in(make: Make) -> None:
    for text in by_name(make()).values():
        assert not re.search(r"@[A-Z_]+@", text)


def test_the_target_wants_as_many_as_the_ini_file_says(make: Make) -> None:
    target = by_name(make(("webs = 2", "webs = 3"), ("workers = 1", "workers = 2")))["ipylti.target"]
    wanted = re.findall(r"ipylti-(?:web|worker)@\d", target)
    assert wanted == ["ipylti-web@1", "ipylti-web@2", "ipylti-web@3", "ipylti-worker@1", "ipylti-worker@2"]
    assert "podman.socket" in target


def test_podmans_service_works_where_the_command_line_does(make: Make) -> None:
    assert "Environment=XDG_CONFIG_HOME=/state/podman/config\n" in by_name(make())["ipylti.conf"]


def test_somebody_elses_redis_is_left_alone(make: Make) -> None:
    own = by_name(make())
    other = by_name(make(("unix://%(here)s/redis.sock", "redis://127.0.0.1:6379/0")))
    assert set(own) - set(other) == {"ipylti-redis.service"}
    assert "redis" not in re.sub("After=.*", "", other["ipylti.target"])


def test_processes_are_started_anew_where_the_ini_file_has_changed(make: Make) -> None:
    before = by_name(make())
    after = by_name(make(("ipylti.memory = 1g", "ipylti.memory = 2g")))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"ipylti-web@.service", "ipylti-worker@.service"}


def test_no_secret_stands_in_what_is_written(make: Make) -> None:
    plan = make()
    for text in by_name(plan).values():
        assert plan.settings.secret not in text


def test_traefik_is_told_what_the_ini_file_says(make: Make) -> None:
    plan = make(
        ("notebooks.example.org", "tool.example:8443"),
        ("lab.example.org", "lab.example"),
        ("notebook_port = 443", "notebook_port = 8443"),
        ("http_port = 80", "http_port = 8080"),
        ("port = 8002", "port = 9002"),
    )
    told, static = traefik.environment(plan), json.loads(traefik.static(plan))
    assert (told["IPYLTI_HOST"], told["IPYLTI_NOTEBOOK_DOMAIN"]) == ("tool.example", "lab.example")
    assert told["IPYLTI_WEBS"] == "http://127.0.0.1:9002"
    addresses = {name: point["address"] for name, point in static["entryPoints"].items()}
    assert addresses == {"websecure": ":8443", "web": ":8080", "inside": "127.0.0.1:9001"}
    assert static["entryPoints"]["web"]["http"]["redirections"]["entryPoint"]["to"] == "websecure"
    assert static["providers"]["docker"]["endpoint"] == "unix:///run/user/1000/podman/podman.sock"
    assert plan.settings.instance in static["providers"]["docker"]["constraints"]


def test_http_may_be_left_out(make: Make) -> None:
    assert (
        "web" not in json.loads(traefik.static(make(("http_port = 80", "http_port = none"))))["entryPoints"]
    )


def without_files(tmp_path: Path) -> tuple[tuple[str, str], ...]:
    return (
        (f"certificate = {tmp_path}/fullchain.pem\n", ""),
        (f"certificate_key = {tmp_path}/privkey.pem\n", ""),
    )


def with_acme(tmp_path: Path) -> tuple[tuple[str, str], ...]:
    email, provider = "acme_email = admin@example.org", "acme_dns_provider = rfc2136"
    return (*without_files(tmp_path), (f"# {email}", email), (f"# {provider}", provider))


def test_certificates_by_acme(make: Make, tmp_path: Path) -> None:
    plan = make(*with_acme(tmp_path))
    static = json.loads(traefik.static(plan))
    tls = static["entryPoints"]["websecure"]["http"]["tls"]
    assert [domain["main"] for domain in tls["domains"]] == ["notebooks.example.org", "*.lab.example.org"]
    acme = static["certificatesResolvers"][tls["certResolver"]]["acme"]
    assert (acme["email"], acme["dnsChallenge"]["provider"]) == ("admin@example.org", "rfc2136")
    assert "IPYLTI_CERTIFICATE" not in traefik.environment(plan)
    assert not {"ipylti-certificate.path", "ipylti-certificate.service"} & set(by_name(plan))


def test_a_certificate_comes_from_one_place(make: Make, tmp_path: Path) -> None:
    assert "either certificate" in complaint(make, *without_files(tmp_path))
    both = with_acme(tmp_path)[2:]
    assert "either certificate" in complaint(make, *both)
    assert "one is not enough" in complaint(make, both[0])
    assert "one is not enough" in complaint(make, without_files(tmp_path)[1])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("webs = 2", "webs = 0", "[install] webs: must be a whole number"),
        ("webs = 2", "web = 2", "[install] web: unknown key"),
        ("port = 8002", "port = 80", "[server:main] port: must be a whole number"),
        ("host = 127.0.0.1", "host = 0.0.0.0", "[server:main] host: must be 127.0.0.1"),
        (
            "notebook_port = 443",
            "notebook_port = 8443",
            "ipylti.notebook_port: must be the port of ipylti.url",
        ),
        ("fullchain.pem", "nothing.pem", "[install] certificate: "),
        ("%(here)s/redis.sock", "/proc/redis.sock", "redis.sessions.url: this user may not write"),
    ],
)
def test_what_does_not_go_is_named(make: Make, old: str, new: str, told: str) -> None:
    assert complaint(make, (old, new)).startswith(told)


def test_only_https_is_installed(make: Make) -> None:
    local = (
        ("https://notebooks.example.org", "http://ipylti.localhost"),
        ("lab.example.org", "notebook.localhost"),
    )
    assert complaint(make, *local).endswith("an installation speaks https only")


def test_a_file_is_written_where_it_differs_and_told_as_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "unit"
    made, same = files.write(path, "a\nb\n"), files.write(path, "a\nb\n")
    assert made and list(made.lines()) == [f"new      {path}"]
    assert same is None
    changed = files.write(path, "a\nc\n")
    assert changed and [line.split() for line in changed.lines()] == [
        ["changed", str(path)],
        ["-", "b"],
        ["+", "c"],
    ]
    removed = files.write(path, None)
    assert removed and list(removed.lines()) == [f"removed  {path}"]
    assert list(path.parent.iterdir()) == []


def test_units_of_an_earlier_installation_are_found(make: Make) -> None:
    plan = make()
    wanted = files.all_files(plan)
    files.write(plan.units / "ipylti-old.service", "")
    files.write(plan.units / "somebody.service", "")
    for path, text in wanted.items():
        files.write(path, text)
    assert [path.name for path in files.stale_files(plan, wanted)] == ["ipylti-old.service"]


def bare_host(root: Path) -> Path:
    """Return the files of a host on which nothing is prepared."""
    for path, text in (
        ("etc/subuid", "other:100000:65536\n"),
        ("etc/subgid", "other:100000:65536\n"),
        ("proc/sys/net/ipv4/ip_unprivileged_port_start", "1024\n"),
        ("sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n"),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_what_only_root_can_do_comes_as_commands(make: Make, tmp_path: Path) -> None:
    plan = make(("notebooks.example.org", "ipylti.localhost"), ("lab.example.org", "notebook.localhost"))
    found = host.findings(plan, bare_host(tmp_path / "host"))
    commands = [command.split()[0] for finding in found for command in finding.commands]
    assert commands[:3] == ["loginctl", "usermod", "usermod"]
    told = " ".join(command for finding in found for command in finding.commands)
    assert "--add-subuids 165536-231071" in told
    assert "net.ipv4.ip_unprivileged_port_start=80" in told
    assert "Delegate=cpu cpuset io memory pids" in told


def test_names_that_lead_nowhere_are_named(make: Make, tmp_path: Path) -> None:
    plan = make(("notebooks.example.org", "tool.invalid"), ("lab.example.org", "lab.invalid"))
    told = [finding.what for finding in host.findings(plan, bare_host(tmp_path / "host"))]
    assert [text.split(":")[0] for text in told if "DNS" in text] == [
        "the DNS has no tool.invalid",
        "the DNS has no *.lab.invalid",
    ]
