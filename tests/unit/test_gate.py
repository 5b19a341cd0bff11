"""The gate's cookie and the origins it is good for, without a request in sight."""

import time
from dataclasses import replace
from http.cookies import SimpleCookie

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ipylti import gate
from ipylti.gate import FRESH, GRACE, Gatekeeper, Pass
from tests.unit.test_settings import SECRET, loaded

CONFIG = loaded()
KEEPER = Gatekeeper(CONFIG)
WORKSPACE, OTHER = "a" * 32, "b" * 32
HOST = CONFIG.notebook_host(WORKSPACE)
ORIGIN = CONFIG.notebook_origin(WORKSPACE)
NOW = 1_800_000_000
PASS = Pass(WORKSPACE, "launch", NOW, NOW + 3600)

quick = settings(max_examples=150, deadline=None)

#: All of Unicode, lone surrogates included.
anything = st.text(st.characters(exclude_categories=()), max_size=120)
names = st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=1, max_size=32)


@quick
@given(names, names, st.integers(0, 2**33), st.integers(0, 10**6))
def test_what_is_sealed_can_be_opened(workspace: str, launch: str, issued: int, lasts: int) -> None:
    given_ = Pass(workspace, launch, issued, issued + lasts)
    value = KEEPER.seal(given_)
    host = CONFIG.notebook_host(workspace)
    assert KEEPER.open(value, host, issued + lasts - 1) == given_
    assert KEEPER.open(value, host, issued + lasts) is None
    # A cookie's value as RFC 6265, 4.1.1, has it.
    assert not set(value) & set(' ",;\\')
    assert SimpleCookie(f"{gate.COOKIE}={value}")[gate.COOKIE].value == value


@quick
@given(anything | st.none(), anything)
@example("", HOST)
@example("....", HOST)
@example("a.b.c.d.e", HOST)
@example("\ud800.", HOST)
def test_no_other_text_opens_anything(value: str | None, host: str) -> None:
    assert KEEPER.open(value, host, NOW) is None


@quick
@given(st.data())
def test_no_character_of_it_can_be_changed(data: st.DataObject) -> None:
    value = KEEPER.seal(PASS)
    at = data.draw(st.integers(0, len(value) - 1))
    changed = data.draw(anything.filter(lambda text: len(text) <= 2))
    forged = value[:at] + changed + value[at + 1 :]
    assume(forged != value)
    assert KEEPER.open(forged, HOST, NOW) is None


def test_the_parts_can_not_be_moved_about() -> None:
    """An end that is cut differently is another end."""
    value = KEEPER.seal(PASS)
    body, _, mac = value.rpartition(".")
    for forged in (
        f"{body}0.{mac}",
        f"{body}.0.{mac}",
        f"{body[:-1]}.{body[-1]}.{mac}",
        f".{body}.{mac}",
        body,
        f"{body}.",
        f"{value}=",
        f"{value} ",
        value.upper(),
    ):
        assert KEEPER.open(forged, HOST, NOW) is None


@pytest.mark.parametrize(
    "host",
    [
        CONFIG.notebook_host(OTHER),
        HOST.upper(),
        f"{HOST}.",
        f"{HOST}:443",
        f"{WORKSPACE}.other.example",
        "notebooks.example",
        "tool.example",
        "",
    ],
)
def test_a_cookie_is_good_for_its_own_host_only(host: str) -> None:
    assert KEEPER.open(KEEPER.seal(PASS), host, NOW) is None


def test_another_installations_cookie_is_worth_nothing() -> None:
    elsewhere = Gatekeeper(loaded(secret=SECRET[::-1]))
    assert elsewhere.open(KEEPER.seal(PASS), HOST, NOW) is None


def test_a_cookie_does_not_move_to_another_notebook_domain() -> None:
    moved = loaded(notebook_domain="other.example")
    host = moved.notebook_host(WORKSPACE)
    assert Gatekeeper(moved).open(KEEPER.seal(PASS), host, NOW) is None
    assert Gatekeeper(moved).open(Gatekeeper(moved).seal(PASS), host, NOW) == PASS


@pytest.mark.parametrize(
    ("after", "fresh", "tolerable"),
    [
        (0, True, True),
        (FRESH - 1, True, True),
        (FRESH, False, True),
        (FRESH + GRACE - 1, False, True),
        (FRESH + GRACE, False, False),
    ],
)
def test_a_cookie_ages(after: int, fresh: bool, tolerable: bool) -> None:
    assert PASS.fresh(NOW + after) is fresh
    assert PASS.tolerable(NOW + after) is tolerable


def test_nothing_is_fresh_or_tolerable_after_its_end() -> None:
    short = replace(PASS, expires=NOW + 10)
    assert short.fresh(NOW + 9)
    assert not short.fresh(NOW + 10)
    assert not short.tolerable(NOW + 10)


def test_renewing_does_not_move_the_end() -> None:
    renewed = PASS.renewed(NOW + FRESH + 0.7)
    assert renewed == replace(PASS, issued=NOW + FRESH)
    assert renewed.fresh(NOW + FRESH + 1)


