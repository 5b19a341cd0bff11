"""The outgoing HTTP client: lti.md 9, against real servers on the loopback interface."""

import http.server
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ipylti.http
from ipylti.errors import OutgoingError
from ipylti.http import Answer, OutgoingHTTP, is_public, is_web_url, origin
from tests.certificates import certificate

PUBLIC, PRIVATE = "127.0.0.1", "127.0.0.2"
Act = Callable[[http.server.BaseHTTPRequestHandler], None]

#: Seconds within which a time-out of half a second ends a call on a busy machine; what is waited for there
#: would take much longer.
SOON = 10.0


class Server:
    """A server on a free port whose paths act as a test says; it keeps what it was asked."""

    def __init__(self, context: ssl.SSLContext | None = None, host: str = PUBLIC) -> None:
        self.paths: dict[str, Act] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.asked.append((self.command, self.path, headers, self.rfile.read(length)))
                server.paths[self.path](self)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: Any) -> None:
                pass

        self.server = Quiet((host, 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.scheme = "http" if context is None else "https"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path: str = "/", host: str = PUBLIC) -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def say(body: bytes = b"{}", status: int = 200, **headers: str) -> Act:
    """Return the act of answering."""

    def act(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return act


def raw(*pieces: bytes, pause: float = 0.0) -> Act:
    """Return the act of sending bytes, with a pause after each piece."""

    def act(handler: http.server.BaseHTTPRequestHandler) -> None:
        for piece in pieces:
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause)
        handler.close_connection = True

    return act


def to(location: str, status: int = 302) -> Act:
    return say(b"", status, Location=location)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def client() -> OutgoingHTTP:
    """A client that may go to this machine."""
    return OutgoingHTTP("ipylti/test", allow_private=True, timeout=20.0, max_bytes=10_000)


def failure(call: Callable[[], Answer]) -> str:
    with pytest.raises(OutgoingError) as error:
        call()
    return error.value.code


# Asking and answering


def test_get(server: Server, client: OutgoingHTTP) -> None:
    server.paths["/a?b=c%2F"] = say(b'{"x": 1}', X_Thing="1", Content_Type="application/json")
    answer = client.get_json(server.url("/a?b=c%2F#d"), accept="application/x+json", token="secret")
    assert (answer.status, answer.body, answer.headers["x-thing"]) == (200, b'{"x": 1}', "1")
    method, path, headers, _ = server.asked[0]
    assert (method, path) == ("GET", "/a?b=c%2F")
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert headers["user-agent"] == "ipylti/test"
    assert headers["accept"] == "application/x+json"
    assert headers["authorization"] == "Bearer secret"
    assert headers["accept-encoding"] == "identity"
    assert "cookie" not in headers


def test_post_json(server: Server, client: OutgoingHTTP) -> None:
    server.paths["/scores"] = say(b"", 204)
    answer = client.post_json(
        server.url("/scores"), {"ü": 1}, content_type="application/vnd.score+json", token="t"
    )
    assert answer.status == 204
    method, _, headers, body = server.asked[0]
    assert (method, body) == ("POST", b'{"\\u00fc": 1}')
    assert headers["content-type"] == "application/vnd.score+json"
    assert headers["authorization"] == "Bearer t"


def test_post_form(server: Server, client: OutgoingHTTP) -> None:
    server.paths["/token"] = say()
    client.post_form(server.url("/token"), {"scope": "a b", "x": "ü&="})
    _, _, headers, body = server.asked[0]
    assert body == b"scope=a+b&x=%C3%BC%26%3D"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in headers


@pytest.mark.parametrize("status", [201, 304, 400, 401, 404, 429, 500, 503])
def test_every_status_is_an_answer(server: Server, client: OutgoingHTTP, status: int) -> None:
    server.paths["/"] = say(b"", status)
    assert client.get_json(server.url()).status == status


def test_headers_of_one_name_are_joined(server: Server, client: OutgoingHTTP) -> None:
    server.paths["/"] = raw(b"HTTP/1.1 200 OK\r\nLink: <a>\r\nLINK: <b>\r\nContent-Length: 2\r\n\r\n{}")
    assert client.get_json(server.url()).headers["link"] == "<a>, <b>"


def test_no_cookie_is_kept(server: Server, client: OutgoingHTTP) -> None:
    server.paths["/"] = say(Set_Cookie="a=b; Path=/")
    for _ in range(2):
        client.get_json(server.url())
    assert "cookie" not in server.asked[1][2]


def test_neither_proxy_nor_netrc_of_the_environment(
    server: Server, client: OutgoingHTTP, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    server.paths["/"] = say()
    client.get_json(server.url())
    assert "authorization" not in server.asked[0][2]


def test_many_threads_share_a_client(server: Server, client: OutgoingHTTP) -> None:
    server.paths.update({f"/{number}": say(str(number).encode()) for number in range(16)})
    found: dict[int, bytes] = {}

    def ask(number: int) -> None:
        found[number] = client.get_json(server.url(f"/{number}")).body

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: str(number).encode() for number in range(16)}


# Slow, large, broken


@pytest.mark.parametrize(
    "act",
    [
        lambda handler: time.sleep(40),
        raw(b"HTTP/1.1 200 OK\r\n", pause=40),
        raw(b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 90, pause=0.4),
        raw(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 90, pause=0.4),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", *[b"x"] * 90, pause=0.4),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 90, pause=0.4),
        raw(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 90, pause=0.4),
    ],
    ids=["silent", "headers stop", "header drip", "body drip", "length drip", "chunk drip", "continue"],
)
def test_the_deadline_is_for_everything(server: Server, client: OutgoingHTTP, act: Act) -> None:
    server.paths["/"] = act
    started = time.monotonic()
    assert failure(lambda: client.get_json(server.url(), timeout=0.5)) == "http.timeout"
    assert time.monotonic() - started < SOON


def test_the_deadline_is_one_for_all_redirects(server: Server, client: OutgoingHTTP) -> None:
    def slowly(handler: http.server.BaseHTTPRequestHandler) -> None:
        time.sleep(0.3)
        to("/")(handler)

    server.paths["/"] = slowly
    started = time.monotonic()
    assert failure(lambda: client.get_json(server.url(), timeout=0.5)) == "http.timeout"
    assert time.monotonic() - started < SOON


def test_a_server_that_does_not_read(client: OutgoingHTTP) -> None:
    with socket.create_server((PUBLIC, 0)) as deaf:
        url = f"http://{PUBLIC}:{deaf.getsockname()[1]}/"
        started = time.monotonic()
        assert failure(lambda: client.post_json(url, "x" * 20_000_000, timeout=0.5)) == "http.timeout"
        assert time.monotonic() - started < SOON


def test_a_resolver_that_does_not_answer(client: OutgoingHTTP, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(40) or [])
    started = time.monotonic()
    assert failure(lambda: client.get_json("https://lms.example/", timeout=0.3)) == "http.timeout"
    assert time.monotonic() - started < SOON


@pytest.mark.parametrize(
    "act",
    [
        say(b"x" * 10_001),
        raw(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 50_000),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 50_000),
        raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            *[b"1000\r\n" + b"x" * 4096 + b"\r\n"] * 5,
        ),
    ],
    ids=["length", "until the end", "claims more", "chunked"],
)
def test_no_more_than_the_cap_is_read(server: Server, client: OutgoingHTTP, act: Act) -> None:
    server.paths["/"] = act
    assert failure(lambda: client.get_json(server.url())) == "http.too_large"


