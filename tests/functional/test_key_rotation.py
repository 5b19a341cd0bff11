"""The tool's key by schedule, and both keys before a platform while they change: lti.md 36."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models, settings
from ipylti.errors import ServiceError
from ipylti.http import OutgoingHTTP
from ipylti.lti import keys
from ipylti.lti.tokens import AccessTokens
from ipylti.platforms import ToolKeys
from ipylti.volatile import Cache, connect
from tests.campus import Campus, Config
from tests.campus.scopes import SCORE
from tests.functional.background import Background, Jupyter
from tests.functional.browser import TOOL
from tests.functional.conftest import as_registered, on_sqlite, shallow

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)


@pytest.fixture(autouse=True)
def one_key(sessions: sessionmaker[Session], tool_key: keys.ToolKey) -> Iterator[None]:
    """Only the first key, as all other tests know it: PostgreSQL's keys are everybody's."""
    yield
    with sessions.begin() as db:
        db.execute(sa.delete(models.ToolKey))
        ToolKeys(db).save(tool_key)


def published(sessions: sessionmaker[Session], moment: datetime) -> list[str]:
    with sessions() as db:
        return [jwk["kid"] for jwk in ToolKeys(db).published(moment)["keys"]]


def grow_old(sessions: sessionmaker[Session], age: timedelta) -> None:
    """Have the key in force sign since so long ago."""
    with sessions.begin() as db:
        db.execute(sa.update(models.ToolKey).values(activates_at=models.now() - age))


def sweep(background: Background) -> None:
    background.jobs.tasks["sweep"].call_local("")


# By schedule


def test_a_key_that_is_old_enough_gets_a_successor(
    background: Background, sessions: sessionmaker[Session], tool_key: keys.ToolKey
) -> None:
    grow_old(sessions, 90 * DAY - HOUR)
    sweep(background)
    assert published(sessions, models.now()) == [tool_key.kid]

    grow_old(sessions, 90 * DAY + HOUR)
    for _ in range(3):
        sweep(background)
    successor, old = published(sessions, models.now())
    assert old == tool_key.kid
    with sessions() as db:
        made = next(key for key in ToolKeys(db).all() if key.kid == successor)
    assert DAY - 60 * SECOND < made.activates - models.now() <= DAY


@on_sqlite
@pytest.mark.parametrize(("days", "kept"), [("0", 1), ("3650", 1), ("91", 1), ("30", 2)])
def test_the_lifetime_is_what_is_configured(
    ini: dict[str, str],
    jupyter: Jupyter,
    monkeypatch: pytest.MonkeyPatch,
    sessions: sessionmaker[Session],
    days: str,
    kept: int,
) -> None:
    grow_old(sessions, 90 * DAY + HOUR)
    made = Background(settings.load(ini | {"ipylti.key_lifetime": days}, {}), jupyter, monkeypatch)
    sweep(made)
    made.close()
    assert len(published(sessions, models.now())) == kept


@pytest.fixture
def another(
    config: settings.Settings, jupyter: Jupyter, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Background]:
    """A second worker."""
    made = Background(config, jupyter, monkeypatch)
    yield made
    made.close()


def at_once(*actions: Callable[[], Any]) -> None:
    """Do things in threads that begin together."""
    barrier = threading.Barrier(len(actions))

    def do(action: Callable[[], Any]) -> None:
        barrier.wait()
        action()

    threads = [threading.Thread(target=do, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_workers_at_once_make_one_successor(
    background: Background, another: Background, sessions: sessionmaker[Session]
) -> None:
    grow_old(sessions, 91 * DAY)
    at_once(*[each.worker._look_after_keys for each in (background, another)] * 2)
    assert len(published(sessions, models.now())) == 2


def test_without_the_lock_the_database_still_makes_one_successor(sessions: sessionmaker[Session]) -> None:
    """Redis may have lost it, and an administrator may rotate at that moment."""
    grow_old(sessions, 91 * DAY)

    def rotate() -> None:
        with sessions.begin() as db:
            ToolKeys(db).rotate_if_due(models.now(), 90 * DAY)

    at_once(rotate, rotate, rotate)
    assert len(published(sessions, models.now())) == 2


# Across the switch


class View:
    """campus, which sees the tool's keys as they are published at a moment.

    :param moment: moved by a test. Assertions carry the real time: only the keys follow the moment.
    """

    def __init__(self, sessions: sessionmaker[Session], cache: Cache, key: rsa.RSAPrivateKey) -> None:
        self.sessions = sessions
        self.cache = cache
        self.moment = models.now()
        self.campus = shallow(Campus, Config(tool_url=TOOL, port=0, tool_jwks=self.published), key)

    def published(self) -> dict[str, Any]:
        with self.sessions() as db:
            return ToolKeys(db).published(self.moment)

    def takes(self, signed: datetime) -> bool:
        """Return whether it gives a token for an assertion by the key that signs at a moment."""
        registration = as_registered(self.campus)
        with self.sessions() as db:
            signer = ToolKeys(db).signer(signed)
        tokens = AccessTokens(OutgoingHTTP("ipylti/test", allow_private=True), self.cache, signer)
        try:
            tokens.forget(registration, [SCORE], tokens.get(registration, [SCORE]))
        except ServiceError as err:
            assert err.status == 400
            assert "0 keys of the kid" in self.campus.log.refused("token")[-1].text
            return False
        return True


@pytest.fixture
def view(sessions: sessionmaker[Session], redis_url: str, platform_key: rsa.RSAPrivateKey) -> Iterator[View]:
    made = View(sessions, Cache(connect(redis_url), "tokens"), platform_key)
    with made.campus:
        yield made


def test_both_keys_are_taken_while_they_change(view: View, sessions: sessionmaker[Session]) -> None:
    """The new one by whoever fetched the keys a day before, the old one for a week after."""
    begun = models.now()
    with sessions.begin() as db:
        assert ToolKeys(db).rotate(begun)
        old = ToolKeys(db).all()[0].kid
    switch = begun + DAY
    before, after = switch - SECOND, switch
    with sessions() as db:
        kids = [keys.signing_key(ToolKeys(db).all(), moment).kid for moment in (begun, before, after)]
    assert kids[:2] == [old, old]
    assert kids[2] != old

    for view.moment in (begun, before, after, switch + 7 * DAY - SECOND):
        assert view.takes(before)
        assert view.takes(after)
    view.moment = switch + 7 * DAY
    assert not view.takes(before)
    assert view.takes(after)


@on_sqlite
def test_a_key_that_nobody_knows_any_more_is_forgotten(
    background: Background, sessions: sessionmaker[Session], tool_key: keys.ToolKey
) -> None:
    """With its private part; whether keys change by schedule or by hand."""
    with sessions.begin() as db:
        assert ToolKeys(db).rotate(models.now())
    sweep(background)
    assert len(published(sessions, models.now())) == 2
    with sessions.begin() as db:
        db.execute(
            sa.update(models.ToolKey)
            .where(models.ToolKey.retires_at.is_not(None))
            .values(retires_at=models.now() - SECOND)
        )
    sweep(background)
    with sessions() as db:
        assert [key.kid for key in ToolKeys(db).all()] != [tool_key.kid]
        assert len(ToolKeys(db).all()) == 1
