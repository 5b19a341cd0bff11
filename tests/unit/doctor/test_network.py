"""What the doctor says of names, certificates, Traefik, platforms and clocks, each against a real socket."""

import datetime
import ssl
import threading
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ipylti import gate
from ipylti.doctor import network
from ipylti.doctor.findings import Level
from ipylti.doctor.network import Seen, Traefik
from ipylti.http import OutgoingHTTP
from ipylti.lti.registrations import Registration
from tests.certificates import certificate
from tests.unit.doctor.test_host import config

NAMES = ("tool.example", "*.notebooks.example")


class Server:
    """Answers as Traefik, or as a platform, does.

    :param answer: (host, path) -> status.
    :ivar ahead: how far its clock is ahead of ours; None where it does not tell the time.
    """

    def __init__(self, answer: Callable[[str, str], int], tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.ahead: datetime.timedelta | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host = self.headers["Host"]
                server.asked.append((host, self.path, self.headers.get("Cookie", "")))
                self.send_response_only(answer(host, self.path))
                if server.ahead is not None:
                    date = datetime.datetime.now(datetime.UTC) + server.ahead
                    self.send_header("Date", format_datetime(date, usegmt=True))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Server":
        serve = {"poll_interval": 0.02}
        threading.Thread(target=self._server.serve_forever, kwargs=serve, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


# Names


@pytest.mark.parametrize(
    ("tool", "notebook", "levels"),
    [
        ({"192.0.2.1"}, {"192.0.2.1"}, [Level.OK, Level.OK]),
        ({"192.0.2.1", "2001:db8::1"}, {"192.0.2.1"}, [Level.OK, Level.OK]),
        ({"192.0.2.1"}, set(), [Level.OK, Level.FAILED]),
        (set(), {"192.0.2.1"}, [Level.FAILED, Level.OK]),
        ({"192.0.2.1"}, {"192.0.2.2"}, [Level.OK, Level.WARNING]),
    ],
)
def test_names(tool: set[str], notebook: set[str], levels: list[Level]) -> None:
    asked = []

    def look_up(name: str) -> set[str]:
        asked.append(name)
        return tool if name == "tool.example" else notebook

    found = list(network.names(config(), look_up))
    assert [each.level for each in found] == levels
    assert len(asked) == 2
    assert asked[1].endswith(".notebooks.example"), "a random one"
    if not notebook:
        assert found[1].mend == ("add to the DNS: *.notebooks.example. A 192.0.2.1",)


def test_names_of_this_machine_need_no_dns() -> None:
    local = config(
        ipylti__url="http://ipylti.localhost:8000",
        ipylti__notebook_domain="notebook.localhost",
        ipylti__notebook_scheme="http",
    )
    [found] = network.names(local)
    assert found.level is Level.OK


def test_a_name_that_is_nobodys() -> None:
    assert network.any_notebook() != network.any_notebook()
    names = network.names(config(ipylti__url="https://tool.invalid", ipylti__notebook_domain="lab.invalid"))
    assert [found.level for found in names] == [Level.FAILED, Level.FAILED]


# Certificates


def certificates(
    folder: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], days: int, *, trusted: bool = True
) -> list[Any]:
    context = certificate(folder, *names, days=days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
    with Server(lambda _host, _path: 200, context) as server:
        return list(network.certificates(config(ipylti__traefik_url=f"https://{server.address}")))


@pytest.mark.parametrize(
    ("names", "days", "levels", "told"),
    [
        (NAMES, 60, [Level.OK, Level.OK], "good until"),
        (NAMES, 5, [Level.WARNING, Level.WARNING], "5 days"),
        (NAMES, -3, [Level.FAILED, Level.FAILED], "expired"),
        (("tool.example",), 60, [Level.OK, Level.FAILED], "not valid for"),
        (("tool.example", "notebooks.example"), 60, [Level.OK, Level.FAILED], "not valid for"),
    ],
)
def test_certificates(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    days: int,
    levels: list[Level],
    told: str,
) -> None:
    found = certificates(tmp_path, monkeypatch, names, days)
    assert [each.level for each in found] == levels
    assert told in found[1].told
    assert all(bool(each.mend) is (each.level is not Level.OK) for each in found)


def test_a_certificate_that_nobody_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = certificates(tmp_path, monkeypatch, NAMES, 60, trusted=False)
    assert [each.level for each in found] == [Level.FAILED, Level.FAILED]
    assert "self-signed" in found[0].told.replace("self signed", "self-signed")


def test_nobody_speaks_tls_there() -> None:
    with Server(lambda _host, _path: 200) as server:
        address = server.address
        spoken = list(network.certificates(config(ipylti__traefik_url=f"https://{address}")))
    gone = list(network.certificates(config(ipylti__traefik_url=f"https://{address}")))
    assert {each.level for each in (*spoken, *gone)} == {Level.FAILED}


def test_plain_http_has_none() -> None:
    [found] = network.certificates(config(ipylti__traefik_url="http://127.0.0.1:8000"))
    assert found.level is Level.SKIPPED


# Traefik


def good(host: str, path: str) -> int:
    if host == "tool.example":
        return {"/healthz": 200}.get(path, 404)
    return 403


def check(answer: Callable[[str, str], int], *running: str) -> tuple[dict[str, Level], Server]:
    with Server(answer) as server:
        traefik = Traefik(config(ipylti__traefik_url=f"http://{server.address}"))
        return {found.about: found.level for found in traefik.check(running)}, server


def test_traefik_leads_where_it_should() -> None:
    found, server = check(good, "a" * 32)
    assert found == dict.fromkeys(
        ("traefik", "/metrics from outside", "/gate from outside", "gate", "gate before a running notebook"),
        Level.OK,
    )
    cookies = [cookie for host, _, cookie in server.asked if host.endswith("notebooks.example")]
    assert len(cookies) == 2
    assert all(cookie.startswith(f"{gate.COOKIE}=") for cookie in cookies)


@pytest.mark.parametrize(
    ("about", "host", "path", "status"),
    [
        ("/metrics from outside", "tool.example", "/metrics", 200),
        ("/gate from outside", "tool.example", "/gate", 401),
        ("gate", "notebooks.example", "/api", 200),
        ("gate", "notebooks.example", "/api", 404),
    ],
)
def test_traefik_leads_elsewhere(about: str, host: str, path: str, status: int) -> None:
    def bad(asked: str, where: str) -> int:
        return status if asked.endswith(host) and where == path else good(asked, where)

    found, _ = check(bad)
    assert [name for name, level in found.items() if level is Level.FAILED] == [about]


def test_a_notebook_before_which_there_is_no_gate() -> None:
    running = "a" * 32
    found, _ = check(lambda host, path: 200 if host.startswith(running) else good(host, path), running)
    assert [name for name, level in found.items() if level is Level.FAILED] == [
        "gate before a running notebook"
    ]


def test_traefik_is_away() -> None:
    assert check(lambda _host, _path: 502)[0] == {"traefik": Level.FAILED}
    traefik = Traefik(config(ipylti__traefik_url="http://127.0.0.1:1"))
    assert [found.level for found in traefik.check()] == [Level.FAILED]


# Platforms and the clock


def registration(address: str) -> Registration:
    url = f"http://{address}"
    return Registration(
        1, url, "client", f"{url}/auth", f"{url}/token", f"{url}/jwks", None, frozenset({"1"})
    )


@pytest.fixture
def http() -> OutgoingHTTP:
    return OutgoingHTTP("ipylti/test", allow_private=True, timeout=20.0)


@pytest.fixture
def platform() -> Iterator[Server]:
    with Server(lambda _host, path: 200 if path == "/jwks" else 404) as made:
        made.ahead = datetime.timedelta(0)
        yield made


def test_a_platform_that_answers(http: OutgoingHTTP, platform: Server) -> None:
    seen: list[Seen] = []
    [found] = network.platforms(http, [registration(platform.address)], seen, "x.ini")
    assert found.level is Level.OK
    assert network.clock(seen).level is Level.OK


@pytest.mark.parametrize(
    ("seconds", "level", "word"),
    [
        (0, Level.OK, "agrees"),
        (20, Level.WARNING, "behind"),
        (-20, Level.WARNING, "ahead of"),
        (600, Level.FAILED, "behind"),
        (-600, Level.FAILED, "ahead of"),
    ],
)
def test_a_clock(http: OutgoingHTTP, platform: Server, seconds: int, level: Level, word: str) -> None:
    platform.ahead = datetime.timedelta(seconds=seconds)
    seen: list[Seen] = []
    list(network.platforms(http, [registration(platform.address)], seen, "x.ini"))
    found = network.clock(seen)
    assert (found.level, word in found.told) == (level, True)


def test_one_platform_with_a_wrong_clock_is_the_platforms_matter() -> None:
    assert network.clock([Seen("https://a", 900.0), Seen("https://b", 0.4)]).level is Level.OK


def test_nobody_told_the_time() -> None:
    assert network.clock([]).level is Level.SKIPPED


def test_a_platform_that_does_not_answer(http: OutgoingHTTP) -> None:
    with Server(lambda _host, _path: 503) as busy:
        failing = list(network.platforms(http, [registration(busy.address)], [], "x.ini"))
    gone = list(network.platforms(http, [registration(busy.address)], [], "x.ini"))
    for found in (*failing, *gone):
        assert found.level is Level.FAILED
        assert "ipylti platform edit x.ini --issuer" in found.mend[0]


def test_no_platform(http: OutgoingHTTP) -> None:
    assert [found.level for found in network.platforms(http, [], [], "x.ini")] == [Level.SKIPPED]
