"""Whatever strangers send, they get a clean answer soon: no crash, no insides, nothing without bounds."""

import io
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from webob import Request

import ipylti
from ipylti import gate, models
from ipylti.gate import Gatekeeper, Pass
from ipylti.invitations import Invitations
from ipylti.lti.registrations import Quirks
from ipylti.platforms import Platforms
from tests.functional.browser import NOTEBOOKS
from tests.functional.conftest import ini_for, shallow

WORKSPACE = "a" * 32
HOST = f"{WORKSPACE}.{NOTEBOOKS}"

quick = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

#: Seconds that one answer may take at most, on a machine that does other things as well.
SOON = 30.0


@pytest.fixture(scope="module")
def app(
    sqlite_template: Path, redis_url: str, compiled: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """One application for all requests, with one platform."""
    path = tmp_path_factory.mktemp("fuzz") / "ipylti.sqlite"
    shutil.copyfile(sqlite_template, path)
    redis.Redis.from_url(redis_url).flushall()
    made = shallow(ipylti.main, {}, **ini_for(f"sqlite:///{path}", redis_url, compiled))
    with made.registry["ipylti.services"].sessions.begin() as db:
        Platforms(db).add(
            issuer="https://lms.example",
            client_id="client",
            auth_url="https://lms.example/auth",
            token_url="https://lms.example/token",
            jwks_url="http://127.0.0.1:9/jwks",
            token_audience=None,
            deployments=["1"],
            quirks=Quirks(),
            allow_http=True,
        )
    yield made
    made.registry["ipylti.services"].engine.dispose()


def send(
    app: Any,
    method: str,
    path: bytes,
    query: str = "",
    host: str = "tool.example",
    body: bytes | io.RawIOBase = b"",
    content_type: str = "",
    headers: dict[str, str] | None = None,
    length: int | None = None,
    fault_of_others: bool = False,
) -> Any:
    """Send one request as a server hands it on (PEP 3333), and look at the answer as all answers must be.

    :param fault_of_others: whether it may be that somebody whom we asked did not answer (502).
    """
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8002",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": host,
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body) if isinstance(body, bytes) else length),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else body,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()},
    }
    begun = time.monotonic()
    answer = Request(environ).send(app)
    assert time.monotonic() - begun < SOON
    assert answer.status_int < 500 or (fault_of_others and answer.status_int == 502), answer.text
    assert len(answer.body) < 50_000
    for inside in (b"Traceback", b'File "/', b"sqlalchemy"):
        assert inside not in answer.body
    for name, value in answer.headers.items():
        assert not set(name + value) & set("\r\n\0"), "a header within a header"
    return answer


