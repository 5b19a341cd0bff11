"""Whatever comes in, there is a message or a clean refusal: never another exception."""

import copy
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipylti.errors import IpyltiError, RefusedLogin, RefusedMessage, ServiceError
from ipylti.lti import claims, keysets, login, messages, paging, parts, roles, services, strict_json
from ipylti.lti.claims import Claims
from tests.unit.lti.platforms import TARGETS, TOOL, FakePlatform, Tool, b64

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

PLATFORM = FakePlatform()

text = st.text(st.characters(exclude_categories=()), max_size=30)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
odd_urls = st.sampled_from(
    [
        "https://tool.example/launch",
        "https://[",
        "http://a:b@c",
        "//x",
        "https://x:99999999/",
        "HTTPS://TOOL.example",
    ]
)


@contextmanager
def clean(*kinds: type[IpyltiError]) -> Iterator[None]:
    """Let the block end, or refuse in one of these ways."""
    try:
        yield
    except kinds as refusal:
        assert refusal.code
        assert "\n" not in refusal.detail
        assert len(refusal.detail) < 500


@quick
@given(
    st.lists(st.tuples(st.sampled_from(["iss", "client_id", "login_hint", "target_link_uri"]) | text, text))
)
def test_any_login(params: list[tuple[str, str]]) -> None:
    with clean(RefusedLogin):
        login.begin(params, Tool(PLATFORM).registrations, Tool(PLATFORM).states, f"{TOOL}/launch")


@quick
@given(hint=text, message_hint=text, target=text | odd_urls)
def test_any_login_of_a_known_platform(hint: str, message_hint: str, target: str) -> None:
    with clean(RefusedLogin):
        Tool(PLATFORM).login(PLATFORM, login_hint=hint, lti_message_hint=message_hint, target_link_uri=target)


@quick
@given(
    st.lists(st.tuples(st.sampled_from(["state", "id_token", "error"]) | text, text)),
    st.dictionaries(text, text),
)
def test_any_form(params: list[tuple[str, str]], cookies: dict[str, str]) -> None:
    tool = Tool(PLATFORM)
    with clean(IpyltiError):
        messages.receive(params, cookies, tool.states, tool.registrations, tool.keyring, TOOL, TARGETS)
        raise AssertionError("a message out of nothing")


@quick
@given(st.one_of(text, st.text("AZaz09_-.=", max_size=200)))
def test_any_token_under_a_good_login(token: str) -> None:
    tool = Tool(PLATFORM)
    started = tool.login(PLATFORM)
    with clean(RefusedMessage):
        tool.receive(started.state, token, started.cookies)
        raise AssertionError("a message out of nothing")


@quick
@given(
    header=st.binary(max_size=200) | trees.map(json.dumps).map(str.encode), payload=st.binary(max_size=200)
)
def test_any_bytes_rightly_signed(header: bytes, payload: bytes) -> None:
    tool = Tool(PLATFORM)
    started = tool.login(PLATFORM)
    for token in (PLATFORM.sign_raw(payload), PLATFORM.sign_raw(payload, header)):
        with clean(RefusedMessage):
            tool.receive(started.state, token, started.cookies)
            raise AssertionError("a message out of nothing")


def paths(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the way to each place in a message."""
    yield path
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, branch in branches:
        yield from paths(branch, (*path, name))


PLACES = [path for path in paths(PLATFORM.claims("nonce")) if path]


def changed(content: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return the message with another value in one place."""
    content = copy.deepcopy(content)
    place: Any = content
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return content


@settings(quick, max_examples=200)
@given(path=st.sampled_from(PLACES), value=trees | odd_urls | st.just("x" * 300))
def test_any_value_in_any_place_of_a_message(path: tuple[Any, ...], value: Any) -> None:
    """Rightly signed: the platform itself is odd, or was broken into."""
    tool = Tool(PLATFORM)
    started = tool.login(PLATFORM)
    payload = json.dumps(changed(PLATFORM.claims(started.nonce), path, value)).encode()
    with clean(RefusedMessage):
        message = tool.receive(started.state, PLATFORM.sign_raw(payload), started.cookies)
        assert not message.roles.staff
        for part in (message.sub, message.resource_link.id, message.name, message.email, message.locale):
            assert part is None or strict_json.storable(part)
        json.dumps(dict(message.custom), ensure_ascii=False).encode()


@quick
@given(st.dictionaries(text, trees, max_size=6))
def test_any_header_of_a_good_message(header: dict[str, Any]) -> None:
    tool = Tool(PLATFORM)
    started = tool.login(PLATFORM)
    whole = {**header, "alg": "RS256", "kid": PLATFORM.kid}
    token = PLATFORM.sign_raw(json.dumps(PLATFORM.claims(started.nonce)).encode(), json.dumps(whole).encode())
    with clean(RefusedMessage):
        tool.receive(started.state, token, started.cookies)


@quick
@given(st.binary(max_size=300) | trees.map(json.dumps).map(str.encode))
def test_any_json(data: bytes) -> None:
    with clean(strict_json.NotJSON):
        value = strict_json.loads(data)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@quick
@given(trees, st.lists(st.fixed_dictionaries({"kty": st.just("RSA"), "kid": text, "n": text, "e": text})))
def test_any_key_set(content: Any, keys: list[dict[str, str]]) -> None:
    with clean(strict_json.NotJSON):
        keysets.usable_keys(content)
    assert keysets.usable_keys({"keys": [content, *keys]}) is not None


@quick
@given(st.lists(text))
def test_any_roles(raw: list[str]) -> None:
    found = roles.parse(raw)
    assert found.staff == any(roles.principal(each) in roles.STAFF for each in raw)


@quick
@given(st.dictionaries(text, text | scalars))
def test_any_custom_parameters(values: dict[str, Any]) -> None:
    named = {name: values.get(name, next(iter(values.values()), "")) for name in ("ipylti_due_at",)}
    found = parts.custom(Claims({claims.CUSTOM: {**values, **named}}))
    assert all(isinstance(value, str) and not value.startswith("$") for value in found.values())
    parts.dates(found)
    parts.history(found)


@quick
@given(st.text(st.sampled_from('<>;,="\\ \trelnextRELNEXT/:?#[]ä'), max_size=80) | text)
def test_any_link_header(header: str) -> None:
    with clean(ServiceError):
        paging.next_page(header, "https://lms.example/items")
    assert services.retry_after({"retry-after": header}) is None or header.strip()


def test_a_header_made_to_be_slow_is_not() -> None:
    started = time.process_time()
    for header in (
        "<" * 60_000,
        "<a>;" * 20_000,
        '<a>; a="' + "\\" * 60_000,
        "<a>" + "; a" * 20_000 + " " * 60_000,
    ):
        with clean(ServiceError):
            paging.next_page(header, "https://lms.example/items")
    for token in (b64(b"[" * 40_000) + ".e30.AA", "." * 60_000, "A" * 60_000 + ".A."):
        tool = Tool(PLATFORM)
        login_of = tool.login(PLATFORM)
        with clean(RefusedMessage):
            tool.receive(login_of.state, token, login_of.cookies)
    assert time.process_time() - started < 2
