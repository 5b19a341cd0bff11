"""Traefik as `ipylti install` configures it: TLS, answers' headers, limits, the access log, certificates."""

import contextlib
import datetime
import http.client
import json
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ipylti.install import files, traefik
from ipylti.install.plan import Plan
from tests.integration.test_traefik import AWAKE, DOMAIN, TOOL, Server
from tests.integration.test_traefik import traefik as make_traefik
from tests.parts import Process, free_port, wait_for
from tests.production import production_plan

#: What a class of 200 sends when all click at once: look for the cookie, login, launch.
CLASS, CLICKS = 200, ("/login", "/login/look", "/launch")


@dataclass
class Installed:
    """A Traefik with an installation's configuration.

    :param folder: where its certificate is.
    """

    plan: Plan
    process: Process
    folder: Path

    def ask(
        self, path: str, host: str = TOOL, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Ask by https; the name stands in the certificate, the address is this machine's."""
        connection = http.client.HTTPConnection(host, timeout=30)
        context = ssl.create_default_context(cafile=str(self.folder / "fullchain.pem"))
        plain = socket.create_connection(("127.0.0.1", self.plan.https_port), 30)
        connection.sock = context.wrap_socket(plain, server_hostname=host)
        try:
            connection.request("GET" if body is None else "POST", path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def up(self) -> bool:
        """Return whether it has its routes."""
        with contextlib.suppress(OSError):
            return self.ask("/healthz")[0] == 200
        return False

    def log(self) -> str:
        """Return what it logged."""
        return self.process.log.read_text()


def ports() -> tuple[int, int]:
    """Return two free ports, one after the other."""
    while True:
        port = free_port()
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port + 1))
            return port, port + 1


def plan_for(folder: Path, web: int, *changes: tuple[str, str]) -> Plan:
    """Return the plan of production.ini, on free ports."""
    secure = str(free_port())
    return production_plan(
        folder,
        ("https://notebooks.example.org", f"https://{TOOL}:{secure}"),
        ("lab.example.org", DOMAIN),
        ("ipylti.notebook_port = 443", f"ipylti.notebook_port = {secure}"),
        ("http_port = 80", f"http_port = {free_port()}"),
        ("port = 8002", f"port = {web}"),
        *changes,
    )


def start(folder: Path, plan: Plan) -> Process:
    """Start a Traefik with the files of an installation."""
    for path, text in files.all_files(plan).items():
        files.write(path, text)
    return make_traefik(
        folder, traefik.environment(plan), f"--configFile={plan.configuration / 'traefik.yml'}"
    ).start()


