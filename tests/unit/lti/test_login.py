"""Login initiation: lti.md 1 to 5, and what a login in a frame remembers: lti.md 22, 23, 24."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from ipylti.errors import RefusedLogin
from ipylti.lti import login
from tests.unit.lti.platforms import TOOL, FakePlatform, MemoryRegistrations, MemorySingleUse, Tool


def given(**changes: str | None) -> list[tuple[str, str]]:
    params = {
        "iss": "https://lms.example",
        "client_id": "tool-at-lms",
        "login_hint": "someone's hint",
        "target_link_uri": f"{TOOL}/launch",
        **changes,
    }
    return [(name, value) for name, value in params.items() if value is not None]


def begin(tool: Tool, params: list[tuple[str, str]], framed: bool = False) -> login.LoginRedirect:
    return login.begin(params, tool.registrations, tool.states, f"{TOOL}/launch", framed=framed)


def remembered(tool: Tool, redirect: login.LoginRedirect) -> login.LoginState:
    found = login.remembered(redirect.state, tool.states)
    assert found is not None
    return found


def code_of(tool: Tool, params: list[tuple[str, str]]) -> str:
    with pytest.raises(RefusedLogin) as refusal:
        begin(tool, params)
    assert tool.states.records == {}
    return refusal.value.code


def query_of(location: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(location).query, keep_blank_values=True)


@pytest.mark.parametrize("name", ["iss", "login_hint", "target_link_uri"])
def test_a_required_parameter_is_missing_or_empty(tool: Tool, name: str) -> None:
    """lti.md 1."""
    assert code_of(tool, given(**{name: None})) == "login.missing"
    assert code_of(tool, given(**{name: ""})) == "login.missing"


@pytest.mark.parametrize("name", ["iss", "client_id", "login_hint", "lti_message_hint", "whatever"])
def test_a_parameter_given_twice_is_refused(tool: Tool, name: str) -> None:
    """lti.md 1."""
    params = [*given(lti_message_hint="m", whatever="w"), (name, "again")]
    assert code_of(tool, params) == "request.twice"


def test_an_unknown_parameter_is_ignored(tool: Tool) -> None:
    """lti.md 1."""
    redirect = begin(tool, given(canvas_region="eu", utf8="✓"))
    assert "canvas_region" not in redirect.location


@pytest.mark.parametrize("value", ["a\x00b", "a\ud800b"])
def test_what_no_store_holds_is_refused(tool: Tool, value: str) -> None:
    """lti.md 13."""
    assert code_of(tool, given(iss=value)) == "request.characters"


def test_an_uploaded_file_is_no_parameter(tool: Tool) -> None:
    with pytest.raises(RefusedLogin) as refusal:
        login.begin([("iss", object())], tool.registrations, tool.states, f"{TOOL}/launch")
    assert refusal.value.code == "request.file"


def test_an_endless_parameter_is_refused(tool: Tool) -> None:
    assert code_of(tool, given(login_hint="x" * 100_000)) == "request.long"


def test_an_unknown_issuer_is_refused(tool: Tool) -> None:
    """lti.md 2."""
    assert code_of(tool, given(iss="https://stranger.example")) == "login.unknown_platform"
    assert code_of(tool, given(iss="https://stranger.example", client_id=None)) == "login.unknown_platform"


def test_the_issuer_is_compared_exactly(tool: Tool) -> None:
    """lti.md 2: no slash is forgiven."""
    assert code_of(tool, given(iss="https://lms.example/")) == "login.unknown_platform"


def test_another_client_of_the_issuer_is_refused(tool: Tool) -> None:
    """lti.md 2."""
    assert code_of(tool, given(client_id="tool-at-other")) == "login.unknown_platform"


def test_without_client_id_the_only_registration_of_the_issuer_is_meant(tool: Tool) -> None:
    """lti.md 2."""
    assert query_of(begin(tool, given(client_id=None)).location)["client_id"] == ["tool-at-lms"]
    assert query_of(begin(tool, given(client_id="")).location)["client_id"] == ["tool-at-lms"]


def test_without_client_id_several_registrations_are_an_error_of_their_own(
    tool: Tool, platform: FakePlatform
) -> None:
    """lti.md 2."""
    tool.registrations.all.append(replace(platform.registration, id=3, client_id="second"))
    assert code_of(tool, given(client_id=None)) == "login.ambiguous"
    assert query_of(begin(tool, given(client_id="second")).location)["client_id"] == ["second"]


def test_endpoints_belong_to_issuer_and_client(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 2: customers of one vendor share an issuer and have their own addresses."""
    neighbour = replace(platform.registration, id=3, client_id="n", auth_url="https://n.example/auth")
    tool.registrations.all.append(neighbour)
    assert begin(tool, given(client_id="n")).location.startswith("https://n.example/auth?")
    assert begin(tool, given()).location.startswith("https://lms.example/auth?")


