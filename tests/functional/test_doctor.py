"""The doctor on real stores, good and bad, and what its command prints."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import redis
import sqlalchemy as sa

from ipylti import models
from ipylti.doctor import stores
from ipylti.doctor.findings import Finding, Level
from ipylti.reconciling import Inventory
from ipylti.volatile import Pulse, connect
from tests.functional.conftest import disposable, on_sqlite
from tests.functional.test_cli import ini_path, invoke, quiet, run, write_ini
from tests.parts import redis_server

__all__ = ["ini_path", "quiet", "run"]


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    with disposable(database_url) as made:
        yield made


def levels(found: Any) -> list[tuple[str, Level]]:
    return [(each.about, each.level) for each in found]


# The database


def test_a_database_that_is_well(engine: sa.Engine) -> None:
    assert stores.database(engine, "x.ini").level is Level.OK
    assert stores.signing_key(engine, "x.ini").level is Level.OK


def test_a_database_of_another_version(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        now = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    try:
        found = stores.database(engine, "x.ini")
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = :now"), {"now": now})
    assert (found.level, found.mend) == (Level.FAILED, ("ipylti db upgrade x.ini",))


def test_a_database_with_nothing_in_it(empty_database_url: str) -> None:
    with disposable(empty_database_url) as engine:
        found = (stores.database(engine, "x.ini"), stores.signing_key(engine, "x.ini"))
    for each in found:
        assert (each.level, each.mend) == (Level.FAILED, ("ipylti db upgrade x.ini",))


def test_a_database_that_does_not_answer() -> None:
    with disposable("postgresql+psycopg://ipylti:geheim@127.0.0.1:1/ipylti") as engine:
        found = stores.database(engine, "x.ini")
    assert found.level is Level.FAILED
    assert "127.0.0.1:1" in found.told
    assert "geheim" not in str(found)


@on_sqlite
def test_a_database_without_a_key(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.delete(models.ToolKey))
    assert stores.signing_key(engine, "x.ini").level is Level.FAILED


def test_sqlite_on_a_disk_of_its_own(engine: sa.Engine, tmp_path: Path) -> None:
    found = list(stores.sqlite(engine))
    if engine.dialect.name == "sqlite":
        assert levels(found) == [("sqlite", Level.OK)]
    else:
        assert found == []


@on_sqlite
def test_sqlite_on_a_network_file_system(engine: sa.Engine, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/home {tmp_path} nfs4 rw 0 0\n")
    [found] = stores.sqlite(engine, mounts)
    assert found.level is Level.FAILED
    assert "nfs4" in found.told
    mounts.write_text(f"server:/ / nfs4 rw 0 0\n/dev/sda1 {tmp_path} ext4 rw 0 0\n")
    assert levels(stores.sqlite(engine, mounts)) == [("sqlite", Level.OK)]


@on_sqlite
def test_a_database_file_that_others_may_read(engine: sa.Engine, tmp_path: Path) -> None:
    file = Path(str(engine.url.database))
    above = [folder for folder in file.parents if not folder.stat().st_mode & stat.S_IXOTH]
    file.chmod(0o644)
    if above:
        assert levels(stores.sqlite(engine)) == [("sqlite", Level.OK)], "nobody gets there"
    modes = {folder: folder.stat().st_mode for folder in above if os.access(folder, os.W_OK)}
    try:
        for folder in modes:
            folder.chmod(0o755)
        [found] = stores.sqlite(engine)
    finally:
        for folder, mode in modes.items():
            folder.chmod(stat.S_IMODE(mode))
    assert found.level is Level.FAILED
    assert found.mend[0].startswith(f"chmod 600 {file}")


# Redis


def test_a_redis_that_is_well(redis_url: str) -> None:
    found = list(stores.memory(connect(redis_url)))
    assert levels(found) == [
        ("redis", Level.OK),
        ("redis eviction", Level.OK),
        ("redis access", Level.OK),
    ]


def test_a_redis_that_is_away(tmp_path: Path) -> None:
    assert levels(stores.memory(connect(f"unix://{tmp_path}/nobody.sock"))) == [("redis", Level.FAILED)]


@pytest.fixture
def another_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """A Redis of our own, to be set up badly."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield connect(url)


@pytest.mark.parametrize(
    ("memory", "policy", "level"),
    [
        ("100mb", "allkeys-lru", Level.WARNING),
        ("100mb", "volatile-ttl", Level.WARNING),
        ("100mb", "noeviction", Level.OK),
        ("0", "allkeys-lru", Level.OK),
    ],
)
def test_a_redis_that_throws_things_away(
    another_redis: redis.Redis, memory: str, policy: str, level: Level
) -> None:
    another_redis.config_set("maxmemory", memory)
    another_redis.config_set("maxmemory-policy", policy)
    [found] = [each for each in stores.memory(another_redis) if each.about == "redis eviction"]
    assert found.level is level
    assert bool(found.mend) is (level is Level.WARNING)


def test_a_redis_that_wants_a_password(another_redis: redis.Redis) -> None:
    kept = redis.Redis(connection_pool=another_redis.connection_pool)
    another_redis.config_set("requirepass", "geheim")
    fresh = connect(f"unix://{another_redis.connection_pool.connection_kwargs['path']}")
    try:
        [found] = stores.memory(fresh)
        assert found.level is Level.FAILED
        assert "password" in found.told
        assert "geheim" not in str(found)
    finally:
        kept.config_set("requirepass", "")


