"""Dynamic Registration, from an administrator's invitation to the first launch: lti.md 35."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import sqlalchemy as sa
from bs4 import BeautifulSoup
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.orm import Session
from webtest import TestApp, TestResponse

from ipylti import models
from ipylti.invitations import Invitations
from ipylti.lti import dynamic_registration, keys
from tests.campus import Campus, Config, lti
from tests.campus.errors import Refused
from tests.campus.families import CAMPUS, FAMILIES, Behaviour
from tests.functional.browser import TOOL, Browser
from tests.functional.conftest import on_sqlite, shallow
from tests.unit.test_http import Server, say, to

WEEK = timedelta(days=7)


class Office:
    """The two administrators: the tool's, who invites; the platform's, who pastes the invitation there."""

    def __init__(self, app: Any, campus: Campus) -> None:
        self.wsgi = app
        self.campus = campus
        self.sessions = app.registry["ipylti.services"].sessions

    def invite(self, age: timedelta = timedelta(0)) -> str:
        """Make an invitation; returns its path at the tool."""
        with self.sessions.begin() as db:
            return "/register?" + urlencode({"token": Invitations(db).make(models.now() - age)})

    def browser(self) -> TestApp:
        return TestApp(self.wsgi, extra_environ={"HTTP_HOST": "tool.example", "wsgi.url_scheme": "https"})

    def open(self, invitation: str, status: int = 200, **params: str | None) -> TestResponse:
        """Open an invitation from within campus.

        :param params: of the query, in place of campus' own; None takes one out.
        """
        theirs = urlsplit(self.campus.registration_url(f"{TOOL}{invitation}"))
        given = dict(pair.split("=", 1) for pair in theirs.query.split("&"))
        query = "&".join(f"{name}={value}" for name, value in given.items() if name not in params)
        added = urlencode({name: value for name, value in params.items() if value is not None})
        return self.browser().get(f"/register?{query}&{added}", status=status)

    def still_good(self, invitation: str) -> bool:
        """Return whether the invitation can be taken."""
        token = invitation.partition("token=")[2]
        with self.sessions() as db:
            Invitations(db).look(token, models.now())
        return True

    def registrations(self) -> list[models.Registration]:
        with self.sessions() as db:
            found = sa.select(models.Registration).options(
                sa.orm.selectinload(models.Registration.deployments)
            )
            return list(db.scalars(found))


@pytest.fixture
def office(
    app: Any, platform_key: rsa.RSAPrivateKey, tool_key: keys.ToolKey
) -> Iterator[Callable[..., Office]]:
    """Opens campuses that know no tool yet."""
    published = keys.public_jwks([tool_key], models.now())
    campuses = []

    def made(behaviour: Behaviour = CAMPUS, **config: Any) -> Office:
        told = Config(
            registered=False,
            behaviour=behaviour,
            base_url="http://127.0.0.1:{port}",
            tool_jwks=lambda: published,
            **config,
        )
        campus = shallow(Campus, told, platform_key).start()
        campuses.append(campus)
        return Office(app, campus)

    yield made
    for campus in campuses:
        campus.stop()


@pytest.fixture
def server() -> Iterator[Server]:
    """A platform that is none of the good ones."""
    made = Server()
    yield made
    made.close()


def configuration(server: Server, **changes: Any) -> bytes:
    """Return what a platform on this server says of itself."""
    told = {
        "issuer": server.url(""),
        "authorization_endpoint": server.url("/auth"),
        "token_endpoint": server.url("/token"),
        "jwks_uri": server.url("/jwks"),
        "registration_endpoint": server.url("/register"),
    } | changes
    return json.dumps(told).encode()


def launch(browser: Browser, deployment: str | None = None, status: int = 303) -> TestResponse:
    """Launch from another deployment than campus' own; returns the answer to the message."""
    return browser.app.post("/launch", message(browser, deployment), status=status)


def message(browser: Browser, deployment: str | None = None) -> dict[str, str]:
    hint = {"lti_deployment_id": deployment} if deployment else {}
    asked = browser.login("zoe", **hint)
    claims = {lti("deployment_id"): deployment} if deployment else {}
    token = browser.campus.id_token("zoe", None, asked["nonce"], claims=claims)
    return {"state": asked["state"], "id_token": token}


# It works


