"""What all tests share: real parts, started once each."""

from collections.abc import Iterator

import pytest

from tests.parts import postgresql_server, redis_server


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of our own."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty PostgreSQL database."""
    with postgresql_server(tmp_path_factory.mktemp("postgresql")) as url:
        yield url