#: What may stand in a header: a server lets no line end through.
texts = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60)
unicode_texts = st.text(max_size=40)
urls = st.sampled_from(
    [
        "https://lms.example",
        "https://tool.example/launch",
        "https://[",
        "//evil.example",
        "javascript:alert(1)",
        "https://lms.example\x00",
        "https://lms.example/\r\nSet-Cookie: a=b",
    ]
)
names = st.sampled_from(
    [
        "iss",
        "client_id",
        "login_hint",
        "lti_message_hint",
        "target_link_uri",
        "lti_deployment_id",
        "state",
        "id_token",
        "error",
        "error_description",
        "csrf_token",
        "ticket",
        "secret",
        "parked",
        "session",
        "token",
        "openid_configuration",
        "registration_token",
        "lti_storage_target",
    ]
)
values = st.one_of(urls, st.just("client"), st.just("1"), unicode_texts, st.just("x" * 100_000))
pairs = st.lists(st.tuples(st.one_of(names, unicode_texts), values), max_size=6)
queries = st.one_of(pairs.map(urlencode), texts.map(lambda text: text.replace("#", "")))
methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
headers = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Accept-Language",
            "Accept-Charset",
            "Cookie",
            "Origin",
            "Referer",
            "Sec-Fetch-Dest",
            "Sec-Fetch-Mode",
            "Sec-Fetch-Site",
            "X-Ipylti-Session",
            "X-Csrf-Token",
            "X-Forwarded-Host",
            "X-Forwarded-Method",
            "X-Forwarded-Proto",
            "X-Request-Id",
            "Range",
            "If-Modified-Since",
            "If-None-Match",
            "Authorization",
        ]
    ),
    st.one_of(
        texts,
        st.sampled_from(
            [
                "text/html",
                "application/json",
                "text/html;q=x,*/*;q=0",
                "navigate",
                "iframe",
                "same-origin",
                HOST,
                f"{HOST}:443",
                f"{gate.COOKIE}=a.b.1.2.c; __Host-ipylti-session-a=b",
                "__Host-ipylti-session-" + "a" * 16 + '="\\777',
                "bytes=0-,-1",
            ]
        ),
    ),
    max_size=5,
)
content_types = st.one_of(
    st.sampled_from(
        [
            "",
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded; charset=utf-16",
            "application/x-www-form-urlencoded; charset=no-such",
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "application/json",
            "text/plain; charset=\xff",
        ]
    ),
    texts,
)
bodies = st.one_of(
    st.binary(max_size=200),
    pairs.map(lambda found: urlencode(found).encode()),
    st.just(b'--x\r\nContent-Disposition: form-data; name="state"; filename="f"\r\n\r\nv\r\n--x--\r\n'),
    st.just(b'--x\r\nContent-Disposition: form-data; name="id_token"\r\n\r\nv\r\n--x\r\n'),
)
UPLOADS = (
    b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"; filename="f"\r\n\r\nv\r\n' % name
        for name in (b"state", b"secret", b"parked", b"session")
    )
    + b"--x--\r\n"
)
KNOWN = [
    b"/",
    b"/login",
    b"/launch",
    b"/launches/" + b"a" * 32,
    b"/submit/" + b"a" * 32,
    b"/launches/" + b"a" * 32 + b"/tab",
    b"/launches/" + b"a" * 32 + b"/submissions",
    b"/launches/" + b"a" * 32 + b"/submissions/1",
    b"/launches/" + b"a" * 32 + b"/submissions/1/resend",
    b"/launch/match",
    b"/launch/tab",
    b"/login/look",
    b"/login/tab",
    b"/login/ticket",
    b"/deep-links/" + b"a" * 32,
    b"/register",
    b"/.well-known/jwks.json",
    b"/.well-known/canvas.json",
    b"/healthz",
    b"/gate",
    b"/static/ipylti.css",
    b"/metrics",
]
paths = st.one_of(
    st.sampled_from(KNOWN),
    st.binary(max_size=40).map(lambda rest: b"/" + rest),
    st.tuples(st.sampled_from(KNOWN), st.binary(max_size=10)).map(b"".join),
)
hosts = st.one_of(
    st.sampled_from(
        ["tool.example", HOST, HOST.upper(), f"{HOST}:443", NOTEBOOKS, f".{NOTEBOOKS}", "127.0.0.1:8002", ""]
    ),
    texts,
)


@quick
@given(pairs, st.booleans(), headers)
@example([("iss", "https://lms.example"), ("login_hint", "\x00"), ("target_link_uri", "x")], False, {})
@example([("iss", "https://lms.example"), ("login_hint", "h"), ("target_link_uri", "x")], True, {})
def test_any_login(app: Any, params: list[tuple[str, str]], posted: bool, sent: dict[str, str]) -> None:
    text = urlencode(params)
    if posted:
        form = "application/x-www-form-urlencoded"
        answer = send(app, "POST", b"/login", body=text.encode(), content_type=form, headers=sent)
    else:
        answer = send(app, "GET", b"/login", text, headers=sent)
    assert answer.status_int in (302, 400)
    if answer.status_int == 302:
        assert answer.location.startswith(("https://lms.example/auth?", "https://tool.example/login/look?"))


@quick
@given(st.sampled_from([b"/login/look", b"/login/tab", b"/launch/tab"]), queries, headers)
@example(b"/login/look", "ticket=%ff", {})
@example(b"/login/tab", "ticket=" + "a" * 32, {})
@example(b"/launch/tab", "ticket=" + quote("\x00") + "&ticket=b", {"Sec-Fetch-Site": "\xff"})
def test_any_ticket_of_a_login(app: Any, path: bytes, query: str, sent: dict[str, str]) -> None:
    answer = send(app, "GET", path, query, headers=sent)
    assert answer.status_int in (400, 403)


