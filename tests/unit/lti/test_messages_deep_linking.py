"""Deep Linking requests: lti.md 25, and what may be wrong with one."""

from typing import Any

import pytest

from ipylti.errors import IpyltiError, RefusedMessage
from ipylti.lti import deep_linking
from ipylti.lti.claims import DEEP_LINKING_SETTINGS
from ipylti.lti.messages import DeepLinkingMessage
from ipylti.lti.parts import DeepLinkingSettings
from tests.unit.lti.platforms import GONE, INSTRUCTOR, LEARNER, FakePlatform, Tool

RETURN = "https://lms.example/return?course=1&sesskey=a%2Fb"
SETTINGS = {
    "deep_link_return_url": RETURN,
    "accept_types": ["link", "ltiResourceLink"],
    "accept_presentation_document_targets": ["iframe", "window"],
}
AGS = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"


def asking(settings: Any = None, **changes: Any) -> dict[str, Any]:
    """Return the claims that make a launch a Deep Linking request."""
    return {
        "message_type": "LtiDeepLinkingRequest",
        "roles": [INSTRUCTOR],
        "resource_link": GONE,
        AGS: GONE,
        DEEP_LINKING_SETTINGS: SETTINGS if settings is None else settings,
        **changes,
    }


def receive(tool: Tool, platform: FakePlatform, settings: Any = None, **changes: Any) -> DeepLinkingMessage:
    message = tool.launch(platform, asking(settings, **changes))
    assert isinstance(message, DeepLinkingMessage)
    return message


def code_of(tool: Tool, platform: FakePlatform, settings: Any = None, **changes: Any) -> str:
    with pytest.raises(RefusedMessage) as refusal:
        tool.launch(platform, asking(settings, **changes))
    return refusal.value.code


def test_the_least_that_a_platform_asks(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 25."""
    message = receive(tool, platform)
    assert message.settings == DeepLinkingSettings(RETURN, ("link", "ltiResourceLink"))
    assert (message.sub, message.roles.staff) == ("person-1", True)
    assert message.context is not None


def test_all_that_a_platform_asks(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 25."""
    more = {
        "accept_multiple": True,
        "accept_lineitem": False,
        "auto_create": True,
        "accept_media_types": "image/*,text/html",
        "data": " csrf:é\n\"' ",
        "title": "  Suggested ",
        "text": "Words",
    }
    assert receive(tool, platform, SETTINGS | more).settings == DeepLinkingSettings(
        return_url=RETURN,
        accept_types=("link", "ltiResourceLink"),
        accept_multiple=True,
        accept_line_item=False,
        data=" csrf:é\n\"' ",
        title="Suggested",
    )


@pytest.mark.parametrize(
    ("value", "several"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("True", True),
        ("false", False),
        ("", False),
        (None, False),
    ],
)
def test_several(tool: Tool, platform: FakePlatform, value: object, several: bool) -> None:
    """lti.md 25: a boolean, or its name."""
    assert receive(tool, platform, SETTINGS | {"accept_multiple": value}).settings.accept_multiple is several


@pytest.mark.parametrize(
    ("value", "told"), [(True, True), ("false", False), (None, None), ("", None), (GONE, None)]
)
def test_line_items(tool: Tool, platform: FakePlatform, value: object, told: bool | None) -> None:
    """lti.md 25: whether one may come along; who says nothing has not refused."""
    settings = SETTINGS if value is GONE else SETTINGS | {"accept_lineitem": value}
    assert receive(tool, platform, settings).settings.accept_line_item is told


@pytest.mark.parametrize("settings", [None, GONE])
def test_without_settings(tool: Tool, platform: FakePlatform, settings: object) -> None:
    assert code_of(tool, platform, **{DEEP_LINKING_SETTINGS: settings}) == "message.deep_linking"


@pytest.mark.parametrize("settings", ["x", 7, [], [SETTINGS], True])
def test_settings_that_are_no_object(tool: Tool, platform: FakePlatform, settings: object) -> None:
    assert code_of(tool, platform, settings) == "message.claim"


@pytest.mark.parametrize("name", ["deep_link_return_url", "accept_types"])
@pytest.mark.parametrize("value", [None, GONE])
def test_a_required_setting_is_missing(tool: Tool, platform: FakePlatform, name: str, value: object) -> None:
    settings = {key: each for key, each in SETTINGS.items() if key != name}
    if value is None:
        settings[name] = None
    assert code_of(tool, platform, settings) == "message.deep_linking"


@pytest.mark.parametrize(
    "value",
    [
        5,
        True,
        [],
        [RETURN],
        {"url": RETURN},
        "javascript:alert(document.domain)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "ftp://lms.example/",
        "file:///etc/passwd",
        "//lms.example/return",
        "/return",
        "https://",
        "https://a b/",
        "https://lms.example\\@evil.example/",
        "https://user:password@lms.example/",
        "https://lms.example/\r\nX: y",
        "https://lms.example/" + "x" * 5000,
    ],
)
def test_an_answer_goes_to_a_web_address_only(tool: Tool, platform: FakePlatform, value: object) -> None:
    """lti.md 25: a form is posted there."""
    settings = SETTINGS | {"deep_link_return_url": value}
    assert code_of(tool, platform, settings) == "message.claim"


def test_an_empty_return_url_is_none(tool: Tool, platform: FakePlatform) -> None:
    assert code_of(tool, platform, SETTINGS | {"deep_link_return_url": ""}) == "message.deep_linking"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accept_types", "ltiResourceLink"),
        ("accept_types", [1]),
        ("accept_types", [["ltiResourceLink"]]),
        ("accept_types", {"ltiResourceLink": True}),
        ("accept_types", True),
        ("accept_multiple", "perhaps"),
        ("accept_multiple", 1),
        ("accept_multiple", [True]),
        ("accept_multiple", {}),
        ("accept_lineitem", "no"),
        ("accept_lineitem", 0),
        ("accept_lineitem", []),
        ("title", 5),
        ("title", {"en": "x"}),
    ],
)
def test_a_setting_of_a_wrong_type(tool: Tool, platform: FakePlatform, name: str, value: object) -> None:
    """lti.md 13."""
    assert code_of(tool, platform, SETTINGS | {name: value}) == "message.claim"


