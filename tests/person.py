"""A person with a browser that is just a cookie jar: for tests and benches that need no pages drawn.

It resolves ``*.localhost`` to this machine and keeps ``Secure`` cookies there, as browsers do and Python's
own clients do not.
"""

import http.client
import json
import re
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit

from tests.campus import Campus


@dataclass(frozen=True)
class Answer:
    """An HTTP answer.

    :param headers: by lower-case name; of several of one name, the last.
    :param set_cookies: all Set-Cookie headers.
    """

    url: str
    status: int
    headers: dict[str, str]
    body: bytes
    set_cookies: tuple[str, ...]

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

    @property
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
        form: Mapping[str, str] | None = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; redirects are not followed.

        :param form: fields to send in the body.
        :param content: something to send as JSON.
        :param headers: take the place of a browser's own, the cookies too.
        """
        parts = urlsplit(url)
        host = parts.netloc
        sent = {"Host": host, "Accept": "text/html", **self.cookie_header(host)}
        body: str | None = None
        if form is not None:
            body = urlencode(form)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        elif content is not None:
            body = json.dumps(content)
            sent["Content-Type"] = "application/json"
        connection = _connect(parts.scheme, parts.port)
        try:
            path = parts.path or "/"
            target = f"{path}?{parts.query}" if parts.query else path
            connection.request(method, target, body, {**sent, **(headers or {})})
            got = connection.getresponse()
            answer = Answer(
                url,
                got.status,
                {name.lower(): value for name, value in got.getheaders()},
                got.read(),
                tuple(got.msg.get_all("Set-Cookie") or ()),
            )
            self._keep(host, answer.set_cookies)
        finally:
            connection.close()
        self.requests += 1
        return answer

    def get(self, url: str, **headers: str) -> Answer:
        """Get a URL; underscores in the names of headers are hyphens."""
        return self.request("GET", url, headers={key.replace("_", "-"): v for key, v in headers.items()})

    def cookie_header(self, host: str) -> dict[str, str]:
        """Return the header with the cookies for a host, if there are any."""
        jar = self.cookies.get(host)
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())} if jar else {}

    def _keep(self, host: str, cookies: Iterable[str]) -> None:
        for cookie in cookies:
            pair, _, attributes = cookie.partition(";")
            name, _, value = pair.partition("=")
            if "max-age=0" in attributes.lower():
                self.cookies.get(host, {}).pop(name, None)
            else:
                self.cookies.setdefault(host, {})[name] = value

    def begin_login(self, link: str | None = None) -> Answer:
        """Come to the tool's login, as campus would send the browser."""
        params = self.campus.initiation(self.login, link)
        return self.get(f"{self.campus.config.login_url}?{urlencode(params)}")

    def message(self, link: str | None = None) -> tuple[str, dict[str, str]]:
        """Go through login; return the launch URL and the form that campus would have the browser post."""
        answer = self.begin_login(link)
        if answer.status != 302:
            raise AssertionError(f"login: {answer.status} {answer.text}")
        query = parse_qs(urlsplit(answer.location).query)
        token = self.campus.id_token(self.login, link, query["nonce"][0])
        return self.campus.config.redirect_uris[0], {"state": query["state"][0], "id_token": token}

    def post_message(self, url: str, form: Mapping[str, str]) -> "Workbench":
        """Post the message and return the workbench that it leads to."""
        posted = self.request("POST", url, form=form)
        if posted.status != 303:
            raise AssertionError(f"launch: {posted.status} {posted.text}")
        page = self.get(posted.location)
        if page.status != 200:
            raise AssertionError(f"workbench: {page.status} {page.text}")
        return Workbench(self, page)

    def launch(self, link: str | None = None) -> "Workbench":
        """Launch a link and return the workbench."""
        return self.post_message(*self.message(link))


def _connect(scheme: str, port: int | None) -> http.client.HTTPConnection:
    """Return a connection to this machine; what a certificate is worth is not for the tests that use this."""
    if scheme == "https":
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection("127.0.0.1", port or 443, timeout=60, context=context)
    return http.client.HTTPConnection("127.0.0.1", port or 80, timeout=60)


