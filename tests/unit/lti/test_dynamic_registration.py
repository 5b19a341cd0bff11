"""What a platform says of itself, and what the tool says to it: lti.md 35."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ipylti.http import OutgoingHTTP
from ipylti.lti import dynamic_registration
from ipylti.lti.claims import SCOPES
from ipylti.lti.dynamic_registration import (
    PLATFORM_CONFIGURATION,
    TOOL_CONFIGURATION,
    PlatformConfiguration,
    Registered,
    RegistrationError,
)
from tests.unit.test_http import Server, raw, say, to

SCORE = "https://purl.imsglobal.org/spec/lti-ags/scope/score"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def http() -> OutgoingHTTP:
    return OutgoingHTTP("ipylti/test", allow_private=True, timeout=20.0, max_bytes=100_000)


def told(server: Server, **changes: Any) -> dict[str, Any]:
    """Return what a platform on this server says of itself; None leaves a member out."""
    whole = {
        "issuer": server.url(""),
        "authorization_endpoint": "https://login.lms.example/auth?tenant=1",
        "token_endpoint": server.url("/token"),
        "jwks_uri": server.url("/jwks"),
        "registration_endpoint": server.url("/register"),
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def read(
    http: OutgoingHTTP, server: Server, token: str | None = None, **changes: Any
) -> PlatformConfiguration:
    server.paths["/c"] = say(json.dumps(told(server, **changes)).encode())
    return dynamic_registration.read_configuration(http, server.url("/c"), token, allow_http=True)


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(RegistrationError) as error:
        call()
    return error.value.code


# Reading the configuration


def test_the_least_that_a_platform_says(http: OutgoingHTTP, server: Server) -> None:
    assert read(http, server) == PlatformConfiguration(
        issuer=server.url(""),
        auth_url="https://login.lms.example/auth?tenant=1",
        token_url=server.url("/token"),
        jwks_url=server.url("/jwks"),
        registration_url=server.url("/register"),
        token_audience=None,
        scopes=(),
        product_family=None,
        messages=(),
    )
    assert "authorization" not in server.asked[0][2]


def test_the_token_goes_along(http: OutgoingHTTP, server: Server) -> None:
    """lti.md 35: Canvas shows its configuration to the invited only."""
    read(http, server, "t0ken")
    assert server.asked[0][2]["authorization"] == "Bearer t0ken"


def test_what_else_a_platform_says(http: OutgoingHTTP, server: Server) -> None:
    about = {"product_family_code": "Canvas", "messages_supported": [{"type": "A"}, "B", 7, {"type": 7}, {}]}
    found = read(
        http,
        server,
        scopes_supported=["openid", SCORE, 7],
        authorization_server="https://aud.example/token",
        **{PLATFORM_CONFIGURATION: about},
    )
    assert found.scopes == ("openid", SCORE)
    assert found.token_audience == "https://aud.example/token"
    assert found.product_family == "Canvas"
    assert found.messages == ("A", "B")


@pytest.mark.parametrize("value", ["canvas.instructure.com", "", None, 7, [], "https://" + "a" * 5000])
def test_an_audience_is_a_url(http: OutgoingHTTP, server: Server, value: object) -> None:
    """lti.md 26: a bare host, as Canvas says it, is none that its token endpoint takes."""
    assert read(http, server, authorization_server=value).token_audience is None


@pytest.mark.parametrize("value", [7, "x", [], {"product_family_code": 7, "messages_supported": "A"}])
def test_what_a_platform_says_of_its_product_is_optional(
    http: OutgoingHTTP, server: Server, value: object
) -> None:
    found = read(http, server, scopes_supported="all", **{PLATFORM_CONFIGURATION: value})
    assert (found.product_family, found.messages, found.scopes) == (None, (), ())


@pytest.mark.parametrize(
    "name", ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "registration_endpoint"]
)
@pytest.mark.parametrize("value", [None, "", 7, [], "javascript:alert(1)", "//lms.example", "https://a b"])
def test_an_address_that_is_missing_or_none(
    http: OutgoingHTTP, server: Server, name: str, value: object
) -> None:
    assert code_of(lambda: read(http, server, **{name: value})) == "registration.configuration"


@pytest.mark.parametrize(
    "name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "registration_endpoint"]
)
def test_addresses_are_https_before_anybody_registers(http: OutgoingHTTP, server: Server, name: str) -> None:
    safe = {
        key: value.replace("http:", "https:").replace(f":{server.port}", "")
        for key, value in told(server).items()
    }
    server.paths["/c"] = say(json.dumps(safe).encode())
    url = server.url("/c")
    assert dynamic_registration.read_configuration(http, url, None).issuer == "https://127.0.0.1"
    server.paths["/c"] = say(json.dumps(safe | {name: "http://127.0.0.1/"}).encode())
    assert code_of(lambda: dynamic_registration.read_configuration(http, url, None)) == "registration.http"


@pytest.mark.parametrize(
    "issuer",
    [
        "https://canvas.instructure.com",
        "https://127.0.0.1.evil.example",
        "https://127.0.0.11",
        "https://localhost",
        "https://evil.example/127.0.0.1",
    ],
)
def test_the_issuers_host_is_the_configurations(http: OutgoingHTTP, server: Server, issuer: str) -> None:
    """lti.md 35."""
    assert code_of(lambda: read(http, server, issuer=issuer)) == "registration.issuer"


def test_the_host_that_was_asked_for_counts_not_one_that_it_leads_to(
    http: OutgoingHTTP, server: Server
) -> None:
    """lti.md 35: an open redirect of a platform must not let another one speak for it, nor for itself."""
    inner = Server(host="127.0.0.2")
    try:
        there = inner.url("/c", host="127.0.0.2")
        server.paths["/c"] = to(there)
        inner.paths["/c"] = say(json.dumps(told(inner, issuer=inner.url("", host="127.0.0.2"))).encode())
        url = server.url("/c")
        call = lambda: dynamic_registration.read_configuration(http, url, "t0ken", allow_http=True)  # noqa: E731
        assert code_of(call) == "registration.issuer"
        assert "authorization" not in inner.asked[0][2]
    finally:
        inner.close()


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b'{"issuer": 1, "issuer": 2}', b"\xff", b'"a"', b"NaN"])
def test_what_is_no_configuration(http: OutgoingHTTP, server: Server, body: bytes) -> None:
    server.paths["/c"] = say(body)
    url = server.url("/c")
    assert (
        code_of(lambda: dynamic_registration.read_configuration(http, url, None))
        == "registration.configuration"
    )


@pytest.mark.parametrize(
    "url", ["", "x", "//lms.example/c", "javascript:alert(1)", "https://a:b@lms.example/"]
)
def test_what_is_no_address_of_one(http: OutgoingHTTP, url: str) -> None:
    assert (
        code_of(lambda: dynamic_registration.read_configuration(http, url, None))
        == "registration.configuration"
    )


@pytest.mark.parametrize("status", [201, 204, 401, 404, 500])
def test_a_configuration_that_is_not_shown(http: OutgoingHTTP, server: Server, status: int) -> None:
    server.paths["/c"] = say(b"{}", status)
    url = server.url("/c")
    assert (
        code_of(lambda: dynamic_registration.read_configuration(http, url, None))
        == "registration.unreachable"
    )


def test_a_platform_that_drips(http: OutgoingHTTP, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamic_registration, "TIMEOUT", 0.3)
    server.paths["/c"] = raw(b"HTTP/1.0 200 OK\r\n\r\n", *[b" "] * 20, pause=0.1)
    url = server.url("/c")
    assert (
        code_of(lambda: dynamic_registration.read_configuration(http, url, None))
        == "registration.unreachable"
    )


# What the tool says of itself


PLATFORM = PlatformConfiguration(
    issuer="https://lms.example",
    auth_url="https://lms.example/auth",
    token_url="https://lms.example/token",
    jwks_url="https://lms.example/jwks",
    registration_url="https://lms.example/register",
    token_audience=None,
    scopes=(),
    product_family=None,
    messages=(),
)


def asked(**changes: Any) -> dict[str, Any]:
    return dynamic_registration.registration_request(
        replace(PLATFORM, **changes),
        tool_url="https://tool.example:8443",
        title="Notebooks",
        description="JupyterLab",
    )


def test_the_request() -> None:
    """lti.md 35: `domain` is the target's host; `jwks_uri`; `private_key_jwt`."""
    made = asked()
    about = made.pop(TOOL_CONFIGURATION)
    assert made == {
        "application_type": "web",
        "response_types": ["id_token"],
        "grant_types": ["implicit", "client_credentials"],
        "initiate_login_uri": "https://tool.example:8443/login",
        "redirect_uris": ["https://tool.example:8443/launch"],
        "client_name": "Notebooks",
        "jwks_uri": "https://tool.example:8443/.well-known/jwks.json",
        "logo_uri": "https://tool.example:8443/static/icon.svg",
        "token_endpoint_auth_method": "private_key_jwt",
        "scope": " ".join(SCOPES),
    }
    assert about["domain"] == "tool.example:8443"
    assert about["target_link_uri"] == "https://tool.example:8443/launch"
    assert {"iss", "sub", "name"} <= set(about["claims"])
    assert "email" not in about["claims"]
    assert about["custom_parameters"]["ipylti_context_history"] == "$Context.id.history"
    assert [each["type"] for each in about["messages"]] == [
        "LtiResourceLinkRequest",
        "LtiDeepLinkingRequest",
        "LtiSubmissionReviewRequest",
    ]


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://tool.example", "tool.example"),
        ("https://tool.example:443", "tool.example"),
        ("http://tool.localhost:8080", "tool.localhost:8080"),
    ],
)
def test_the_domain_has_the_port_that_the_target_has(url: str, domain: str) -> None:
    """lti.md 35: Moodle refuses a registration whose domain is not exactly the target's host and port."""
    made = dynamic_registration.registration_request(PLATFORM, tool_url=url, title="t", description="d")
    assert made[TOOL_CONFIGURATION]["domain"] == domain


