"""Access tokens: lti.md 26."""

from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from jwt.algorithms import RSAAlgorithm

from ipylti.errors import OutgoingError, ServiceError
from ipylti.http import Answer
from ipylti.lti import keys
from ipylti.lti.tokens import AccessTokens
from tests.unit.lti.platforms import FakePlatform, MemoryCache
from tests.unit.lti.services import Services, answer

SCORE = "https://purl.imsglobal.org/spec/lti-ags/scope/score"
ITEM = "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem"
NOW = 1_900_000_000


@pytest.fixture(scope="module")
def key() -> keys.ToolKey:
    return keys.generate(datetime(2031, 1, 1, tzinfo=UTC))


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
def cache() -> MemoryCache:
    return MemoryCache()


@pytest.fixture
def tokens(services: Services, cache: MemoryCache, key: keys.ToolKey) -> AccessTokens:
    return AccessTokens(services.http, cache, keys.Signer(key), clock=lambda: NOW)


def assertion(services: Services, key: keys.ToolKey) -> dict[str, Any]:
    token = services.asked[-1].content["client_assertion"]
    assert jwt.get_unverified_header(token)["kid"] == key.kid
    public = RSAAlgorithm.from_jwk(keys.public_jwks([key], key.created)["keys"][0])
    options = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    return jwt.decode(token, public, ["RS256"], options=options)


def test_the_request(
    tokens: AccessTokens, services: Services, platform: FakePlatform, key: keys.ToolKey
) -> None:
    assert tokens.get(platform.registration, [SCORE, ITEM]) == "t1"
    [request] = services.asked
    assert request.url == "https://lms.example/token"
    fields = dict(request.content)
    fields.pop("client_assertion")
    assert fields == {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "scope": f"{ITEM} {SCORE}",
    }


def test_the_assertion(
    tokens: AccessTokens, services: Services, platform: FakePlatform, key: keys.ToolKey
) -> None:
    tokens.get(platform.registration, [SCORE])
    claims = assertion(services, key)
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "jti"}
    assert claims["iss"] == claims["sub"] == "tool-at-lms"
    assert claims["aud"] == "https://lms.example/token"
    assert NOW - 60 < claims["iat"] <= NOW < claims["exp"]
    assert claims["exp"] - claims["iat"] <= 300


def test_no_two_assertions_have_one_id(
    tokens: AccessTokens, services: Services, platform: FakePlatform, key: keys.ToolKey
) -> None:
    seen = set()
    for scope in "abc":
        tokens.get(platform.registration, [scope])
        seen.add(assertion(services, key)["jti"])
    assert len(seen) == 3


def test_the_audience_can_be_set(tokens: AccessTokens, services: Services, key: keys.ToolKey) -> None:
    platform = FakePlatform(token_audience="https://api.brightspace.com/auth/token")
    tokens.get(platform.registration, [SCORE])
    assert assertion(services, key)["aud"] == "https://api.brightspace.com/auth/token"


def test_a_token_is_kept_until_a_minute_before_its_end(
    tokens: AccessTokens, services: Services, platform: FakePlatform, cache: MemoryCache
) -> None:
    for _ in range(3):
        assert tokens.get(platform.registration, [SCORE, ITEM]) == "t1"
    assert tokens.get(platform.registration, [ITEM, SCORE]) == "t1"
    assert len(services.asked) == 1
    assert list(cache.seconds.values()) == [3540]


@pytest.mark.parametrize("expires", [{}, {"expires_in": 60}, {"expires_in": "x"}, {"expires_in": None}])
def test_a_token_that_does_not_last_is_not_kept(
    tokens: AccessTokens, services: Services, platform: FakePlatform, expires: dict[str, Any]
) -> None:
    services.tokens = [answer({"access_token": "t", "token_type": "bearer", **expires})]
    assert tokens.get(platform.registration, [SCORE]) == "t"
    tokens.get(platform.registration, [SCORE])
    assert len(services.asked) == 2


def test_scope_sets_and_registrations_have_tokens_of_their_own(
    tokens: AccessTokens, services: Services, platform: FakePlatform, other: FakePlatform
) -> None:
    for registration in (platform.registration, other.registration):
        for scopes in ([SCORE], [ITEM], [SCORE, ITEM]):
            tokens.get(registration, scopes)
    assert len(services.asked) == 6