@pytest.fixture(scope="module", autouse=True)
def secret() -> Iterator[None]:
    """The environment has a secret, and says where Podman would be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYLTI_SECRET", "6b1f0c9e8d27a45330f4e1b2c7d8596a")
        patch.setenv("XDG_RUNTIME_DIR", "/run/user/none")
        yield


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """A Traefik as production.ini wants it."""
    folder = tmp_path_factory.mktemp("production")
    make_certificate(folder)
    _, web = ports()
    with Server("web", web) as server:
        plan = plan_for(folder, web)
        made = Installed(plan, start(folder, plan), folder)
        try:
            wait_for(made.up, f"Traefik ({made.process.log})")
            yield made
        finally:
            made.process.stop()
            server.shutdown()


def test_http_leads_to_https(installed: Installed) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", installed.plan.http_port, timeout=30)
    connection.request("GET", "/launches/1?a=b", headers={"Host": TOOL})
    answer = connection.getresponse()
    assert answer.status in (301, 308)
    assert answer.headers["Location"] == f"https://{TOOL}:{installed.plan.https_port}/launches/1?a=b"


@pytest.mark.parametrize("host", [TOOL, AWAKE])
def test_browsers_come_back_by_https(installed: Installed, host: str) -> None:
    status, headers, _ = installed.ask("/lab", host)
    assert status == 200
    assert int(headers["Strict-Transport-Security"].removeprefix("max-age=")) >= 31_536_000
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Server"] is None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_protocols_are_refused(installed: Installed) -> None:
    context = ssl.create_default_context(cafile=str(installed.folder / "fullchain.pem"))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", installed.plan.https_port), 30) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname=TOOL)


@pytest.mark.parametrize("path", ["/gate", "/metrics", "/ping", "/api/rawdata", "/dashboard/"])
def test_what_is_for_this_machine_stays_there(installed: Installed, path: str) -> None:
    status, _, body = installed.ask(path)
    assert status == 404 or json.loads(body)[0] == "web"
    if path in ("/gate", "/metrics"):
        assert status == 404


def test_it_says_on_this_machine_whether_it_is_well(installed: Installed) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", installed.plan.inside_port, timeout=30)
    connection.request("GET", "/ping")
    assert connection.getresponse().status == 200


def test_nobody_chooses_a_requests_id(installed: Installed) -> None:
    _, headers, _ = installed.ask("/launches/1", headers={"X-Request-Id": "of-somebody"})
    assert headers["X-Request-Id"] == "of-the-tool"


def test_headers_that_look_like_others_are_dropped(installed: Installed) -> None:
    _, _, body = installed.ask(
        "/launches/1", headers={"X_Forwarded_Host": "elsewhere", "X-Forwarded-Host": "x"}
    )
    told = json.loads(body)[2]
    assert "X_Forwarded_Host" not in told
    assert told["X-Forwarded-Host"].partition(":")[0] == TOOL


def test_messages_have_a_size(installed: Installed) -> None:
    assert installed.ask("/launches/1", body=b"x" * (1 << 19))[0] == 200
    assert installed.ask("/launches/1", body=b"x" * ((1 << 20) + 1))[0] == 413


def test_the_access_log_has_the_requests_id_and_no_secret(installed: Installed) -> None:
    installed.ask(
        "/_ipylti/enter?ticket=hush", AWAKE, headers={"Cookie": "a=hush", "Authorization": "token hush"}
    )
    installed.ask("/login/tab?ticket=hush", headers={"Referer": "https://elsewhere/?code=hush"})
    wait_for(lambda: "/login/tab" in installed.log(), "the log")
    lines = [json.loads(line) for line in installed.log().splitlines() if line.startswith("{")]
    line = next(line for line in lines if line["RequestPath"] == "/login/tab")
    assert line["downstream_X-Request-Id"] == "of-the-tool"
    assert line["DownstreamStatus"] == 200
    assert "hush" not in installed.log()
    assert not [line for line in lines if line["RequestPath"] == "/healthz"]


def test_a_class_may_click_at_once_but_nobody_all_the_time(installed: Installed) -> None:
    """All come from one address, as from behind a school's router."""
    host = {"Host": f"{TOOL}:{installed.plan.https_port}"}

    def click(path: str, count: int) -> list[int]:
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(
            "127.0.0.1", installed.plan.https_port, timeout=60, context=context
        )
        told = []
        for _ in range(count):
            connection.request("GET", path, headers=host)
            answer = connection.getresponse()
            answer.read()
            told.append(answer.status)
        connection.close()
        return told

    with ThreadPoolExecutor(16) as people:
        one_class = [
            status
            for told in people.map(lambda n: click(CLICKS[n % 3], 1), range(CLASS * 3))
            for status in told
        ]
        assert set(one_class) == {200}
        flood = [status for told in people.map(lambda _: click("/login", 300), range(16)) for status in told]
    assert 429 in flood
    # What belongs to a launch goes on all the same.
    assert set(click("/launches/1/status", 20)) == {200}


def test_a_renewed_certificate_is_taken(installed: Installed) -> None:
    before = (installed.folder / "fullchain.pem").read_bytes()
    make_certificate(installed.folder)
    with pytest.raises(ssl.SSLError):
        installed.ask("/healthz")
    # What systemd does when the file changes (ipylti-certificate.service).
    assert installed.process.popen is not None
    installed.process.popen.send_signal(signal.SIGHUP)
    wait_for(installed.up, "the new certificate")
    assert (installed.folder / "fullchain.pem").read_bytes() != before


def test_certificates_are_asked_for_where_the_ini_file_says(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    _, web = ports()
    with Server("authority") as authority, Server("web", web) as server:
        plan = plan_for(
            tmp_path,
            web,
            (f"certificate = {tmp_path}/fullchain.pem\n", ""),
            (f"certificate_key = {tmp_path}/privkey.pem\n", ""),
            ("# acme_email", "acme_email"),
            ("# acme_dns_provider = rfc2136", "acme_dns_provider = manual"),
            ("# acme_server =", f"acme_server = {authority.url}/directory"),
        )
        plan.acme_storage.parent.mkdir(parents=True)
        process = start(tmp_path, plan)
        try:
            # The stand-in is no authority; that it was asked, and for both names, is what counts here.
            wait_for(
                lambda: "Unable to obtain ACME certificate" in process.log.read_text(), "the authority", 60
            )
        finally:
            process.stop()
            authority.shutdown()
            server.shutdown()
    told = process.log.read_text()
    assert TOOL in told and re.search(rf"\*\.{re.escape(DOMAIN)}", told)


def make_certificate(folder: Path) -> None:
    """Write a certificate that signs itself, for both names, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, TOOL)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(TOOL), x509.DNSName(f"*.{DOMAIN}")]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "fullchain.pem", folder / "privkey.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
