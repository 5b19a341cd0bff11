"""When to ask a platform again: lti.md 30."""

from datetime import UTC, datetime

import pytest

from ipylti.lti import services

NOW = datetime(2031, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("999999999999999999999", 86_400),
        ("Thu, 01 May 2031 12:01:00 GMT", 60),
        ("Thu, 01 May 2031 12:01:00 -0000", 60),
        ("Thu, 01 May 2031 11:00:00 GMT", 0),
        ("Thu, 01 May 2032 12:00:00 GMT", 86_400),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert services.retry_after({"retry-after": value}, NOW) == seconds


def test_without_the_header() -> None:
    assert services.retry_after({}) is None