def test_a_platform_registers_itself_and_launches(office: Callable[..., Office]) -> None:
    """lti.md 35."""
    at = office()
    page = at.open(at.invite())
    client = at.campus.config.client_id
    assert at.campus.url in page
    assert client in page
    assert "send scores" in page
    (known,) = at.registrations()
    assert (known.issuer, known.client_id) == (at.campus.config.issuer, client)
    assert (known.auth_url, known.token_url) == (at.campus.config.auth_url, at.campus.config.token_url)
    assert known.jwks_url == at.campus.config.jwks_url
    assert [each.deployment_id for each in known.deployments] == ["campus-1"]
    assert at.campus.config.login_url == f"{TOOL}/login"
    assert at.campus.config.tool_jwks_url == f"{TOOL}/.well-known/jwks.json"
    assert Browser(at.wsgi, at.campus).launch("zoe")


def test_a_platform_may_do_it_in_its_own_way(office: Callable[..., Office]) -> None:
    """lti.md 35: the token goes to the configuration, too (Canvas)."""
    at = office(
        replace(
            CAMPUS,
            configuration_token=True,
            bare_messages=True,
            registration_deployment=False,
            registration_status=200,
        )
    )
    assert "the first one that opens the tool" in at.open(at.invite())
    assert at.registrations()[0].deployments == []
    assert launch(Browser(at.wsgi, at.campus))
    assert [each.deployment_id for each in at.registrations()[0].deployments] == ["campus-1"]


@on_sqlite
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_registers_with_its_preset(office: Callable[..., Office], family: str) -> None:
    """A shared issuer is on another host than campus, so it has its own here."""
    at = office(replace(FAMILIES[family], issuer=""), new_tools_pending=False)
    page = at.open(at.invite())
    (known,) = at.registrations()
    assert known.quirks["no_ags_limit"] is (family == "moodle")
    assert known.quirks["canvas_submission"] is (family == "canvas")
    assert len(page.html.select("ol.todo li")) >= 1
    assert Browser(at.wsgi, at.campus).launch("zoe")


@on_sqlite
def test_a_tool_that_is_pending_is_switched_on_by_the_platform(office: Callable[..., Office]) -> None:
    """lti.md 35: Moodle's administrator has to."""
    at = office(replace(FAMILIES["moodle"], issuer=""))
    assert "pending" in at.open(at.invite())
    with pytest.raises(Refused):
        at.campus.initiation("zoe")
    at.campus.activate()
    assert Browser(at.wsgi, at.campus).launch("zoe")


@on_sqlite
def test_what_the_platform_does_not_allow_is_said(office: Callable[..., Office]) -> None:
    at = office(allowed_scopes=("https://purl.imsglobal.org/spec/lti-ags/scope/score",))
    shown = {dt.text: dt.find_next("dd").text for dt in at.open(at.invite()).html.select("dt")}
    assert shown["It may"] == "send scores"
    assert "see who is in the course" in shown["It may not"]


@on_sqlite
def test_the_platforms_page_is_told_to_close(office: Callable[..., Office]) -> None:
    """lti.md 35: by whichever page frames it; what it says is in the script."""
    at = office()
    page = at.open(at.invite())
    assert "https:" in page.headers["Content-Security-Policy"].partition("frame-ancestors")[2]
    (script,) = [each["src"] for each in page.html.select("script[src]") if "registration" in each["src"]]
    assert "org.imsglobal.lti.close" in at.browser().get(urlsplit(script).path)


