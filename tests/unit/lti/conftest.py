"""One platform, another one, and a tool that is registered at both."""

import pytest

from tests.unit.lti.platforms import FakePlatform, Tool


@pytest.fixture(scope="session")
def platform() -> FakePlatform:
    return FakePlatform()


@pytest.fixture(scope="session")
def other() -> FakePlatform:
    """A second platform, of which the tool is a client under another id."""
    return FakePlatform("other", "tool-at-other", id=2, deployments=frozenset({"deployment-of-other"}))


@pytest.fixture
def tool(platform: FakePlatform, other: FakePlatform) -> Tool:
    return Tool(platform, other)