def test_the_workers_probe_passes_for_a_minute() -> None:
    name, _, value = gate.probe_cookie(CONFIG, WORKSPACE).partition("=")
    assert name == gate.COOKIE
    now = time.time()
    found = KEEPER.open(value, HOST, now)
    assert found is not None
    assert found.launch == ""
    assert found.fresh(now)
    assert KEEPER.open(value, HOST, now + 61) is None
    assert KEEPER.open(value, CONFIG.notebook_host(OTHER), now) is None


#: method, what the browser sends, whether it may use the cookie
ORIGINS = [
    # Pages, and what they load.
    ("GET", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, True),
    ("GET", {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, True),
    ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, True),
    ("HEAD", {"Sec-Fetch-Site": "same-origin"}, True),
    ("OPTIONS", {"Sec-Fetch-Site": "same-origin"}, True),
    # Browsers that do not say.
    ("GET", {}, True),
    # What another page embeds; the neighbour's notebook is of the same site.
    ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, False),
    ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, False),
    ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, False),
    # What changes something.
    ("POST", {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}, True),
    ("POST", {"Origin": ORIGIN}, True),
    ("POST", {"Sec-Fetch-Site": "same-origin"}, True),
    ("PUT", {"Origin": ORIGIN}, True),
    ("POST", {}, False),
    ("POST", {"Origin": ""}, False),
    ("POST", {"Origin": "null"}, False),
    ("POST", {"Origin": ORIGIN.upper()}, False),
    ("POST", {"Origin": f"{ORIGIN}:443"}, False),
    ("POST", {"Origin": f"{ORIGIN}.evil.example"}, False),
    ("POST", {"Origin": ORIGIN.replace("https", "http")}, False),
    ("POST", {"Origin": CONFIG.url}, False),
    ("POST", {"Origin": CONFIG.notebook_origin(OTHER)}, False),
    ("POST", {"Origin": CONFIG.notebook_origin(OTHER), "Sec-Fetch-Site": "same-origin"}, False),
    ("POST", {"Sec-Fetch-Site": "none"}, False),
    ("POST", {"Sec-Fetch-Site": "same-site"}, False),
    ("POST", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, False),
    ("DELETE", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, False),
    ("PATCH", {}, False),
    # A method that is not known to be safe, or none.
    ("PROPFIND", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, False),
    ("get", {}, False),
    ("", {}, False),
    # What a page elsewhere reads, were it let.
    ("GET", {"Origin": ORIGIN}, True),
    ("GET", {"Origin": CONFIG.notebook_origin(OTHER)}, False),
    ("GET", {"Origin": "null", "Sec-Fetch-Mode": "navigate"}, False),
    # WebSockets, which no same-origin policy keeps apart; Traefik does not hand on that they are to be
    # "upgraded".
    ("GET", {"Sec-WebSocket-Key": "a", "Origin": ORIGIN}, True),
    ("GET", {"Sec-WebSocket-Key": "a", "Sec-Fetch-Site": "same-origin"}, True),
    ("GET", {"Sec-WebSocket-Key": "a"}, False),
    ("GET", {"Sec-WebSocket-Key": "a", "Origin": CONFIG.notebook_origin(OTHER)}, False),
    ("GET", {"Sec-WebSocket-Key": "a", "Origin": CONFIG.url}, False),
    ("GET", {"Sec-WebSocket-Key": "a", "Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, False),
]


@pytest.mark.parametrize(("method", "headers", "allowed"), ORIGINS)
def test_where_a_request_may_come_from(method: str, headers: dict[str, str], allowed: bool) -> None:
    assert gate.is_from_own_origin(method, headers, ORIGIN) is allowed


@quick
@given(
    st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]) | anything,
    anything,
    st.sampled_from(["same-site", "cross-site", "none"]) | st.none(),
)
def test_nothing_from_elsewhere_changes_anything(method: str, origin: str, site: str | None) -> None:
    assume(method not in ("GET", "HEAD", "OPTIONS") and origin != ORIGIN)
    headers = {"Origin": origin, "Sec-Fetch-Mode": "navigate"} | ({"Sec-Fetch-Site": site} if site else {})
    assert not gate.is_from_own_origin(method, headers, ORIGIN)


@pytest.mark.parametrize(
    ("header", "left"),
    [
        ("", ""),
        (f"{gate.COOKIE}=x", ""),
        (f"a=1; {gate.COOKIE}=x; b=2", "a=1; b=2"),
        (f"{gate.COOKIE}=x;a=1", "a=1"),
        ("__Host-ipylti-session-abc=x; __Host-ipylti-state-abc=y; _xsrf=z", "_xsrf=z"),
        ("__Host-other=1; ipylti=2", "__Host-other=1; ipylti=2"),
        (f'a="1; {gate.COOKIE}=x"; b=2', 'a="1; b=2'),
        (f"  {gate.COOKIE}=x  ;  ;a=1;", "a=1"),
    ],
)
def test_the_tools_cookies_stay_outside(header: str, left: str) -> None:
    assert gate.foreign_cookies(header) == left


@quick
@given(st.lists(st.sampled_from(["a=1", f"{gate.COOKIE}=x", "__Host-ipylti-session-a=y", " ", "b"])))
def test_whatever_the_order_no_own_cookie_is_left(pairs: list[str]) -> None:
    left = gate.foreign_cookies(";".join(pairs))
    assert "__Host-ipylti-" not in left
    assert left.count("a=1") == pairs.count("a=1")