def test_a_redis_that_does_not_say(another_redis: redis.Redis) -> None:
    another_redis.execute_command("ACL", "SETUSER", "default", "-config")
    assert [level for _, level in levels(stores.memory(another_redis))] == [
        Level.OK,
        Level.SKIPPED,
        Level.SKIPPED,
    ]


@pytest.mark.parametrize(
    ("told", "level"),
    [
        ({"bind": "127.0.0.1 -::1", "protected-mode": "no"}, Level.OK),
        ({"bind": "* -::*", "protected-mode": "yes"}, Level.OK),
        ({"bind": "* -::*", "protected-mode": "no", "requirepass": "geheim"}, Level.OK),
        ({"bind": "", "protected-mode": "no", "port": "0"}, Level.OK),
        ({"bind": "* -::*", "protected-mode": "no"}, Level.FAILED),
        ({"bind": "", "protected-mode": "no"}, Level.FAILED),
        ({"bind": "127.0.0.1 192.0.2.1", "protected-mode": "no"}, Level.FAILED),
    ],
)
def test_a_redis_for_everybody(told: dict[str, str], level: Level) -> None:
    """Not a real one: it would be open to everybody while the test runs."""
    said = {"port": "6379", "requirepass": "", "maxmemory": "0", "maxmemory-policy": "noeviction"} | told
    client = create_autospec(redis.Redis, instance=True)
    client.config_get.side_effect = lambda name: {name: said[name]}
    [found] = [each for each in stores.memory(client) if each.about == "redis access"]
    assert found.level is level
    assert "geheim" not in str(found)


def test_workers(redis_url: str) -> None:
    pulse = Pulse(connect(redis_url))
    pulse.client.flushall()
    assert stores.worker(pulse).level is Level.FAILED
    pulse.beat({})
    assert stores.worker(pulse).level is Level.OK


# The command


def examined(result: Any) -> dict[str, dict[str, Any]]:
    return {each["about"]: each for each in json.loads(result.output)}


@pytest.mark.parametrize(
    ("found", "levels", "words"),
    [
        (Inventory(), [Level.OK], "none is gone"),
        (Inventory(gone=["a"]), [Level.FAILED], "a is gone, with somebody's work"),
        (Inventory(strange=list("abcde")), [Level.WARNING], "a, b, c and 2 more are of nothing that"),
        (Inventory(["a"], ["b"]), [Level.FAILED, Level.WARNING], "b is gone"),
    ],
)
def test_volumes_and_the_database(found: Inventory, levels: list[Level], words: str) -> None:
    told = list(stores.volumes(found, "x.ini"))
    assert [each.level for each in told] == levels
    assert words in told[0].told
    assert all(each.mend for each in told if each.level is not Level.OK)


@on_sqlite
def test_it_says_what_is_wrong_and_what_mends_it(run: Any, ini_path: Path) -> None:
    """No Podman, no Traefik, no worker; the database and Redis are well."""
    found = examined(run("doctor", "--json", code=1))
    for about in ("database", "tool's key", "redis", "sqlite"):
        assert found[about]["level"] == "ok", found[about]
    for about in ("podman", "worker", "tool's name", "notebooks' names", "tool's certificate", "traefik"):
        assert found[about]["level"] == "failed", found[about]
        assert found[about]["mend"], about
    assert found["platforms"]["level"] == "skipped"
    assert found["volumes"]["level"] == "skipped"
    assert all(set(each) == {"about", "level", "told", "mend"} for each in found.values())
    assert not [each for each in found.values() if "check itself" in each["told"]]


@on_sqlite
def test_people_read_a_table_and_then_what_to_do(run: Any, ini_path: Path, ini: dict[str, str]) -> None:
    told = run("doctor", code=1).output
    lines = told.splitlines()
    assert lines[0].split() == ["check", "is", "found"]
    assert any(line.startswith("database") and " ok " in line for line in lines)
    assert "    systemctl --user start ipylti-worker@1.service" in lines
    assert " failed" in lines[-1] and " ok" in lines[-1]
    assert ini["ipylti.secret"] not in told


@on_sqlite
def test_settings_that_are_wrong_are_a_finding(ini: dict[str, str], tmp_path: Path) -> None:
    path = write_ini(tmp_path / "bad.ini", ini | {"ipylti.memory": "plenty"})
    result = invoke("doctor", path, "--json")
    assert result.exit_code == 1
    [found] = examined(result).values()
    assert found["about"] == "settings"
    assert "ipylti.memory" in found["told"]


@on_sqlite
def test_a_database_that_is_old_is_a_finding_and_no_end(ini: dict[str, str], tmp_path: Path) -> None:
    path = write_ini(tmp_path / "old.ini", ini | {"sqlalchemy.url": f"sqlite:///{tmp_path}/new.sqlite"})
    found = examined(invoke("doctor", path, "--json"))
    assert found["database"]["mend"] == [f"ipylti db upgrade {path}"]
    assert found["platforms"]["level"] == "skipped"
    assert "redis" in found


@on_sqlite
def test_a_check_that_breaks_keeps_no_other_from_being_done(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any) -> Finding:
        raise ZeroDivisionError("why")

    monkeypatch.setattr(stores, "worker", broken)
    found = examined(run("doctor", "--json", code=1))
    assert found["worker"]["level"] == "failed"
    assert "ZeroDivisionError" in found["worker"]["told"]
    assert "traefik" in found
