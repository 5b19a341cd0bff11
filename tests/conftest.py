"""What all tests share: real parts, started once each."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.chrome import chromium
from tests.parts import postgresql_server, redis_server


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; one for all tests, since Playwright can be entered once in a thread."""
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