@on_sqlite
def test_registering_again_brings_new_addresses_and_keeps_the_work(
    office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = office()
    at.open(at.invite())
    Browser(at.wsgi, at.campus).launch("zoe")
    with at.sessions.begin() as db:
        db.execute(sa.update(models.Registration).values(jwks_url="https://old.example", enabled=False))
    monkeypatch.setattr(
        "tests.campus.registration.secrets.token_hex", lambda _: at.campus.config.client_id[7:]
    )
    at.open(at.invite())
    (known,) = at.registrations()
    assert (known.jwks_url, known.enabled) == (at.campus.config.jwks_url, True)
    assert len(known.deployments) == 1


# The invitation


def test_an_invitation_is_good_once(office: Callable[..., Office]) -> None:
    """lti.md 35."""
    at = office()
    invitation = at.invite()
    at.open(invitation)
    assert "invitation.used" in at.open(invitation, 403)
    assert "invitation.used" in at.browser().get(invitation, status=403)
    assert len(at.registrations()) == 1


@on_sqlite
def test_an_invitation_expires(office: Callable[..., Office]) -> None:
    """lti.md 35."""
    at = office()
    assert at.still_good(at.invite(WEEK - timedelta(minutes=1)))
    assert "invitation.expired" in at.open(at.invite(WEEK), 403)
    assert at.registrations() == []


@on_sqlite
@pytest.mark.parametrize("query", ["", "token=", "token=guessed", "token=%C3%A9", "token=" + "x" * 5000])
def test_without_an_invitation_nothing_goes_out(
    office: Callable[..., Office], server: Server, query: str
) -> None:
    at = office()
    query += "&" + urlencode({"openid_configuration": server.url("/c")})
    assert "invitation.unknown" in at.browser().get(f"/register?{query}", status=403)
    assert server.asked == []


def test_of_two_at_once_one_registers(office: Callable[..., Office]) -> None:
    at = office()
    invitation = at.invite()
    at.campus.slow("openid_configuration", 0.5)
    begin = Barrier(2)

    def open_it() -> str:
        query = urlsplit(at.campus.registration_url(f"{TOOL}{invitation}")).query
        begin.wait()
        answer = at.browser().get(f"/register?{query}", expect_errors=True)
        return "invitation.used" if "invitation.used" in answer else str(answer.status_int)

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(each.result() for each in [pool.submit(open_it) for _ in range(2)])
    assert answers == ["200", "invitation.used"]
    assert len(at.registrations()) == 1


@on_sqlite
def test_opened_outside_of_a_platform_it_explains_itself(office: Callable[..., Office]) -> None:
    at = office()
    invitation = at.invite()
    page = at.browser().get(invitation)
    assert "Connect your platform" in page
    assert f"{TOOL}{invitation}" in page
    assert at.still_good(invitation)
    at.open(invitation)


@on_sqlite
def test_the_database_keeps_no_token(office: Callable[..., Office], db: Session) -> None:
    token = office().invite().partition("token=")[2]
    (kept,) = db.scalars(sa.select(models.Invitation))
    assert token not in repr(vars(kept))


# What goes wrong there


def test_a_platform_that_is_not_there(office: Callable[..., Office]) -> None:
    at = office()
    invitation = at.invite()
    at.campus.stop()
    assert "registration.unreachable" in at.open(invitation, 502)
    at.campus.start()
    assert at.open(invitation)


@on_sqlite
@pytest.mark.parametrize(
    ("endpoint", "code"),
    [("openid_configuration", "registration.unreachable"), ("register", "registration.refused")],
)
def test_a_platform_that_fails(office: Callable[..., Office], endpoint: str, code: str) -> None:
    at = office()
    invitation = at.invite()
    at.campus.fail_next(endpoint, 503)
    assert code in at.open(invitation, 502)
    assert at.still_good(invitation)
    assert at.open(invitation)


@on_sqlite
def test_a_platform_that_refuses_is_quoted(office: Callable[..., Office]) -> None:
    at = office()
    invitation = at.invite()
    page = at.open(invitation, 502, registration_token="another")
    assert "registration.refused" in page
    assert "the registration token is unknown" in page
    assert at.registrations() == []
    assert at.open(invitation)


@on_sqlite
def test_a_platforms_words_are_text(office: Callable[..., Office], server: Server) -> None:
    at = office()
    said = {"error": "invalid_client_metadata", "error_description": "<script>alert(1)</script> \n no"}
    server.paths["/c"] = say(configuration(server))
    server.paths["/register"] = say(json.dumps(said).encode(), 400)
    page = at.open(at.invite(), 502, openid_configuration=server.url("/c"))
    assert not page.html.select("script:not([src])")
    assert "<script>alert(1)</script> no" in page.html.text


@on_sqlite
@pytest.mark.parametrize("endpoint", ["openid_configuration", "register"])
def test_a_platform_that_hangs_costs_the_time_out(
    office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    at = office()
    invitation = at.invite()
    monkeypatch.setattr(dynamic_registration, "TIMEOUT", 0.5)
    at.campus.slow(endpoint, 600)
    begun = time.monotonic()
    assert "registration.unreachable" in at.open(invitation, 502)
    assert time.monotonic() - begun < 60
    at.campus.slow(endpoint, 0)
    monkeypatch.undo()
    assert at.open(invitation)


@on_sqlite
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "registration.configuration"),
        (b"<html>", "registration.configuration"),
        (b"[]", "registration.configuration"),
        (b"\xff\xfe", "registration.configuration"),
        (b"[" * 100_000, "registration.configuration"),
        (b" " * 2_000_000, "registration.unreachable"),
    ],
)
def test_a_configuration_that_is_none(
    office: Callable[..., Office], server: Server, body: bytes, code: str
) -> None:
    at = office()
    invitation = at.invite()
    server.paths["/c"] = say(body)
    assert code in at.open(invitation, 502, openid_configuration=server.url("/c"))
    assert at.still_good(invitation)


