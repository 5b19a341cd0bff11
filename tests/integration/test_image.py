"""The notebook image on real Podman, and JupyterLab from it in a browser that blocks third-party cookies.

The browser sees three sites as in production: the LMS's page frames the tool's, which frames the notebook. A
Traefik with the answers of a gate built in (Jupyter's token, the frame policy) stands before the container.
"""

import functools
import http.server
import json
import secrets
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, Page

from tests.integration.conftest import podman
from tests.parts import Process, free_port, wait_for

TOOL, LMS, EVIL = "ipylti.localhost", "campus.localhost", "evil.localhost"
NOTEBOOK = "a.notebook.localhost"

#: Frames the address in its query, collects what the frame says in `messages` and can speak to it.
FRAMING_PAGE = """<!doctype html><title>frames</title><iframe width=1200 height=800></iframe><script>
const frame = document.querySelector("iframe"), messages = [];
window.addEventListener("message", ({ data, origin }) => messages.push({ ...data, origin }));
frame.src = new URLSearchParams(location.search).get("frame");
function tell(message) { frame.contentWindow.postMessage(message, "*"); }
</script>"""

#: What JupyterLab shows once it has started, whatever was open before.
STARTED = ".jp-DirListing-content"

#: Milliseconds for JupyterLab's scripts on a busy machine.
LOADED = 90_000


@dataclass(frozen=True)
class Lab:
    """A running container of the image.

    :param address: where it listens, without the Traefik.
    :param through: its address for browsers.
    :param pages: the port at which all other hosts have the framing page.
    """

    name: str
    token: str
    address: str
    through: str
    pages: int

    def ask(
        self, path: str, *, token: bool = True, method: str = "GET", body: object = None
    ) -> tuple[int, str]:
        """Ask Jupyter directly; returns status and body."""
        headers = {"Authorization": f"token {self.token}"} if token else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as err:
            return err.code, err.read().decode()

    def run(self, *words: str, user: str = "jovyan") -> str:
        """Run a command in the container."""
        return podman("exec", "--user", user, self.name, *words)

    def framed(self, path: str, *hosts: str) -> str:
        """Return the address of a page that frames the notebook by way of the hosts, the outermost first."""
        address = self.through + path
        for host in reversed(hosts):
            query = urllib.parse.urlencode({"frame": address})
            address = f"http://{host}:{self.pages}/?{query}"
        return address


class _FramingHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = FRAMING_PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[int]:
    """The port of the framing pages."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _FramingHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def lab(image: str, pages: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One container of the image behind one Traefik, for all tests that don't end it."""
    folder = tmp_path_factory.mktemp("lab")
    name, token, port = f"test-image-{secrets.token_hex(4)}", secrets.token_hex(16), free_port()
    start(image, name, token, f"http://{TOOL}:{pages}")
    try:
        address = "http://" + podman("port", name, "8888/tcp")
        made = Lab(name, token, address, f"http://{NOTEBOOK}:{port}", pages)
        traefik = traefik_before(made, port, folder).start()
        try:
            wait_for(functools.partial(serves, made), "JupyterLab")
            wait_for(functools.partial(serves, made, f"http://127.0.0.1:{port}"), "Traefik")
            yield made
        finally:
            traefik.stop()
    finally:
        podman("rm", "--force", "--time", "0", name, check=False)


def start(image: str, name: str, token: str, origin: str) -> None:
    """Run a container of the image as the tool would."""
    podman(
        *("run", "--detach", "--name", name, "--publish", "127.0.0.1::8888"),
        *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
        *("--env", f"JUPYTER_TOKEN={token}", "--env", f"IPYLTI_TOOL_ORIGIN={origin}", image),
    )


def serves(lab: Lab, address: str = "") -> bool:
    """Return whether JupyterLab answers, directly or at the address."""
    headers = {"Host": urllib.parse.urlsplit(lab.through).netloc, "Authorization": f"token {lab.token}"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{address or lab.address}/lab", headers=headers), timeout=5
        ) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def traefik_before(lab: Lab, port: int, folder: Path) -> Process:
    """Return a Traefik that lets everybody in and lets every site frame the notebook."""
    headers = {"customRequestHeaders": {"Authorization": f"token {lab.token}", "Cookie": ""}}
    headers["contentSecurityPolicy"] = "frame-ancestors http://*.localhost:*"  # type: ignore[assignment]
    router = {"rule": f"Host(`{NOTEBOOK}`)", "service": "lab", "middlewares": ["gate"]}
    config = {
        "routers": {"lab": router},
        "middlewares": {"gate": {"headers": headers}},
        "services": {"lab": {"loadBalancer": {"servers": [{"url": lab.address}]}}},
    }
    file = folder / "dynamic.yml"
    file.write_text(json.dumps({"http": config}))
    command = [str(Path(sys.executable).parent / "traefik"), f"--entryPoints.web.address=127.0.0.1:{port}"]
    return Process("traefik", [*command, f"--providers.file.filename={file}"], folder)


