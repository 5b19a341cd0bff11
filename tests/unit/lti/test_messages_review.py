"""Submission Review requests: lti.md 33, and what may be wrong with one."""

from typing import Any

import pytest

from ipylti.errors import RefusedMessage
from ipylti.lti.claims import AGS_ENDPOINT, FOR_USER
from ipylti.lti.messages import SubmissionReviewMessage
from tests.unit.lti.platforms import GONE, INSTRUCTOR, LEARNER, FakePlatform, Tool

ITEM = "https://lms.example/items/1?type_id=2"
AGS = {"scope": [], "lineitem": ITEM, "lineitems": "https://lms.example/items"}


def asking(**changes: Any) -> dict[str, Any]:
    """Return the claims that make a launch a review of person 2's submission."""
    return {
        "message_type": "LtiSubmissionReviewRequest",
        "roles": [INSTRUCTOR],
        FOR_USER: {"user_id": "person-2", "name": "Layla", "roles": [LEARNER]},
        **changes,
    }


def receive(tool: Tool, platform: FakePlatform, **changes: Any) -> SubmissionReviewMessage:
    message = tool.launch(platform, asking(**changes))
    assert isinstance(message, SubmissionReviewMessage)
    return message


def code_of(tool: Tool, platform: FakePlatform, **changes: Any) -> str:
    with pytest.raises(RefusedMessage) as refusal:
        tool.launch(platform, asking(**changes))
    return refusal.value.code


def test_who_looks_at_whose(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 33."""
    message = receive(tool, platform)
    assert (message.sub, message.for_user, message.roles.staff) == ("person-1", "person-2", True)
    assert message.resource_link.id == "link-1"
    assert message.ags is not None
    assert message.ags.line_item == ITEM


def test_people_look_at_their_own(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 33: which submissions somebody sees is for the domain to say; the message says both."""
    message = receive(tool, platform, roles=[LEARNER], **{FOR_USER: {"user_id": "person-1"}})
    assert (message.sub, message.for_user, message.roles.staff) == ("person-1", "person-1", False)


def test_the_other_persons_roles_are_not_the_viewers(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 16 and 33."""
    told = {"user_id": "person-2", "roles": [INSTRUCTOR]}
    assert not receive(tool, platform, roles=[LEARNER], **{FOR_USER: told}).roles.staff


@pytest.mark.parametrize("value", [GONE, None, {}, {"user_id": None}, {"user_id": ""}, {"name": "Layla"}])
def test_nobody_is_named(tool: Tool, platform: FakePlatform, value: object) -> None:
    """lti.md 33."""
    assert code_of(tool, platform, **{FOR_USER: value}) == "message.for_user"


@pytest.mark.parametrize(
    "value",
    [{"user_id": 7}, {"user_id": ["person-2"]}, {"user_id": {}}, {"user_id": True}, {"user_id": "x" * 256}],
)
def test_a_person_is_a_text_of_some_length(tool: Tool, platform: FakePlatform, value: object) -> None:
    """lti.md 13 and 33."""
    assert code_of(tool, platform, **{FOR_USER: value}) == "message.for_user"


@pytest.mark.parametrize("value", ["person-2", 7, [], [{"user_id": "person-2"}], True])
def test_the_claim_is_an_object(tool: Tool, platform: FakePlatform, value: object) -> None:
    """lti.md 13 and 33."""
    assert code_of(tool, platform, **{FOR_USER: value}) == "message.claim"


@pytest.mark.parametrize(
    "value",
    [GONE, None, {}, {"scope": []}, AGS | {"lineitem": None}, AGS | {"lineitem": ""}],
)
def test_without_a_line_item(tool: Tool, platform: FakePlatform, value: object) -> None:
    """lti.md 33: it says which column of the gradebook is looked at."""
    assert code_of(tool, platform, **{AGS_ENDPOINT: value}) == "message.line_item"


@pytest.mark.parametrize("value", [5, [], "javascript:alert(1)", "/items/1", "ftp://lms.example/items/1"])
def test_a_line_item_that_is_none(tool: Tool, platform: FakePlatform, value: object) -> None:
    """lti.md 13."""
    assert code_of(tool, platform, **{AGS_ENDPOINT: AGS | {"lineitem": value}}) == "message.claim"


@pytest.mark.parametrize("value", [GONE, None, {"id": ""}, {"title": "t"}])
def test_without_a_link(tool: Tool, platform: FakePlatform, value: object) -> None:
    assert code_of(tool, platform, resource_link=value) == "message.resource_link"


@pytest.mark.parametrize("claim", ["deployment_id", "version", "roles", "sub", "target_link_uri", "nonce"])
def test_what_every_message_needs(tool: Tool, platform: FakePlatform, claim: str) -> None:
    """lti.md 13: without `sub` nobody looks at anything."""
    assert code_of(tool, platform, **{claim: GONE}).startswith("message.")


def test_the_claim_makes_no_review_of_a_launch(tool: Tool, platform: FakePlatform) -> None:
    message = tool.launch(platform, {FOR_USER: {"user_id": "person-2"}})
    assert not isinstance(message, SubmissionReviewMessage)
    assert not hasattr(message, "for_user")