@quick
@given(st.sampled_from([b"/login/ticket", b"/launch/match"]), content_types, bodies, headers)
@example(b"/login/ticket", "application/x-www-form-urlencoded", b"state=" + b"a" * 43 + b"&secret=%00", {})
@example(b"/launch/match", "application/x-www-form-urlencoded", b"parked=" + b"a" * 32 + b"&secret=%ff", {})
@example(b"/launch/match", "multipart/form-data; boundary=x", UPLOADS, {})
@example(b"/login/ticket", "multipart/form-data; boundary=x", UPLOADS, {})
def test_any_secret(app: Any, path: bytes, content_type: str, body: bytes, sent: dict[str, str]) -> None:
    answer = send(app, "POST", path, body=body, content_type=content_type, headers=sent)
    assert answer.status_int in (400, 403)
    assert "Set-Cookie" not in answer.headers


@quick
@given(content_types, bodies, queries, headers)
@example("application/x-www-form-urlencoded", b"state=%ff&id_token=%00", "", {})
@example("application/x-www-form-urlencoded", b"error=" + b"<b>" * 5000, "", {})
@example("application/x-www-form-urlencoded", b"state=" + b"a" * 43 + b"&id_token=" + b"x" * 300_000, "", {})
def test_any_launch(app: Any, content_type: str, body: bytes, query: str, sent: dict[str, str]) -> None:
    answer = send(app, "POST", b"/launch", query, body=body, content_type=content_type, headers=sent)
    assert answer.status_int in (400, 403)
    assert "<b><b>" not in answer.text


@quick
@given(queries, headers)
@example("token=%ff&openid_configuration=https://lms.example", {})
@example("token=" + "x" * 60_000, {})
@example("token=a&token=b", {})
def test_any_registration_without_an_invitation(app: Any, query: str, sent: dict[str, str]) -> None:
    assert send(app, "GET", b"/register", query, headers=sent).status_int in (400, 403)


@quick
@given(
    st.one_of(urls, st.just("http://127.0.0.1:9/"), st.just("x" * 60_000), unicode_texts),
    st.one_of(st.none(), texts, unicode_texts),
    pairs,
)
@example("http://127.0.0.1:9/", "\r\nHost: evil.example", [])
@example("http://127.0.0.1:9/", "\x00\ud7ff", [("registration_token", "again")])
def test_any_registration_with_an_invitation(
    app: Any, url: str, token: str | None, more: list[tuple[str, str]]
) -> None:
    """A platform that can't be had is the platform's fault (502), and the invitation stays good."""
    with app.registry["ipylti.services"].sessions.begin() as db:
        invitation = Invitations(db).make(models.now())
    params = [("token", invitation), ("openid_configuration", url), *more]
    if token is not None:
        params.append(("registration_token", token))
    answer = send(app, "GET", b"/register", urlencode(params, errors="replace"), fault_of_others=True)
    assert answer.status_int in (200, 400, 403, 502)
    with app.registry["ipylti.services"].sessions() as db:
        Invitations(db).look(invitation, models.now())


@quick
@given(queries, headers, hosts)
@example("ticket=%ff", {}, HOST)
@example("ticket=" + quote("\x00"), {}, HOST)
@example("", {"Cookie": '__Host-ipylti-gate="\xff"; a="'}, HOST)
def test_any_ticket(app: Any, query: str, sent: dict[str, str], host: str) -> None:
    answer = send(app, "GET", b"/_ipylti/enter", query, host=host, headers=sent)
    assert answer.status_int in (400, 403, 404)
    assert "Set-Cookie" not in answer.headers