def test_exactly_the_cap_is_fine(server: Server, client: OutgoingHTTP) -> None:
    server.paths["/"] = say(b"x" * 10_000)
    assert len(client.get_json(server.url()).body) == 10_000


@pytest.mark.parametrize(
    "act",
    [
        raw(b""),
        raw(b"hello\r\n\r\n"),
        raw(b"HTTP/1.1 abc\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf"),
        raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
        say(Content_Encoding="gzip"),
    ],
    ids=[
        "nothing",
        "no HTTP",
        "status",
        "half",
        "chunk",
        "half chunk",
        "long header",
        "many headers",
        "gzip",
    ],
)
def test_a_broken_answer_is_none(server: Server, client: OutgoingHTTP, act: Act) -> None:
    server.paths["/"] = act
    assert failure(lambda: client.get_json(server.url())) == "http.failed"


def test_nobody_listens(client: OutgoingHTTP) -> None:
    with socket.socket() as taken:
        # Nobody else can listen there.
        taken.bind((PUBLIC, 0))
        port = taken.getsockname()[1]
        assert failure(lambda: client.get_json(f"http://{PUBLIC}:{port}/")) == "http.connect"


def test_a_name_without_address(client: OutgoingHTTP, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    assert failure(lambda: client.get_json("https://lms.example/")) == "http.connect"


def test_a_dead_address_leaves_time_for_the_next(
    server: Server, client: OutgoingHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"lms.example": [PRIVATE, PUBLIC]})
    real = socket.socket.connect

    def connect(sock: socket.socket, address: Any) -> None:
        if address[0] == PRIVATE:
            time.sleep(sock.gettimeout() or 0)
            raise TimeoutError
        real(sock, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    server.paths["/"] = say(b"alive")
    assert client.get_json(server.url(host="lms.example"), timeout=4.0).body == b"alive"


# Where it may go


def resolve(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> list[str]:
    """Have names resolve to these addresses; return the list of names that are asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = []
        for address in names.get(host, [host]):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            where = (address, port, 0, 0) if ":" in address else (address, port)
            found.append((family, socket.SOCK_STREAM, 6, "", where))
        return found

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "url",
    [
        "http://lms.example/jwks",
        "ftp://lms.example/",
        "file:///etc/passwd",
        "//lms.example/",
        "lms.example",
        "",
        "https://",
        "https://user:pass@lms.example/",
        "https://user@lms.example/",
        "https://lms.example:0/",
        "https://lms.example:99999/",
        "https://lms.example/a b",
        "https://lms.example/\r\nX: y",
        "https://lms.example\\@evil.example/",
        "https://lms.example/ü",
        "https://[::1",
        "https://lms.example/" + "x" * 5000,
    ],
)
def test_urls_that_are_not_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolve(monkeypatch, {})
    strict = OutgoingHTTP("ipylti/test")
    assert failure(lambda: strict.get_json(url)) == "http.address"
    assert failure(lambda: strict.post_form(url, {})) == "http.address"
    assert failure(lambda: strict.post_json(url, {})) == "http.address"
    assert asked == []


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1"], ["::1"], ["169.254.169.254"], ["93.184.215.14", "192.168.0.1"]],
)
def test_a_name_with_a_private_address_is_not_connected_to(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where it has a public one as well."""
    resolve(monkeypatch, {"lms.example": addresses})
    monkeypatch.setattr(socket, "socket", None)
    assert failure(lambda: OutgoingHTTP("ipylti/test").get_json("https://lms.example/")) == "http.address"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "0", "[::1]", "[::ffff:127.0.0.1]", "[::]"]
)
def test_however_this_machine_is_written(host: str) -> None:
    """With the machine's own resolver."""
    strict = OutgoingHTTP("ipylti/test")
    assert failure(lambda: strict.get_json(f"https://{host}/")) in ("http.address", "http.connect")


