"""What an attacker would try with a message: lti.md 6 to 16 and its list at the end."""

import json
import time
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ipylti.errors import DependencyDown, PlatformRefused, RefusedMessage
from ipylti.lti import id_token, login, messages
from tests.unit.lti.platforms import (
    GONE,
    INSTRUCTOR,
    LTI,
    TARGETS,
    TOOL,
    FakePlatform,
    MemorySingleUse,
    Tool,
    b64,
    public_jwk,
    rsa_key,
)


def refused(
    tool: Tool, platform: FakePlatform, token: str | None = None, now: float | None = None, **options: Any
) -> str:
    """Return the code of the refusal; and see that the login is still good for the person's own message.

    :param now: when it comes, if not at this moment.
    """
    started = tool.login(platform)
    if token is None:
        token = platform.sign(platform.claims(started.nonce, options), headers=options.pop("headers", None))
    with pytest.raises(RefusedMessage) as refusal:
        tool.receive(started.state, token, started.cookies, now)
    assert login.remembered(started.state, tool.states) is not None
    own = platform.sign(platform.claims(started.nonce))
    assert tool.receive(started.state, own, started.cookies).sub == "person-1"
    return refusal.value.code


# Form and algorithms: lines 7 and 8


@pytest.mark.parametrize(
    "token",
    ["x", "a.b", "a.b.c.d", "..", "a..c", " a.b.c", "a.b.c\n", "a.b.c=", "é.b.c", "a.b.\x7f", "{}.{}.{}"],
)
def test_not_three_segments(tool: Tool, platform: FakePlatform, token: str) -> None:
    assert refused(tool, platform, token) == "message.malformed"


@pytest.mark.parametrize("segment", ["a", "AA", "bnVsbA", "W10", "MQ", b64(b"\xff\xfe{}"), b64(b"{} {}")])
def test_a_header_that_is_no_object(tool: Tool, platform: FakePlatform, segment: str) -> None:
    assert refused(tool, platform, f"{segment}.e30.AA") == "message.malformed"


