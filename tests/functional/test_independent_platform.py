"""Another's platform: the library ``lti1p3platform`` drives login, launch, Deep Linking, tokens, scores and
roster.

It shows that messages fit those of people who read the specifications for themselves; that checks are strict
is campus' business.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa
from bs4 import BeautifulSoup
from cryptography.hazmat.primitives import serialization
from lti1p3platform.ltiplatform import LTI1P3PlatformConfAbstract
from lti1p3platform.membership import Context
from lti1p3platform.message_launch import LTIAdvantageMessageLaunchAbstract
from lti1p3platform.oidc_login import OIDCLoginAbstract
from lti1p3platform.registration import Registration
from lti1p3platform.request import Request
from lti1p3platform.score import UpdateScoreStatus
from lti1p3platform.service_connector import AssignmentsGradesService, NamesRoleProvisioningService
from sqlalchemy.orm import Session, sessionmaker
from webtest import TestApp, TestResponse

from ipylti import models
from ipylti.lti import keys
from ipylti.lti.registrations import Quirks
from ipylti.platforms import Platforms
from tests.campus.keys import new_key
from tests.functional.background import Background
from tests.functional.browser import TOOL, csrf_token, path_of, populate

MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
TEACHER, STUDENT = MEMBERSHIP + "Instructor", MEMBERSHIP + "Learner"


class Asked(Request):
    """A request as the library reads it; made of a dictionary."""

    def build_metadata(self, request: dict[str, Any]) -> Any:
        nothing = {"method": "GET", "form_data": {}, "get_data": {}, "headers": {}, "content_type": None}
        return nothing | {"path": "/", "json": None} | request


class Login(OIDCLoginAbstract):
    """Step 1 on the platform's side."""

    def set_lti_message_hint(self, **kwargs: Any) -> None:
        self._lti_message_hint = kwargs["hint"]

    def get_redirect(self, url: str) -> str:
        return url


