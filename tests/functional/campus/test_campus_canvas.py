"""Canvas' score extension: what campus refuses of it, and where it leads."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from webtest import TestApp

from tests.campus import Campus, lti
from tests.campus.canvas import SUBMISSION
from tests.campus.wire import RESULTS_TYPE
from tests.functional.campus.good_tool import (
    LAUNCH,
    Service,
    authentication_request,
    last_refusal,
    posted,
    read,
)

WHERE = f"{LAUNCH}?submission=7"


def extension(**changes: Any) -> dict[str, Any]:
    """What a good tool says to Canvas when somebody hands in; None leaves a member out."""
    whole = {
        "new_submission": True,
        "submission_type": "basic_lti_launch",
        "submission_data": WHERE,
        "submitted_at": "2026-01-02T03:04:05Z",
        "preserve_score": False,
        "prioritize_non_tool_grade": True,
    } | changes
    return {SUBMISSION: {name: value for name, value in whole.items() if value is not None}}


def test_the_gradebook_leads_to_the_submission(campus: Campus, service: Service, browser: TestApp) -> None:
    service.post_score(**extension())
    service.post_score()
    latest = campus.gradebook.scores(campus.gradebook.items[0], campus.person("zoe"))[0]
    assert latest.submission is not None
    assert latest.submission.submitted_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    page = browser.get("/course/gradebook").click("What was submitted")
    _, begun = posted(browser.get(page.html.find("iframe", id="tool")["src"]))
    assert begun["target_link_uri"] == WHERE
    wanted = authentication_request(campus, lti_message_hint=begun["lti_message_hint"])
    message = read(campus, posted(browser.get("/auth", wanted))[1]["id_token"])
    assert message[lti("message_type")] == "LtiResourceLinkRequest"
    assert message[lti("target_link_uri")] == WHERE
    item = campus.gradebook.items[0].id
    browser.get(f"/course/submission/{item}/sam", status=403)
    browser.get("/?as=nora")
    assert "by Zoë Müller" in browser.get("/course/gradebook").text
    browser.get(f"/course/submission/{item}/zoe")
    browser.get(f"/course/submission/{item}/sam", status=404)


def test_a_launch_of_that_address_can_be_made_by_a_test(campus: Campus) -> None:
    assert campus.initiation("nora", url=WHERE)["target_link_uri"] == WHERE
    assert read(campus, campus.id_token("nora", url=WHERE))[lti("target_link_uri")] == WHERE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"submission_type": "lti"}, "submission_type"),
        ({"submission_data": None}, "submission_data"),
        ({"submission_data": "/launch"}, "submission_data"),
        ({"submission_data": "https://evil.example/"}, "origin"),
        ({"submission_type": "online_url", "submission_data": "https://evil.example/"}, "origin"),
        ({"submission_type": "online_text_entry", "submission_data": 7}, "submission_data"),
        ({"submission_type": "online_upload"}, "content_items"),
        ({"submitted_at": "2026-01-02T03:04:05"}, "with a zone"),
        ({"submitted_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, "in the future"),
        ({"new_submission": "true"}, "new_submission"),
        ({"preserve_score": 1}, "preserve_score"),
        ({"prioritize_non_tool_grade": "no"}, "prioritize_non_tool_grade"),
        ({"submissionType": "none"}, "submissionType"),
    ],
)
def test_a_wrong_extension_is_refused(
    campus: Campus, service: Service, changes: dict[str, Any], reason: str
) -> None:
    service.post_score(400, **extension(**changes))
    assert reason in last_refusal(campus)
    service.post_score(400, **{SUBMISSION: "basic_lti_launch"})


def test_a_submission_of_another_kind_leads_nowhere(service: Service, browser: TestApp) -> None:
    service.post_score(**extension(submission_type="online_url"))
    service.post_score(**extension(submission_type="online_text_entry", submission_data="text"))
    assert "What was submitted" not in browser.get("/course/gradebook").text


def test_a_grade_is_preserved_where_the_tool_says_so(service: Service) -> None:
    service.post_score(scoreGiven=4, scoreMaximum=5, gradingProgress="FullyGraded")
    service.post_score(**extension(preserve_score=True))
    assert len(service.get(service.results, RESULTS_TYPE).json) == 1
    service.post_score(**extension())
    assert service.get(service.results, RESULTS_TYPE).json == []
