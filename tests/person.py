"""A person with a browser that is just a cookie jar: for tests and benches that need no pages drawn.

It resolves ``*.localhost`` to this machine and keeps ``Secure`` cookies there, as browsers do and Python's own
clients do not.
"""

import http.client
import json
import re
import time
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from tests.campus import Campus


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    url: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def location(self) -> str:
        """Where the answer leads."""
        return urljoin(self.url, self.headers["location"])

    def form(self) -> dict[str, str]:
        """The hidden fields of the page's forms."""
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', self.text)
        return {name: unescape(value) for name, value in fields}


@dataclass
class Person:
    """Somebody at campus.

    :param login: their short name there.
    """

    campus: Campus
    login: str
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)
    requests: int = 0

    def request(
        self,
        method: str,
        url: str,
        *,
        form: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request; redirects are not followed."""
        parts = urlsplit(url)
        host = parts.netloc
        sent = {"Host": host, "Accept": "text/html"} | (headers or {})
        jar = self.cookies.get(host)
        if jar:
            sent.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in jar.items()))
        body = None
        if form is not None:
            body = urlencode(form)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", parts.port or 80, timeout=30)
        try:
            path = parts.path or "/"
            connection.request(method, f"{path}?{parts.query}" if parts.query else path, body, sent)
            got = connection.getresponse()
            answer = Answer(
                url, got.status, {name.lower(): value for name, value in got.getheaders()}, got.read()
            )
            self._keep(host, got.msg.get_all("Set-Cookie") or [])
        finally:
            connection.close()
        self.requests += 1
        return answer

    def get(self, url: str, **headers: str) -> Answer:
        """Get a URL; underscores in the names of headers are hyphens."""
        return self.request("GET", url, headers={key.replace("_", "-"): v for key, v in headers.items()})

    def _keep(self, host: str, cookies: list[str]) -> None:
        for cookie in cookies:
            pair, _, attributes = cookie.partition(";")
            name, _, value = pair.partition("=")
            if "max-age=0" in attributes.lower():
                self.cookies.get(host, {}).pop(name, None)
            else:
                self.cookies.setdefault(host, {})[name] = value

    def message(self, link: str | None = None) -> tuple[str, dict[str, str]]:
        """Go through login; return the launch URL and the form that campus would have the browser post."""
        config = self.campus.config
        params = self.campus.initiation(self.login, link)
        answer = self.get(f"{config.login_url}?{urlencode(params)}")
        if answer.status != 302:
            raise AssertionError(f"login: {answer.status} {answer.text}")
        query = dict(re.findall(r"[?&]([^=]+)=([^&]*)", urlsplit(answer.location).query and answer.location))
        token = self.campus.id_token(self.login, link, query["nonce"])
        return config.redirect_uris[0], {"state": query["state"], "id_token": token}

    def launch(self, link: str | None = None) -> "Workbench":
        """Launch a link and return the workbench."""
        return self.post_message(*self.message(link))

    def post_message(self, url: str, form: dict[str, str]) -> "Workbench":
        """Post a message as campus would have the browser do, and return the workbench."""
        posted = self.request("POST", url, form=form)
        if posted.status != 303:
            raise AssertionError(f"launch: {posted.status} {posted.text}")
        page = self.get(posted.location)
        if page.status != 200:
            raise AssertionError(f"workbench: {page.status} {page.text}")
        return Workbench(self, page)


@dataclass
class Workbench:
    """A launch's page."""

    person: Person
    page: Answer

    def status(self) -> dict[str, Any]:
        """Return the status JSON."""
        answer = self.person.get(f"{self.page.url}/status", Accept="application/json")
        assert answer.status == 200, answer.text
        return dict(answer.json())

    def embedded_status(self) -> dict[str, Any]:
        """Return the status that came with the page itself."""
        found = re.search(
            r'<script type="application/json" id="status">(.*?)</script>', self.page.text, re.DOTALL
        )
        assert found
        return dict(json.loads(found[1]))

    def wait(self, *states: str, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until the server is in one of the states (``ready`` without any), and return the status."""
        wanted = states or ("ready",)
        deadline = time.monotonic() + seconds
        while (status := self.status())["state"] not in wanted:
            if time.monotonic() > deadline or (status["state"] == "failed" and "failed" not in wanted):
                raise AssertionError(f"not {' or '.join(wanted)}: {status}")
            time.sleep(0.05)
        return status

    def enter(self) -> "Notebook":
        """Wait for the server and go into it."""
        entered = self.person.get(self.wait()["url"])
        assert entered.status == 302, entered.text
        return Notebook(self.person, entered.location.removesuffix("/lab"))

    def submit(self) -> dict[str, Any]:
        """Press Submit, and return what the page is told."""
        form = self.page.form()
        config = self.person.campus.config
        launch = urlsplit(self.page.url).path.rpartition("/")[2]
        answer = self.person.request(
            "POST",
            f"{config.tool_url}/submit/{launch}",
            form={"csrf_token": form["csrf_token"]},
            headers={"Accept": "application/json"},
        )
        assert answer.status == 201, answer.text
        return dict(answer.json()["submission"])


@dataclass
class Notebook:
    """A notebook host that a person is in.

    :param origin: the host's origin.
    """

    person: Person
    origin: str

    def get(self, path: str, **headers: str) -> Answer:
        """Get a path of the notebook host."""
        return self.person.get(f"{self.origin}{path}", **headers)

    def contents(self, path: str) -> Answer:
        """Ask Jupyter for a file or folder."""
        return self.get(f"/api/contents/{path}", Accept="application/json")

    def save(self, path: str, text: str) -> Answer:
        """Save a text file, as JupyterLab does."""
        body = json.dumps({"type": "file", "format": "text", "content": text}).encode()
        return self._put(path, body)

    def make_folder(self, path: str) -> Answer:
        """Make a folder, as JupyterLab does."""
        return self._put(path, b'{"type": "directory"}')

    def _put(self, path: str, body: bytes) -> Answer:
        parts = urlsplit(self.origin)
        jar = self.person.cookies.get(parts.netloc, {})
        headers = {
            "Host": parts.netloc,
            "Origin": self.origin,
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/json",
            "Cookie": "; ".join(f"{name}={value}" for name, value in jar.items()),
        }
        connection = http.client.HTTPConnection("127.0.0.1", parts.port or 80, timeout=30)
        try:
            connection.request("PUT", f"/api/contents/{path}", body, headers)
            got = connection.getresponse()
            return Answer(f"{self.origin}/api/contents/{path}", got.status, {}, got.read())
        finally:
            connection.close()
