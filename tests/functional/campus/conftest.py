"""campus in-process, called as the tool and as a browser would call it; nothing of ipylti is involved."""

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from playwright.sync_api import Browser, Page
from webtest import TestApp

from tests.campus import Campus, Config
from tests.campus.keys import new_key, public_jwk
from tests.functional.campus.good_tool import CLIENT, STRANGER, TOOL, Assertion, Service


@pytest.fixture(scope="session")
def keys() -> dict[str, rsa.RSAPrivateKey]:
    """RSA keys, made once: campus', the tool's, a stranger's."""
    return {name: new_key() for name in ("campus", "tool", "stranger")}


@pytest.fixture
def tool_keys(keys: dict[str, rsa.RSAPrivateKey]) -> dict[str, Any]:
    """What the tool publishes; a test may change it."""
    return {"keys": [public_jwk(keys["tool"])]}


@pytest.fixture
def campus(keys: dict[str, rsa.RSAPrivateKey], tool_keys: dict[str, Any]) -> Campus:
    """A campus without a port."""
    config = Config(
        tool_url="http://tool.example", client_id=CLIENT, port=None, tool_jwks=lambda: tool_keys, control=True
    )
    return Campus(config, keys["campus"])


@pytest.fixture
def browser(campus: Campus) -> TestApp:
    """A browser in which Zoë is signed in to campus."""
    app = TestApp(campus.app)
    app.get("/?as=zoe", status=303)
    return app


@pytest.fixture
def server(campus: Campus) -> TestApp:
    """The tool's server, which has no cookies of campus."""
    return TestApp(campus.app)


@pytest.fixture
def assertion(campus: Campus, keys: dict[str, rsa.RSAPrivateKey]) -> Assertion:
    return Assertion(campus, keys["tool"])


@pytest.fixture
def service(campus: Campus, server: TestApp, keys: dict[str, rsa.RSAPrivateKey]) -> Service:
    return Service(campus, server, keys["tool"])


@pytest.fixture
def page(chrome: Browser) -> Iterator[Page]:
    """A page of a browser in which the tool and a stranger answer."""
    context = chrome.new_context()
    for origin in (TOOL, STRANGER):
        context.route(
            f"{origin}/**", lambda route: route.fulfill(body="<p>The tool</p>", content_type="text/html")
        )
    yield context.new_page()
    context.close()