@pytest.mark.parametrize("name", ["lti_deployment_id", "deployment_id"])
def test_the_deployment_hinted_at_is_remembered(tool: Tool, name: str) -> None:
    """lti.md 3."""
    redirect = begin(tool, given(**{name: "deployment-1"}))
    remembered = login.remembered(redirect.state, tool.states)
    assert remembered is not None
    assert remembered.deployment == "deployment-1"


def test_contradictory_deployments_are_refused(tool: Tool) -> None:
    """lti.md 3."""
    both = given(lti_deployment_id="deployment-1", deployment_id="Deployment-2")
    assert code_of(tool, both) == "login.deployment"


def test_an_unknown_deployment_is_the_messages_business(tool: Tool) -> None:
    """lti.md 3: anybody can start a login; only what the platform signed can make a deployment known."""
    redirect = begin(tool, given(lti_deployment_id="deployment-of-other"))
    remembered = login.remembered(redirect.state, tool.states)
    assert remembered is not None
    assert remembered.deployment == "deployment-of-other"


def test_the_answer_asks_for_a_form_post_without_prompt(tool: Tool) -> None:
    """lti.md 4."""
    redirect = begin(tool, given(lti_message_hint='{"a": "b&c"}'))
    query = query_of(redirect.location)
    nonce = query.pop("nonce")[0]
    assert query == {
        "scope": ["openid"],
        "response_type": ["id_token"],
        "response_mode": ["form_post"],
        "prompt": ["none"],
        "client_id": ["tool-at-lms"],
        "redirect_uri": [f"{TOOL}/launch"],
        "state": [redirect.state],
        "login_hint": ["someone's hint"],
        "lti_message_hint": ['{"a": "b&c"}'],
    }
    assert len(nonce) >= 22


def test_without_a_message_hint_none_is_sent(tool: Tool) -> None:
    """lti.md 4."""
    assert "lti_message_hint" not in query_of(begin(tool, given()).location)


def test_an_empty_message_hint_is_passed_on_unchanged(tool: Tool) -> None:
    """lti.md 4."""
    assert query_of(begin(tool, given(lti_message_hint="")).location)["lti_message_hint"] == [""]


def test_a_query_of_the_authorization_url_is_kept_but_can_not_override(tool: Tool) -> None:
    """lti.md 4."""
    own = replace(
        tool.registrations.all[0], auth_url="https://lms.example/auth?tenant=7&empty=&prompt=login#top"
    )
    redirect = login.begin(given(), MemoryRegistrations(own), tool.states, f"{TOOL}/launch")
    query = query_of(redirect.location)
    assert (query["tenant"], query["empty"], query["prompt"]) == (["7"], [""], ["none"])
    assert "#" not in redirect.location


def test_the_state_record_holds_what_the_message_is_compared_with(tool: Tool) -> None:
    """lti.md 5."""
    redirect = login.begin(given(), tool.registrations, tool.states, f"{TOOL}/launch", now=1000.0)
    remembered = login.remembered(redirect.state, tool.states)
    assert remembered is not None
    assert remembered.issuer == "https://lms.example"
    assert remembered.client_id == "tool-at-lms"
    assert remembered.nonce == query_of(redirect.location)["nonce"][0]
    assert remembered.target_link_uri == f"{TOOL}/launch"
    assert remembered.created == 1000.0
    assert remembered.bound_to(redirect.binding)


def test_the_store_never_sees_the_browsers_secret(tool: Tool) -> None:
    """lti.md 5: who reads Redis can't forge a cookie."""
    redirect = begin(tool, given())
    assert redirect.binding not in str(tool.states.records)
    assert redirect.binding not in redirect.location


def test_the_state_lasts_ten_minutes(platform: FakePlatform) -> None:
    """lti.md 5."""
    clock = [1000.0]
    tool = Tool(platform)
    tool.states = MemorySingleUse(lambda: clock[0])
    state = begin(tool, given()).state
    clock[0] += 599
    assert login.remembered(state, tool.states) is not None
    clock[0] += 2
    assert login.remembered(state, tool.states) is None


def test_no_two_logins_share_anything(tool: Tool) -> None:
    """lti.md 5: two frames on one page have two cookies."""
    many = [begin(tool, given()) for _ in range(50)]
    assert len({each.state for each in many}) == 50
    assert len({each.binding for each in many}) == 50
    assert len({query_of(each.location)["nonce"][0] for each in many}) == 50
    assert len({login.state_cookie(each.state) for each in many}) == 50


def test_the_cookie_is_a_host_cookie() -> None:
    """lti.md 5 and 22."""
    assert login.state_cookie("a" * 16 + "b" * 27) == "__Host-ipylti-state-" + "a" * 16


