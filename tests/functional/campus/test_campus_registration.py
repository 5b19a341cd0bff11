"""campus' dynamic registration: what it says of itself, and what it refuses, one row for each check."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from playwright.sync_api import Page, expect
from webtest import TestApp, TestResponse

from tests.campus import Campus, Config, lti
from tests.campus.errors import Refused
from tests.campus.families import CAMPUS
from tests.campus.registration import PLATFORM, TOOL, read_tool
from tests.campus.scopes import LINEITEM, SCORE
from tests.functional.campus.good_tool import TOOL as ORIGIN
from tests.functional.campus.good_tool import Assertion, authentication_request, last_refusal, token_request


@pytest.fixture
def empty(campus: Campus, keys: dict[str, rsa.RSAPrivateKey]) -> Campus:
    """A campus at which no tool is registered."""
    return Campus(replace(campus.config, registered=False, custom={}), keys["campus"])


@pytest.fixture
def office(empty: Campus) -> TestApp:
    """The new tool's server."""
    return TestApp(empty.app)


def request(**changes: Any) -> dict[str, Any]:
    """What a good tool says of itself; None leaves a member out."""
    whole = {
        "application_type": "web",
        "response_types": ["id_token"],
        "grant_types": ["implicit", "client_credentials"],
        "initiate_login_uri": "https://new.example/login",
        "redirect_uris": ["https://new.example/launch"],
        "client_name": "The new tool",
        "client_name#de": "Das neue Werkzeug",
        "jwks_uri": "https://new.example/jwks",
        "token_endpoint_auth_method": "private_key_jwt",
        "scope": f"{LINEITEM} {SCORE}",
        TOOL: settings(),
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def settings(**changes: Any) -> dict[str, Any]:
    whole = {
        "domain": "new.example",
        "target_link_uri": "https://new.example/launch",
        "description": "New",
        "claims": ["iss", "sub", "name"],
        "custom_parameters": {"due": "$ResourceLink.submission.endDateTime"},
        "messages": [
            {"type": "LtiResourceLinkRequest"},
            {
                "type": "LtiDeepLinkingRequest",
                "target_link_uri": "https://new.example/choose",
                "label": "Choose",
            },
        ],
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


@pytest.mark.parametrize(
    ("with_port", "domain", "taken"),
    [
        (True, "new.example:8443", True),
        (True, "new.example", False),
        (False, "new.example:8443", True),
        (False, "new.example", True),
        (False, "other.example", False),
    ],
)
def test_a_family_may_want_the_port_of_a_domain(
    empty: Campus, with_port: bool, domain: str, taken: bool
) -> None:
    config = replace(empty.config, behaviour=replace(CAMPUS, domain_with_port=with_port))
    target = "https://new.example:8443/launch"
    told = settings(domain=domain, target_link_uri=target, messages=[])
    if taken:
        assert read_tool(request(**{TOOL: told}), config).target_link_uri == target
    else:
        with pytest.raises(Refused):
            read_tool(request(**{TOOL: told}), config)


def register(office: TestApp, empty: Campus, status: int = 201, **changes: Any) -> TestResponse:
    """Register with a fresh invitation."""
    token = empty.invite()["registration_token"]
    headers = {"Authorization": f"Bearer {token}"}
    return office.post_json("/register", request(**changes), headers=headers, status=status)


def test_the_configuration_says_where_everything_is(empty: Campus, office: TestApp) -> None:
    told = empty.invite()
    assert told["openid_configuration"] == f"{empty.url}/.well-known/openid-configuration"
    found = office.get("/.well-known/openid-configuration").json
    assert found["issuer"] == empty.url
    assert found["authorization_endpoint"] == empty.config.auth_url
    assert found["token_endpoint"] == empty.config.token_url
    assert found["jwks_uri"] == empty.config.jwks_url
    assert found["registration_endpoint"] == empty.config.registration_url
    assert found["id_token_signing_alg_values_supported"] == ["RS256"]
    assert found["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert {"openid", *empty.config.scopes} == set(found["scopes_supported"])
    assert "authorization_server" not in found
    platform = found[PLATFORM]
    assert platform["product_family_code"] == "campus"
    assert {"type": "LtiDeepLinkingRequest"} in platform["messages_supported"]
    assert "Context.id.history" in platform["variables"]


def test_a_registered_tool_takes_the_place_of_what_campus_was_told(empty: Campus, office: TestApp) -> None:
    answer = register(office, empty).json
    assert answer["client_id"] == empty.config.client_id
    assert answer[TOOL]["deployment_id"] == empty.config.deployment_id
    assert answer[TOOL]["messages"] == settings()["messages"]
    assert (answer["client_name#de"], answer["scope"]) == ("Das neue Werkzeug", f"{LINEITEM} {SCORE}")
    begun = empty.initiation("zoe")
    assert begun["client_id"] == answer["client_id"]
    assert begun["target_link_uri"] == "https://new.example/launch"
    assert empty.deep_linking_initiation("nora")["target_link_uri"] == "https://new.example/choose"
    assert empty.config.login_url == "https://new.example/login"
    assert empty.config.tool_url == "https://new.example"
    assert empty.config.tool_jwks_url == "https://new.example/jwks"
    assert set(empty.claims("zoe")[lti("custom")]) == {"due"}
    assert empty.registration["client-id"] == answer["client_id"]


def test_a_registered_tool_gets_the_scopes_that_it_asked_for(
    empty: Campus, office: TestApp, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    client = register(office, empty, scope=SCORE).json["client_id"]

    def asking(scope: str) -> dict[str, str]:
        assertion = Assertion(empty, keys["tool"]).change(iss=client, sub=client)
        return token_request(assertion, scope=scope)

    office.post("/token", asking(SCORE))
    office.post("/token", asking(LINEITEM), status=400)
    claims = empty.claims("zoe")["https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"]
    assert claims["scope"] == [SCORE]


def test_a_platform_may_keep_the_deployment_to_itself(
    empty: Campus, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    behaviour = replace(empty.config.behaviour, registration_deployment=False, registration_status=200)
    quiet = Campus(replace(empty.config, behaviour=behaviour), keys["campus"])
    answer = register(TestApp(quiet.app), quiet, 200)
    assert "deployment_id" not in answer.json[TOOL]


def test_a_platform_may_show_its_configuration_to_the_invited_only(
    empty: Campus, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    behaviour = replace(empty.config.behaviour, configuration_token=True, bare_messages=True)
    shy = Campus(
        replace(empty.config, behaviour=behaviour, token_audience="https://aud.example"), keys["campus"]
    )
    told, office = shy.invite(), TestApp(shy.app)
    assert parse_qs(urlsplit(told["openid_configuration"]).query)["registration_token"] == [
        told["registration_token"]
    ]
    found = office.get(told["openid_configuration"].removeprefix(shy.url)).json
    assert found["authorization_server"] == "https://aud.example"
    assert "LtiDeepLinkingRequest" in found[PLATFORM]["messages_supported"]
    bearer = {"Authorization": f"Bearer {told['registration_token']}"}
    office.get("/.well-known/openid-configuration", headers=bearer)
    office.get("/.well-known/openid-configuration", status=401)
    office.get("/.well-known/openid-configuration?registration_token=x", status=401)
    assert "registration token" in last_refusal(shy)


def test_a_registration_token_is_good_for_one_success(empty: Campus, office: TestApp) -> None:
    headers = {"Authorization": f"Bearer {empty.invite()['registration_token']}"}
    office.post_json("/register", request(client_name=None), headers=headers, status=400)
    office.post_json("/register", request(), headers=headers, status=201)
    office.post_json("/register", request(), headers=headers, status=401)
    assert "unknown, used or too old" in last_refusal(empty)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer made-up", "bearer {token}", "{token}"])
def test_without_an_invitation_nothing_is_registered(
    empty: Campus, office: TestApp, header: str | None
) -> None:
    good = empty.invite()["registration_token"]
    headers = {} if header is None else {"Authorization": header.replace("{token}", good)}
    office.post_json("/register", request(), headers=headers, status=401)
    assert empty.registry.state == "none"


def test_an_old_invitation_is_none(empty: Campus, office: TestApp, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Authorization": f"Bearer {empty.invite()['registration_token']}"}
    late = time.monotonic() + 3601
    monkeypatch.setattr("tests.campus.invitations.time.monotonic", lambda: late)
    office.post_json("/register", request(), headers=headers, status=401)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"application_type": None}, "application_type"),
        ({"application_type": "native"}, "application_type"),
        ({"response_types": None}, "response_types"),
        ({"response_types": "id_token"}, "response_types"),
        ({"response_types": ["code"]}, "response_types"),
        ({"grant_types": None}, "grant_types"),
        ({"grant_types": ["implicit"]}, "grant_types"),
        ({"grant_types": ["client_credentials"]}, "grant_types"),
        ({"initiate_login_uri": None}, "initiate_login_uri"),
        ({"initiate_login_uri": "/login"}, "initiate_login_uri"),
        ({"redirect_uris": None}, "redirect_uris"),
        ({"redirect_uris": []}, "redirect_uris"),
        ({"redirect_uris": "https://new.example/launch"}, "redirect_uris"),
        ({"redirect_uris": ["https://new.example/launch#x"]}, "redirect_uris"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "redirect_uris"),
        ({"client_name": None}, "client_name"),
        ({"client_name": " "}, "client_name"),
        ({"jwks_uri": None}, "jwks_uri"),
        ({"jwks": {"keys": []}}, "jwks"),
        ({"token_endpoint_auth_method": None}, "token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "token_endpoint_auth_method"),
        ({"scope": [SCORE]}, "scope"),
        ({"scope": f"{SCORE} https://elsewhere.example/scope"}, "scope"),
        ({"logo_uri": "logo.png"}, "logo_uri"),
        ({"contacts": "me"}, "contacts"),
        ({TOOL: None}, "lti-tool-configuration"),
        ({TOOL: []}, "lti-tool-configuration"),
        ({TOOL: settings(domain=None)}, "domain"),
        ({TOOL: settings(domain="elsewhere.example")}, "domain"),
        ({TOOL: settings(domain="https://new.example")}, "domain"),
        ({TOOL: settings(target_link_uri=None)}, "target_link_uri"),
        ({TOOL: settings(claims=None)}, "claims"),
        ({TOOL: settings(claims="sub")}, "claims"),
        ({TOOL: settings(claims=["name"])}, "claims"),
        ({TOOL: settings(custom_parameters={"n": 1})}, "custom_parameters"),
        ({TOOL: settings(custom_parameters=["n"])}, "custom_parameters"),
        ({TOOL: settings(messages={})}, "messages"),
        ({TOOL: settings(messages=[{}])}, "type"),
        ({TOOL: settings(messages=[{"type": "LtiStartProctoring"}])}, "type"),
        (
            {
                TOOL: settings(
                    messages=[{"type": "LtiDeepLinkingRequest", "target_link_uri": "https://x.example/"}]
                )
            },
            "target_link_uri",
        ),
        (
            {TOOL: settings(messages=[{"type": "LtiDeepLinkingRequest", "placements": "editor"}])},
            "placements",
        ),
        ({TOOL: settings(customParameters={})}, "customParameters"),
    ],
)
def test_a_wrong_registration_is_refused(
    empty: Campus, office: TestApp, changes: dict[str, Any], reason: str
) -> None:
    answer = register(office, empty, 400, **changes)
    wanted = "invalid_redirect_uri" if reason == "redirect_uris" else "invalid_client_metadata"
    assert answer.json["error"] == wanted
    assert reason in last_refusal(empty)
    assert empty.registry.state == "none"


def test_a_registration_is_json(empty: Campus, office: TestApp) -> None:
    headers = {"Authorization": f"Bearer {empty.invite()['registration_token']}"}
    office.post("/register", {"client_name": "x"}, headers, status=415)
    typed = headers | {"Content-Type": "application/json"}
    office.post("/register", b"{", typed, status=400)
    office.get("/register", headers=headers, status=405)


def _pages(empty: Campus) -> None:
    browser = TestApp(empty.app)
    browser.get("/?as=zoe")
    page = browser.get(f"/course/open/{empty.link().id}", status=409)
    assert "No tool can be opened here yet" in page.text


def _tokens(empty: Campus) -> None:
    TestApp(empty.app).post("/token", {"grant_type": "x"}, status=400)


def _auth(empty: Campus) -> None:
    TestApp(empty.app).get("/auth?client_id=", status=409)


@pytest.mark.parametrize("look", [_pages, _tokens, _auth])
def test_without_a_tool_nothing_is_launched(empty: Campus, look: Callable[[Campus], None]) -> None:
    look(empty)
    with pytest.raises(Refused, match="no tool"):
        empty.initiation("zoe")
    with pytest.raises(Refused, match="no tool"):
        empty.activate()


def test_a_new_tool_may_have_to_wait_for_the_administrator(
    empty: Campus, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    careful = Campus(replace(empty.config, new_tools_pending=True), keys["campus"])
    office = TestApp(careful.app)
    client = register(office, careful).json["client_id"]
    with pytest.raises(Refused, match="switch it on"):
        careful.initiation("zoe")
    assertion = Assertion(careful, keys["tool"]).change(iss=client, sub=client)
    office.post("/token", token_request(assertion), status=400)
    browser = TestApp(careful.app)
    page = browser.get("/?as=ada", status=303).follow()
    assert "Pending" in page.text and "The new tool" in page.text
    form = next(form for form in page.forms.values() if form.action == "/tools/activate")
    assert "Active" in form.submit(status=303).follow().text
    assert careful.initiation("zoe")["client_id"] == client
    office.post("/token", token_request(assertion))


def test_the_administrator_opens_a_tools_registration_page(empty: Campus) -> None:
    browser = TestApp(empty.app)
    page = browser.get("/?as=ada", status=303).follow()
    assert "No tool is registered yet." in page.text
    form = next(form for form in page.forms.values() if form.action == "/tools")
    form["url"] = "https://new.example/register?key=a%26b"
    frame = form.submit().html.find("iframe", id="tool")
    query = parse_qs(urlsplit(frame["src"]).query)
    assert query["key"] == ["a&b"]
    assert query["openid_configuration"] == [f"{empty.url}/.well-known/openid-configuration"]
    headers = {"Authorization": f"Bearer {query['registration_token'][0]}"}
    browser.post_json("/register", request(), headers=headers, status=201)
    form["url"] = "javascript:alert(1)"
    assert "not a web address" in form.submit(status=400).html.find(id="url-problem").text


def test_only_the_administrator_registers_tools(browser: TestApp, server: TestApp) -> None:
    browser.get("/tools", status=403)
    browser.post("/tools", {"url": "https://new.example/"}, status=403)
    browser.post("/tools/activate", {}, status=403)
    home = server.get("/tools", status=303).follow()
    assert home.forms[1]["login"].value == "ada"
    assert home.forms[1].submit(status=303).location.endswith("/tools")


def test_an_administrator_has_no_role_in_the_course(campus: Campus) -> None:
    roles = campus.claims("ada")[lti("roles")]
    assert roles == [
        "http://purl.imsglobal.org/vocab/lis/v2/system/person#Administrator",
        "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Administrator",
    ]


def test_a_port_may_stand_in_the_address() -> None:
    campus = Campus(Config(base_url="http://127.0.0.1:{port}"))
    assert campus.url == f"http://127.0.0.1:{campus.config.port}"
    campus.stop()


def test_registering_again_replaces_the_tool(empty: Campus, office: TestApp) -> None:
    first = register(office, empty).json["client_id"]
    again = register(office, empty, client_name="Another").json["client_id"]
    assert first != again
    assert empty.config.tool_title == "Another"
    with pytest.raises(Refused, match="http"):
        empty.registration_url("new.example")
    browser = TestApp(empty.app)
    browser.get("/?as=zoe")
    wrong = authentication_request(empty, client_id=first)
    browser.get("/auth", wrong, status=400)


def test_the_page_closes_when_the_tool_says_so(page: Page, keys: dict[str, rsa.RSAPrivateKey]) -> None:
    with Campus(Config(tool_url=ORIGIN), keys["campus"]) as campus:
        page.goto(f"{campus.url}/tools?as=ada")
        page.get_by_label("Register a tool").fill(f"{ORIGIN}/register")
        page.get_by_role("button", name="Register").click()
        page.frame_locator("#tool").get_by_text("The tool").wait_for()
        tool = page.frame(name="tool")
        assert tool is not None
        tool.evaluate("window.parent.postMessage({ subject: 'something else' }, '*')")
        page.evaluate("window.postMessage({ subject: 'org.imsglobal.lti.close' }, '*')")
        expect(page.frame_locator("#tool").get_by_text("The tool")).to_be_visible()
        tool.evaluate("window.parent.postMessage({ subject: 'org.imsglobal.lti.close' }, '*')")
        expect(page.get_by_role("heading", name="Tools")).to_be_visible()
        expect(page).to_have_url(f"{campus.url}/tools")
