"""The answer to a Deep Linking request: lti.md 25."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jwt
import pytest

from ipylti.lti import claims, deep_linking, keys
from ipylti.lti.deep_linking import DeepLinkingReturn
from ipylti.lti.messages import DeepLinkingMessage
from tests.unit.lti.platforms import FakePlatform, Tool
from tests.unit.lti.test_messages_deep_linking import SETTINGS, asking

NOW = datetime(2031, 5, 1, 12, tzinfo=UTC)
KEPT = DeepLinkingReturn(
    client_id="tool-at-lms",
    issuer="https://lms.example",
    deployment_id="deployment-1",
    return_url="https://lms.example/return",
    accept_line_item=None,
    data="d",
)
ITEM = {"type": "ltiResourceLink", "url": "https://tool.example/launch", "title": "Rain"}


@pytest.fixture(scope="module")
def key() -> keys.ToolKey:
    return keys.generate(NOW)


def answered(key: keys.ToolKey, *items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an answer as the platform reads it, with our published key."""
    token = deep_linking.response(replace(KEPT, **changes), items, keys.Signer(key), NOW)
    (public,) = keys.public_jwks([key], NOW)["keys"]
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT", "kid": public["kid"]}
    # The times are those of the test, and are looked at there.
    told: dict[str, Any] = jwt.decode(
        token,
        jwt.PyJWK(public).key,
        ["RS256"],
        audience="https://lms.example",
        options={"verify_exp": False, "verify_iat": False},
    )
    return told


def test_who_answers_whom(key: keys.ToolKey) -> None:
    """lti.md 25: `iss` is the client id, `aud` the issuer."""
    told = answered(key, ITEM)
    assert (told["iss"], told["aud"]) == ("tool-at-lms", "https://lms.example")
    assert told[claims.DEPLOYMENT_ID] == "deployment-1"
    assert told[claims.MESSAGE_TYPE] == "LtiDeepLinkingResponse"
    assert told[claims.VERSION] == "1.3.0"


def test_it_is_good_for_five_minutes_at_most(key: keys.ToolKey) -> None:
    told = answered(key, ITEM)
    assert 0 < told["exp"] - told["iat"] <= 300
    assert told["exp"] > NOW.timestamp() + 200


def test_a_platform_whose_clock_is_a_little_behind_takes_it(key: keys.ToolKey) -> None:
    """lti.md 25: Moodle refuses what is of the future, by a second even."""
    assert NOW.timestamp() - 10 <= answered(key, ITEM)["iat"] <= NOW.timestamp() - 5


def test_no_two_answers_have_one_nonce(key: keys.ToolKey) -> None:
    nonces = {answered(key, ITEM)["nonce"] for _ in range(5)}
    assert len(nonces) == 5
    assert min(map(len, nonces)) >= 22


@pytest.mark.parametrize("data", ["", " ", "csrf:é\n\"'<>&", '{"a": 1}', "x" * 5000])
def test_data_comes_back_verbatim(key: keys.ToolKey, data: str) -> None:
    """lti.md 25."""
    assert answered(key, ITEM, data=data)[claims.DEEP_LINKING_DATA] == data


def test_data_that_was_not_given_does_not_come_back(key: keys.ToolKey) -> None:
    """lti.md 25."""
    assert claims.DEEP_LINKING_DATA not in answered(key, ITEM, data=None)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_items(key: keys.ToolKey, number: int) -> None:
    """lti.md 25: none means cancelled, and the list is there all the same."""
    items = [ITEM | {"title": str(each)} for each in range(number)]
    assert answered(key, *items)[claims.CONTENT_ITEMS] == items


def test_nothing_else_is_said(key: keys.ToolKey) -> None:
    assert set(answered(key)) == {
        "iss",
        "aud",
        "iat",
        "exp",
        "nonce",
        claims.DEPLOYMENT_ID,
        claims.MESSAGE_TYPE,
        claims.VERSION,
        claims.CONTENT_ITEMS,
        claims.DEEP_LINKING_DATA,
    }


@pytest.mark.parametrize("data", [None, "", "d"])
@pytest.mark.parametrize("line_item", [None, True, False])
def test_what_is_kept_of_a_request_survives_the_store(
    tool: Tool, platform: FakePlatform, data: str | None, line_item: bool | None
) -> None:
    settings = SETTINGS | {"data": data, "accept_lineitem": line_item}
    message = tool.launch(platform, asking(settings))
    assert isinstance(message, DeepLinkingMessage)
    kept = DeepLinkingReturn.of(message)
    assert (kept.client_id, kept.issuer) == ("tool-at-lms", "https://lms.example")
    assert (kept.data, kept.accept_line_item) == (data, line_item)
    assert kept.return_url == SETTINGS["deep_link_return_url"]
    assert DeepLinkingReturn.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept


def item(**changes: Any) -> dict[str, Any]:
    told = {
        "launch_url": "https://tool.example/launch",
        "title": "Rain",
        "assignment": "a1",
        "maximum": 12.5,
        "due_at": None,
    }
    return deep_linking.content_item(**{**told, **changes})


def test_a_link_with_its_column() -> None:
    """lti.md 21 and 25: the id stands in both, for copies."""
    assert item() == {
        "type": "ltiResourceLink",
        "url": "https://tool.example/launch",
        "title": "Rain",
        "custom": {"ipylti_assignment": "a1", **claims.CUSTOM_FIELDS},
        "lineItem": {
            "label": "Rain",
            "scoreMaximum": 12.5,
            "resourceId": "a1",
            "tag": "ipylti",
            "submissionReview": {"reviewableStatus": ["Submitted", "Completed"]},
        },
    }


def test_what_is_handed_in_can_be_looked_at_from_the_gradebook() -> None:
    """lti.md 25 and 33: where the line item says so, in both ways of saying "handed in"."""
    offered = set(item()["lineItem"]["submissionReview"]["reviewableStatus"])
    assert offered >= {"Completed", "Submitted"}


def test_a_link_without_a_column() -> None:
    assert "lineItem" not in item(maximum=None)


def test_the_due_date_is_said_in_utc() -> None:
    """lti.md 19."""
    due = datetime(2031, 5, 1, 23, 59, tzinfo=timezone(timedelta(hours=2)))
    assert item(due_at=due)["submission"] == {"endDateTime": "2031-05-01T21:59:00.000Z"}
    assert "submission" not in item()
