"""What the doctor says of a host, on files like a host's."""

import os
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ipylti import settings
from ipylti.doctor import host
from ipylti.doctor.findings import Finding, Level
from ipylti.settings import Settings

UID = os.getuid()

INI = {
    "ipylti.url": "https://tool.example",
    "ipylti.notebook_domain": "notebooks.example",
    "ipylti.secret": "5d1c7a90e3b84f62a7c09d8be4f13256",
    "ipylti.podman_url": "unix:///nowhere.sock",
    "sqlalchemy.url": "sqlite://",
    "redis.sessions.url": "redis://127.0.0.1",
}


def config(**changes: str) -> Settings:
    given = {name.replace("__", "."): value for name, value in changes.items()}
    return settings.load(INI | given, {})


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of a host on which all is well, for the user ``ada``."""
    delegated = f"sys__fs__cgroup__user.slice__user-{UID}.slice__user@{UID}.service__cgroup.controllers"
    files = {
        "etc__subuid": "other:100000:65536\nada:165536:65536\n",
        "etc__subgid": f"{UID}:165536:65536\n" if UID else "ada:165536:65536\n",
        "proc__sys__net__ipv4__ip_unprivileged_port_start": "80\n",
        "sys__fs__cgroup__cgroup.controllers": "cpu memory pids\n",
        delegated: "cpu memory pids\n",
        "run__systemd__system__x": "",
        f"run__user__{UID}__systemd__private": "",
        "var__lib__systemd__linger__ada": "",
        "dev__net__tun": "",
    }
    write(tmp_path, **files)
    return tmp_path


CHECKS = {
    "subuid, subgid": lambda root: host.subordinate_ids("ada", root),
    "network device": host.tun,
    "cgroups": host.cgroups,
    "lingering": lambda root: host.lingering("ada", root),
    "systemd user manager": lambda root: host.manager(UID, root),
    "ports": lambda root: host.ports(config(), root, lambda _port: False),
}


@pytest.mark.parametrize("about", CHECKS)
def test_a_host_on_which_all_is_well(root: Path, about: str) -> None:
    found = CHECKS[about](root)
    assert (found.about, found.level, found.mend) == (about, Level.OK, ())


def fails(found: Finding, mend: str) -> bool:
    return found.level is Level.FAILED and any(mend in line for line in found.mend)


def test_no_ids_for_containers(root: Path) -> None:
    write(root, etc__subuid="other:100000:65536\nada:165536:1000\n")
    found = CHECKS["subuid, subgid"](root)
    assert fails(found, "sudo usermod --add-subuids 166536-232071 ada")
    assert found.mend[-1] == "podman system migrate"


def test_no_device_for_networks(root: Path) -> None:
    (root / "dev/net/tun").unlink()
    assert fails(host.tun(root), "sudo modprobe tun")


def test_a_device_that_is_not_for_everybody(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_args: False)
    assert fails(host.tun(root), "sudo chmod 0666 /dev/net/tun")


def test_no_unified_cgroups(root: Path) -> None:
    (root / "sys/fs/cgroup/cgroup.controllers").unlink()
    found = host.cgroups(root)
    assert found.level is Level.WARNING
    assert "systemd.unified_cgroup_hierarchy=1" in found.told


def test_controllers_that_are_not_delegated(root: Path) -> None:
    for path in root.glob("sys/fs/cgroup/user.slice/*/*/cgroup.controllers"):
        path.write_text("memory pids\n")
    found = host.cgroups(root)
    assert fails(found, "Delegate=cpu cpuset io memory pids")
    assert "limits of cpu can't" in found.told
    assert all(line.startswith("sudo ") for line in found.mend)
    assert any(line.startswith("sudo sh -c ") for line in found.mend), "the redirection is root's, too"


def test_nobody_lingers(root: Path) -> None:
    (root / "var/lib/systemd/linger/ada").unlink()
    assert fails(CHECKS["lingering"](root), "sudo loginctl enable-linger ada")


def test_no_manager(root: Path) -> None:
    (root / f"run/user/{UID}/systemd/private").unlink()
    assert fails(CHECKS["systemd user manager"](root), f"sudo systemctl start user@{UID}.service")


@pytest.mark.parametrize("about", ["lingering", "systemd user manager"])
def test_without_systemd_it_is_said_that_nothing_was_looked_at(root: Path, about: str) -> None:
    (root / "run/systemd/system/x").unlink()
    (root / "run/systemd/system").rmdir()
    assert CHECKS[about](root).level is Level.SKIPPED


def test_a_port_that_is_not_for_everybody(root: Path) -> None:
    write(root, proc__sys__net__ipv4__ip_unprivileged_port_start="1024\n")
    assert fails(CHECKS["ports"](root), "ip_unprivileged_port_start=443")
    assert host.ports(config(), root, lambda _port: True).level is Level.OK, "somebody may"


def test_who_listens_is_seen(root: Path) -> None:
    write(root, proc__sys__net__ipv4__ip_unprivileged_port_start="65535\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert host.ports(config(ipylti__notebook_port=str(port)), root).level is Level.OK
    assert host.ports(config(ipylti__notebook_port=str(port)), root).level is Level.FAILED


def test_root_is_nobody_to_run_it() -> None:
    assert host.user(0).level is Level.FAILED
    assert host.user(1000).level is Level.OK


def test_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "shutil.which", lambda name, path: None if name == "newuidmap" else f"/usr/bin/{name}"
    )
    assert fails(host.programs(), "sudo apt-get install uidmap")
    monkeypatch.setattr("shutil.which", lambda name, path: f"/usr/bin/{name}")
    assert host.programs().level is Level.OK


# Room


def measured(free: float, inodes: float = 0.5, size: int = 100 << 30, files: int = 1_000_000) -> Any:
    blocks = size // 4096
    return lambda _folder: SimpleNamespace(
        f_blocks=blocks,
        f_bavail=int(blocks * free),
        f_frsize=4096,
        f_files=files,
        f_favail=int(files * inodes),
    )


@pytest.mark.parametrize(
    ("free", "level"),
    [(0.5, Level.OK), (0.06, Level.OK), (0.04, Level.WARNING), (0.005, Level.FAILED), (0.0, Level.FAILED)],
)
def test_room_on_the_disk(tmp_path: Path, free: float, level: Level) -> None:
    disk, inodes = host.disk(tmp_path, measured(free))
    assert (disk.about, disk.level) == ("disk", level)
    assert bool(disk.mend) is (level is not Level.OK)
    assert inodes.level is Level.OK


@pytest.mark.parametrize(("free", "level"), [(0.5, Level.OK), (0.05, Level.WARNING), (0.001, Level.FAILED)])
def test_inodes(tmp_path: Path, free: float, level: Level) -> None:
    assert [found.level for found in host.disk(tmp_path, measured(0.5, free))] == [Level.OK, level]


def test_a_file_system_without_a_number_of_inodes(tmp_path: Path) -> None:
    assert [found.about for found in host.disk(tmp_path, measured(0.5, files=0))] == ["disk"]


def test_a_real_disk(tmp_path: Path) -> None:
    assert "GiB free" in next(iter(host.disk(tmp_path))).told


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert [found.level for found in host.disk(tmp_path / "nowhere")] == [Level.FAILED]


# Secrets


def test_a_secret_made_by_chance() -> None:
    assert host.secret(config()).level is Level.OK


def test_a_secret_that_is_too_simple() -> None:
    found = host.secret(replace(config(), secret="ab" * 20))
    assert fails(found, "openssl rand -hex 32")
    assert "abab" not in str(found)


def test_the_secret_of_development() -> None:
    known = config(
        ipylti__secret=settings.DEVELOPMENT_SECRET,
        ipylti__url="http://ipylti.localhost:8000",
        ipylti__notebook_domain="notebook.localhost",
        ipylti__notebook_scheme="http",
    )
    assert host.secret(known).level is Level.WARNING


@pytest.mark.parametrize(
    "text",
    [
        "[app:main]\nipylti.secret = 0123456789\n",
        "sqlalchemy.url = postgresql+psycopg://ipylti:geheim@db/ipylti\n",
        "redis.sessions.url=redis://:geheim@127.0.0.1:6379/0\n",
    ],
)
def test_an_ini_file_with_a_secret_is_for_its_user_only(tmp_path: Path, text: str) -> None:
    ini = tmp_path / "production.ini"
    ini.write_text(text)
    ini.chmod(0o640)
    found = host.files([ini])
    assert fails(found, f"chmod 600 {ini}")
    assert "geheim" not in str(found)
    ini.chmod(0o600)
    assert host.files([ini]).level is Level.OK


def test_an_ini_file_without_a_secret_may_be_read(tmp_path: Path) -> None:
    ini = tmp_path / "production.ini"
    known = f"ipylti.secret = {settings.DEVELOPMENT_SECRET}\n"
    none = "# ipylti.secret =\nsqlalchemy.url = postgresql+psycopg://ipylti@/ipylti\nipylti.secret =\n"
    ini.write_text(known + none)
    ini.chmod(0o644)
    assert host.files([ini]).level is Level.OK
    ini.write_text(none + "# the end\n")
    ini.chmod(0o644)
    assert host.files([ini]).level is Level.OK


def test_the_file_of_secrets_is_for_its_user_only(tmp_path: Path) -> None:
    secrets = tmp_path / "production.env"
    secrets.write_text("IPYLTI_SECRET=x\n")
    secrets.chmod(0o644)
    assert fails(host.files([secrets, tmp_path / "nowhere.env"]), "chmod 600")
