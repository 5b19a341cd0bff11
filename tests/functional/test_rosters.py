"""Who is in the course: read in the background, from campus over HTTP."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models
from tests.campus import Campus
from tests.functional.background import Background
from tests.functional.browser import Browser
from tests.functional.conftest import on_sqlite

REFRESH = "refresh_roster"


def members(sessions: sessionmaker[Session]) -> dict[str, bool]:
    """Return who is known, by name, and whether they are active."""
    with sessions() as db:
        return {row.name: row.active for row in db.scalars(sa.select(models.Member))}


def names(campus: Campus, *logins: str) -> set[str]:
    return {campus.person(login).name for login in logins}


def an_hour_passes(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as db:
        db.execute(
            sa.update(models.ResourceLink).values(roster_at=models.now() - timedelta(hours=1, minutes=1))
        )


def test_a_launch_has_the_roster_read_afterwards(
    browser: Browser, background: Background, campus: Campus, sessions: sessionmaker[Session]
) -> None:
    """lti.md 34: all pages, and never in the way of the launch."""
    object.__setattr__(campus.config, "page_size", 2)
    campus.fail_next("memberships", 503)
    browser.launch("nora")
    assert members(sessions) == {}
    background.work()
    assert members(sessions) == {}

    background.rosters_may_be_tried()
    browser.launch("nora")
    background.work()
    assert members(sessions) == dict.fromkeys(names(campus, "nora", "zoe", "layla", "sam"), True)


def test_it_is_read_once_an_hour(
    browser: Browser, background: Background, sessions: sessionmaker[Session]
) -> None:
    browser.launch("nora")
    background.work()
    browser.launch("zoe")
    assert REFRESH not in dict(background.waiting())
    an_hour_passes(sessions)
    browser.launch("zoe")
    assert REFRESH in dict(background.waiting())


def test_who_left_stays_known_as_such(
    browser: Browser, background: Background, campus: Campus, sessions: sessionmaker[Session]
) -> None:
    """lti.md 34: the status counts, and who is not in it at all any more."""
    browser.launch("nora")
    background.work()
    campus.set_status("sam", "Inactive")
    campus.set_status("layla", "Deleted")
    an_hour_passes(sessions)
    browser.launch("nora")
    background.work()
    left = names(campus, "sam", "layla")
    assert {name for name, active in members(sessions).items() if not active} == left

    campus.set_status("layla", "Active")
    an_hour_passes(sessions)
    browser.launch("nora")
    background.work()
    assert {name for name, active in members(sessions).items() if not active} == names(campus, "sam")


def test_a_roster_raises_nobodys_rights(
    browser: Browser, background: Background, campus: Campus, sessions: sessionmaker[Session]
) -> None:
    """lti.md 34: what it says of somebody's role opens nothing."""
    browser.launch("nora")
    background.work()
    with sessions.begin() as db:
        instructor = "http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor"
        db.execute(sa.update(models.Member).values(roles=[instructor]))
    browser.launch("zoe")
    with sessions() as db:
        newest = db.scalars(sa.select(models.Launch).order_by(models.Launch.created_at.desc())).first()
        assert newest is not None
        assert newest.person.sub == campus.person("zoe").sub
        assert newest.staff is False


@on_sqlite
@pytest.mark.parametrize("status", [403, 503, 200])
def test_a_platform_that_gives_none_is_left_alone_for_a_while(
    browser: Browser,
    background: Background,
    campus: Campus,
    sessions: sessionmaker[Session],
    status: int,
) -> None:
    campus.fail_next("memberships", status, times=9)
    for _ in range(3):
        browser.launch("nora")
        background.work()
    assert len([entry for entry in campus.log if entry.endpoint == "memberships"]) == 1
    assert members(sessions) == {}


@on_sqlite
def test_a_platform_that_is_gone_keeps_what_is_known(
    browser: Browser, background: Background, campus: Campus, sessions: sessionmaker[Session]
) -> None:
    browser.launch("nora")
    background.work()
    before = members(sessions)
    an_hour_passes(sessions)
    browser.launch("nora")
    campus.stop()
    background.work()
    assert members(sessions) == before
