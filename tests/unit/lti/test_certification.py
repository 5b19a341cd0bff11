"""The certification suite's ideas: launches that must be refused, launches that must pass (lti.md, end).

Real RSA keys, the whole way from login to message.
"""

from collections.abc import Callable
from typing import Any

import pytest

from ipylti.errors import RefusedMessage
from tests.unit.lti.platforms import GONE, INSTRUCTOR, LEARNER, LTI, FakePlatform, Tool, rsa_key

INSTITUTION = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#"


def code_of(launch: Callable[[], Any]) -> str:
    with pytest.raises(RefusedMessage) as refusal:
        launch()
    return refusal.value.code


def test_refused_no_kid(tool: Tool, platform: FakePlatform) -> None:
    started = tool.login(platform)
    token = platform.sign_raw(b"{}", b'{"alg": "RS256", "typ": "JWT"}')
    assert code_of(lambda: tool.receive(started.state, token, started.cookies)) == "message.kid"


def test_refused_wrong_kid(tool: Tool, platform: FakePlatform) -> None:
    assert code_of(lambda: tool.launch(platform, headers={"kid": "wrong"})) == "message.key"


def test_refused_wrong_key(tool: Tool, platform: FakePlatform) -> None:
    assert code_of(lambda: tool.launch(platform, key=rsa_key("stranger"))) == "message.signature"


@pytest.mark.parametrize("version", ["1.3", "11.3", "", None, 1.3, ["1.3.0"], GONE])
def test_refused_wrong_or_no_version(tool: Tool, platform: FakePlatform, version: object) -> None:
    assert code_of(lambda: tool.launch(platform, version=version)) == "message.version"


def test_refused_not_an_lti_message(tool: Tool, platform: FakePlatform) -> None:
    """Claims of some other OpenID Connect token, rightly signed."""

    def launch() -> None:
        started = tool.login(platform)
        claims = {
            name: value
            for name, value in platform.claims(started.nonce).items()
            if not name.startswith("https:")
        }
        tool.receive(started.state, platform.sign(claims), started.cookies)

    assert code_of(launch) == "message.deployment"


def test_refused_no_claims_at_all(tool: Tool, platform: FakePlatform) -> None:
    started = tool.login(platform)
    token = platform.sign({})
    assert code_of(lambda: tool.receive(started.state, token, started.cookies)) == "message.issuer"


@pytest.mark.parametrize("claim", ["exp", "iat"])
@pytest.mark.parametrize("value", [GONE, None, "soon", "1893456000", True, [], {}])
def test_refused_bad_times(tool: Tool, platform: FakePlatform, claim: str, value: object) -> None:
    assert code_of(lambda: tool.launch(platform, {claim: value})) == "message.times"


@pytest.mark.parametrize(
    "value", [GONE, None, "", 3, "ltiResourceLinkRequest", "LtiStartProctoring", ["LtiResourceLinkRequest"]]
)
def test_refused_no_or_another_message_type(tool: Tool, platform: FakePlatform, value: object) -> None:
    assert code_of(lambda: tool.launch(platform, message_type=value)) == "message.type"


@pytest.mark.parametrize("value", [GONE, None])
def test_refused_no_roles(tool: Tool, platform: FakePlatform, value: object) -> None:
    assert code_of(lambda: tool.launch(platform, roles=value)) == "message.roles"


@pytest.mark.parametrize("value", [GONE, None, "", 7, ["deployment-1"], {"id": "deployment-1"}])
def test_refused_no_deployment(tool: Tool, platform: FakePlatform, value: object) -> None:
    assert code_of(lambda: tool.launch(platform, deployment_id=value)) == "message.deployment"


@pytest.mark.parametrize("value", [GONE, None, {}, {"id": ""}, {"id": None}, {"id": 5}, {"title": "t"}])
def test_refused_no_resource_link(tool: Tool, platform: FakePlatform, value: object) -> None:
    assert code_of(lambda: tool.launch(platform, resource_link=value)) == "message.resource_link"


@pytest.mark.parametrize("value", [GONE, None, "", 5, ["person-1"]])
def test_refused_no_sub(tool: Tool, platform: FakePlatform, value: object) -> None:
    """lti.md 17: an anonymous launch has nobody to keep work for."""
    assert code_of(lambda: tool.launch(platform, sub=value)) == "message.no_sub"


