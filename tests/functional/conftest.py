"""The application as WSGI, on a real Redis and both databases, with campus in-process as its platform."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.orm import Session, sessionmaker

import ipylti
from ipylti import models, settings
from ipylti.lti import keys
from ipylti.lti.registrations import Quirks, Registration
from ipylti.models.meta import READ_ONLY
from ipylti.models.upgrade import upgrade
from ipylti.platforms import Platforms, ToolKeys
from tests.campus import Campus, Config
from tests.campus.keys import new_key
from tests.functional.background import Background, Jupyter
from tests.functional.browser import NOTEBOOKS, TOOL, Browser, Student, populate
from tests.functional.delivery import Delivery

T = TypeVar("T")


@pytest.fixture(scope="session")
def platform_key() -> rsa.RSAPrivateKey:
    """campus' key, made once."""
    return new_key()


@pytest.fixture(scope="session")
def tool_key() -> keys.ToolKey:
    """The tool's own key, made once."""
    return keys.generate(models.now())


#: For what is the same on every database.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory, tool_key: keys.ToolKey) -> Path:
    """A database file with the schema and the tool's key, to be copied."""
    path = tmp_path_factory.mktemp("template") / "ipylti.sqlite"
    prepare(f"sqlite:///{path}", tool_key)
    return path