@pytest.mark.parametrize("value", [5, True, [], {}, ["csrf"]])
def test_data_is_a_text(tool: Tool, platform: FakePlatform, value: object) -> None:
    """lti.md 25: else it could not come back verbatim."""
    assert code_of(tool, platform, SETTINGS | {"data": value}) == "message.deep_linking"


@pytest.mark.parametrize("value", [5, "x", {"a": []}, [1], None])
def test_settings_that_nobody_reads_break_nothing(tool: Tool, platform: FakePlatform, value: object) -> None:
    more = {"accept_media_types": value, "text": value, "auto_create": value, "https://x.example/": value}
    assert receive(tool, platform, SETTINGS | more).settings.return_url == RETURN


@pytest.mark.parametrize("types", [[], ["link"], ["LtiResourceLink"], ["file", "html", "image"], [""]])
def test_a_platform_that_takes_no_links(tool: Tool, platform: FakePlatform, types: list[str]) -> None:
    """lti.md 25: the message is good, but there is nothing to choose."""
    message = receive(tool, platform, SETTINGS | {"accept_types": types})
    with pytest.raises(IpyltiError) as refusal:
        deep_linking.require_links(message.settings)
    assert refusal.value.code == "deep_linking.not_accepted"


def test_a_platform_that_takes_links(tool: Tool, platform: FakePlatform) -> None:
    deep_linking.require_links(receive(tool, platform).settings)


@pytest.mark.parametrize("roles", [[LEARNER], [], [""], ["http://example.org/membership#Instructor"]])
def test_students_are_no_staff_here_either(tool: Tool, platform: FakePlatform, roles: list[str]) -> None:
    """lti.md 25: teachers only, and who is one the roles say."""
    assert not receive(tool, platform, roles=roles).roles.staff


def test_a_resource_link_makes_no_link_of_it(tool: Tool, platform: FakePlatform) -> None:
    message = receive(tool, platform, resource_link={"id": 5})
    assert not hasattr(message, "resource_link")


def test_a_course_may_be_missing(tool: Tool, platform: FakePlatform) -> None:
    assert receive(tool, platform, context=GONE).context is None


def test_a_target_may_be_missing_but_not_be_another_ones(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 14: a request opens the page of choosing, whatever it says."""
    assert receive(tool, platform, target_link_uri=GONE).target_link_uri == "https://tool.example"
    assert code_of(tool, platform, target_link_uri="https://evil.example/launch") == "message.target"


def test_the_settings_make_no_deep_linking_of_a_launch(tool: Tool, platform: FakePlatform) -> None:
    message = tool.launch(platform, {DEEP_LINKING_SETTINGS: SETTINGS})
    assert not isinstance(message, DeepLinkingMessage)


@pytest.mark.parametrize("claim", ["deployment_id", "version", "roles", "sub", "nonce", "exp"])
def test_what_every_message_needs(tool: Tool, platform: FakePlatform, claim: str) -> None:
    """lti.md 13."""
    assert code_of(tool, platform, **{claim: GONE}).startswith("message.")


def test_a_request_is_good_once(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 12."""
    started = tool.login(platform)
    token = platform.sign(platform.claims(started.nonce, asking()))
    tool.receive(started.state, token, started.cookies)
    with pytest.raises(RefusedMessage) as refusal:
        tool.receive(started.state, token, started.cookies)
    assert refusal.value.code == "message.state"
