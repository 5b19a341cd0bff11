"""People with a browser that is a cookie jar, in front of the application as WSGI."""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker
from webtest import TestApp, TestResponse

from ipylti import models
from tests.campus import Campus

TOOL = "https://tool.example"
NOTEBOOKS = "notebooks.example"


@dataclass
class Browser:
    """One browser, its cookies its own, that launches from campus."""

    wsgi: Any
    campus: Campus
    app: TestApp = field(init=False)

    def __post_init__(self) -> None:
        self.app = TestApp(self.wsgi, extra_environ={"HTTP_HOST": "tool.example", "wsgi.url_scheme": "https"})

    def login(self, person: str, link: str | None = None, **changes: Any) -> dict[str, str]:
        """Go through the login initiation; returns the parameters of the authentication request."""
        params = self.campus.initiation(person, link) | changes
        answer = self.app.get("/login", params=params, status=302)
        return dict(parse_qsl(urlsplit(answer.location).query))

    def message(self, person: str, link: str | None = None, **tampering: Any) -> dict[str, str]:
        """Log in and return the form that campus would post."""
        asked = self.login(person, link)
        token = self.campus.id_token(person, link, asked["nonce"], **tampering)
        return {"state": asked["state"], "id_token": token}

    def launch(self, person: str, link: str | None = None, **tampering: Any) -> TestResponse:
        """Launch; returns the workbench."""
        form = self.message(person, link, **tampering)
        answer = self.app.post("/launch", form, status=303)
        return self.app.get(urlsplit(answer.location).path, status=200)

    def status(self, workbench: TestResponse) -> dict[str, Any]:
        """Return the status of a workbench's launch."""
        answer: dict[str, Any] = self.app.get(f"{path_of(workbench)}/status", status=200).json
        return answer


def path_of(workbench: TestResponse) -> str:
    """Return the path of the workbench that a page is."""
    return str(workbench.request.path)


def csrf_token(workbench: TestResponse) -> str:
    """Return the CSRF token in a page."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', workbench.text)
    assert found
    return found[1]


@dataclass
class Student:
    """A student whose copy is made, at their workbench.

    :param page: the workbench.
    """

    browser: Browser
    page: TestResponse
    sessions: sessionmaker[Session]

    @property
    def launch_id(self) -> str:
        return path_of(self.page).rpartition("/")[2]

    @property
    def workspace_id(self) -> str:
        with self.sessions() as db:
            return db.get_one(models.Launch, self.launch_id).workspace_id

    def submit(self, status: int = 201, **headers: str) -> TestResponse:
        """Press Submit, as the page's script does."""
        sent = {"Accept": "application/json", "Origin": TOOL, "X-CSRF-Token": csrf_token(self.page)}
        return self.browser.app.post(f"/submit/{self.launch_id}", headers=sent | headers, status=status)

    def submissions(self) -> list[int]:
        """Return the numbers of what was handed in, oldest first."""
        with self.sessions() as db:
            query = sa.select(models.Submission.id).filter_by(workspace_id=self.workspace_id)
            return list(db.scalars(query.order_by(models.Submission.id)))

    def launch_again(self, **tampering: Any) -> "Student":
        """Come again from the course."""
        return Student(self.browser, self.browser.launch("zoe", **tampering), self.sessions)


def populate(sessions: sessionmaker[Session]) -> None:
    """Have the copies of all students be made."""
    with sessions.begin() as db:
        db.execute(sa.update(models.Workspace).values(populated_at=models.now()))