def test_a_refused_token_is_forgotten_but_not_its_successor(
    tokens: AccessTokens, services: Services, platform: FakePlatform
) -> None:
    tokens.get(platform.registration, [SCORE])
    tokens.forget(platform.registration, [SCORE], "an older one")
    tokens.get(platform.registration, [SCORE])
    assert len(services.asked) == 1
    tokens.forget(platform.registration, [SCORE], "t1")
    tokens.get(platform.registration, [SCORE])
    assert len(services.asked) == 2


@pytest.mark.parametrize("scope", [f"{ITEM} {SCORE}", f"{SCORE} {ITEM} more"])
def test_the_scopes_that_come_back(
    tokens: AccessTokens, services: Services, platform: FakePlatform, scope: str
) -> None:
    services.tokens = [answer({"access_token": "t", "token_type": "BEARER", "scope": scope})]
    assert tokens.get(platform.registration, [SCORE, ITEM]) == "t"


@pytest.mark.parametrize("scope", ["", SCORE, f"{SCORE},{ITEM}", [SCORE, ITEM], 5])
def test_fewer_scopes_than_asked_for(
    tokens: AccessTokens, services: Services, platform: FakePlatform, scope: object
) -> None:
    services.tokens = [answer({"access_token": "t", "token_type": "bearer", "scope": scope})]
    with pytest.raises(ServiceError) as error:
        tokens.get(platform.registration, [SCORE, ITEM])
    assert (error.value.code, error.value.retry) == ("token.scope", False)


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"token_type": "bearer"},
        {"access_token": "", "token_type": "bearer"},
        {"access_token": 5, "token_type": "bearer"},
        {"access_token": "a b", "token_type": "bearer"},
        {"access_token": "a\r\nX-Evil: 1", "token_type": "bearer"},
        {"access_token": "ü", "token_type": "bearer"},
        {"access_token": "x" * 20_000, "token_type": "bearer"},
        {"access_token": "t"},
        {"access_token": "t", "token_type": "mac"},
        {"access_token": "t", "token_type": None},
    ],
)
def test_an_answer_without_a_usable_token(
    tokens: AccessTokens, services: Services, platform: FakePlatform, content: object
) -> None:
    services.tokens = [answer(content)]
    with pytest.raises(ServiceError) as error:
        tokens.get(platform.registration, [SCORE])
    assert (error.value.code, error.value.retry) == ("token.answer", False)


@pytest.mark.parametrize(
    ("said", "code", "retry"),
    [
        (answer({"error": "invalid_client"}, 400), "token.refused", False),
        (answer({"error": "invalid_client"}, 401), "token.unauthorized", False),
        (answer(None, 404), "token.missing", False),
        (answer(None, 429, retry_after="7"), "token.throttled", True),
        (Answer(503, {}, b"<html>"), "token.failed", True),
    ],
)
def test_an_endpoint_that_refuses(
    tokens: AccessTokens, services: Services, platform: FakePlatform, said: Answer, code: str, retry: bool
) -> None:
    services.tokens = [said]
    with pytest.raises(ServiceError) as error:
        tokens.get(platform.registration, [SCORE])
    assert (error.value.code, error.value.retry, error.value.status) == (code, retry, said.status)


@pytest.mark.parametrize(("error", "shown"), [("invalid_scope", True), ("<b>\n", False), ({"a": 1}, False)])
def test_the_named_error_reaches_the_log(
    tokens: AccessTokens, services: Services, platform: FakePlatform, error: object, shown: bool
) -> None:
    services.tokens = [answer({"error": error, "error_description": "secret"}, 400)]
    with pytest.raises(ServiceError) as raised:
        tokens.get(platform.registration, [SCORE])
    assert raised.value.detail == "answered 400" + (" invalid_scope" if shown else "")


def test_an_endpoint_that_does_not_answer(
    tokens: AccessTokens, services: Services, platform: FakePlatform, key: keys.ToolKey
) -> None:
    http = services.http
    http.post_form.side_effect = OutgoingError("slow", code="http.timeout")
    with pytest.raises(ServiceError) as error:
        AccessTokens(http, MemoryCache(), keys.Signer(key)).get(platform.registration, [SCORE])
    assert (error.value.code, error.value.retry, error.value.status) == ("token.unreachable", True, None)