@dataclass
class Workbench:
    """A launch's page."""

    person: Person
    page: Answer

    @property
    def launch_id(self) -> str:
        """The launch's id."""
        return urlsplit(self.page.url).path.rpartition("/")[2]

    @property
    def notebook_origin(self) -> str:
        """The origin of the workspace's notebook host."""
        found = re.search(r'data-notebook-origin="([^"]+)"', self.page.text)
        assert found
        return found[1]

    @property
    def workspace(self) -> str:
        """The workspace's id."""
        return str(urlsplit(self.notebook_origin).hostname).partition(".")[0]

    @property
    def view(self) -> str:
        """What the page shows in the notebook's place, or ``ready``."""
        found = re.search(r'id="panel"[^>]*data-view="([^"]+)"', self.page.text)
        assert found
        return found[1]

    def reload(self) -> "Workbench":
        """Get the page anew."""
        page = self.person.get(self.page.url)
        assert page.status == 200, page.text
        return Workbench(self.person, page)

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

    def wait(self, *states: str, seconds: float = 120.0) -> dict[str, Any]:
        """Wait until the server is in one of the states (``ready`` without any), and return the status."""
        wanted = states or ("ready",)
        deadline = time.monotonic() + seconds
        while (status := self.status())["state"] not in wanted:
            if time.monotonic() > deadline or (status["state"] == "failed" and "failed" not in wanted):
                raise AssertionError(f"not {' or '.join(wanted)}: {status}")
            time.sleep(0.05)
        return status

    def wait_for_submission(self, lms: str = "delivered", seconds: float = 120.0) -> dict[str, Any]:
        """Wait until the newest submission is frozen and the LMS knows of it, and return its status."""
        deadline = time.monotonic() + seconds
        while True:
            submission = dict(self.status()["submission"])
            if (submission["state"], submission["lms"]) == ("frozen", lms):
                return submission
            if time.monotonic() > deadline:
                raise AssertionError(f"not {lms}: {submission}")
            time.sleep(0.05)

    def enter(self) -> "Notebook":
        """Wait for the server and go into it."""
        entered = self.person.get(self.wait()["url"])
        assert entered.status == 302, entered.text
        return Notebook(self.person, entered.location.removesuffix("/lab"))

    def ticket(self) -> str:
        """Return a URL that lets one browser into the notebook host, whether a server runs or not."""
        answer = self._post(f"{self.page.url}/tab")
        assert answer.status == 200, answer.text
        return str(answer.json()["url"])

    def try_to_submit(self) -> Answer:
        """Press Submit."""
        return self._post(f"{self.person.campus.config.tool_url}/submit/{self.launch_id}")

    def submit(self) -> dict[str, Any]:
        """Press Submit, and return what the page is told."""
        answer = self.try_to_submit()
        assert answer.status == 201, answer.text
        return dict(answer.json()["submission"])

    def _post(self, url: str) -> Answer:
        """Post what the page's scripts do."""
        form = {"csrf_token": self.page.form["csrf_token"]}
        return self.person.request("POST", url, form=form, headers={"Accept": "application/json"})


@dataclass
class Notebook:
    """A notebook host that a person is in.

    :param origin: the host's origin.
    """

    person: Person
    origin: str

    @property
    def host(self) -> str:
        """The host, with the port."""
        return urlsplit(self.origin).netloc

    @property
    def workspace(self) -> str:
        """The workspace's id."""
        return self.host.partition(".")[0]

    def get(self, path: str, **headers: str) -> Answer:
        """Get a path of the notebook host."""
        return self.person.get(f"{self.origin}{path}", **headers)

    def send(self, method: str, path: str, content: Any = None, **headers: str) -> Answer:
        """Send JSON as the notebook's own pages do; a header that is "" is left out."""
        own = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        given = own | {key.replace("_", "-"): value for key, value in headers.items()}
        return self.person.request(
            method,
            f"{self.origin}{path}",
            content=content,
            headers={name: value for name, value in given.items() if value},
        )

    def contents(self, path: str) -> Answer:
        """Ask Jupyter for a file or folder."""
        return self.get(f"/api/contents/{quote(path)}", Accept="application/json")

    def files(self) -> set[str]:
        """The names of the files and folders that JupyterLab shows."""
        return {entry["name"] for entry in self.contents("").json()["content"]}

    def read(self, path: str) -> str:
        """The text in a file."""
        return str(self.contents(path).json()["content"])

    def save(self, path: str, text: str) -> Answer:
        """Save a text file, as JupyterLab does."""
        content = {"type": "file", "format": "text", "content": text}
        return self.send("PUT", f"/api/contents/{quote(path)}", content)

    def make_folder(self, path: str) -> Answer:
        """Make a folder, as JupyterLab does."""
        return self.send("PUT", f"/api/contents/{quote(path)}", {"type": "directory"})
