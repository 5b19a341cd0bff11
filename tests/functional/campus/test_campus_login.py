"""campus' authorization endpoint refuses what it should, one row for each check; what its messages say."""

import re
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from webtest import TestApp

from tests.campus import Campus, ags, lti
from tests.campus.keys import b64, public_pem
from tests.campus.scopes import LINEITEM, LINEITEM_READONLY, RESULT_READONLY, SCORE
from tests.functional.campus.good_tool import CLIENT, LAUNCH, authentication_request, last_refusal, posted


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_right_login_ends_in_a_message_signed_by_campus(
    campus: Campus, browser: TestApp, method: str
) -> None:
    link = campus.course.links[1]
    begun = campus.initiation("zoe", link.id)
    wanted = authentication_request(campus, lti_message_hint=begun["lti_message_hint"])
    address, fields = posted(getattr(browser, method)("/auth", wanted))
    assert address == LAUNCH
    assert fields["state"] == "a-state"
    published = {key["kid"]: key for key in browser.get("/jwks").json["keys"]}
    kid = jwt.get_unverified_header(fields["id_token"])["kid"]
    claims = jwt.decode(
        fields["id_token"],
        jwt.PyJWK.from_dict(published[kid]).key,
        algorithms=["RS256"],
        audience=CLIENT,
        issuer=campus.url,
    )
    assert claims["exp"] - claims["iat"] == 60
    assert claims["nonce"] == "a-nonce"
    assert claims["sub"] == campus.person("zoe").sub
    assert claims["name"] == "Zoë Müller"
    assert claims[lti("message_type")] == "LtiResourceLinkRequest"
    assert claims[lti("version")] == "1.3.0"
    assert claims[lti("deployment_id")] == campus.config.deployment_id
    assert claims[lti("target_link_uri")] == LAUNCH
    assert claims[lti("resource_link")]["id"] == link.id
    assert claims[lti("context")]["title"] == "Introduction to Notebooks"
    assert claims[lti("roles")][0] == "http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"
    assert claims[lti("launch_presentation")]["document_target"] == "iframe"
    assert claims[lti("custom")]["due"].endswith("T23:59:59Z")
    assert claims[lti("custom")]["context_history"] == "$Context.id.history"
    assert claims[ags("endpoint")] == {
        "scope": [LINEITEM, LINEITEM_READONLY, RESULT_READONLY, SCORE],
        "lineitems": campus.gradebook.items_url,
        "lineitem": campus.gradebook.item_url(campus.gradebook.items_of(link)[0]),
    }


def test_the_login_initiation_carries_all_that_lti_wants(campus: Campus, browser: TestApp) -> None:
    address, fields = posted(browser.get(f"/course/open/{campus.link().id}?target=iframe"))
    assert address == "http://tool.example/login"
    assert set(fields) == {
        "iss", "login_hint", "target_link_uri", "lti_message_hint", "client_id", "lti_deployment_id",
    }  # fmt: skip
    assert fields["iss"] == campus.url


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_id": "another-tool"}, "client_id"),
        ({"client_id": None}, "client_id"),
        ({"redirect_uri": None}, "redirect_uri"),
        ({"redirect_uri": LAUNCH + "/"}, "redirect_uri"),
        ({"redirect_uri": LAUNCH + "?next=1"}, "redirect_uri"),
        ({"redirect_uri": "http://TOOL.example/launch"}, "redirect_uri"),
        ({"redirect_uri": "https://evil.example/"}, "redirect_uri"),
    ],
)
def test_nothing_is_sent_to_an_address_that_is_not_the_tools(
    campus: Campus, browser: TestApp, changes: dict[str, Any], reason: str
) -> None:
    page = browser.get("/auth", authentication_request(campus, **changes), status=400)
    assert page.html.find("form", id="onward") is None
    assert reason in last_refusal(campus)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "code"}, "unsupported_response_type"),
        ({"response_type": "id_token token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_mode": None}, "invalid_request"),
        ({"scope": "openid profile"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"prompt": "login"}, "invalid_request"),
        ({"prompt": None}, "invalid_request"),
        ({"nonce": None}, "invalid_request"),
        ({"nonce": ""}, "invalid_request"),
        ({"state": None}, "invalid_request"),
        ({"login_hint": None}, "invalid_request"),
        ({"login_hint": "h-000000"}, "invalid_request"),
        ({"login_hint": "zoe"}, "invalid_request"),
        ({"lti_message_hint": None}, "invalid_request"),
        ({"lti_message_hint": "made-up"}, "invalid_request"),
    ],
)
def test_a_wrong_authentication_request_is_refused(
    campus: Campus, browser: TestApp, changes: dict[str, Any], error: str
) -> None:
    address, fields = posted(browser.get("/auth", authentication_request(campus, **changes)))
    assert address == LAUNCH
    assert fields["error"] == error
    assert fields["error_description"]
    assert "id_token" not in fields
    assert fields.get("state") == ("a-state" if "state" not in changes else None)
    assert next(iter(changes)) in last_refusal(campus)
    assert not campus.log.accepted("auth")


