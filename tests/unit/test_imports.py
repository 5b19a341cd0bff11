"""The import directions of the design, read off the syntax tree of every module."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ipylti

ROOT = Path(ipylti.__file__).parent

#: Room -> the rooms that it may import, beside itself. A module that is no package is a room of its own.
FOUNDATION = {"errors", "http", "settings", "systemd", "trace"}
BELOW = FOUNDATION | {"lti", "servers", "models"}
DOMAIN = {
    "about",
    "admission",
    "assignments",
    "audit",
    "backups",
    "bases",
    "desk",
    "facts",
    "gate",
    "idling",
    "ids",
    "invitations",
    "jobs",
    "launches",
    "line",
    "limits",
    "logs",
    "outbox",
    "people",
    "platforms",
    "privacy",
    "reconciling",
    "rosters",
    "submissions",
    "sweep",
    "tally",
    "usage",
    "volatile",
    "watch",
    "workspaces",
}
TOP = {"views", "web", "worker", "cli"}
WEB = {"headers", "metrics", "routes", "security", "services", "wellformed"}

ALLOWED = {
    "errors": set(),
    "http": {"errors"},
    "settings": {"errors", "values"},
    "values": set(),
    "trace": set(),
    # What the service manager is told, and what it is given to run.
    "systemd": set(),
    "install": {"errors", "settings"},
    "lti": FOUNDATION,
    "servers": FOUNDATION,
    "models": FOUNDATION,
    **dict.fromkeys(DOMAIN, BELOW | DOMAIN),
    **dict.fromkeys(WEB, BELOW | DOMAIN | WEB),
    "views": BELOW | DOMAIN | WEB,
    "web": {"systemd"},
    "worker": BELOW | DOMAIN | WEB,
    # The command line starts the processes.
    "cli": BELOW | DOMAIN | WEB | {"doctor", "install", "web", "worker"},
    "doctor": BELOW | DOMAIN | {"install"},
    "": {"settings"},
}


def module_name(path: Path) -> str:
    """Return a module's name below the package: ``models.meta``; "" for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def room(module: str) -> str:
    return module.partition(".")[0]


@cache
def imported(module: str) -> frozenset[str]:
    """Return all that a module imports, wherever in it, by absolute names."""
    return frozenset(names(ast.parse(MODULES[module].read_text())))


def names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            # Of ``from a import b`` the b may be a module or a thing of a's.
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def ours(module: str) -> frozenset[str]:
    """Return the modules of the package that a module imports; the root package is not counted, since
    whoever imports one of its modules imports it."""
    found = (name.removeprefix("ipylti.") for name in imported(module) if name.startswith("ipylti."))
    modules = {name for name in found if name in MODULES}
    # ``from ipylti.lti import claims`` needs claims and not what the package's own __init__ holds.
    packages = {name for name in modules if any(other.startswith(f"{name}.") for other in modules)}
    return frozenset(modules - {name for name in packages if not MODULES[name].read_text().strip()})


def others(module: str) -> set[str]:
    """Return the top-level names of the foreign packages that a module imports."""
    return {name.partition(".")[0] for name in imported(module)} - {"ipylti"}


def test_imports_are_found_at_all() -> None:
    assert {"models", "lti.scores", "jobs", "errors"} <= ours("outbox")
    assert "settings" in ours("")
    assert "sqlalchemy" in others("outbox")


def test_every_module_has_a_room() -> None:
    assert {room(module) for module in MODULES} == set(ALLOWED)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    here = room(module)
    foreign = {name for name in ours(module) if room(name) != here}
    assert not {name for name in foreign if room(name) not in ALLOWED[here]}


def test_nothing_is_imported_in_a_circle() -> None:
    left = {module: set(ours(module)) - {module} for module in MODULES}
    while free := [module for module, needs in left.items() if not needs & set(left)]:
        for module in free:
            del left[module]
    assert not left


def test_rooms_do_not_need_each_other_in_a_circle() -> None:
    left: dict[str, set[str]] = {}
    for module in MODULES:
        left.setdefault(room(module), set()).update(room(name) for name in ours(module))
    for here, needs in left.items():
        needs.discard(here)
    while free := [here for here, needs in left.items() if not needs & set(left)]:
        for here in free:
            del left[here]
    assert not left


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("podman", {"servers.podman"}),
        ("huey", {"jobs", "worker"}),
        ("alembic", {"models"}),
        ("prometheus_client", {"metrics"}),
        ("click", {"cli"}),
        ("pyramid", {"", "views", *WEB}),
        ("webob", {"views", *WEB}),
    ],
)
def test_a_tool_stays_in_its_place(package: str, allowed: set[str]) -> None:
    users = {module for module in MODULES if package in others(module)}
    assert not {module for module in users if module not in allowed and room(module) not in allowed}


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "lti"])
def test_the_protocol_knows_no_framework_no_database_and_no_container(module: str) -> None:
    assert not others(module) & {"pyramid", "webob", "sqlalchemy", "redis", "huey", "podman", "requests"}


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "servers"])
def test_servers_never_see_a_claim(module: str) -> None:
    assert not others(module) & {"pyramid", "webob", "sqlalchemy", "redis", "huey", "jwt", "jwcrypto"}


def test_the_program_within_the_container_needs_nothing() -> None:
    """It is run by whatever Python the notebook image has."""
    import sys

    assert others("servers.copier") <= set(sys.stdlib_module_names)
    assert not ours("servers.copier")
