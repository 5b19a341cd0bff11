"""What all tests share: real parts, started once each."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, expect

from tests.chrome import chromium
from tests.parts import postgresql_server, redis_server

#: Tests with containers: one after the other, since a machine may have two cores only.
CONTAINERS = ("tests/integration/", "tests/browser/")

#: Milliseconds for what is expected of a page, on a machine that does other things as well.
PATIENCE = 60_000

# How long examples take to make or to try says nothing on such a machine.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests with containers in one process, where several share the work."""
    for item in items:
        if item.nodeid.startswith(CONTAINERS):
            item.add_marker(pytest.mark.xdist_group("containers"))


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    """Chromium; one for all tests, since Playwright can be entered once in a thread."""
    expect.set_options(timeout=PATIENCE)
    with chromium() as made:
        yield made


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of our own."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """An empty PostgreSQL database.

    Not in pytest's own folder: that of root is closed to the user ``postgres``, by every run anew.
    """
    with tempfile.TemporaryDirectory(prefix="ipylti-") as folder, postgresql_server(Path(folder)) as url:
        yield url