def test_a_parameter_given_twice_is_refused(campus: Campus, browser: TestApp) -> None:
    twice = [*authentication_request(campus), ("nonce", "another")]
    assert posted(browser.get("/auth", twice))[1]["error"] == "invalid_request"
    assert "nonce is given 2 times" in last_refusal(campus)


def test_a_nonce_is_good_for_one_login(campus: Campus, browser: TestApp) -> None:
    assert "id_token" in posted(browser.get("/auth", authentication_request(campus)))[1]
    assert posted(browser.get("/auth", authentication_request(campus)))[1]["error"] == "invalid_request"
    assert "nonce" in last_refusal(campus)


def test_a_browser_in_which_nobody_is_signed_in_gets_no_message(campus: Campus, server: TestApp) -> None:
    fields = posted(server.get("/auth", authentication_request(campus)))[1]
    assert fields["error"] == "login_required"


def test_a_browser_in_which_somebody_else_is_signed_in_gets_no_message(
    campus: Campus, server: TestApp
) -> None:
    server.get("/?as=sam")
    fields = posted(server.get("/auth", authentication_request(campus)))[1]
    assert fields["error"] == "login_required"
    assert "Sam Okafor is signed in here" in last_refusal(campus)


def test_the_hints_of_two_people_do_not_mix(campus: Campus, browser: TestApp) -> None:
    other = campus.initiation("sam")["lti_message_hint"]
    fields = posted(browser.get("/auth", authentication_request(campus, lti_message_hint=other)))[1]
    assert fields["error"] == "invalid_request"
    assert "two different people" in last_refusal(campus)


def test_an_old_message_hint_is_refused(
    campus: Campus, browser: TestApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = authentication_request(campus)
    monkeypatch.setattr("tests.campus.logins.HINT_SECONDS", -1)
    assert posted(browser.get("/auth", wanted))[1]["error"] == "invalid_request"


def test_an_error_description_keeps_to_the_characters_that_oauth_allows(
    campus: Campus, browser: TestApp
) -> None:
    wanted = authentication_request(campus, prompt='"\\é\n')
    description = posted(browser.get("/auth", wanted))[1]["error_description"]
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", description)


def test_id_token_makes_forged_messages(campus: Campus, keys: dict[str, rsa.RSAPrivateKey]) -> None:
    ours = keys["campus"].public_key()
    unverified = {"verify_aud": False}

    def read(token: str, key: Any = ours, algorithm: str = "RS256") -> dict[str, Any]:
        return jwt.decode(token, key, algorithms=[algorithm], options=unverified)

    assert read(campus.id_token("zoe", nonce="n", claims={"iss": "x"}))["iss"] == "x"
    assert lti("roles") not in read(campus.id_token("zoe", without=(lti("roles"),)))
    assert "kid" not in jwt.get_unverified_header(campus.id_token("zoe", headers={"kid": None}))
    assert read(campus.id_token("zoe", key=keys["stranger"]), keys["stranger"].public_key())
    assert read(campus.id_token("zoe", algorithm="RS512"), algorithm="RS512")
    assert campus.id_token("zoe", algorithm="none").endswith(".")
    assert b64(b'{"a":1,"a":2}') in campus.id_token("zoe", payload=b'{"a":1,"a":2}')
    forged = campus.id_token("zoe", algorithm="HS256", key=public_pem(keys["campus"]))
    assert jwt.get_unverified_header(forged)["alg"] == "HS256"
    with pytest.raises(ValueError, match="no way to sign"):
        campus.id_token("zoe", algorithm="HS256")


def test_an_institutions_instructor_may_be_a_student_here(campus: Campus) -> None:
    roles = campus.claims("sam")[lti("roles")]
    assert "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Instructor" in roles
    assert not any(role.endswith("membership#Instructor") for role in roles)


def test_rotated_keys_sign_at_once_and_the_old_ones_stay_published(campus: Campus, server: TestApp) -> None:
    before = campus.keys.jwks()["keys"][0]["kid"]
    after = campus.rotate_keys()
    assert [key["kid"] for key in server.get("/jwks").json["keys"]] == [before, after]
    assert jwt.get_unverified_header(campus.id_token("zoe"))["kid"] == after
    last = campus.rotate_keys(keep_old=False)
    assert [key["kid"] for key in server.get("/jwks").json["keys"]] == [last]


def test_published_keys_are_public(server: TestApp) -> None:
    for key in server.get("/jwks").json["keys"]:
        assert set(key) == {"kty", "n", "e", "kid", "alg", "use"}
