"""The certification suite's launches, posted to the real application with real keys (lti.md, end).

What each check refuses, and why, is tested in tests/unit/lti; here, that the application asks all of them,
turns every refusal into a page, and lets nobody in by it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from webtest import TestApp, TestResponse, Upload

from ipylti import models
from ipylti.lti.registrations import Quirks
from ipylti.platforms import Platforms
from tests.functional.conftest import on_sqlite
from tests.unit.lti.platforms import GONE, INSTRUCTOR, LEARNER, FakePlatform, rsa_key
from tests.unit.lti.test_certification import PASS
from tests.unit.test_http import Server, say

pytestmark = on_sqlite


@pytest.fixture
def platform(app: Any) -> Iterator[FakePlatform]:
    """A platform that publishes its keys on a port of its own."""
    server = Server()
    made = FakePlatform(jwks_url=server.url("/jwks"))
    server.paths["/jwks"] = say(json.dumps(made.jwks()).encode())
    known = made.registration
    with app.registry["ipylti.services"].sessions.begin() as db:
        Platforms(db).add(
            issuer=known.issuer,
            client_id=known.client_id,
            auth_url=known.auth_url,
            token_url=known.token_url,
            jwks_url=known.jwks_url,
            token_audience=None,
            deployments=known.deployments,
            quirks=Quirks(),
            allow_http=True,
        )
    yield made
    server.close()


class Person:
    """A browser in which somebody launches from the platform."""

    def __init__(self, app: Any, platform: FakePlatform) -> None:
        self.app = TestApp(app, extra_environ={"HTTP_HOST": "tool.example", "wsgi.url_scheme": "https"})
        self.platform = platform

    def login(self) -> dict[str, str]:
        """Return what the tool asks the platform."""
        params = {
            "iss": self.platform.registration.issuer,
            "client_id": self.platform.registration.client_id,
            "login_hint": "hint",
            "target_link_uri": "https://tool.example/launch",
        }
        return dict(parse_qsl(urlsplit(self.app.post("/login", params, status=302).location).query))

    def launch(self, *, status: int, key: Any = None, headers: Any = None, **changes: Any) -> TestResponse:
        """Post a message with some claims changed."""
        asked = self.login()
        claims = self.platform.claims(asked["nonce"], changes)
        token = self.platform.sign(claims, key=key, headers=headers)
        return self.app.post("/launch", {"state": asked["state"], "id_token": token}, status=status)


@pytest.fixture
def person(app: Any, platform: FakePlatform) -> Person:
    return Person(app, platform)


def code_of(page: TestResponse) -> str:
    """Return the short code on a page that refuses."""
    found = re.search(r"Code\s*<code>([a-z_.]+)</code>", page.text)
    assert found, page.text
    return found[1]


def nobody_came_in(db: Session) -> bool:
    """Return whether nothing at all was made."""
    tables = (models.Person, models.Launch, models.Workspace, models.Assignment)
    found = [db.scalar(sa.select(sa.func.count()).select_from(table)) for table in tables]
    db.rollback()
    return not any(found)


@pytest.mark.parametrize("who", ["teacher", "student"])
@pytest.mark.parametrize("case", list(PASS))
def test_passed(person: Person, who: str, case: str) -> None:
    role, short = (INSTRUCTOR, "Instructor") if who == "teacher" else (LEARNER, "Learner")
    changes = {"roles": ["{role}"], **PASS[case]}
    changes["roles"] = [each.format(role=role, short=short) for each in changes["roles"]]
    answer = person.launch(status=303, **changes)
    page = person.app.get(urlsplit(answer.location).path, status=200)
    assert ("Teacher" in page) == (who == "teacher")


@pytest.mark.parametrize("roles", [[""], [], ["http://example.org/unknown"]])
def test_passed_with_roles_that_grant_nothing(person: Person, db: Session, roles: list[str]) -> None:
    person.launch(status=303, roles=roles)
    assert db.scalars(sa.select(models.Workspace)).one().kind == models.WorkspaceKind.TAKE


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "wrong kid": ({"headers": {"kid": "wrong"}}, "message.key"),
    "no kid": ({"headers": {"kid": ""}}, "message.kid"),
    "wrong key": ({"key": rsa_key("stranger")}, "message.signature"),
    "critical extension": ({"headers": {"crit": ["x"]}}, "message.header"),
    "wrong version": ({"version": "11.3"}, "message.version"),
    "no version": ({"version": GONE}, "message.version"),
    "another issuer": ({"iss": "https://evil.example"}, "message.issuer"),
    "another client": ({"aud": "another"}, "message.audience"),
    "issued to another": ({"azp": "another"}, "message.audience"),
    "bad iat": ({"iat": "now"}, "message.times"),
    "no iat": ({"iat": GONE}, "message.times"),
    "bad exp": ({"exp": "later"}, "message.times"),
    "no exp": ({"exp": GONE}, "message.times"),
    "long expired": ({"iat": 1_000_000, "exp": 1_000_060}, "message.expired"),
    "of the future": ({"iat": 10**11, "exp": 10**12}, "message.future"),
    "another nonce": ({"nonce": "x" * 43}, "message.nonce"),
    "no nonce": ({"nonce": GONE}, "message.nonce"),
    "no message type": ({"message_type": GONE}, "message.type"),
    "unknown message type": ({"message_type": "LtiSomething"}, "message.type"),
    "no roles": ({"roles": GONE}, "message.roles"),
    "roles as a string": ({"roles": INSTRUCTOR}, "message.claim"),
    "no deployment": ({"deployment_id": GONE}, "message.deployment"),
    "another deployment": ({"deployment_id": "another"}, "message.deployment"),
    "no resource link": ({"resource_link": GONE}, "message.resource_link"),
    "a link without id": ({"resource_link": {"title": "t"}}, "message.resource_link"),
    "no sub": ({"sub": GONE}, "message.no_sub"),
    "no target": ({"target_link_uri": GONE}, "message.target"),
    "a target elsewhere": ({"target_link_uri": "https://evil.example/launch"}, "message.target"),
    "a NUL": ({"name": "a\x00b"}, "message.malformed"),
    "a lone surrogate": ({"name": "\ud800"}, "message.malformed"),
    "too large": ({"filler": "x" * 70_000}, "request.long"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_refused(person: Person, db: Session, case: str) -> None:
    changes, code = REFUSED[case]
    page = person.launch(status=400 if code.startswith("request.") else 403, **changes)
    assert code_of(page) == code
    assert "Traceback" not in page
    assert not [cookie for cookie in page.headers.getall("Set-Cookie") if "session" in cookie]
    assert nobody_came_in(db)


def test_a_refused_message_leaves_the_login_to_the_right_one(person: Person, platform: FakePlatform) -> None:
    asked = person.login()
    forged = platform.sign(platform.claims(asked["nonce"]), key=rsa_key("stranger"))
    person.app.post("/launch", {"state": asked["state"], "id_token": forged}, status=403)
    own = platform.sign(platform.claims(asked["nonce"]))
    person.app.post("/launch", {"state": asked["state"], "id_token": own}, status=303)
    person.app.post("/launch", {"state": asked["state"], "id_token": own}, status=403)


def test_another_browsers_state(app: Any, person: Person, platform: FakePlatform, db: Session) -> None:
    victim, asked = Person(app, platform), person.login()
    form = {"state": asked["state"], "id_token": platform.sign(platform.claims(asked["nonce"]))}
    assert code_of(victim.app.post("/launch", form, status=403)) == "message.cookie_missing"
    assert nobody_came_in(db)
    person.app.post("/launch", form, status=303)


def test_parameters_given_twice(person: Person, platform: FakePlatform, db: Session) -> None:
    asked = person.login()
    token = platform.sign(platform.claims(asked["nonce"]))
    form = [("state", asked["state"]), ("id_token", "x"), ("id_token", token)]
    assert code_of(person.app.post("/launch", form, status=400)) == "request.twice"
    query = f"/login?iss={platform.registration.issuer}"
    page = person.app.post(query, {"iss": platform.registration.issuer, "login_hint": "h"}, status=400)
    assert code_of(page) == "request.twice"
    assert nobody_came_in(db)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"state=%FF&id_token=%FE", "application/x-www-form-urlencoded"),
        (b"state=%00&id_token=%00", "application/x-www-form-urlencoded"),
        (b"state=a&id_token=b", "text/plain"),
        (b'{"state": "a", "id_token": "b"}', "application/json"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
        (b"anything", "multipart/form-data"),
        pytest.param(b"state=a&id_token=b", "application/x-www-form-urlencoded; charset=nonsense"),
    ],
)
@pytest.mark.parametrize("path", ["/launch", "/login"])
def test_bodies_that_are_no_form(person: Person, path: str, body: bytes, content_type: str) -> None:
    page = person.app.post(path, body, content_type=content_type, expect_errors=True)
    assert 400 <= page.status_int < 500
    assert code_of(page)


@pytest.mark.parametrize("path", ["/launch", "/login"])
def test_a_file_instead_of_a_field(person: Person, path: str) -> None:
    form = {"state": Upload("state.txt", b"x"), "id_token": "y", "iss": Upload("iss.txt", b"x")}
    assert code_of(person.app.post(path, form, status=400)) == "request.file"


@pytest.mark.parametrize(
    "query",
    [
        *(pytest.param(each) for each in ("iss=%FF", "%FF=1", "iss=%ED%A0%80")),
        "iss=%00",
        "&&=&=1",
    ],
)
def test_queries_that_are_no_text(person: Person, query: str) -> None:
    page = person.app.get(f"/login?{query}", expect_errors=True)
    assert 400 <= page.status_int < 500


def test_cookies_that_are_no_text(person: Person, platform: FakePlatform) -> None:
    asked = person.login()
    form = {"state": asked["state"], "id_token": platform.sign(platform.claims(asked["nonce"]))}
    name = f"__Host-ipylti-state-{asked['state'][:16]}"
    for value in ("\xff\xfe", '"\\303"', "a=b=c", ""):
        stranger = TestApp(
            person.app.app, extra_environ={"HTTP_HOST": "tool.example", "wsgi.url_scheme": "https"}
        )
        stranger.extra_environ["HTTP_COOKIE"] = f"{name}={value}"
        assert stranger.post("/launch", form, expect_errors=True).status_int in (400, 403)
