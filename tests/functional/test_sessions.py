"""Sessions where Redis goes away in the middle of a request: a page that says so, and nothing half done."""

from typing import Any

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models
from tests.functional.browser import Browser, Student, path_of
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite


def gone(*_args: Any, **_options: Any) -> None:
    raise redis.ConnectionError("Connection refused")


def test_a_page_whose_session_can_not_be_kept_says_so(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was read, and then Redis died."""
    monkeypatch.setattr(redis.Redis, "expire", gone)
    answer = student.browser.app.get(path_of(student.page), status=503)
    assert "redis.down" in answer
    monkeypatch.undo()
    student.browser.app.get(path_of(student.page), status=200)


def test_a_launch_without_a_session_is_none(
    browser: Browser, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    form = browser.message("zoe")
    monkeypatch.setattr(redis.Redis, "setex", gone)
    answer = browser.app.post("/launch", form, status=503)
    assert "redis.down" in answer
    with sessions() as db:
        assert db.scalar(sa.select(sa.func.count()).select_from(models.Launch)) == 0