@pytest.mark.parametrize("host", ["localhost", "LMS.localhost", "lms.localhost.", "a.b.localhost"])
def test_localhost_is_this_machine_and_no_resolver_is_asked(
    host: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in browsers: a platform of a demonstration is found by both, and nobody else can take the name."""
    asked = resolve(monkeypatch, {host: ["93.184.215.14"]})
    strict, here = OutgoingHTTP("ipylti/test"), OutgoingHTTP("ipylti/test", allow_private=True)
    server.paths["/"] = say(b"here")
    assert failure(lambda: strict.get_json(f"https://{host}/")) == "http.address"
    assert here.get_json(server.url(host=host)).body == b"here"
    assert set(asked) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("host", ["notlocalhost", "localhost.example", "localhostx"])
def test_other_names_are_not_this_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolve(monkeypatch, {host: ["10.0.0.1"]})
    assert failure(lambda: OutgoingHTTP("ipylti/test").get_json(f"https://{host}/")) == "http.address"
    assert asked == [host]


def test_an_address_of_a_kind_that_the_machine_does_not_have_leaves_the_others(
    server: Server, client: OutgoingHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"lms.example": ["2606:2800:21f::1", PUBLIC]})
    real = socket.socket

    def make(family: int, *rest: Any, **more: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *rest, **more)

    monkeypatch.setattr(socket, "socket", make)
    server.paths["/"] = say(b"alive")
    assert client.get_json(server.url(host="lms.example")).body == b"alive"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("::ffff:93.184.215.14", True),
        ("64:ff9b::5db8:d70e", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("127.255.255.254", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("172.31.255.255", False),
        ("192.0.2.1", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b:1::1", False),
        ("2002:7f00:1::", False),
        ("2002:5db8:d70e::", False),
        ("2001::1", False),
        ("2001:db8::1", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("100::1", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) == public


# TLS, and redirects to where one may not go


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server for lms.example and other.example on an address that counts as public here."""
    made = Server(certificate(tmp_path, "lms.example", "other.example"))
    resolve(
        monkeypatch,
        {
            "lms.example": [PUBLIC],
            "other.example": [PUBLIC],
            "wrong.example": [PUBLIC],
            "inside.example": [PRIVATE],
        },
    )
    monkeypatch.setattr(ipylti.http, "is_public", lambda address: address == PUBLIC)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    yield made
    made.close()


@pytest.fixture
def strict(tls: Server) -> OutgoingHTTP:
    """A client as in production, which trusts the test's authority as it would an institution's."""
    return OutgoingHTTP("ipylti/test", timeout=20.0)


def test_https(tls: Server, strict: OutgoingHTTP) -> None:
    tls.paths["/jwks"] = say(b"keys")
    assert strict.get_json(tls.url("/jwks", "lms.example")).body == b"keys"
    assert tls.asked[0][2]["host"] == f"lms.example:{tls.port}"


def test_the_usual_port_is_left_out_of_the_host_header(
    tls: Server, strict: OutgoingHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **more: resolver(host, tls.port, **more))
    tls.paths["/"] = say()
    strict.get_json("https://lms.example/")
    assert tls.asked[0][2]["host"] == "lms.example"


def test_a_certificate_of_another_name(tls: Server, strict: OutgoingHTTP) -> None:
    assert failure(lambda: strict.get_json(tls.url("/", "wrong.example"))) == "http.tls"


def test_a_certificate_that_nobody_trusts(tls: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    assert failure(lambda: OutgoingHTTP("x").get_json(tls.url("/", "lms.example"))) == "http.tls"
    assert tls.asked == []


def test_no_tls_at_all(server: Server, client: OutgoingHTTP) -> None:
    url = server.url().replace("http:", "https:")
    assert failure(lambda: client.get_json(url)) in ("http.tls", "http.failed")


def test_a_silent_tls_server(client: OutgoingHTTP) -> None:
    with socket.create_server((PUBLIC, 0)) as silent:
        started = time.monotonic()
        url = f"https://{PUBLIC}:{silent.getsockname()[1]}/"
        assert failure(lambda: client.get_json(url, timeout=0.4)) == "http.timeout"
        assert time.monotonic() - started < SOON


def test_a_slow_tls_server(tls: Server, strict: OutgoingHTTP) -> None:
    tls.paths["/"] = raw(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 90, pause=0.4)
    started = time.monotonic()
    assert failure(lambda: strict.get_json(tls.url("/", "lms.example"), timeout=0.5)) == "http.timeout"
    assert time.monotonic() - started < SOON


def test_redirects_are_followed(tls: Server, strict: OutgoingHTTP) -> None:
    tls.paths.update({"/1": to("/2"), "/2": to("3", 307), "/3": to("?4", 301), "/3?4": say(b"there")})
    assert strict.get_json(tls.url("/1", "lms.example"), token="t").body == b"there"
    assert {asked[2].get("authorization") for asked in tls.asked} == {"Bearer t"}


def test_a_token_does_not_follow_to_another_origin(tls: Server, strict: OutgoingHTTP) -> None:
    back = tls.url("/3", "lms.example")
    tls.paths.update({"/1": to(tls.url("/2", "other.example")), "/2": to(back), "/3": say(b"there")})
    assert strict.get_json(tls.url("/1", "lms.example"), token="secret").body == b"there"
    assert [asked[2].get("authorization") for asked in tls.asked] == ["Bearer secret", None, None]


def test_more_than_three_redirects(tls: Server, strict: OutgoingHTTP) -> None:
    tls.paths["/"] = to("/")
    assert failure(lambda: strict.get_json(tls.url("/", "lms.example"))) == "http.redirect"
    assert len(tls.asked) == 4


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_post_is_not_redirected(tls: Server, strict: OutgoingHTTP, status: int) -> None:
    tls.paths["/"] = to("/elsewhere", status)
    assert failure(lambda: strict.post_form(tls.url("/", "lms.example"), {})) == "http.redirect"
    assert failure(lambda: strict.post_json(tls.url("/", "lms.example"), {})) == "http.redirect"
    assert len(tls.asked) == 2


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("https://inside.example:1/", "http.address"),
        ("https://127.0.0.2:1/", "http.address"),
        ("//inside.example:1/", "http.address"),
        ("http://lms.example/", "http.redirect"),
        ("file:///etc/passwd", "http.redirect"),
        ("javascript:alert(1)", "http.redirect"),
        ("https://user:pass@lms.example/", "http.redirect"),
        ("https://[::1", "http.redirect"),
    ],
)
def test_redirects_to_where_one_may_not_go(
    tls: Server, strict: OutgoingHTTP, location: str, code: str
) -> None:
    tls.paths["/"] = to(location)
    assert failure(lambda: strict.get_json(tls.url("/", "lms.example"))) == code