def test_nothing_is_asked_for_that_the_platform_does_not_have() -> None:
    """lti.md 26: Sakai refuses all scopes because of one."""
    made = asked(scopes=("openid", SCORE), messages=("LtiResourceLinkRequest", "LtiOther"))
    assert made["scope"] == SCORE
    assert [each["type"] for each in made[TOOL_CONFIGURATION]["messages"]] == ["LtiResourceLinkRequest"]


@pytest.mark.parametrize("family", ["canvas", "Canvas"])
def test_what_canvas_wants_to_know(family: str) -> None:
    """lti.md 37: the same placements as in canvas.json, and names for teachers' lists."""
    about = asked(product_family=family)[TOOL_CONFIGURATION]
    placements = {each["type"]: each.get("placements") for each in about["messages"]}
    assert placements["LtiDeepLinkingRequest"] == ["assignment_selection", "link_selection"]
    assert placements["LtiResourceLinkRequest"] == ["course_navigation"]
    assert about["https://canvas.instructure.com/lti/privacy_level"] == "name_only"


def test_others_are_not_told_of_it() -> None:
    about = asked(product_family="moodle")[TOOL_CONFIGURATION]
    assert not [name for name in about if "canvas" in name]
    assert not [each for each in about["messages"] if "placements" in each]