@pytest.mark.parametrize("state", ["", "x", "login:", "../" * 20, "é" * 43, "a" * 44, "a" * 43 + "\n"])
def test_what_is_no_state_of_ours_is_not_even_looked_up(state: str) -> None:
    class Untouchable(MemorySingleUse):
        def peek(self, key: str) -> None:
            raise AssertionError("looked up")

        take = peek

    assert login.remembered(state, Untouchable()) is None
    assert login.consume(state, Untouchable()) is None


# In a frame


def test_outside_of_a_frame_no_platform_keeps_anything(tool: Tool) -> None:
    """lti.md 23: and a message without its cookie is then refused at once."""
    found = remembered(tool, begin(tool, given(lti_storage_target="_parent")))
    assert (found.storage, found.storage_origin, dict(found.request)) == (None, None, {})


@pytest.mark.parametrize(
    ("target", "storage"),
    [
        (None, "_parent"),
        ("", "_parent"),
        ("_parent", "_parent"),
        ("post_message_forwarding", "post_message_forwarding"),
        ("a.b-c_1", "a.b-c_1"),
        ("x" * 100, "x" * 100),
        ("x" * 101, "_parent"),
        ("a b", "_parent"),
        ("é", "_parent"),
        ("a\n", "_parent"),
        ("</script>", "_parent"),
        ("a'], top['b", "_parent"),
    ],
)
def test_the_frame_that_keeps_the_secret(tool: Tool, target: str | None, storage: str) -> None:
    """lti.md 23: what is no frame's name is not put into a page."""
    found = remembered(tool, begin(tool, given(lti_storage_target=target), framed=True))
    assert found.storage == storage


def test_the_storages_origin_is_the_authorization_urls(tool: Tool) -> None:
    """lti.md 23: not the issuer's, which may be shared by many."""
    own = replace(tool.registrations.all[0], auth_url="https://Login.lms.example:443/auth?tenant=7")
    redirect = login.begin(given(), MemoryRegistrations(own), tool.states, f"{TOOL}/launch", framed=True)
    assert remembered(tool, redirect).storage_origin == "https://login.lms.example"


def test_a_login_in_a_frame_can_begin_anew_as_the_platform_began_it(tool: Tool) -> None:
    """lti.md 24."""
    hint = {"lti_message_hint": "m", "lti_deployment_id": "deployment-1"}
    params = given(**hint, lti_storage_target="_parent", utf8="✓")
    first = begin(tool, params, framed=True)
    found = remembered(tool, first)
    assert dict(found.request) == dict(given(**hint))
    second = begin(tool, list(found.request.items()))
    assert query_of(second.location)["lti_message_hint"] == ["m"]
    assert remembered(tool, second).deployment == "deployment-1"
    assert remembered(tool, second).storage is None
    assert {first.state, first.binding, first.login.nonce}.isdisjoint(
        {second.state, second.binding, second.login.nonce}
    )


def test_whoever_knows_the_secret_gets_at_the_login(tool: Tool) -> None:
    """lti.md 23 and 24: and leaves it there."""
    redirect = begin(tool, given(), framed=True)
    for _ in range(2):
        assert login.bound(redirect.state, redirect.binding, tool.states) == redirect.login


@pytest.mark.parametrize("secret", ["", "x", "é", "\ud800", "\x00", "a" * 43, "a" * 100_000])
def test_nobody_else_gets_at_it(tool: Tool, secret: str) -> None:
    """lti.md 23 and 24."""
    redirect = begin(tool, given(), framed=True)
    with pytest.raises(RefusedLogin) as refusal:
        login.bound(redirect.state, secret, tool.states)
    assert refusal.value.code == "login.state"


def test_the_secret_of_another_login_does_not_help(tool: Tool) -> None:
    """lti.md 23: two frames of one browser, too, have a secret each."""
    one, other = begin(tool, given(), framed=True), begin(tool, given(), framed=True)
    with pytest.raises(RefusedLogin):
        login.bound(one.state, other.binding, tool.states)


@pytest.mark.parametrize("state", ["", "x", "a" * 43, "é" * 43])
def test_there_is_no_such_login(tool: Tool, state: str) -> None:
    redirect = begin(tool, given(), framed=True)
    with pytest.raises(RefusedLogin) as refusal:
        login.bound(state, redirect.binding, tool.states)
    assert refusal.value.code == "login.state"


def test_a_login_that_is_over_has_no_secret(tool: Tool) -> None:
    """lti.md 24."""
    redirect = begin(tool, given(), framed=True)
    login.consume(redirect.state, tool.states)
    with pytest.raises(RefusedLogin):
        login.bound(redirect.state, redirect.binding, tool.states)