def test_a_token_over_64_kib_is_not_parsed(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 7."""
    assert refused(tool, platform, filler="x" * 70_000) == "request.long"
    with pytest.raises(RefusedMessage) as refusal:
        id_token.verify("x" * 65_537, platform.registration, "nonce", tool.keyring, time.time())
    assert refusal.value.code == "message.size"


def test_a_token_of_nearly_64_kib_passes(tool: Tool, platform: FakePlatform) -> None:
    assert tool.launch(platform, filler="x" * 45_000).sub == "person-1"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, ["RS256"], {"a": 1}, 1])
def test_no_signature(tool: Tool, platform: FakePlatform, algorithm: object) -> None:
    """lti.md 8."""
    started = tool.login(platform)
    header = {"alg": algorithm, "kid": platform.kid}
    segments = [b64(json.dumps(part).encode()) for part in (header, platform.claims(started.nonce))]
    assert refused(tool, platform, ".".join([*segments, "AA"])) == "message.algorithm"
    assert refused(tool, platform, ".".join([*segments, ""])) == "message.malformed"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("encoding", ["pem", "pkcs1", "jwk", "modulus"])
def test_the_public_key_as_a_shared_secret(
    tool: Tool, platform: FakePlatform, algorithm: str, encoding: str
) -> None:
    """lti.md 8."""
    public = platform.key.public_key()
    secret = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "pkcs1": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "jwk": json.dumps(public_jwk(platform.key)).encode(),
        "modulus": public_jwk(platform.key)["n"].encode(),
    }[encoding]
    started = tool.login(platform)
    signed = (
        b64(json.dumps({"alg": algorithm, "kid": platform.kid}).encode())
        + "."
        + b64(json.dumps(platform.claims(started.nonce)).encode())
    )
    mac = jwt.get_algorithm_by_name(algorithm)
    token = f"{signed}.{b64(mac.sign(signed.encode(), secret))}"
    assert refused(tool, platform, token) == "message.algorithm"


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_another_algorithm_of_the_right_key(tool: Tool, platform: FakePlatform, algorithm: str) -> None:
    """lti.md 8: the list has one entry."""
    started = tool.login(platform)
    token = platform.sign(platform.claims(started.nonce), algorithm=algorithm)
    assert refused(tool, platform, token) == "message.algorithm"


def test_an_elliptic_curve_key(tool: Tool, platform: FakePlatform) -> None:
    started = tool.login(platform)
    key = ec.generate_private_key(ec.SECP256R1())
    token = platform.sign(platform.claims(started.nonce), key=key, algorithm="ES256")
    assert refused(tool, platform, token) == "message.algorithm"


@pytest.mark.parametrize("header", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_that_the_token_brings_along_is_not_used(
    tool: Tool, platform: FakePlatform, header: str
) -> None:
    """lti.md 8."""
    stranger = rsa_key("stranger")
    value: Any = {
        "jwk": public_jwk(stranger, kid=platform.kid),
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/cert",
        "x5c": ["MIIB"],
    }[header]
    started = tool.login(platform)
    token = platform.sign(platform.claims(started.nonce), key=stranger, headers={header: value})
    assert refused(tool, platform, token) == "message.signature"


@pytest.mark.parametrize("header", ["jwk", "jku", "x5u", "x5t"])
def test_such_a_header_does_not_hurt_a_good_token(tool: Tool, platform: FakePlatform, header: str) -> None:
    """lti.md 8: never followed, and that is all."""
    assert tool.launch(platform, headers={header: "https://evil.example/"}).sub == "person-1"


@pytest.mark.parametrize(
    "more", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"b64": False}, {"crit": []}, {"crit": 1}]
)
def test_extensions_that_must_be_understood(tool: Tool, platform: FakePlatform, more: dict[str, Any]) -> None:
    """lti.md 8."""
    header = json.dumps({"alg": "RS256", "kid": platform.kid, **more}).encode()
    assert refused(tool, platform, platform.sign_raw(b"{}", header)) == "message.header"


@pytest.mark.parametrize("kid", ["", None, 1, ["lms-key-1"], {"kid": "lms-key-1"}])
def test_a_kid_of_a_wrong_type(tool: Tool, platform: FakePlatform, kid: object) -> None:
    """lti.md 8."""
    header = json.dumps({"alg": "RS256", "kid": kid}).encode()
    assert refused(tool, platform, platform.sign_raw(b"{}", header)) == "message.kid"


@pytest.mark.parametrize(
    "kid", ["../../lms-key-1", "lms-key-1' OR 1=1", "LMS-KEY-1", "/dev/null", "__class__"]
)
def test_a_kid_is_a_look_up_and_nothing_else(tool: Tool, platform: FakePlatform, kid: str) -> None:
    """lti.md 8."""
    assert refused(tool, platform, headers={"kid": kid}) == "message.key"


@pytest.mark.parametrize("place", ["header", "payload", "deep"])
def test_duplicate_keys(tool: Tool, platform: FakePlatform, place: str) -> None:
    """lti.md 7: PyJWT would take the last."""
    started = tool.login(platform)
    claims = json.dumps(platform.claims(started.nonce))
    payload, header = claims, json.dumps({"alg": "RS256", "kid": platform.kid})
    if place == "header":
        header = header.replace('"alg"', '"kid": "x", "alg"')
    elif place == "payload":
        payload = claims.replace('"sub"', '"sub": "victim", "sub"')
    else:
        payload = claims.replace('"title"', '"id": "other", "title"')
    assert payload != claims or place == "header"
    token = platform.sign_raw(payload.encode(), header.encode())
    assert refused(tool, platform, token) == "message.malformed"


@pytest.mark.parametrize(
    "payload",
    [b"null", b"[]", b'"x"', b"1", b"", b"{", b"[" * 9_000, b'{"a":' * 9_000, b'{"a": NaN}', b'{"a":1e999}',
     b'{"iat": ' + b"9" * 5000 + b"}",
     '{"a": 1}'.encode("utf-16"), b"\xef\xbb\xbf{}", b'{"a": "\xed\xa0\x80"}'],
)  # fmt: skip
def test_a_payload_that_is_no_strict_json_object(tool: Tool, platform: FakePlatform, payload: bytes) -> None:
    """lti.md 7."""
    assert refused(tool, platform, platform.sign_raw(payload)) == "message.malformed"


@pytest.mark.parametrize("text", ["a\x00b", "\x00", "a\ud800", "\udfff", "\udc00\ud800"])
@pytest.mark.parametrize(
    "where",
    ["sub", "name", LTI + "resource_link", LTI + "roles", LTI + "custom", "https://x.example/unknown"],
)
def test_nul_and_lone_surrogates(tool: Tool, platform: FakePlatform, text: str, where: str) -> None:
    """lti.md 13: refused here, not by the database."""
    value: Any = {
        LTI + "resource_link": {"id": "link-1", "title": text},
        LTI + "roles": [text],
        LTI + "custom": {text: "value"},
    }.get(where, text)
    assert refused(tool, platform, **{where: value}) == "message.malformed"


def test_a_surrogate_pair_is_a_character(tool: Tool, platform: FakePlatform) -> None:
    assert tool.launch(platform, name="Zoë 🦉").name == "Zoë 🦉"


def test_a_flipped_bit(tool: Tool, platform: FakePlatform) -> None:
    started = tool.login(platform)
    header, payload, signature = platform.sign(platform.claims(started.nonce)).split(".")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    assert refused(tool, platform, f"{header}.{payload}.{flipped}") == "message.signature"
    teacher = b64(json.dumps(platform.claims(started.nonce, roles=[INSTRUCTOR])).encode())
    assert refused(tool, platform, f"{header}.{teacher}.{signature}") == "message.signature"


# Issuer and audience: line 10


@pytest.mark.parametrize(
    "issuer",
    [
        GONE,
        None,
        "",
        "https://lms.example/",
        "HTTPS://lms.example",
        "https://other.example",
        1,
        ["https://lms.example"],
    ],
)
def test_another_issuer(tool: Tool, platform: FakePlatform, issuer: object) -> None:
    assert refused(tool, platform, iss=issuer) == "message.issuer"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "tool-at-other"},
        {"aud": GONE},
        {"aud": None},
        {"aud": ""},
        {"aud": []},
        {"aud": {"tool-at-lms": 1}},
        {"aud": [["tool-at-lms"]]},
        {"aud": ["tool-at-lms", 1], "azp": "tool-at-lms"},
        {"aud": "tool-at-lm"},
        {"aud": "tool-at-lms "},
        {"aud": ["tool-at-lms", "tool-at-other"]},
        {"aud": ["tool-at-lms", "tool-at-other"], "azp": "tool-at-other"},
        {"aud": ["tool-at-lms"], "azp": "tool-at-other"},
        {"aud": "tool-at-lms", "azp": "tool-at-other"},
        {"aud": "tool-at-lms", "azp": ""},
        {"aud": "tool-at-lms", "azp": ["tool-at-lms"]},
    ],
)
def test_a_token_for_or_of_another_client(
    tool: Tool, platform: FakePlatform, changes: dict[str, Any]
) -> None:
    assert refused(tool, platform, **changes) == "message.audience"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["tool-at-lms"]},
        {"aud": ["tool-at-other", "tool-at-lms"], "azp": "tool-at-lms"},
        {"aud": "tool-at-lms", "azp": "tool-at-lms"},
        {"aud": "tool-at-lms", "azp": None},
    ],
)
def test_audiences_that_are_ours(tool: Tool, platform: FakePlatform, changes: dict[str, Any]) -> None:
    assert tool.launch(platform, changes).sub == "person-1"


def test_another_clients_token_of_the_same_issuer(tool: Tool, platform: FakePlatform) -> None:
    """Two registrations at one issuer, one set of keys: a token of the one opens nothing at the other."""
    second = replace(platform.registration, id=3, client_id="second")
    tool.registrations.all.append(second)
    started = tool.login(platform, client_id="second")
    with pytest.raises(RefusedMessage) as refusal:
        tool.receive(started.state, platform.sign(platform.claims(started.nonce)), started.cookies)
    assert refusal.value.code == "message.audience"


def test_another_platforms_token(tool: Tool, platform: FakePlatform, other: FakePlatform) -> None:
    """What the state remembers chooses the keys, never the token."""
    started = tool.login(platform)
    token = other.sign(other.claims(started.nonce), headers={"kid": platform.kid})
    assert refused(tool, platform, token) == "message.signature"
    assert refused(tool, platform, other.sign(other.claims(started.nonce))) == "message.key"


# Times: line 11


@pytest.mark.parametrize(
    ("iat", "exp", "code"),
    [
        (-120, -60, "message.expired"),
        (-3600, +3600, "message.expired"),
        (-661, +60, "message.expired"),
        (+120, +180, "message.future"),
        (+61.5, +120, "message.future"),
        (0, 0, "message.expired"),
        (0, -10, "message.expired"),
        (-(10**30), 10**30, "message.expired"),
        (10**300, 10**301, "message.future"),
    ],
)
def test_times_that_are_wrong(tool: Tool, platform: FakePlatform, iat: float, exp: float, code: str) -> None:
    now = int(time.time())
    assert refused(tool, platform, now=now + 0.5, iat=now + iat, exp=now + exp) == code


def test_not_before(tool: Tool, platform: FakePlatform) -> None:
    assert refused(tool, platform, nbf=time.time() + 100) == "message.future"
    assert refused(tool, platform, nbf="now") == "message.times"
    assert tool.launch(platform, nbf=int(time.time()) + 30).sub == "person-1"


@pytest.mark.parametrize(
    ("iat", "exp"), [(-110, -50), (+50, +110), (-600, +60), (0, 10**6), (-0.75, 59.25), (-59.5, 0.5)]
)
def test_times_within_the_leeway(tool: Tool, platform: FakePlatform, iat: float, exp: float) -> None:
    """Also Blackboard's fractions, and Moodle's 60 s on a clock that is 50 s off."""
    now = int(time.time())
    assert tool.launch(platform, iat=now + iat, exp=now + exp).sub == "person-1"


# State, nonce, browser: lines 5, 12


def test_a_replay_is_refused(tool: Tool, platform: FakePlatform) -> None:
    started = tool.login(platform)
    token = platform.sign(platform.claims(started.nonce))
    assert tool.receive(started.state, token, started.cookies).sub == "person-1"
    for _ in range(2):
        with pytest.raises(RefusedMessage) as refusal:
            tool.receive(started.state, token, started.cookies)
        assert refusal.value.code == "message.state"


def test_a_token_under_another_login(tool: Tool, platform: FakePlatform) -> None:
    first = tool.login(platform)
    token = platform.sign(platform.claims(first.nonce))
    assert refused(tool, platform, token) == "message.nonce"


@pytest.mark.parametrize("nonce", [GONE, None, "", 5, ["x"], "é", "x" * 43])
def test_a_nonce_that_is_not_this_logins(tool: Tool, platform: FakePlatform, nonce: object) -> None:
    assert refused(tool, platform, nonce=nonce) == "message.nonce"


def test_of_two_at_the_same_moment_one_gets_in(tool: Tool, platform: FakePlatform) -> None:
    """Both have verified the token before either consumes the state."""
    started = tool.login(platform)
    token = platform.sign(platform.claims(started.nonce))

    class Overtaken(MemorySingleUse):
        def take(self, key: str) -> dict[str, Any] | None:
            super().take(key)  # the other request
            return super().take(key)

    states = Overtaken()
    states.records = tool.states.records
    tool.states = states
    with pytest.raises(RefusedMessage) as refusal:
        tool.receive(started.state, token, started.cookies)
    assert refusal.value.code == "message.state"


def test_without_its_cookie_a_message_is_refused(tool: Tool, platform: FakePlatform) -> None:
    """Another browser: the victim gets the attacker's finished message."""
    started = tool.login(platform)
    token = platform.sign(platform.claims(started.nonce))
    with pytest.raises(RefusedMessage) as refusal:
        tool.receive(started.state, token, {})
    assert refusal.value.code == "message.cookie_missing"
    assert tool.receive(started.state, token, started.cookies).sub == "person-1"


@pytest.mark.parametrize("value", ["", "x", "é", "\udc80", "x" * 43])
def test_with_another_cookie_a_message_is_refused(tool: Tool, platform: FakePlatform, value: str) -> None:
    started = tool.login(platform)
    token = platform.sign(platform.claims(started.nonce))
    with pytest.raises(RefusedMessage) as refusal:
        tool.receive(started.state, token, dict.fromkeys(started.cookies, value))
    assert refusal.value.code == "message.other_browser"


def test_a_cookie_of_another_login_does_not_help(tool: Tool, platform: FakePlatform) -> None:
    victim, attacker = tool.login(platform), tool.login(platform)
    token = platform.sign(platform.claims(victim.nonce))
    own = next(iter(attacker.cookies.values()))
    with pytest.raises(RefusedMessage) as refusal:
        tool.receive(victim.state, token, {**attacker.cookies, login.state_cookie(victim.state): own})
    assert refusal.value.code == "message.other_browser"


def test_a_stranger_with_the_state_burns_nothing(tool: Tool, platform: FakePlatform) -> None:
    """Neither without the cookie nor with a bad token."""
    started = tool.login(platform)
    for cookies in ({}, dict.fromkeys(started.cookies, "guess"), started.cookies):
        for token in ("x", "a.b.c", platform.sign(platform.claims("guess"))):
            with pytest.raises(RefusedMessage):
                tool.receive(started.state, token, cookies)
    own = platform.sign(platform.claims(started.nonce))
    assert tool.receive(started.state, own, started.cookies).sub == "person-1"


@pytest.mark.parametrize("state", ["x" * 43, "", "login:x", "\x00"])
def test_an_unknown_state(tool: Tool, platform: FakePlatform, state: str) -> None:
    with pytest.raises(RefusedMessage):
        tool.receive(state, platform.sign(platform.claims("n")), {login.state_cookie(state): "x"})


def test_two_frames_on_one_page(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 5: their logins overlap, and both get in."""
    first, second = tool.login(platform), tool.login(platform)
    cookies = {**first.cookies, **second.cookies}
    for started in (second, first):
        token = platform.sign(platform.claims(started.nonce))
        assert tool.receive(started.state, token, cookies).sub == "person-1"


def test_without_the_store_no_launch(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 12: no Redis, no launch."""

    class Down(MemorySingleUse):
        def take(self, key: str) -> dict[str, Any] | None:
            raise DependencyDown("redis")

    started = tool.login(platform)
    states = Down()
    states.records = tool.states.records
    tool.states = states
    with pytest.raises(DependencyDown):
        tool.receive(started.state, platform.sign(platform.claims(started.nonce)), started.cookies)


def test_a_registration_removed_meanwhile(tool: Tool, platform: FakePlatform) -> None:
    started = tool.login(platform)
    tool.registrations.all.clear()
    with pytest.raises(RefusedMessage) as refusal:
        tool.receive(started.state, platform.sign(platform.claims(started.nonce)), started.cookies)
    assert refusal.value.code == "message.registration"


# The form: lines 1, 6


def post(tool: Tool, params: list[tuple[str, str]], cookies: dict[str, str]) -> messages.Message:
    return messages.receive(params, cookies, tool.states, tool.registrations, tool.keyring, TOOL, TARGETS)


@pytest.mark.parametrize("name", ["id_token", "state"])
@pytest.mark.parametrize("first", [True, False])
def test_a_field_given_twice(tool: Tool, platform: FakePlatform, name: str, first: bool) -> None:
    started = tool.login(platform)
    token = platform.sign(platform.claims(started.nonce))
    params = [("state", started.state), ("id_token", token)]
    extra = (name, "other")
    with pytest.raises(RefusedMessage) as refusal:
        post(tool, [extra, *params] if first else [*params, extra], started.cookies)
    assert refusal.value.code == "request.twice"


@pytest.mark.parametrize("name", ["id_token", "state"])
def test_a_field_missing_or_empty(tool: Tool, platform: FakePlatform, name: str) -> None:
    started = tool.login(platform)
    token = platform.sign(platform.claims(started.nonce))
    params = {"state": started.state, "id_token": token}
    for changed in ({**params, name: ""}, {other: params[other] for other in params if other != name}):
        with pytest.raises(RefusedMessage) as refusal:
            post(tool, list(changed.items()), started.cookies)
        assert refusal.value.code == "message.missing"


def test_other_fields_are_ignored(tool: Tool, platform: FakePlatform) -> None:
    started = tool.login(platform)
    token = platform.sign(platform.claims(started.nonce))
    params = [("utf8", "✓"), ("state", started.state), ("id_token", token), ("session_state", "")]
    assert post(tool, params, started.cookies).sub == "person-1"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("login_required", "platform.login_required"),
        ("launch_no_longer_valid", "platform.launch_no_longer_valid"),
        ("<script>", "platform.refused"),
        ("", "platform.refused"),
    ],
)
def test_a_platforms_error_is_told_apart(tool: Tool, error: str, code: str) -> None:
    """lti.md 6."""
    params = [("error", error), ("error_description", "no\nway\x1b[0m " + "x" * 9000), ("state", "s")]
    params = [(name, value[:8000]) for name, value in params]
    with pytest.raises(PlatformRefused) as refusal:
        post(tool, params, {})
    assert refusal.value.code == code
    assert refusal.value.detail.isprintable()
    assert len(refusal.value.detail) < 300