@on_sqlite
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"client_id": 7}', b'{"client_id": ""}', b'{"client_id": "a\\u0000b"}']
)
def test_an_answer_without_a_client(office: Callable[..., Office], server: Server, body: bytes) -> None:
    at = office()
    invitation = at.invite()
    server.paths["/c"] = say(configuration(server))
    server.paths["/register"] = say(body, 201)
    assert "registration.answer" in at.open(invitation, 502, openid_configuration=server.url("/c"))
    assert at.registrations() == []
    assert at.still_good(invitation)


def test_what_fails_on_our_side_gives_the_invitation_back_too(
    office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = office()
    invitation = at.invite()

    def broken(*_: Any, **__: Any) -> None:
        raise sa.exc.OperationalError("INSERT", {}, Exception("disk full"))

    with monkeypatch.context() as patch:
        patch.setattr("ipylti.platforms.Platforms.register", broken)
        assert "database.down" in at.open(invitation, 503)
    assert at.registrations() == []
    assert at.open(invitation)


@on_sqlite
def test_a_platform_speaks_for_its_own_host(office: Callable[..., Office], server: Server) -> None:
    """lti.md 35."""
    at = office()
    invitation = at.invite()
    server.paths["/c"] = say(configuration(server, issuer="https://canvas.instructure.com"))
    page = at.open(invitation, 403, openid_configuration=server.url("/c"))
    assert "registration.issuer" in page
    assert [path for _, path, _, _ in server.asked] == ["/c"]
    assert at.still_good(invitation)


@on_sqlite
def test_no_token_reaches_a_page_or_a_log(
    office: Callable[..., Office], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    at = office()
    server.paths["/c?secret=s3cret"] = say(b"", 404)
    url = server.url("/c?secret=s3cret")
    page = at.open(at.invite(), 502, openid_configuration=url, registration_token="t0ken")
    told = page.text + caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "s3cret" not in told
    assert "t0ken" not in told


# Where it may go


@pytest.fixture
def public_ini(ini: dict[str, str]) -> None:
    ini["ipylti.allow_private_platforms"] = "false"


@on_sqlite
@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:{port}/c", "registration.unreachable"),
        ("https://127.0.0.1:{port}/c", "registration.unreachable"),
        ("https://localhost:{port}/c", "registration.unreachable"),
        ("https://2130706433:{port}/c", "registration.unreachable"),
        ("https://[::1]:{port}/c", "registration.unreachable"),
        ("https://[::ffff:127.0.0.1]:{port}/c", "registration.unreachable"),
        ("https://10.0.0.1/c", "registration.unreachable"),
        ("https://169.254.169.254/latest/meta-data", "registration.unreachable"),
        ("https://user:password@127.0.0.1:{port}/c", "registration.configuration"),
        ("file:///etc/passwd", "registration.configuration"),
        ("gopher://127.0.0.1:{port}/", "registration.configuration"),
        ("/c", "registration.configuration"),
    ],
)
def test_nobody_sends_it_to_private_addresses(
    public_ini: None, office: Callable[..., Office], server: Server, url: str, code: str
) -> None:
    at = office()
    invitation = at.invite()
    page = at.open(invitation, 502, openid_configuration=url.format(port=server.port))
    assert code in page
    assert ("“ipylti.allow_private_platforms = true”" in page) is (code == "registration.unreachable")
    assert "169.254" not in page
    assert server.asked == []
    assert at.still_good(invitation)


