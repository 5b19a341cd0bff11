"""What ipylti keeps things in: database and Redis, and what lies in them."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import redis
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ipylti import models
from ipylti.doctor.findings import Finding, failed, ok, skipped, warning
from ipylti.errors import DependencyDown, IpyltiError
from ipylti.lti import keys
from ipylti.models.upgrade import require_current
from ipylti.platforms import ToolKeys
from ipylti.reconciling import Inventory
from ipylti.volatile import Pulse

#: File systems on which SQLite's locks and shared memory can't be trusted (SQLite, "Write-Ahead Logging").
_REMOTE = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "gfs2", "glusterfs", "lustre", "ncpfs"}
    | {"nfs", "nfs4", "ocfs2", "smb3", "smbfs", "virtiofs"}
)

#: So many volumes are named at most.
_NAMED = 3

_LOCAL = ("127.", "::1", "localhost", "-::1")


def database(engine: Engine, ini: str) -> Finding:
    """Check that the database answers and has the schema of this version."""
    try:
        require_current(engine)
    except DependencyDown:
        address = engine.url.render_as_string(hide_password=True)
        return failed("database", f"{address} does not answer", "systemctl status postgresql")
    except IpyltiError:
        return failed("database", "its schema is not of this version", f"ipylti db upgrade {ini}")
    except SQLAlchemyError as err:
        return failed("database", f"it can't be read ({type(err).__name__})", f"ipylti db upgrade {ini}")
    return ok("database", f"{engine.dialect.name}, schema up to date")


def signing_key(engine: Engine, ini: str) -> Finding:
    """Check that the tool has a key to sign with."""
    try:
        with Session(engine) as db:
            keys.signing_key(ToolKeys(db).all(), models.now())
    except (IpyltiError, SQLAlchemyError, LookupError, ValueError):
        return failed("tool's key", "there is none to sign with", f"ipylti db upgrade {ini}")
    return ok("tool's key", "one is in force")


def sqlite(engine: Engine, mounts: Path = Path("/proc/mounts")) -> Iterator[Finding]:
    """Check that a database file is on a disk of this machine, in WAL mode, and open to nobody else."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return
    file = Path(engine.url.database).resolve()
    kind = _file_system(file, mounts)
    if kind in _REMOTE:
        told = f"{file} lies on a network file system ({kind}), where SQLite loses data"
        yield failed("sqlite", told, "move it to a local disk, or use PostgreSQL (sqlalchemy.url)")
        return
    try:
        with engine.connect() as connection:
            mode = connection.execute(sa.text("PRAGMA journal_mode")).scalar()
    except SQLAlchemyError:
        yield failed("sqlite", f"{file} can't be opened", f"ls -l {file.parent}")
        return
    if mode != "wal":
        yield failed(
            "sqlite", f"{file} is in mode {mode}: writers keep readers waiting", f"ls -ld {file.parent}"
        )
    elif _open_to_others(file):
        told = f"others on this machine may read {file}, with names and the tool's key"
        yield failed("sqlite", told, f"chmod 600 {file} {file}-wal {file}-shm")
    else:
        yield ok("sqlite", f"{file}, on {kind or 'a local disk'}, WAL")


def memory(client: redis.Redis) -> Iterator[Finding]:
    """Check that Redis answers, throws nothing away early, and is open to nobody else."""
    try:
        client.ping()
    except redis.AuthenticationError:
        yield failed("redis", "it wants a password", "redis.sessions.url = redis://:PASSWORD@HOST:PORT/0")
        return
    except redis.RedisError as err:
        mend = "systemctl --user start ipylti-redis.service"
        yield failed("redis", f"it does not answer ({type(err).__name__})", mend)
        return
    yield ok("redis", "it answers")
    yield _asked("redis eviction", client, _eviction)
    yield _asked("redis access", client, _access)


def _asked(about: str, client: redis.Redis, ask: Callable[[redis.Redis], Finding]) -> Finding:
    try:
        return ask(client)
    except redis.RedisError:
        return skipped(about, "it does not say (CONFIG is not allowed)")


def _eviction(client: redis.Redis) -> Finding:
    """Sessions and jobs may be lost, but not before their time: people would launch again and again."""
    told = _config(client, "maxmemory", "maxmemory-policy")
    policy = told["maxmemory-policy"]
    if told["maxmemory"] != "0" and policy != "noeviction":
        return warning(
            "redis eviction",
            f"once it is full ({policy}) it throws sessions and jobs away, and people have to launch again",
            "redis-cli CONFIG SET maxmemory-policy noeviction",
            "redis-cli CONFIG REWRITE",
        )
    return ok("redis eviction", f"nothing is thrown away ({policy})")


def _access(client: redis.Redis) -> Finding:
    """Whoever can write to Redis can be anybody in the tool."""
    told = _config(client, "bind", "port", "requirepass", "protected-mode")
    addresses = told["bind"].split()
    everywhere = not addresses or not all(address.startswith(_LOCAL) for address in addresses)
    open_to_all = everywhere and told["port"] != "0" and not told["requirepass"]
    if open_to_all and told["protected-mode"] == "no":
        return failed(
            "redis access",
            "it listens for the whole network and wants no password: who writes there can be anybody here",
            "redis-cli CONFIG SET bind '127.0.0.1 -::1'",
            "redis-cli CONFIG REWRITE",
        )
    return ok("redis access", "it is for this machine, or wants a password")


def _config(client: redis.Redis, *names: str) -> dict[str, str]:
    found = {name: client.config_get(name) for name in names}
    return {name: str(value.get(name, "")) for name, value in found.items()}


def worker(pulse: Pulse) -> Finding:
    """Check that a worker lives."""
    try:
        seen = pulse.read()
    except DependencyDown:
        return skipped("worker", "only Redis knows")
    if seen is None:
        return failed(
            "worker",
            "none lives: no notebook starts and no score is sent",
            "systemctl --user start ipylti-worker@1.service",
        )
    return ok("worker", "one lives")


def _file_system(file: Path, mounts: Path) -> str:
    """Return the type of the file system of a file (proc(5), ``mounts``), "" if that is not said."""
    best, kind = -1, ""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        _, folder, found = line.split()[:3]
        folder = folder.replace("\\040", " ")
        if file.is_relative_to(folder) and len(folder) >= best:
            best, kind = len(folder), found
    return kind


def _open_to_others(file: Path) -> bool:
    """Return whether other users get to a file: they may read it, and enter all folders above it."""
    try:
        reachable = all(folder.stat().st_mode & stat.S_IXOTH for folder in file.parents)
        return reachable and bool(os.stat(file).st_mode & stat.S_IROTH)
    except OSError:
        return False


def volumes(found: Inventory, ini: str) -> Iterator[Finding]:
    """Check that volumes and database agree."""
    if found.gone:
        yield failed(
            "volumes",
            f"{_named(found.gone)} gone, with somebody's work",
            f"ipylti restore {ini} BACKUP --workspace WORKSPACE",
        )
    if found.strange:
        yield warning(
            "volumes",
            f"{_named(found.strange)} of nothing that the database knows; nothing is done with them: it "
            "may be somebody's work",
            "podman volume inspect VOLUME",
        )
    if not found.gone and not found.strange:
        yield ok("volumes", "the database knows all of them, and none is gone")


def _named(names: list[str]) -> str:
    """Return the first few names, with the verb."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more} {'is' if len(names) == 1 else 'are'}"
