"""The tool's own keys: lti.md 36."""

import base64
import hashlib
import itertools
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from jwt.algorithms import RSAAlgorithm

from ipylti.errors import IpyltiError
from ipylti.lti import keys
from ipylti.lti.keys import ToolKey

NOW = datetime(2031, 5, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def key(kid: str, activates: datetime, retires: datetime | None = None) -> ToolKey:
    return ToolKey(kid, {"n": "N", "e": "E", "d": "secret"}, NOW, activates, retires)


@pytest.fixture(scope="module")
def made() -> ToolKey:
    return keys.generate(NOW)


def test_the_kid_is_the_thumbprint(made: ToolKey) -> None:
    """RFC 7638."""
    members = {name: made.private[name] for name in ("e", "kty", "n")}
    text = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    assert made.kid == base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()


def test_only_public_members_are_published(made: ToolKey) -> None:
    jwks = keys.public_jwks([made], NOW)
    assert [set(jwk) for jwk in jwks["keys"]] == [{"kty", "n", "e", "kid", "alg", "use"}]
    assert jwks["keys"][0]["alg"] == "RS256"
    assert jwks["keys"][0]["use"] == "sig"
    assert made.private["d"] not in json.dumps(jwks)


def test_a_key_does_not_show_its_secret(made: ToolKey) -> None:
    assert made.private["d"] not in repr(made)


def test_what_is_signed_verifies_with_what_is_published(made: ToolKey) -> None:
    token = keys.Signer(made).sign({"iss": "me"})
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "kid": made.kid, "typ": "JWT"}
    public = RSAAlgorithm.from_jwk(keys.public_jwks([made], NOW)["keys"][0])
    assert jwt.decode(token, public, ["RS256"], issuer="me") == {"iss": "me"}


def test_the_latest_active_key_signs() -> None:
    known = [key("old", NOW - 9 * DAY, NOW + DAY), key("now", NOW - DAY), key("next", NOW + HOUR)]
    assert keys.signing_key(known, NOW).kid == "now"
    assert keys.signing_key(known, NOW + HOUR).kid == "next"
    assert keys.signing_key(known, NOW - 2 * DAY).kid == "old"


@pytest.mark.parametrize("known", [[], [key("next", NOW + HOUR)], [key("gone", NOW - DAY, NOW)]])
def test_without_an_active_key_nothing_is_signed(known: list[ToolKey]) -> None:
    with pytest.raises(IpyltiError) as error:
        keys.signing_key(known, NOW)
    assert error.value.code == "key.none"


def test_the_first_key_signs_at_once() -> None:
    [first] = keys.rotate([], NOW)
    assert (first.activates, first.retires) == (NOW, None)


def test_a_successor_is_published_a_day_before_it_signs_and_the_old_one_a_week_after() -> None:
    old = key("old", NOW - 90 * DAY)
    successor, ending = keys.rotate([old], NOW)
    known = [successor, ending]

    def state(moment: datetime) -> tuple[str, set[str]]:
        published = {jwk["kid"] for jwk in keys.public_jwks(known, moment)["keys"]}
        return keys.signing_key(known, moment).kid, published

    assert ending.kid == "old"
    assert state(NOW) == ("old", {"old", successor.kid})
    assert state(NOW + DAY - timedelta(seconds=1)) == ("old", {"old", successor.kid})
    assert state(NOW + DAY) == (successor.kid, {"old", successor.kid})
    assert state(NOW + 8 * DAY - timedelta(seconds=1)) == (successor.kid, {"old", successor.kid})
    assert state(NOW + 8 * DAY) == (successor.kid, {successor.kid})


def test_rotating_again_within_the_day_changes_nothing() -> None:
    known = keys.rotate([key("old", NOW - 90 * DAY)], NOW)
    assert keys.rotate(known, NOW + HOUR) == []


def test_an_end_that_is_set_stays() -> None:
    known = [key("older", NOW - 30 * DAY, NOW + DAY), key("old", NOW - DAY)]
    assert [each.kid for each in keys.rotate(known, NOW)[1:]] == ["old"]


@pytest.mark.parametrize(
    ("known", "due"),
    [
        ([key("old", NOW - 90 * DAY - HOUR)], True),
        ([key("old", NOW - 90 * DAY)], False),
        ([key("old", NOW - 90 * DAY - HOUR), key("next", NOW + HOUR)], False),
        ([key("older", NOW - 200 * DAY, NOW + DAY), key("now", NOW - 89 * DAY)], False),
        ([key("older", NOW - 200 * DAY, NOW + DAY), key("now", NOW - 91 * DAY)], True),
        ([key("gone", NOW - 200 * DAY, NOW - DAY)], False),
        ([key("first", NOW + HOUR)], False),
        ([], False),
    ],
)
def test_a_key_is_replaced_when_it_has_signed_long_enough(known: list[ToolKey], due: bool) -> None:
    assert keys.is_due(known, NOW, 90 * DAY) is due


def test_at_any_moment_of_many_rotations_the_signing_key_was_published_for_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = itertools.count()
    monkeypatch.setattr(
        keys,
        "generate",
        lambda now, activates: ToolKey(str(next(numbers)), {"n": "N", "e": "E"}, now, activates),
    )
    known: dict[str, ToolKey] = {}
    first_published: dict[str, datetime] = {}
    for hours in range(0, 24 * 40, 6):
        now = NOW + hours * HOUR
        if hours % 30 == 0:
            known.update({each.kid: each for each in keys.rotate(known.values(), now)})
        for jwk in keys.public_jwks(known.values(), now)["keys"]:
            first_published.setdefault(jwk["kid"], now)
        signing = keys.signing_key(known.values(), now)
        assert signing.kid in {jwk["kid"] for jwk in keys.public_jwks(known.values(), now)["keys"]}
        assert signing.created == NOW or now - first_published[signing.kid] >= DAY