@on_sqlite
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_lead_there_either(
    office: Callable[..., Office], server: Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    at = office()
    invitation = at.invite()
    inner = Server(host="127.0.0.2")
    try:
        monkeypatch.setattr("ipylti.http.is_public", lambda address: address == "127.0.0.1")
        client = at.wsgi.registry["ipylti.services"].http
        monkeypatch.setattr(client, "_allow_private", False)
        # https without a certificate: the rule for addresses is what is looked at here.
        monkeypatch.setattr(client, "_check_url", lambda _url: None)
        server.paths["/c"] = to(inner.url("/c", host="127.0.0.2"), status)
        page = at.open(invitation, 502, openid_configuration=server.url("/c"))
        assert "registration.unreachable" in page
        assert [path for _, path, _, _ in server.asked] == ["/c"]
        assert inner.asked == []
    finally:
        inner.close()


@on_sqlite
def test_the_registration_is_not_redirected(office: Callable[..., Office], server: Server) -> None:
    """It would hand the token to whoever is there."""
    at = office()
    server.paths["/c"] = say(configuration(server))
    server.paths["/register"] = to(server.url("/elsewhere"), 307)
    page = at.open(at.invite(), 502, openid_configuration=server.url("/c"))
    assert "registration.unreachable" in page
    assert [path for _, path, _, _ in server.asked] == ["/c", "/register"]


# Deployments


def unnamed(office: Callable[..., Office]) -> Office:
    """A campus that does not tell its deployment."""
    at = office(replace(CAMPUS, registration_deployment=False))
    at.open(at.invite())
    return at


def test_the_first_deployment_is_taken_and_no_other(office: Callable[..., Office]) -> None:
    at = unnamed(office)
    browser = Browser(at.wsgi, at.campus)
    launch(browser, "first")
    launch(browser, "first")
    assert "message.deployment" in launch(browser, "second", 403)
    assert [each.deployment_id for each in at.registrations()[0].deployments] == ["first"]


def test_a_bad_message_is_no_first(office: Callable[..., Office]) -> None:
    at = unnamed(office)
    browser = Browser(at.wsgi, at.campus)
    asked = browser.login("zoe", lti_deployment_id="evil")
    claims = {lti("deployment_id"): "evil", "nonce": "another"}
    token = at.campus.id_token("zoe", None, asked["nonce"], claims=claims)
    browser.app.post("/launch", {"state": asked["state"], "id_token": token}, status=403)
    assert at.registrations()[0].deployments == []
    launch(browser, "first")


def test_of_two_first_deployments_at_once_one_is_taken(office: Callable[..., Office]) -> None:
    at = unnamed(office)
    begin = Barrier(2)
    browsers = {name: Browser(at.wsgi, at.campus) for name in ("one", "two")}
    forms = {name: message(browser, name) for name, browser in browsers.items()}

    def open_it(name: str) -> int:
        begin.wait()
        return int(browsers[name].app.post("/launch", forms[name], expect_errors=True).status_int)

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(open_it, browsers))
    assert answers == [303, 403]
    assert len(at.registrations()[0].deployments) == 1


@pytest.fixture
def trusting_ini(ini: dict[str, str]) -> None:
    ini["ipylti.trust_new_deployments"] = "true"


def test_where_new_deployments_are_trusted_all_are_taken(
    trusting_ini: None, office: Callable[..., Office]
) -> None:
    at = office()
    at.open(at.invite())
    browser = Browser(at.wsgi, at.campus)
    launch(browser, "another")
    launch(browser, "Another")
    names = [each.deployment_id for each in at.registrations()[0].deployments]
    assert names == ["campus-1", "another", "Another"]


@on_sqlite
def test_an_administrator_gets_the_line_for_an_unknown_deployment(browser: Browser) -> None:
    """lti.md 13: quoted for the shell, and as text in the page."""
    deployment = """a'b"<script>&; $(rm -rf ~)"""
    page = launch(browser, deployment, 403)
    registration = browser.campus.registration
    line = BeautifulSoup(page.text, "html.parser").select_one(".command code")
    assert line is not None
    assert line.text == (
        "ipylti deployment add production.ini "
        f"--issuer {registration['issuer']} --client-id {registration['client-id']} "
        """--deployment 'a'"'"'b"<script>&; $(rm -rf ~)'"""
    )
    assert "<script>&;" not in page
    assert "run this on the tool" in page
    assert not {"Zoë", "zoe", "eyJ", browser.campus.person("zoe").sub} & set(page.text.split())
    for secret in ("Zoë", "eyJ", browser.campus.person("zoe").sub, browser.campus.course.title):
        assert secret not in page


@on_sqlite
@pytest.mark.parametrize("deployment", ["a\x1b[201~b", "a\nb", "a\u202eb"])
def test_no_line_holds_what_does_not_show(browser: Browser, deployment: str) -> None:
    page = launch(browser, deployment, 403)
    assert "message.deployment" in page
    assert not page.html.select(".command")
    assert "run this" not in page


@on_sqlite
def test_a_known_deployment_that_the_login_did_not_name_gets_no_line(browser: Browser) -> None:
    """lti.md 3."""
    asked = browser.login("zoe", lti_deployment_id="campus-2")
    token = browser.campus.id_token("zoe", None, asked["nonce"])
    page = browser.app.post("/launch", {"state": asked["state"], "id_token": token}, status=403)
    assert "message.deployment" in page
    assert not page.html.select(".command")
    assert "run this" not in page