@quick
@given(methods, headers, queries)
@example("GET", {"X-Forwarded-Host": HOST, "Cookie": f"{gate.COOKIE}=\xff.\xff.\xff.\xff.\xff"}, "")
@example("GET", {"X-Forwarded-Host": HOST, "Cookie": f"{gate.COOKIE}=.....;;=;{gate.COOKIE}"}, "")
def test_anything_at_the_gate(app: Any, method: str, sent: dict[str, str], query: str) -> None:
    """No text is a cookie that opens it: strangers stay outside."""
    answer = send(app, method, b"/gate", query, host="127.0.0.1:8002", headers=sent)
    assert answer.status_int in (400, 401)
    assert "Authorization" not in answer.headers


@quick
@given(methods, st.binary(max_size=30), headers)
def test_anything_with_a_good_cookie_at_the_gate(
    app: Any, method: str, path: bytes, sent: dict[str, str]
) -> None:
    services = app.registry["ipylti.services"]
    now = int(time.time())
    sealed = Gatekeeper(services.settings).seal(Pass(WORKSPACE, "b" * 32, now, now + 60))
    cookie = f"{sent.get('Cookie', '')}; {gate.COOKIE}={sealed}"
    told = sent | {"Cookie": cookie, "X-Forwarded-Host": HOST}
    answer = send(app, method, b"/gate", host="127.0.0.1:8002", headers=told)
    assert answer.status_int in (200, 400, 401, 403)
    if answer.status_int == 200:
        assert answer.headers["Authorization"] == f"token {services.settings.jupyter_token(WORKSPACE)}"
        assert gate.COOKIE not in answer.headers.get("Cookie", "")


@quick
@given(methods, st.binary(max_size=30), queries, headers, bodies, content_types)
@example("GET", b"\n\n", "", {}, b"", "")
def test_anything_on_a_sleeping_host(
    app: Any,
    method: str,
    path: bytes,
    query: str,
    sent: dict[str, str],
    body: bytes,
    content_type: str,
) -> None:
    answer = send(app, method, b"/" + path, query, HOST, body, content_type, sent)
    assert answer.status_int in (400, 403)


@settings(quick, max_examples=300)
@given(methods, paths, queries, hosts, bodies, content_types, headers)
@example("GET", b"/\xff", "", "tool.example", b"", "", {})
@example(
    "GET", b"/login", "", "tool.example", b"x=y", "application/x-www-form-urlencoded; charset=utf-16", {}
)
@example("GET", b"/launches/\x00", "", "tool.example", b"", "", {})
@example("GET", b"/", "%ff=%ff&_LOCALE_=%ff", "tool.example", b"", "", {})
@example(
    "POST",
    b"/submit/" + b"a" * 32,
    "",
    "tool.example",
    b"csrf_token=%ff",
    "application/x-www-form-urlencoded",
    {},
)
@example("GET", b"/static/\x00", "", "tool.example", b"", "", {})
@example("GET", b"/static/" + b"a" * 5000, "", "tool.example", b"", "", {})
@example("GET", b"//evil.example/%2e%2e", "", "tool.example", b"", "", {"Accept": "\xff"})
@example("GET", b"/", "", "\xff\xfe", b"", "", {})
def test_anything_anywhere(
    app: Any,
    method: str,
    path: bytes,
    query: str,
    host: str,
    body: bytes,
    content_type: str,
    sent: dict[str, str],
) -> None:
    answer = send(app, method, path, query, host, body, content_type, sent)
    if answer.status_int in (301, 302, 303, 307):
        assert "evil" not in answer.location


class Endless(io.RawIOBase):
    """A body that nobody should begin to read."""

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: Any) -> int:
        raise AssertionError("read")


@pytest.mark.parametrize("path", [b"/launch", b"/login", b"/submit/" + b"a" * 32])
@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_what_is_far_too_long_is_not_even_read(app: Any, path: bytes, content_type: str) -> None:
    answer = send(app, "POST", path, body=Endless(), length=1 << 30, content_type=content_type)
    assert answer.status_int == 400
    assert "request.long" in answer.text


def test_nothing_of_it_left_a_trace(app: Any) -> None:
    """Only logins write, into Redis; nobody launched."""
    with app.registry["ipylti.services"].sessions() as db:
        assert db.query(models.Launch).count() == db.query(models.Person).count() == 0
