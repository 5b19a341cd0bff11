"""Traefik's own configuration files, in a real Traefik before a web process that tells what reached it."""

import http.client
import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import Process, free_port, wait_for

FOLDER = Path(__file__).resolve().parent.parent.parent / "traefik"
TOOL, DOMAIN = "tool.localhost", "notebook.localhost"
AWAKE, ASLEEP = f"{'a' * 32}.{DOMAIN}", f"{'b' * 32}.{DOMAIN}"


class Answers(http.server.BaseHTTPRequestHandler):
    """A gate that lets everybody in, and a service that tells what it got."""

    def do_GET(self) -> None:
        server: Server = self.server  # type: ignore[assignment]
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
            self.send_header("X-Request-Id", self.headers.get("X-Request-Id", "of-the-tool"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_words: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    request_queue_size = 1024

    def __init__(self, name: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Answers)
        self.name = name
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[Server, Server]]:
    """The web process and one notebook."""
    with Server("web") as web, Server("notebook") as notebook:
        yield web, notebook
        web.shutdown()
        notebook.shutdown()


def traefik(folder: Path, env: dict[str, str], *options: str) -> Process:
    """Return a Traefik, not yet started."""
    return Process("traefik", [str(Path(sys.executable).parent / "traefik"), *options], folder, env)


@pytest.fixture(scope="module")
def port(services: tuple[Server, Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
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