# What the claims say: lines 3, 13, 14


@pytest.mark.parametrize(
    "deployment", ["deployment-of-other", "DEPLOYMENT-1", "deployment-1 ", "deployment-2", "x" * 256]
)
def test_another_deployment(tool: Tool, platform: FakePlatform, deployment: str) -> None:
    """lti.md 13: known for this client, case-sensitive."""
    assert refused(tool, platform, deployment_id=deployment) == "message.deployment"


def test_a_known_deployment_that_the_login_did_not_hint_at(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 3."""
    started = tool.login(platform, lti_deployment_id="deployment-1")
    with pytest.raises(RefusedMessage) as refusal:
        token = platform.sign(platform.claims(started.nonce, deployment_id="Deployment-2"))
        tool.receive(started.state, token, started.cookies)
    assert refusal.value.code == "message.deployment"
    token = platform.sign(platform.claims(started.nonce))
    assert tool.receive(started.state, token, started.cookies).deployment_id == "deployment-1"


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/launch",
        "https://tool.example.evil.example/launch",
        "https://tool.example@evil.example/launch",
        "https://user@tool.example/launch",
        "http://tool.example/launch",
        "https://tool.example:8443/launch",
        "https://tool.example/unknown",
        "https://tool.example/launch/../admin",
        "https://tool.example/launch%2f..",
        "https://tool.example//launch",
        "https://tool.example",
    ],
)
def test_a_target_that_is_not_ours(tool: Tool, platform: FakePlatform, target: str) -> None:
    """lti.md 14."""
    assert refused(tool, platform, target_link_uri=target) in ("message.target", "message.claim")


@pytest.mark.parametrize(
    "target", ["/launch", "javascript:alert(1)", "//evil.example/launch", "data:text/html,x", "https:///launch",
               "https://tool.example\\@evil.example/launch", "https://tool.example/launch\n", 5, ["x"],
               "https://tool.example:99999/launch", "https://[::1/launch"],
)  # fmt: skip
def test_a_target_that_is_no_url(tool: Tool, platform: FakePlatform, target: object) -> None:
    """lti.md 14."""
    assert refused(tool, platform, target_link_uri=target) == "message.claim"


def test_a_target_of_ours_with_a_query(tool: Tool, platform: FakePlatform) -> None:
    target = "https://TOOL.example:443/launch?assignment=7"
    assert tool.launch(platform, target_link_uri=target).target_link_uri == target


def test_the_logins_target_does_not_count(tool: Tool, platform: FakePlatform) -> None:
    """lti.md 14: from the signed claim only."""
    started = tool.login(platform, target_link_uri="https://evil.example/")
    token = platform.sign(platform.claims(started.nonce))
    message = tool.receive(started.state, token, started.cookies)
    assert message.target_link_uri == f"{TOOL}/launch"


AGS = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("roles", "Instructor"),
        ("roles", [1]),
        ("roles", [["Instructor"]]),
        ("roles", {"Instructor": True}),
        ("resource_link", "link-1"),
        ("resource_link", ["link-1"]),
        ("resource_link", {"id": "link-1", "title": 5}),
        ("resource_link", {"id": "link-1", "title": {"en": "x"}}),
        ("context", "course-1"),
        ("context", []),
        ("context", {}),
        ("context", {"id": 7}),
        ("context", {"id": "x" * 256}),
        ("context", {"id": "c", "title": ["t"]}),
        ("tool_platform", "lms"),
        ("tool_platform", {"guid": 5}),
        ("launch_presentation", "iframe"),
        ("launch_presentation", {"locale": 5}),
        ("custom", "a=b"),
        ("custom", [{"a": "b"}]),
        ("name", 5),
        ("email", ["zoe@lms.example"]),
        ("given_name", {}),
        ("family_name", False),
        ("locale", 1),
        (AGS, "https://lms.example/items"),
        (AGS, {"scope": "score"}),
        (AGS, {"scope": [1]}),
        (AGS, {"lineitem": 5}),
        (AGS, {"lineitem": "javascript:alert(1)"}),
        (AGS, {"lineitems": "file:///etc/passwd"}),
        (NRPS, []),
        (NRPS, {"context_memberships_url": "gopher://x"}),
    ],
)
def test_claims_of_a_wrong_type(tool: Tool, platform: FakePlatform, claim: str, value: object) -> None:
    """lti.md 13: all claims are type-checked."""
    changes = {claim: value, "launch_presentation": GONE} if claim == "locale" else {claim: value}
    assert refused(tool, platform, **changes) in ("message.claim", "message.resource_link")


@pytest.mark.parametrize("claim", ["sub", "resource_link", "context"])
def test_ids_over_255_characters(tool: Tool, platform: FakePlatform, claim: str) -> None:
    """lti.md 13."""
    for length, good in ((255, True), (256, False)):
        value: Any = "x" * length if claim == "sub" else {"id": "x" * length}
        if good:
            assert tool.launch(platform, {claim: value}).deployment_id == "deployment-1"
        else:
            assert refused(tool, platform, **{claim: value}).startswith("message.")


def test_markup_in_titles_is_text_like_any_other(tool: Tool, platform: FakePlatform) -> None:
    """It is escaped where it is shown."""
    title = '<script>alert("1")</script>{{ 7*7 }}'
    message = tool.launch(
        platform, resource_link={"id": "l", "title": title, "description": "<b>"}, name=title
    )
    assert message.resource_link.title == title
    assert message.name == title


def test_a_title_without_end_is_cut(tool: Tool, platform: FakePlatform) -> None:
    message = tool.launch(platform, resource_link={"id": "l", "title": "x" * 20_000})
    assert message.resource_link.title is not None
    assert len(message.resource_link.title) == 2000


def test_a_refusal_says_nothing_that_was_in_the_message(tool: Tool, platform: FakePlatform) -> None:
    """Details go to the log, which holds no claims."""
    for changes in (
        {"sub": ["Secret"]},
        {"name": {"Secret": 1}},
        {"deployment_id": "Secret"},
        {"aud": "Secret"},
    ):
        with pytest.raises(RefusedMessage) as refusal:
            tool.launch(platform, changes)
        assert "Secret" not in refusal.value.detail