@pytest.fixture(scope="session")
def postgresql_prepared(postgresql_url: str, tool_key: keys.ToolKey) -> str:
    """The PostgreSQL database, with the schema."""
    prepare(postgresql_url, tool_key)
    return postgresql_url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with nothing in it at all."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.sqlite"
        return
    base = sa.make_url(request.getfixturevalue("postgresql_url"))
    server = sa.create_engine(base, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS empty WITH (FORCE)"))
        connection.execute(sa.text("CREATE DATABASE empty"))
    yield base.set(database="empty").render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(sa.text("DROP DATABASE empty WITH (FORCE)"))
    server.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the schema, the tool's key and nothing else in it."""
    if request.param == "sqlite":
        path = tmp_path / "ipylti.sqlite"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("postgresql_prepared")
    tables = [table.name for table in models.Base.metadata.sorted_tables]
    with disposable(url) as engine, engine.begin() as connection:
        # Whoever left a transaction open is found by this and not by a test that hangs.
        connection.execute(sa.text("SET LOCAL lock_timeout = '20s'"))
        connection.execute(sa.text(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY"))
    with disposable(url) as engine, sessionmaker(engine).begin() as db:
        ToolKeys(db).save(request.getfixturevalue("tool_key"))
    return url


def prepare(url: str, tool_key: keys.ToolKey) -> None:
    """Make the schema, and keep the tool's key."""
    with disposable(url) as engine:
        upgrade(engine)
        with sessionmaker(engine).begin() as db:
            ToolKeys(db).save(tool_key)


@contextlib.contextmanager
def disposable(url: str) -> Iterator[sa.Engine]:
    """An engine that leaves no connection behind."""
    engine = models.make_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled templates are kept: each test makes an application, and no two differ in them."""
    return tmp_path_factory.mktemp("templates")


@pytest.fixture
def ini(database_url: str, redis_url: str, compiled: Path) -> dict[str, str]:
    """The settings; Redis is empty."""
    redis.Redis.from_url(redis_url).flushall()
    return ini_for(database_url, redis_url, compiled)


def ini_for(database_url: str, redis_url: str, compiled: Path) -> dict[str, str]:
    """Return the settings on this database and this Redis."""
    return {
        "ipylti.url": TOOL,
        "ipylti.notebook_domain": NOTEBOOKS,
        "ipylti.secret": "6b1f0c9e8d27a45330f4e1b2c7d8596a",
        "ipylti.podman_url": "unix:///nowhere.sock",
        "ipylti.allow_private_platforms": "true",
        "sqlalchemy.url": database_url,
        "redis.sessions.url": redis_url,
        "jinja2.bytecode_caching": "true",
        "jinja2.bytecode_caching_directory": str(compiled),
    }


def shallow(make: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call something in a thread of its own: pyramid_jinja2 looks at the source of every frame of the stack,
    and under pytest there are many."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(make, *args, **kwargs).result()


@pytest.fixture
def app(ini: dict[str, str]) -> Iterator[Any]:
    """The WSGI application."""
    made = shallow(ipylti.main, {}, **ini)
    yield made
    made.registry["ipylti.services"].engine.dispose()


@pytest.fixture
def config(ini: dict[str, str]) -> settings.Settings:
    return settings.load(ini, {})


@pytest.fixture
def db(app: Any) -> Iterator[Session]:
    """A session beside the application's, to look at what it did; it keeps no writer waiting."""
    engine = app.registry["ipylti.services"].engine.execution_options(**{READ_ONLY: True})
    with Session(engine) as session:
        yield session


def connect(sessions: sessionmaker[Session], campus: Campus, quirks: Quirks | None = None) -> None:
    """Register a platform with the tool, as `ipylti platform add` does."""
    told = campus.registration
    with sessions.begin() as db:
        Platforms(db).add(
            issuer=told["issuer"],
            client_id=told["client-id"],
            auth_url=told["auth-url"],
            token_url=told["token-url"],
            jwks_url=told["jwks-url"],
            token_audience=told["token-audience"],
            deployments=[told["deployment"]],
            quirks=quirks or Quirks(),
            allow_http=True,
        )


def as_registered(campus: Campus) -> Registration:
    """Return what the protocol would know of a platform that is registered, with no database."""
    told = campus.registration
    return Registration(
        id=1,
        issuer=told["issuer"],
        client_id=told["client-id"],
        auth_url=told["auth-url"],
        token_url=told["token-url"],
        jwks_url=told["jwks-url"],
        token_audience=told["token-audience"],
        deployments=frozenset({told["deployment"]}),
    )


@pytest.fixture
def campus(app: Any, platform_key: rsa.RSAPrivateKey, tool_key: keys.ToolKey) -> Iterator[Campus]:
    """The platform, registered with the tool, serving its keys and its gradebook."""
    published = keys.public_jwks([tool_key], models.now())
    made = shallow(
        Campus,
        Config(tool_url=TOOL, client_id="client", port=0, tool_jwks=lambda: published),
        platform_key,
    )
    connect(app.registry["ipylti.services"].sessions, made)
    with made:
        yield made


@pytest.fixture
def browser(app: Any, campus: Campus) -> Browser:
    return Browser(app, campus)


@pytest.fixture
def another_browser(app: Any, campus: Campus) -> Browser:
    return Browser(app, campus)


@pytest.fixture
def jupyter() -> Iterator[Jupyter]:
    """What stands behind all notebook hosts, for the worker's own probes."""
    with Jupyter() as made:
        yield made


@pytest.fixture
def background(
    ini: dict[str, str], jupyter: Jupyter, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Background]:
    """The worker, whose jobs a test runs when it likes, on containers that are not there."""
    config = settings.load(ini | {"ipylti.traefik_url": jupyter.url}, {})
    made = Background(config, jupyter, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def sessions(app: Any) -> sessionmaker[Session]:
    """Sessions on the application's database."""
    made: sessionmaker[Session] = app.registry["ipylti.services"].sessions
    return made


@pytest.fixture
def student(browser: Browser, sessions: sessionmaker[Session]) -> Student:
    """Zoë, at work."""
    made = Student(browser, browser.launch("zoe"), sessions)
    populate(sessions)
    return made


@pytest.fixture
def delivery(student: Student, background: Background, campus: Campus) -> Delivery:
    """What a test of deliveries does and looks at."""
    return Delivery(student, background, campus)


@pytest.fixture
def layla(another_browser: Browser, student: Student) -> Student:
    """Another student at the same assignment."""
    made = Student(another_browser, another_browser.launch("layla"), student.sessions)
    populate(student.sessions)
    return made