def test_a_redirect_without_location(tls: Server, strict: OutgoingHTTP) -> None:
    tls.paths["/"] = say(b"", 302)
    assert failure(lambda: strict.get_json(tls.url("/", "lms.example"))) == "http.redirect"


def test_never_from_https_to_http_even_where_http_is_allowed(tls: Server, server: Server) -> None:
    server.paths["/"] = say()
    tls.paths["/"] = to(server.url())
    lax = OutgoingHTTP("ipylti/test", allow_private=True, timeout=20.0)
    assert failure(lambda: lax.get_json(tls.url("/", "lms.example"))) == "http.redirect"
    assert server.asked == []


def test_a_name_that_resolves_anew_gains_nothing(
    tls: Server, strict: OutgoingHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the address that was checked is the address that is used."""
    answers = iter([PUBLIC, PRIVATE, PRIVATE, PRIVATE])

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    connected: list[str] = []
    real = socket.socket.connect

    def connect(sock: socket.socket, address: Any) -> None:
        connected.append(address[0])
        real(sock, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    tls.paths["/"] = say(b"first")
    assert strict.get_json(tls.url("/", "lms.example")).body == b"first"
    assert connected == [PUBLIC]
    assert failure(lambda: strict.get_json(tls.url("/", "lms.example"))) == "http.address"
    assert connected == [PUBLIC]


def test_the_log_gets_no_query(client: OutgoingHTTP) -> None:
    with socket.socket() as taken, pytest.raises(OutgoingError) as error:
        taken.bind((PUBLIC, 0))
        port = taken.getsockname()[1]
        client.get_json(f"http://{PUBLIC}:{port}/path?secret=1")
    assert "secret" not in error.value.detail


# URLs


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://LMS.example/a?b#c", "https://lms.example"),
        ("https://lms.example:443", "https://lms.example"),
        ("http://lms.example:80/", "http://lms.example"),
        ("http://lms.example:443/", "http://lms.example:443"),
        ("https://lms.example:8443/", "https://lms.example:8443"),
        ("HTTPS://lms.example/", "https://lms.example"),
        ("https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443"),
    ],
)
def test_origins(url: str, found: str) -> None:
    assert is_web_url(url)
    assert origin(url) == found