class Launch(LTIAdvantageMessageLaunchAbstract):
    """Step 2 on the platform's side."""

    def render_launch_form(self, launch_data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return launch_data


class Conf(LTI1P3PlatformConfAbstract):
    """The platform's one registration."""

    def init_platform_config(self, **kwargs: Any) -> None:
        self._registration = kwargs["registration"]

    def get_registration_by_params(self, **kwargs: Any) -> Registration:
        raise NotImplementedError


@dataclass
class Book:
    """The platform's gradebook, and its members."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    scores: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


class Grades(AssignmentsGradesService):
    """The gradebook behind the library's service."""

    book: Book

    def find_lineitems(self, page: int = 1, limit: Any = None, **wanted: Any) -> Any:
        names = {"resource_id": "resourceId", "tag": "tag", "resource_link_id": "resourceLinkId"}
        found = [
            item
            for item in self.book.items.values()
            if all(item.get(names[name]) == value for name, value in wanted.items())
        ]
        return {"content": found, "has_next": False}

    def find_lineitem(self, line_item_id: str) -> Any:
        return self.book.items[line_item_id]

    def create_lineitem(self, creation_data: Any) -> Any:
        number = str(len(self.book.items) + 1)
        made = dict(creation_data) | {"id": f"{self.ags.lineitems_url}/{number}"}
        self.book.items[number] = made
        return made

    def update_lineitem(self, update_data: Any) -> Any:
        raise NotImplementedError

    def delete_lineitem(self, line_item_id: str) -> None:
        raise NotImplementedError

    def update_score(self, line_item_id: str, score: Any) -> UpdateScoreStatus:
        self.book.scores.append((line_item_id, score))
        return UpdateScoreStatus.SUCCESS

    def get_results(self, line_item_id: str, page: int = 1, limit: Any = None, user_id: Any = None) -> Any:
        return {"content": [], "has_next": False}


class Roster(NamesRoleProvisioningService):
    """The members behind the library's service."""

    def get_context_by_id(self) -> Context:
        return Context("course", "C", "Course")

    def is_resource_link_valid(self, context_id: str, resource_link_id: str) -> bool:
        return True

    def get_member_data_page(self, **query: Any) -> Any:
        people = [("t-1", TEACHER, "Tea Cher"), ("s-1", STUDENT, "Stu Dent"), ("s-2", STUDENT, "Stu Dious")]
        content = [{"user_id": sub, "roles": [role], "name": name} for sub, role, name in people]
        return {"content": content, "has_next": False}


class Platform:
    """The library with a web server around it."""

    def __init__(self, tool_key: keys.ToolKey) -> None:
        self.book = Book()
        key = new_key()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                platform.answer(self, b"")

            def do_POST(self) -> None:
                platform.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.items_url = f"{self.url}/items"
        self.registration = (
            Registration()
            .set_iss("https://independent.example")
            .set_client_id("tool-there")
            .set_deployment_id("1")
            .set_launch_url(f"{TOOL}/launch")
            .set_deeplink_launch_url(f"{TOOL}/launch")
            .set_oidc_login_url(f"{TOOL}/login")
            .set_platform_private_key(private.decode())
            .set_platform_public_key(public.decode())
            .set_tool_key_set(keys.public_jwks([tool_key], models.now()))
        )
        self.conf = Conf(registration=self.registration)

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer a request to one of the services."""
        parts = urlsplit(handler.path)
        query = dict(parse_qsl(parts.query))
        if parts.path == "/jwks":
            return reply(handler, 200, self.conf.get_jwks())
        if parts.path == "/token":
            return reply(handler, 200, self.conf.get_access_token(dict(parse_qsl(body.decode()))))
        told = {"method": handler.command, "get_data": query, "headers": handler.headers}
        told |= {"json": json.loads(body) if body else None}
        grades = Grades(Asked(told), self.conf, self.items_url)
        grades.book = self.book
        number = parts.path.split("/")[2] if parts.path.count("/") > 1 else ""
        if parts.path == "/members":
            found = Roster(Asked(told), self.conf, f"{self.url}/members").handle_get_members()
        elif parts.path.endswith("/scores"):
            found = grades.handle_resp(grades.handle_update_score, line_item_id=number)
        elif parts.path.endswith("/results"):
            found = grades.handle_resp(grades.handle_get_results, line_item_id=number)
        elif handler.command == "POST":
            found = grades.handle_resp(grades.handle_create_lineitem)
        else:
            found = grades.handle_resp(grades.handle_get_lineitems)
        paged = isinstance(found.result, dict) and "content" in found.result
        reply(handler, found.code, found.result["content"] if paged else found.result, found.media_type)

    def __enter__(self) -> "Platform":
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def reply(handler: BaseHTTPRequestHandler, status: int, content: Any, kind: str = "application/json") -> None:
    body = json.dumps(content).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class Person:
    """Somebody with a browser, who comes from the platform."""

    def __init__(self, app: Any, platform: Platform, sub: str, role: str, name: str) -> None:
        self.app = TestApp(app, extra_environ={"HTTP_HOST": "tool.example", "wsgi.url_scheme": "https"})
        self.platform = platform
        self.sub, self.role, self.name = sub, role, name

    def open(self, link: str | None, custom: dict[str, str] | None = None) -> TestResponse:
        """Open a link, or, without one, choose what a new one is to be; returns the tool's page."""
        login = Login(None, self.platform.conf)
        login.set_lti_message_hint(hint=link or "new")
        asked = self.app.get(login.initiate_login(self.sub).removeprefix(TOOL), status=302)
        query = dict(parse_qsl(urlsplit(asked.location).query))
        launch = Launch(Asked({"get_data": query}), self.platform.conf)
        launch.set_user_data(self.sub, [self.role], self.name)
        launch.set_launch_context_claim("course", context_title="Course")
        if link is None:
            launch.set_dl(f"{self.platform.url}/return", accept_types={"ltiResourceLink"})
        else:
            launch.set_resource_link_claim(link, title="Rain")
            launch.set_ags(self.platform.items_url)
            launch.set_nrps(f"{self.platform.url}/members")
        if custom:
            launch.set_custom_parameters_claim(custom)
        form = launch.lti_launch()
        assert form.pop("launch_url") == f"{TOOL}/launch"
        answer = self.app.post("/launch", form, status=303)
        return self.app.get(urlsplit(answer.location).path, status=200)


@pytest.fixture
def platform(app: Any, tool_key: keys.ToolKey) -> Iterator[Platform]:
    with Platform(tool_key) as made:
        with app.registry["ipylti.services"].sessions.begin() as db:
            Platforms(db).add(
                issuer="https://independent.example",
                client_id="tool-there",
                auth_url=f"{made.url}/auth",
                token_url=f"{made.url}/token",
                jwks_url=f"{made.url}/jwks",
                token_audience=None,
                deployments=["1"],
                quirks=Quirks(),
                allow_http=True,
            )
        yield made


def test_from_deep_linking_to_the_gradebook(
    app: Any, platform: Platform, background: Background, sessions: sessionmaker[Session]
) -> None:
    teacher = Person(app, platform, "t-1", TEACHER, "Tea Cher")
    form = teacher.open(None).forms["selection"]
    form["title"] = "Rain"
    page = form.submit(headers={"Origin": TOOL})
    field_ = BeautifulSoup(page.text, "html.parser").select_one("input[name=JWT]")
    assert field_ is not None
    (item,) = platform.conf.validate_deeplinking_resp({"JWT": field_["value"]})
    assert (item["type"], item["title"], item["url"]) == ("ltiResourceLink", "Rain", f"{TOOL}/launch")

    teacher.open("link", item["custom"])
    background.work()
    with sessions() as db:
        link = db.scalars(sa.select(models.ResourceLink)).one()
        members = db.scalars(sa.select(models.Member).order_by(models.Member.sub)).all()
        assert link.assignment.blueprint_id == item["custom"]["ipylti_assignment"]
        assert [(each.sub, each.name) for each in members] == [
            ("s-1", "Stu Dent"),
            ("s-2", "Stu Dious"),
            ("t-1", "Tea Cher"),
        ]
        background.containers.files[f"ipylti-base-{link.assignment_id}"] = 1000

    student = Person(app, platform, "s-1", STUDENT, "Stu Dent")
    workbench = student.open("link", item["custom"])
    background.work()
    populate(sessions)
    sent = {"Accept": "application/json", "Origin": TOOL, "X-CSRF-Token": csrf_token(workbench)}
    submit = path_of(workbench).replace("/launches/", "/submit/")
    for _ in range(2):
        student.app.post(submit, headers=sent, status=201)
        background.work()
    assert [item["label"] for item in platform.book.items.values()] == ["Rain"]
    (first, score), (second, later) = platform.book.scores
    assert first == second == "1"
    assert score["userId"] == "s-1"
    assert (score["activityProgress"], score["gradingProgress"]) == ("Completed", "PendingManual")
    assert score["timestamp"] < later["timestamp"]
