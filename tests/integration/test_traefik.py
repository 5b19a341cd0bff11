"""Traefik's own configuration files, in a real Traefik before a web process that tells what reached it."""

import datetime
import http.client
import http.server
import json
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.parts import Process, free_port, wait_for

FOLDER = Path(__file__).resolve().parent.parent.parent / "traefik"
TOOL, DOMAIN = "tool.localhost", "notebook.localhost"
AWAKE, ASLEEP = f"{'a' * 32}.{DOMAIN}", f"{'b' * 32}.{DOMAIN}"


class _Answers(http.server.BaseHTTPRequestHandler):
    """A gate that lets everybody in, and a service that tells what it got."""

    def do_GET(self) -> None:
        server: _Server = self.server  # type: ignore[assignment]
        asked = self.path.partition("?")[0]
        body = json.dumps([server.name, asked, dict(self.headers)]).encode()
        if server.name == "web" and asked == "/gate":
            body = b""
            self.send_response(204)
            self.send_header("Authorization", "token of-jupyter")
            self.send_header("Set-Cookie", "__Host-ipylti-gate=renewed; Path=/; Secure; Partitioned")
        else:
            self.send_response(200)
            self.send_header("Set-Cookie", "__Host-ipylti-gate=of-the-notebook; Path=/; Secure")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.name = name
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[_Server, _Server]]:
    """The web process and one notebook."""
    with _Server("web") as web, _Server("notebook") as notebook:
        yield web, notebook
        web.shutdown()
        notebook.shutdown()


def traefik(folder: Path, env: dict[str, str], *options: str) -> Process:
    """Return a Traefik, not yet started."""
    return Process("traefik", [str(Path(sys.executable).parent / "traefik"), *options], folder, env)


@pytest.fixture(scope="module")
def port(services: tuple[_Server, _Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Traefik with dynamic.yml, and one notebook routed as a container's labels do it."""
    folder, port, (web, notebook) = tmp_path_factory.mktemp("traefik"), free_port(), services
    config = folder / "dynamic"
    config.mkdir()
    (config / "dynamic.yml").write_text((FOLDER / "dynamic.yml").read_text())
    router = {
        "rule": f"Host(`{AWAKE}`)",
        "priority": 100,
        "service": "a",
        "middlewares": ["ipylti-gate@file"],
    }
    service = {"loadBalancer": {"servers": [{"url": notebook.url}]}}
    (config / "notebook.yml").write_text(
        json.dumps({"http": {"routers": {"a": router}, "services": {"a": service}}})
    )
    env = {"IPYLTI_HOST": TOOL, "IPYLTI_NOTEBOOK_DOMAIN": DOMAIN, "IPYLTI_WEBS": web.url}
    process = traefik(
        folder,
        env | {"IPYLTI_ENTRYPOINT": "web"},
        f"--entryPoints.web.address=127.0.0.1:{port}",
        f"--providers.file.directory={config}",
    ).start()
    try:
        wait_for(lambda: answers(port, TOOL), "Traefik")
        yield port
    finally:
        process.stop()


def answers(port: int, host: str) -> bool:
    """Return whether Traefik has loaded its configuration."""
    try:
        return ask(port, host, "/")[0] == 200
    except OSError:
        return False


def ask(
    port: int, host: str, path: str, headers: dict[str, str] | None = None
) -> tuple[int, list[str], list[object]]:
    """Ask Traefik; returns the status, the cookies set, and what the service behind was told."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": f"{host}:{port}"} | (headers or {}))
    answer = connection.getresponse()
    body = answer.read()
    told = json.loads(body) if body.startswith(b"[") else []
    return answer.status, answer.headers.get_all("Set-Cookie") or [], told


@pytest.mark.parametrize("host", [TOOL, ASLEEP])
@pytest.mark.parametrize("path", ["/gate", "/metrics", "/%67ate", "//metrics", "/x/../gate", "/metrics?a=b"])
def test_gate_and_metrics_are_not_reachable_from_outside(port: int, host: str, path: str) -> None:
    status, _, told = ask(port, host, path)
    assert (status, told) == (404, [])


@pytest.mark.parametrize(
    ("host", "path", "service"),
    [
        (TOOL, "/login", "web"),
        (AWAKE, "/lab", "notebook"),
        (AWAKE, "/metrics", "notebook"),
        (AWAKE, "/_ipylti/enter", "web"),
        (AWAKE, "/_ipylti/../lab", "notebook"),
        (ASLEEP, "/lab", "web"),
        (ASLEEP.upper(), "/lab", "web"),
    ],
)
def test_who_answers_what(port: int, host: str, path: str, service: str) -> None:
    status, _, told = ask(port, host, path)
    assert (status, told[:1]) == (200, [service])


@pytest.mark.parametrize("host", ["elsewhere.localhost", f"short.{DOMAIN}", f"{'a' * 32}x{DOMAIN}"])
def test_other_hosts_reach_nothing(port: int, host: str) -> None:
    assert ask(port, host, "/")[0] == 404


def test_a_notebook_gets_the_gates_token_and_no_cookie(port: int) -> None:
    sent = {"Cookie": "__Host-ipylti-gate=mine; a=b", "Authorization": "token guessed"}
    _, cookies, told = ask(port, AWAKE, "/lab", sent)
    headers = told[2]
    assert isinstance(headers, dict)
    assert headers["Authorization"] == "token of-jupyter"
    assert "Cookie" not in headers
    assert [cookie.partition(";")[0] for cookie in cookies] == ["__Host-ipylti-gate=renewed"]


def test_the_production_environment_starts_traefik_with_tls(
    services: tuple[_Server, _Server], tmp_path: Path
) -> None:
    lines = (FOLDER / "production.env").read_text().splitlines()
    env = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    plain, secure = free_port(), free_port()
    certificate, key = make_certificate(tmp_path, env["IPYLTI_HOST"])
    env |= {
        "IPYLTI_CERTIFICATE": str(certificate),
        "IPYLTI_CERTIFICATE_KEY": str(key),
        "IPYLTI_WEBS": services[0].url,
        "TRAEFIK_ENTRYPOINTS_WEB_ADDRESS": f"127.0.0.1:{plain}",
        "TRAEFIK_ENTRYPOINTS_WEBSECURE_ADDRESS": f"127.0.0.1:{secure}",
        "TRAEFIK_PROVIDERS_FILE_FILENAME": str(FOLDER / "dynamic.yml"),
        "TRAEFIK_PROVIDERS_DOCKER_ENDPOINT": f"unix://{tmp_path}/none.sock",
    }
    context = ssl.create_default_context(cafile=str(certificate))
    process = traefik(tmp_path, env).start()

    def status() -> int:
        # The name stands in the certificate, the address is this machine's.
        host = env["IPYLTI_HOST"]
        connection = http.client.HTTPConnection(host, timeout=10)
        plain_socket = socket.create_connection(("127.0.0.1", secure), 5)
        connection.sock = context.wrap_socket(plain_socket, server_hostname=host)
        connection.request("GET", "/login")
        return connection.getresponse().status

    def up() -> bool:
        try:
            return status() == 200
        except OSError:
            return False

    try:
        wait_for(up, f"Traefik ({process.log})", 15)
        assert ask(plain, env["IPYLTI_HOST"], "/login")[0] in (301, 302, 308)
    finally:
        process.stop()


def make_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Write a certificate that signs itself, and its key; returns their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths
