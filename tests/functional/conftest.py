"""The application as WSGI, on a real Redis and both databases, with campus in-process as its platform."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import redis
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.orm import Session, sessionmaker
from webtest import TestApp, TestResponse

import ipylti
from ipylti import models, settings
from ipylti.lti import keys
from ipylti.lti.registrations import Quirks
from ipylti.models.upgrade import upgrade
from ipylti.platforms import Platforms, ToolKeys
from tests.campus import Campus, Config
from tests.campus.keys import new_key

TOOL = "https://tool.example"
NOTEBOOKS = "notebooks.example"


@pytest.fixture(scope="session")
def platform_key() -> rsa.RSAPrivateKey:
    """campus' key, made once."""
    return new_key()


@pytest.fixture(scope="session")
def tool_key() -> keys.ToolKey:
    """The tool's own key, made once."""
    return keys.generate(models.now())


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the schema and nothing in it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/ipylti.sqlite"
    else:
        url = request.getfixturevalue("postgresql_url")
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        engine.dispose()
    engine = models.make_engine(url)
    upgrade(engine)
    with sessionmaker(engine).begin() as db:
        ToolKeys(db).save(request.getfixturevalue("tool_key"))
    engine.dispose()
    return url


@pytest.fixture
def ini(database_url: str, redis_url: str) -> dict[str, str]:
    """The settings; Redis is empty."""
    redis.Redis.from_url(redis_url).flushall()
    return {
        "ipylti.url": TOOL,
        "ipylti.notebook_domain": NOTEBOOKS,
        "ipylti.secret": "0123456789abcdef0123456789abcdef",
        "ipylti.podman_url": "unix:///nowhere.sock",
        "ipylti.allow_private_platforms": "true",
        "sqlalchemy.url": database_url,
        "redis.sessions.url": redis_url,
    }


@pytest.fixture
def app(ini: dict[str, str]) -> Iterator[Any]:
    """The WSGI application."""
    made = ipylti.main({}, **ini)
    yield made
    made.registry["ipylti.services"].engine.dispose()


@pytest.fixture
def config(ini: dict[str, str]) -> settings.Settings:
    return settings.load(ini, {})


@pytest.fixture
def db(app: Any) -> Iterator[Session]:
    """A session beside the application's, to look at what it did."""
    with app.registry["ipylti.services"].sessions() as session:
        yield session


@pytest.fixture
def campus(app: Any, platform_key: rsa.RSAPrivateKey) -> Iterator[Campus]:
    """The platform, registered with the tool, serving its keys."""
    made = Campus(
        Config(tool_url=TOOL, client_id="client", port=0, tool_jwks=lambda: {"keys": []}), platform_key
    )
    told = made.registration
    with app.registry["ipylti.services"].sessions.begin() as db:
        Platforms(db).add(
            issuer=told["issuer"],
            client_id=told["client-id"],
            auth_url=told["auth-url"],
            token_url=told["token-url"],
            jwks_url=told["jwks-url"],
            token_audience=told["token-audience"],
            deployments=[told["deployment"]],
            quirks=Quirks(),
            allow_http=True,
        )
    with made:
        yield made


@dataclass
class Browser:
    """One browser, its cookies its own, that launches from campus."""

    wsgi: Any
    campus: Campus
    app: TestApp = field(init=False)

    def __post_init__(self) -> None:
        self.app = TestApp(self.wsgi, extra_environ={"HTTP_HOST": "tool.example", "wsgi.url_scheme": "https"})

    def login(self, person: str, link: str | None = None, **changes: Any) -> dict[str, str]:
        """Go through the login initiation; returns the parameters of the authentication request."""
        params = self.campus.initiation(person, link) | changes
        answer = self.app.get("/login", params=params, status=302)
        return dict(parse_qsl(urlsplit(answer.location).query))

    def message(self, person: str, link: str | None = None, **tampering: Any) -> dict[str, str]:
        """Log in and return the form that campus would post."""
        asked = self.login(person, link)
        token = self.campus.id_token(person, link, asked["nonce"], **tampering)
        return {"state": asked["state"], "id_token": token}

    def launch(self, person: str, link: str | None = None, **tampering: Any) -> TestResponse:
        """Launch; returns the workbench."""
        form = self.message(person, link, **tampering)
        answer = self.app.post("/launch", form, status=303)
        return self.app.get(urlsplit(answer.location).path, status=200)

    def status(self, workbench: TestResponse) -> dict[str, Any]:
        """Return the status of a workbench's launch."""
        answer: dict[str, Any] = self.app.get(f"{path_of(workbench)}/status", status=200).json
        return answer


def path_of(workbench: TestResponse) -> str:
    """Return the path of the workbench that a page is."""
    return str(workbench.request.path)


def csrf_token(workbench: TestResponse) -> str:
    """Return the CSRF token in a page."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', workbench.text)
    assert found
    return found[1]


@pytest.fixture
def browser(app: Any, campus: Campus) -> Browser:
    return Browser(app, campus)


@pytest.fixture
def another_browser(app: Any, campus: Campus) -> Browser:
    return Browser(app, campus)
