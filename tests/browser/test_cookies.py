"""The control: this browser does block third-party cookies, so that the other tests say something."""

import http.server
import threading
from collections.abc import Iterator
from typing import cast

import pytest
from playwright.sync_api import Browser, expect

COOKIES = (
    "plain=1; Path=/; Secure; HttpOnly; SameSite=None",
    "__Host-partitioned=1; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
)


class _Handler(http.server.BaseHTTPRequestHandler):
    """`/frame` frames another site's `/set`, which sets both cookies and leads to `/show`."""

    def do_GET(self) -> None:
        port = cast(tuple[str, int], self.server.server_address)[1]
        self.send_response(302 if self.path == "/set" else 200)
        if self.path == "/set":
            self.send_header("Location", "/show")
            for cookie in COOKIES:
                self.send_header("Set-Cookie", cookie)
        page = f"<p>{self.headers.get('Cookie')}</p>"
        if self.path == "/frame":
            page = f"<iframe src='http://inner.localhost:{port}/set'></iframe>"
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    """Where the pages are."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_of_another_sites_cookies_in_a_frame_only_partitioned_ones_come_back(
    chrome: Browser, port: int
) -> None:
    with chrome.new_context() as context:
        page = context.new_page()
        page.goto(f"http://outer.localhost:{port}/frame")
        shown = page.frame_locator("iframe").locator("p")
        expect(shown).to_have_text("__Host-partitioned=1")

        page.goto(f"http://inner.localhost:{port}/set")
        expect(page.locator("p")).to_have_text("plain=1; __Host-partitioned=1")