@pytest.fixture
def page(chrome: Browser) -> Iterator[Page]:
    """A page of a browser that has seen nothing yet."""
    context = chrome.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


def frame_of(page: Page, host: str) -> Frame:
    """Return the frame that shows a host."""
    return next(frame for frame in page.frames if urllib.parse.urlsplit(frame.url).hostname == host)


def answer(
    frame: Frame, message: dict[str, str], type_: str, seconds: float = 60.0
) -> dict[str, object] | None:
    """Send a message from a framing page to the notebook; returns the answer of that type, or None."""
    identifier = secrets.token_hex(4)
    frame.evaluate("message => tell(message)", message | {"id": identifier})
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for told in frame.evaluate("messages"):
            if told.get("id") == identifier and told["type"] == type_:
                return dict(told)
        time.sleep(0.1)
    return None


def announced(frame: Frame) -> None:
    """Wait until the notebook in a frame says that it is there."""
    frame.wait_for_function("messages.some(({ type }) => type === 'ipylti.ready')", timeout=LOADED)


@pytest.fixture
def opened(lab: Lab, page: Page) -> Callable[[str], tuple[Frame, Frame]]:
    """Opens a text file in JupyterLab in a frame in a frame; gives the tool's frame and the notebook's."""

    def open_file(name: str) -> tuple[Frame, Frame]:
        lab.run("sh", "-c", f"echo first > /home/jovyan/work/{name}")
        page.goto(lab.framed(f"/lab/tree/{name}?reset", LMS, TOOL))
        page.frame_locator("iframe").frame_locator("iframe").locator(".cm-content").wait_for(timeout=LOADED)
        tool, notebook = frame_of(page, TOOL), frame_of(page, NOTEBOOK)
        announced(tool)
        return tool, notebook

    return open_file


def test_lab_starts_in_a_frame_where_the_browser_refuses_storage(lab: Lab, page: Page) -> None:
    page.goto(lab.framed("/lab", LMS, TOOL))
    page.frame_locator("iframe").frame_locator("iframe").locator(STARTED).wait_for(timeout=LOADED)

    notebook = frame_of(page, NOTEBOOK)
    assert notebook.evaluate("localStorage.constructor.name") == "MemoryStorage"
    assert notebook.evaluate("sessionStorage.constructor.name") == "MemoryStorage"
    assert "auto" not in notebook.url


def test_what_was_typed_and_not_saved_is_saved_for_the_tool(
    lab: Lab, opened: Callable[..., tuple[Frame, Frame]]
) -> None:
    tool, notebook = opened("typed.txt")
    notebook.locator(".cm-content").click()
    notebook.page.keyboard.type("typed and not saved ")

    told = answer(tool, {"type": "ipylti.save-all"}, "ipylti.saved")

    assert told is not None
    assert (told["ok"], told["unsaved"], told["error"]) == (True, [], None)
    assert told["origin"] == lab.through
    assert "typed and not saved" in lab.run("cat", "/home/jovyan/work/typed.txt")


def test_what_cannot_be_saved_is_named(lab: Lab, opened: Callable[..., tuple[Frame, Frame]]) -> None:
    tool, notebook = opened("locked.txt")
    lab.run("chmod", "a-w", "/home/jovyan/work/locked.txt")
    notebook.locator(".cm-content").click()
    notebook.page.keyboard.type("in vain ")

    told = answer(tool, {"type": "ipylti.save-all"}, "ipylti.saved")

    assert told is not None
    assert (told["ok"], told["unsaved"]) == (False, ["locked.txt"])
    assert told["error"]