# Registering


def register(http: OutgoingHTTP, server: Server, token: str | None = "t0ken") -> Registered:
    there = replace(PLATFORM, registration_url=server.url("/register"))
    return dynamic_registration.register(http, there, token, {"client_name": "Ünit"})


def answering(server: Server, content: object, status: int = 201) -> None:
    server.paths["/register"] = say(json.dumps(content).encode(), status)


def test_the_registration_is_posted(http: OutgoingHTTP, server: Server) -> None:
    answering(server, {"client_id": "c"})
    assert register(http, server) == Registered("c", None, None)
    ((method, _, headers, body),) = server.asked
    assert (method, json.loads(body)) == ("POST", {"client_name": "Ünit"})
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer t0ken"


def test_a_platform_may_give_no_token(http: OutgoingHTTP, server: Server) -> None:
    answering(server, {"client_id": "c"})
    register(http, server, None)
    assert "authorization" not in server.asked[0][2]


@pytest.mark.parametrize("status", [200, 201])
def test_what_came_of_it(http: OutgoingHTTP, server: Server, status: int) -> None:
    about = {"deployment_id": "1"}
    answering(server, {"client_id": "c", "scope": f"openid  {SCORE}", TOOL_CONFIGURATION: about}, status)
    assert register(http, server) == Registered("c", "1", ("openid", SCORE))


@pytest.mark.parametrize(
    ("value", "deployment"),
    [(7, "7"), ("", None), (None, None), (True, None), ([], None), ("x" * 255, "x" * 255)],
)
def test_deployments(http: OutgoingHTTP, server: Server, value: object, deployment: str | None) -> None:
    answering(server, {"client_id": "c", TOOL_CONFIGURATION: {"deployment_id": value}})
    assert register(http, server).deployment == deployment


@pytest.mark.parametrize(
    "content",
    [
        [],
        "x",
        {},
        {"client_id": None},
        {"client_id": ""},
        {"client_id": 7},
        {"client_id": "x" * 256},
        {"client_id": "a\x00"},
        {"client_id": "c", TOOL_CONFIGURATION: {"deployment_id": "x" * 256}},
    ],
)
def test_an_answer_that_is_none(http: OutgoingHTTP, server: Server, content: object) -> None:
    answering(server, content)
    assert code_of(lambda: register(http, server)) == "registration.answer"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": "e", "error_description": "The  name\\n is taken."}', "The name is taken."),
        (b'{"message": "No."}', "No."),
        (b'{"error": "invalid_redirect_uri"}', "invalid_redirect_uri"),
        (b'{"error_description": 7}', ""),
        (b"Not you.", "Not you."),
        (b"<html><script>alert(1)</script>", ""),
        (b'"Not you."', "Not you."),
        (b"[]", ""),
        (b"", ""),
        (b"\xff", "\ufffd"),
        (b"x" * 1000, "x" * 300),
    ],
)
def test_what_a_platform_says_of_its_refusal(
    http: OutgoingHTTP, server: Server, body: bytes, words: str
) -> None:
    server.paths["/register"] = say(body, 400)
    with pytest.raises(RegistrationError) as error:
        register(http, server)
    assert (error.value.code, error.value.words) == ("registration.refused", words)
    assert error.value.detail == "answered 400"


@pytest.mark.parametrize("status", [302, 307])
def test_it_is_not_sent_elsewhere(http: OutgoingHTTP, server: Server, status: int) -> None:
    server.paths["/register"] = to(server.url("/elsewhere"), status)
    assert code_of(lambda: register(http, server)) == "registration.unreachable"
    assert len(server.asked) == 1
