"""Custom parameters, dates, return URL, histories: lti.md 17 to 21."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ipylti.lti import claims, parts
from ipylti.lti.claims import Claims
from tests.unit.lti.platforms import GONE, LEARNER, LTI, FakePlatform, Tool


def custom(values: dict[str, Any]) -> dict[str, str]:
    return parts.custom(Claims({LTI + "custom": values}))


def test_custom_parameters_are_strings_or_integers() -> None:
    """lti.md 18."""
    values = {"a": "1", "b": 2, "c": -3, "d": "", "e": "ü $"}
    assert custom(values) == {"a": "1", "b": "2", "c": "-3", "d": "", "e": "ü $"}


@pytest.mark.parametrize("value", [None, True, 1.5, [], ["x"], {}, {"a": "b"}])
def test_a_custom_parameter_of_another_type_counts_as_absent(value: object) -> None:
    """lti.md 18."""
    assert custom({"a": value, "b": "stays"}) == {"b": "stays"}


@pytest.mark.parametrize("value", ["$ResourceLink.id.history", "$", "$5"])
def test_an_unsubstituted_variable_counts_as_absent(value: str) -> None:
    """lti.md 18."""
    assert custom({"a": value}) == {}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2031-05-01T12:00:00Z", datetime(2031, 5, 1, 12, tzinfo=UTC)),
        ("2031-05-01T12:00:00+02:00", datetime(2031, 5, 1, 10, tzinfo=UTC)),
        ("2031-05-01T12:00:00.5-0700", datetime(2031, 5, 1, 19, 0, 0, 500_000, tzinfo=UTC)),
        ("2031-05-01T12:00:00", datetime(2031, 5, 1, 12, tzinfo=UTC)),
        (" 2031-05-01T12:00:00Z ", datetime(2031, 5, 1, 12, tzinfo=UTC)),
        ("2031-05-01", datetime(2031, 5, 1, tzinfo=UTC)),
        ("2031-05-01T12:00:00Z,2031-05-08T12:00:00Z", datetime(2031, 5, 8, 12, tzinfo=UTC)),
        ("2031-05-01T12:00:00Z,,never", datetime(2031, 5, 1, 12, tzinfo=UTC)),
    ],
)
def test_dates(text: str, moment: datetime) -> None:
    """lti.md 19."""
    dates = parts.dates({claims.CUSTOM_DUE_AT: text, claims.CUSTOM_AVAILABLE_UNTIL: text})
    assert dates == parts.Dates(due_at=moment, available_until=moment)


@pytest.mark.parametrize(
    "text",
    ["", "never", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "1e9", "2031-13-01", ",,,"],
)
def test_a_date_that_is_none_breaks_nothing(text: str) -> None:
    """lti.md 19."""
    assert parts.dates({claims.CUSTOM_DUE_AT: text}) is None


def test_canvas_own_due_date_serves_where_the_standard_one_is_not_filled_in(
    tool: Tool, platform: FakePlatform
) -> None:
    """lti.md 19."""
    given = {
        "ipylti_due_at": "$ResourceLink.submission.endDateTime",
        "ipylti_canvas_due_at": "2031-05-01T12:00:00Z",
        "ipylti_available_from": "2031-04-01T12:00:00Z",
        "ipylti_available_until": "",
    }
    dates = tool.launch(platform, custom=given).dates
    assert dates is not None
    assert dates.due_at == datetime(2031, 5, 1, 12, tzinfo=UTC)
    assert dates.available_from == datetime(2031, 4, 1, 12, tzinfo=UTC)
    assert dates.available_until is None


def test_without_dates(tool: Tool, platform: FakePlatform) -> None:
    assert tool.launch(platform, custom=GONE).dates is None


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://lms.example/back", True),
        ("http://lms.example:8080/back?a=1#there", True),
        ("javascript:alert(1)", False),
        ("JaVaScRiPt:alert(1)", False),
        ("data:text/html,x", False),
        ("/back", False),
        ("//lms.example/back", False),
        ("https://user:pass@lms.example/", False),
        ("https://lms.example/\nx", False),
        ("about:blank", False),
        ("", False),
    ],
)
def test_only_a_web_url_is_returned_to(tool: Tool, platform: FakePlatform, url: str, kept: bool) -> None:
    """lti.md 20."""
    message = tool.launch(platform, launch_presentation={"return_url": url})
    assert message.return_url == (url if kept else None)


def test_an_unknown_document_target_counts_as_absent(tool: Tool, platform: FakePlatform) -> None:
    assert tool.launch(platform, launch_presentation={"document_target": "popup"}).document_target is None


def test_the_locale_of_the_person_serves_where_the_presentation_has_none(
    tool: Tool, platform: FakePlatform
) -> None:
    message = tool.launch(platform, {"launch_presentation": GONE, "locale": "fr-CA"})
    assert message.locale == "fr-CA"


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://lms.example/back", "https://lms.example/back?lti_msg=Bye+%26+thanks"),
        ("https://lms.example/b?a=%2F&b=", "https://lms.example/b?a=%2F&b=&lti_msg=Bye+%26+thanks"),
        ("https://lms.example/b?a=1#part", "https://lms.example/b?a=1&lti_msg=Bye+%26+thanks#part"),
    ],
)
def test_the_return_link_keeps_its_query(url: str, link: str) -> None:
    """lti.md 20."""
    assert parts.return_link(url, message="Bye & thanks") == link


def test_the_return_link_for_an_error() -> None:
    """lti.md 20."""
    link = parts.return_link("https://lms.example/", error="Sorry")
    assert link == "https://lms.example/?lti_errormsg=Sorry"
    assert parts.return_link("https://lms.example/?a") == "https://lms.example/?a"


def test_histories_of_copies(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 21."""
    given = {
        "ipylti_context_history": "course-9, course-8,",
        "ipylti_link_history": "$ResourceLink.id.history",
        "ipylti_assignment": "abc",
    }
    message = tool.launch(platform, custom=given)
    assert message.history == parts.History(contexts=("course-9", "course-8"))
    assert message.custom["ipylti_assignment"] == "abc"


def test_a_test_user_is_told_apart(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 17."""
    test_user = "http://purl.imsglobal.org/vocab/lti/system/person#TestUser"
    message = tool.launch(platform, roles=[LEARNER, test_user])
    assert message.test_user
    assert message.roles.learner


def test_services_that_are_not_offered(tool: Tool, platform: FakePlatform) -> None:
    ags = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
    message = tool.launch(platform, {ags: {"lineitem": "", "lineitems": None}})
    assert message.ags == parts.AgsEndpoint(frozenset())
