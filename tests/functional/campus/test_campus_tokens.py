"""campus' token endpoint refuses what it should, one row for each check."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from webtest import TestApp

from tests.campus import Campus, Config
from tests.campus.keys import new_key, public_jwk, public_pem
from tests.campus.scopes import LINEITEM, SCORE
from tests.functional.campus.good_tool import CLIENT, Assertion, last_refusal, token_request

SHORT = public_jwk(new_key(1024))


def test_a_right_assertion_gets_an_access_token(server: TestApp, assertion: Assertion) -> None:
    answer = server.post("/token", token_request(assertion))
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 3600
    assert answer.json["scope"] == f"{LINEITEM} {SCORE}"
    assert answer.headers["Cache-Control"] == "no-store"


def test_an_audience_among_several_and_five_minutes_are_fine(
    campus: Campus, server: TestApp, assertion: Assertion
) -> None:
    assertion.change(aud=["https://elsewhere.example", campus.config.token_url], exp=lambda exp: exp + 235)
    server.post("/token", token_request(assertion, client_id=CLIENT))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": None}, "iss"),
        ({"iss": "another-tool"}, "iss"),
        ({"sub": None}, "sub"),
        ({"sub": "another-tool"}, "sub"),
        ({"aud": None}, "aud"),
        ({"aud": "http://campus.localhost"}, "aud"),
        ({"aud": ["https://elsewhere.example"]}, "aud"),
        ({"iat": None}, "iat"),
        ({"iat": "now"}, "iat"),
        ({"iat": lambda iat: iat + 30}, "future"),
        ({"exp": None}, "exp"),
        ({"exp": lambda exp: exp + 0.5}, "exp"),
        ({"iat": lambda iat: iat - 200, "exp": lambda exp: exp - 100}, "expired"),
        ({"exp": lambda exp: exp + 241}, "longer"),
        ({"iat": lambda iat: iat - 290, "exp": lambda exp: exp}, "longer"),
        ({"nbf": lambda _: int(time.time()) + 30}, "not valid yet"),
        ({"nbf": "soon"}, "nbf"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": 7}, "jti"),
    ],
)
def test_an_assertion_with_a_wrong_claim_is_refused(
    campus: Campus, server: TestApp, assertion: Assertion, changes: dict[str, Any], reason: str
) -> None:
    answer = server.post("/token", token_request(assertion.change(**changes)), status=400)
    assert answer.json["error"] == "invalid_client"
    assert reason in last_refusal(campus)
    assert not campus.log.accepted("token")


def test_an_assertion_is_good_for_one_token(campus: Campus, server: TestApp, assertion: Assertion) -> None:
    server.post("/token", token_request(assertion))
    server.post("/token", token_request(assertion), status=400)
    assert "used before" in last_refusal(campus)


def _no_kid(assertion: Assertion) -> None:
    del assertion.header["kid"]


def _unknown_kid(assertion: Assertion) -> None:
    assertion.header["kid"] = "unknown"


def _rs512(assertion: Assertion) -> None:
    assertion.algorithm = assertion.header["alg"] = "RS512"


def _none(assertion: Assertion) -> None:
    assertion.algorithm = assertion.header["alg"] = "none"


def _public_key_as_secret(assertion: Assertion) -> None:
    assertion.key = public_pem(assertion.key)
    assertion.algorithm = assertion.header["alg"] = "HS256"


def _hidden_algorithm(assertion: Assertion) -> None:
    assertion.algorithm = "RS512"


def _strangers_key(assertion: Assertion) -> None:
    assertion.key = new_key()


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (_no_kid, "kid"),
        (_unknown_kid, "0 keys"),
        (_rs512, "RS512"),
        (_none, "none"),
        (_public_key_as_secret, "HS256"),
        (_hidden_algorithm, "verify"),
        (_strangers_key, "verify"),
    ],
)
def test_an_assertion_that_is_not_signed_as_it_should_is_refused(
    campus: Campus, server: TestApp, assertion: Assertion, forge: Callable[[Assertion], None], reason: str
) -> None:
    forge(assertion)
    answer = server.post("/token", token_request(assertion), status=400)
    assert answer.json["error"] == "invalid_client"
    assert reason in last_refusal(campus)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"use": "enc"}, "not an RSA key for signing"),
        ({"alg": "RS512"}, "not an RSA key for signing"),
        ({"kty": "oct"}, "not an RSA key for signing"),
        ({"n": SHORT["n"]}, "bits"),
        ({"n": "AQAB"}, "cannot be read"),
        ({"d": "AQAB"}, "private"),
    ],
)
def test_a_key_that_the_tool_should_not_publish_is_refused(
    campus: Campus,
    server: TestApp,
    assertion: Assertion,
    tool_keys: dict[str, Any],
    members: dict[str, str],
    reason: str,
) -> None:
    tool_keys["keys"][0].update(members)
    server.post("/token", token_request(assertion), status=400)
    assert reason in last_refusal(campus)


def test_two_keys_of_one_kid_are_refused(
    campus: Campus, server: TestApp, assertion: Assertion, tool_keys: dict[str, Any]
) -> None:
    tool_keys["keys"] *= 2
    server.post("/token", token_request(assertion), status=400)
    assert "2 keys" in last_refusal(campus)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"client_assertion_type": None}, "invalid_request"),
        ({"client_assertion_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}, "invalid_request"),
        ({"client_assertion": None}, "invalid_request"),
        ({"client_assertion": "not.a.token"}, "invalid_client"),
        ({"client_id": "another-tool"}, "invalid_client"),
        ({"client_secret": "secret"}, "invalid_request"),
        ({"scope": None}, "invalid_request"),
        ({"scope": " "}, "invalid_scope"),
        ({"scope": SCORE + "s"}, "invalid_scope"),
        ({"scope": f"{SCORE} openid"}, "invalid_scope"),
    ],
)
def test_a_wrong_token_request_is_refused(
    campus: Campus, server: TestApp, assertion: Assertion, changes: dict[str, Any], error: str
) -> None:
    answer = server.post("/token", token_request(assertion, **changes), status=400)
    assert answer.json["error"] == error
    assert "access_token" not in answer.json
    assert len(campus.log.refused("token")) == 1


def test_a_token_request_that_is_no_form_is_refused(server: TestApp, assertion: Assertion) -> None:
    server.post_json("/token", token_request(assertion), status=400)
    server.get("/token", token_request(assertion), status=405)


def test_a_token_request_in_two_ways_at_once_is_refused(server: TestApp, assertion: Assertion) -> None:
    server.post("/token", token_request(assertion), {"Authorization": "Basic Og=="}, status=400)
    server.post("/token", [*token_request(assertion).items(), ("scope", SCORE)], status=400)


def test_the_tools_keys_are_fetched_where_the_tool_publishes_them(
    keys: dict[str, rsa.RSAPrivateKey], tool_keys: dict[str, Any]
) -> None:
    """Another campus plays the tool's web server."""
    with Campus(Config(), keys["tool"]) as tool:
        campus = Campus(
            Config(client_id=CLIENT, port=None, tool_jwks_url=tool.config.jwks_url), keys["campus"]
        )
        TestApp(campus.app).post("/token", token_request(Assertion(campus, keys["tool"])))
        tool.fail_next("jwks", 503)
        TestApp(campus.app).post("/token", token_request(Assertion(campus, keys["tool"])), status=400)
        assert "cannot be had" in last_refusal(campus)