def test_nobody_but_the_tool_gets_an_answer(lab: Lab, page: Page) -> None:
    page.goto(lab.framed("/lab", EVIL))
    page.frame_locator("iframe").locator(STARTED).wait_for(timeout=LOADED)

    for type_, reply in (("ipylti.hello", "ipylti.ready"), ("ipylti.save-all", "ipylti.saved")):
        assert answer(page.main_frame, {"type": type_}, reply, seconds=1.5) is None
    assert page.evaluate("messages.filter(({ type }) => String(type).startsWith('ipylti.'))") == []


def test_the_tool_learns_that_the_extension_is_there(lab: Lab, page: Page) -> None:
    page.goto(lab.framed("/lab", TOOL))
    announced(page.main_frame)

    told = answer(page.main_frame, {"type": "ipylti.hello"}, "ipylti.ready")

    assert told is not None
    assert told["version"]


def test_jupyter_wants_its_token_and_the_page_does_not_tell_it(lab: Lab) -> None:
    assert lab.ask("/api/contents", token=False)[0] == 403
    assert lab.ask("/api/contents")[0] == 200
    for path, expected in (("/lab", 200), ("/nothing-here", 404)):
        status, text = lab.ask(path)
        assert status == expected
        assert lab.token not in text


def test_an_empty_token_does_not_open_the_server(image: str, lab: Lab) -> None:
    name = f"test-image-{secrets.token_hex(4)}"
    start(image, name, "", "")
    try:
        open_lab = Lab(name, "", "http://" + podman("port", name, "8888/tcp"), "", 0)

        def says() -> int:
            try:
                return open_lab.ask("/api/contents", token=False)[0]
            except OSError:
                return 0

        wait_for(lambda: says() != 0, "JupyterLab")
        assert says() == 403
    finally:
        podman("rm", "--force", "--time", "0", name)


def test_a_stop_is_graceful_and_quick(image: str) -> None:
    name, token = f"test-image-{secrets.token_hex(4)}", secrets.token_hex(8)
    start(image, name, token, "")
    try:
        made = Lab(name, token, "http://" + podman("port", name, "8888/tcp"), "http://x", 0)
        wait_for(functools.partial(serves, made), "JupyterLab")
        made.ask("/api/kernels", method="POST", body={"name": "python3"})
        begun = time.monotonic()
        podman("stop", "--time", "20", name)
        assert time.monotonic() - begun < 10
        assert podman("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
    finally:
        podman("rm", "--force", "--time", "0", name)


def test_checkpoints_and_trash_stay_out_of_the_work(lab: Lab) -> None:
    for path in ("box", "box/deep"):
        lab.ask(f"/api/contents/{path}", method="PUT", body={"type": "directory"})
    for path in ("same.txt", "box/same.txt", "box/deep/same.txt"):
        model = {"type": "file", "format": "text", "content": path}
        assert lab.ask(f"/api/contents/{path}", method="PUT", body=model)[0] == 201
        assert lab.ask(f"/api/contents/{path}/checkpoints", method="POST")[0] == 201
    checkpoints = json.loads(lab.ask("/api/contents/box/same.txt/checkpoints")[1])
    model = {"type": "file", "format": "text", "content": "changed"}
    lab.ask("/api/contents/box/same.txt", method="PUT", body=model)

    restored = lab.ask(f"/api/contents/box/same.txt/checkpoints/{checkpoints[0]['id']}", method="POST")

    assert restored[0] == 204
    assert lab.run("cat", "/home/jovyan/work/box/same.txt") == "box/same.txt"
    assert lab.ask("/api/contents/box", method="DELETE")[0] == 204
    assert not {".ipynb_checkpoints", ".Trash-1000", "box"} & set(
        lab.run("ls", "-A", "/home/jovyan/work").split()
    )


def test_the_image_is_what_the_tool_relies_on(image: str, lab: Lab) -> None:
    told = json.loads(podman("image", "inspect", image))[0]
    assert told["Labels"]["io.ipylti.extension"] == "1"
    assert not told.get("Healthcheck")
    assert lab.run("id", "-u") == "1000"
    assert not [text for text in told["Config"]["Env"] if text.startswith(("PIP_", "PYTHON"))]


def test_a_python_kernel_runs_a_cell(lab: Lab) -> None:
    assert "python3" in json.loads(lab.ask("/api/kernelspecs")[1])["kernelspecs"]
    lab.run("sh", "-c", "echo 'print(6 * 7)' > /tmp/cell.py")
    assert lab.run("jupyter-run", "/tmp/cell.py") == "42"