@pytest.mark.parametrize("value", [GONE, None, ""])
def test_refused_no_target(tool: Tool, platform: FakePlatform, value: object) -> None:
    assert code_of(lambda: tool.launch(platform, target_link_uri=value)) == "message.target"


PASS: dict[str, dict[str, Any]] = {
    "one role": {},
    "short role": {"roles": ["{short}"]},
    "several roles": {"roles": ["{role}", INSTITUTION + "{short}", INSTITUTION + "Guest"]},
    "unknown role": {"roles": ["{role}", "http://example.org/unknown#Helper"]},
    "e-mail only": {"name": GONE, "given_name": GONE, "family_name": GONE},
    "names only": {"email": GONE},
    "no personal data": {"email": GONE, "name": GONE, "given_name": GONE, "family_name": GONE},
    "e-mail without context": {"name": GONE, "given_name": GONE, "family_name": GONE, "context": GONE},
    "only a resource link": {
        "email": GONE,
        "name": GONE,
        "given_name": GONE,
        "family_name": GONE,
        "context": GONE,
        "tool_platform": GONE,
        "launch_presentation": GONE,
        "custom": GONE,
        "resource_link": {"id": "link-1"},
        "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint": GONE,
        "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice": GONE,
    },
}


@pytest.mark.parametrize("who", ["teacher", "student"])
@pytest.mark.parametrize("case", list(PASS))
def test_passed(tool: Tool, platform: FakePlatform, who: str, case: str) -> None:
    role, short = (INSTRUCTOR, "Instructor") if who == "teacher" else (LEARNER, "Learner")
    changes = {"roles": ["{role}"], **PASS[case]}
    changes["roles"] = [each.format(role=role, short=short) for each in changes["roles"]]
    message = tool.launch(platform, changes)
    assert (message.roles.staff, message.roles.learner) == (who == "teacher", who == "student")
    assert message.sub == "person-1"
    assert message.resource_link.id == "link-1"
    for claim in ("email", "name", "given_name", "family_name", "context"):
        assert (getattr(message, claim) is None) == (changes.get(claim) is GONE)


@pytest.mark.parametrize("roles", [[""], [], ["http://example.org/unknown"], ["", LEARNER, LEARNER]])
def test_passed_with_roles_that_say_nothing(tool: Tool, platform: FakePlatform, roles: list[str]) -> None:
    """lti.md 16: they grant nothing and break nothing."""
    assert not tool.launch(platform, roles=roles).roles.staff


def test_all_that_a_full_message_says_arrives(tool: Tool, platform: FakePlatform) -> None:
    message = tool.launch(platform)
    assert message.registration == platform.registration
    assert message.message_type == "LtiResourceLinkRequest"
    assert message.deployment_id == "deployment-1"
    assert message.resource_link.title == "Integrals"
    assert message.resource_link.description == "Do them all."
    assert message.context is not None
    assert (message.context.id, message.context.label, message.context.title) == (
        "course-1",
        "M1",
        "Mathematics 1",
    )
    assert (message.name, message.given_name, message.family_name) == ("Zoë Müller", "Zoë", "Müller")
    assert message.email == "zoe@lms.example"
    assert message.locale == "de-AT"
    assert message.return_url == "https://lms.example/course/1?tab=2"
    assert message.document_target == "iframe"
    assert message.target_link_uri == "https://tool.example/launch"
    assert message.ags is not None
    assert message.ags.line_item == "https://lms.example/items/1?type_id=2"
    assert message.ags.line_items == "https://lms.example/items"
    assert message.ags.scopes == {"https://purl.imsglobal.org/spec/lti-ags/scope/score"}
    assert message.memberships_url == "https://lms.example/members"
    assert message.platform is not None
    assert message.platform.product_family == "lms"
    assert message.dates is not None
    assert message.dates.due_at is not None
    assert message.dates.due_at.isoformat() == "2031-05-01T10:00:00+00:00"
    assert not message.test_user


def test_claims_of_other_vendors_are_ignored(tool: Tool, platform: FakePlatform) -> None:
    more = {"https://www.example.org/extension": {"roles": [INSTRUCTOR], "deep": [[[1]]]}, LTI + "lis": {}}
    assert not tool.launch(platform, more).roles.staff
