"""The certification suite's cases for LTI Advantage, by name: Deep Linking, scores, rosters.

Deep Linking goes through the application; the services are asked by the tool's own clients, over HTTP. The
judge is campus, which takes nothing that the specifications don't allow. The cases for core are in
``test_lti_certification.py``.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import sqlalchemy as sa
from bs4 import BeautifulSoup
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.orm import Session
from webtest import TestResponse

from ipylti import models
from ipylti.errors import ServiceError
from ipylti.http import OutgoingHTTP
from ipylti.lti import claims, deep_linking, keys
from ipylti.lti.deep_linking import DeepLinkingReturn
from ipylti.lti.parts import AgsEndpoint
from ipylti.lti.roster import RosterReader
from ipylti.lti.scores import Score, Scores, handed_in
from ipylti.lti.tokens import AccessTokens
from tests.campus import Campus, Config, lti
from tests.campus.errands import Settings
from tests.campus.errors import Refused
from tests.campus.families import FAMILIES
from tests.campus.people import PEOPLE
from tests.functional.browser import TOOL, Browser
from tests.functional.conftest import as_registered, on_sqlite, shallow
from tests.unit.lti.platforms import MemoryCache, MemoryLocks

DL = "https://purl.imsglobal.org/spec/lti-dl/claim/"
INSTRUCTOR = "http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor"


# Deep Linking


class Teacher:
    """Somebody who adds an activity to campus' course."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.campus = browser.campus

    def request(self, status: int = 303, person: str = "nora", **asked: Any) -> TestResponse:
        """Have campus ask; returns the page of choosing, or of a refusal.

        :param asked: fields of campus' settings, or ``tampering``: members of the claim as it is sent.
        """
        tampering = asked.pop("tampering", None)
        settings = Settings(**asked)
        params = self.campus.deep_linking_initiation(person, settings=settings)
        answer = self.browser.app.get("/login", params, status=302)
        query = dict(pair.split("=", 1) for pair in urlsplit(answer.location).query.split("&"))
        changes: dict[str, Any] = {}
        if tampering is not None:
            told = {
                "deep_link_return_url": f"{self.campus.url}/return",
                "accept_types": ["ltiResourceLink"],
                "accept_presentation_document_targets": ["iframe"],
            } | tampering
            kept = {name: value for name, value in told.items() if value is not None}
            changes = {"claims": {DL + "deep_linking_settings": kept or None}}
        token = self.campus.deep_linking_token(person, query["nonce"], settings=settings, **changes)
        form = {"state": query["state"], "id_token": token}
        page = self.browser.app.post("/launch", form, status=status)
        return self.browser.app.get(urlsplit(page.location).path) if status == 303 else page

    def choose(self, page: TestResponse, **fields: str) -> str:
        """Fill in the form; returns the answer that the browser would post."""
        form = page.forms["selection"]
        for name, value in fields.items():
            form[name] = value
        return jwt_of(form.submit(headers={"Origin": TOOL}))

    def cancel(self, page: TestResponse) -> str:
        return jwt_of(page.forms["selection"].submit("do", value="cancel", headers={"Origin": TOOL}))


def jwt_of(page: TestResponse) -> str:
    field = BeautifulSoup(page.text, "html.parser").select_one("form#returning input[name=JWT]")
    assert field is not None
    return str(field["value"])


@pytest.fixture
def teacher(browser: Browser) -> Teacher:
    return Teacher(browser)


@on_sqlite
def test_deep_linking_one_content_item(teacher: Teacher, db: Session) -> None:
    """lti.md 25."""
    token = teacher.choose(teacher.request(), title="Rain", points="7")
    (link,) = teacher.campus.take_content_items(token)
    (column,) = teacher.campus.gradebook.items_of(link)
    assert (link.title, column.fields.label, column.fields.maximum) == ("Rain", "Rain", 7)
    assert teacher.browser.launch("zoe", link.id)
    blueprint = db.scalars(sa.select(models.Assignment.blueprint_id)).one()
    assert column.fields.resource_id == blueprint


@on_sqlite
def test_deep_linking_one_content_item_where_several_are_accepted(teacher: Teacher) -> None:
    """lti.md 25."""
    token = teacher.choose(teacher.request(accept_multiple=True), title="Rain")
    assert [link.title for link in teacher.campus.take_content_items(token)] == ["Rain"]


@on_sqlite
def test_deep_linking_no_content_items(teacher: Teacher) -> None:
    """lti.md 25: an empty list."""
    before = teacher.campus.course.links
    assert teacher.campus.take_content_items(teacher.cancel(teacher.request())) == ()
    assert teacher.campus.course.links == before


@on_sqlite
def test_deep_linking_a_content_item_without_a_line_item(teacher: Teacher) -> None:
    """lti.md 25: where the platform accepts none, none is sent."""
    page = teacher.request(accept_line_item=False)
    (link,) = teacher.campus.take_content_items(teacher.choose(page, title="Rain"))
    assert teacher.campus.gradebook.items_of(link) == ()


@on_sqlite
def test_deep_linking_the_title_is_suggested(teacher: Teacher) -> None:
    page = teacher.request(title="From the course")
    assert page.forms["selection"]["title"].value == "From the course"


@on_sqlite
def test_deep_linking_an_answer_is_taken_once(teacher: Teacher) -> None:
    token = teacher.choose(teacher.request(), title="Rain")
    teacher.campus.take_content_items(token)
    with pytest.raises(Refused):
        teacher.campus.take_content_items(token)


@on_sqlite
@pytest.mark.parametrize("accept_multiple", [True, False])
def test_deep_linking_several_content_items(
    teacher: Teacher, tool_key: keys.ToolKey, accept_multiple: bool
) -> None:
    """lti.md 25: as the answer is written; the page itself offers one at a time."""
    campus = teacher.campus
    asked = Settings(accept_multiple=accept_multiple)
    campus.deep_linking_token("nora", "n", settings=asked)
    token = campus.deep_linking_token("nora", "n", settings=asked)
    sent = claims_of(token)[DL + "deep_linking_settings"]
    kept = DeepLinkingReturn(
        client_id=campus.config.client_id,
        issuer=campus.config.issuer,
        deployment_id=campus.config.deployment_id,
        return_url=sent["deep_link_return_url"],
        accept_line_item=True,
        data=sent["data"],
    )
    items = [
        deep_linking.content_item(
            launch_url=f"{TOOL}/launch", title=name, assignment=name, maximum=None, due_at=None
        )
        for name in ("one", "two", "three")
    ]
    answer = deep_linking.response(kept, items, keys.Signer(tool_key), datetime.now(UTC))
    if accept_multiple:
        assert [link.title for link in campus.take_content_items(answer)] == ["one", "two", "three"]
    else:
        with pytest.raises(Refused):
            campus.take_content_items(answer)


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


DL_REFUSED: dict[str, tuple[dict[str, Any], str, int]] = {
    "no return url": ({"tampering": {"deep_link_return_url": None}}, "message.deep_linking", 403),
    "return url of no page": (
        {"tampering": {"deep_link_return_url": "javascript:alert(1)"}},
        "message.claim",
        403,
    ),
    "no accept types": ({"tampering": {"accept_types": None}}, "message.deep_linking", 403),
    "accept types of a wrong type": ({"tampering": {"accept_types": "x"}}, "message.claim", 403),
    "only types that the tool does not have": (
        {"tampering": {"accept_types": ["file", "image"]}},
        "deep_linking.not_accepted",
        400,
    ),
    "data of a wrong type": ({"tampering": {"data": {"a": 1}}}, "message.deep_linking", 403),
    "asked by a student": ({"person": "zoe"}, "selection.not_teacher", 403),
    "asked by an instructor of elsewhere": ({"person": "sam"}, "selection.not_teacher", 403),
}


@on_sqlite
@pytest.mark.parametrize("case", list(DL_REFUSED))
def test_deep_linking_refused(teacher: Teacher, case: str) -> None:
    """lti.md 25."""
    asked, code, status = DL_REFUSED[case]
    assert f"<code>{code}</code>" in teacher.request(status, **asked)


DL_PASS: dict[str, dict[str, Any]] = {
    "only what is required": {"accept_presentation_document_targets": None},
    "unknown settings": {"accept_copy_advice": True, "https://vendor.example/x": {"a": [1]}},
    "unknown types beside ours": {"accept_types": ["vendorThing", "ltiResourceLink", "html"]},
    "accept multiple as a text": {"accept_multiple": "true"},
    "every setting": {
        "accept_media_types": "image/*,text/html",
        "accept_multiple": True,
        "accept_lineitem": True,
        "auto_create": True,
        "title": "Default",
        "text": "Words",
        "data": "d",
    },
}


@on_sqlite
@pytest.mark.parametrize("case", list(DL_PASS))
def test_deep_linking_passed(teacher: Teacher, case: str) -> None:
    """lti.md 25."""
    token = teacher.choose(teacher.request(tampering=DL_PASS[case]), title="Rain")
    (item,) = claims_of(token)[DL + "content_items"]
    assert item["type"] == "ltiResourceLink"


@on_sqlite
@pytest.mark.parametrize("data", [None, "", "Some random opaque data that MUST be sent back", "é\"'<>&\n"])
def test_deep_linking_data_is_echoed(teacher: Teacher, data: str | None) -> None:
    """lti.md 25: verbatim, and not at all where there was none."""
    chosen = claims_of(teacher.choose(teacher.request(tampering={"data": data}), title="Rain"))
    cancelled = claims_of(teacher.cancel(teacher.request(tampering={"data": data})))
    for told in (chosen, cancelled):
        assert told.get(DL + "data") == data
        assert (DL + "data" in told) is (data is not None)
        assert told[lti("deployment_id")] == teacher.campus.config.deployment_id


# Services


class Desk:
    """The tool's clients, and the campus that they talk to."""

    def __init__(self, campus: Campus, tool_key: keys.ToolKey) -> None:
        self.campus = campus
        self.cache = MemoryCache()
        http = OutgoingHTTP("ipylti/test", allow_private=True)
        self.tokens = AccessTokens(http, self.cache, keys.Signer(tool_key))
        self.scores = Scores(http, self.tokens, MemoryLocks())
        self.roster = RosterReader(http, self.tokens)
        self.registration = as_registered(campus)
        self.link = campus.link()
        launch = campus.claims("zoe")
        endpoint = launch[claims.AGS_ENDPOINT]
        roster = launch.get(claims.NRPS_SERVICE, {})
        self.ags = AgsEndpoint(frozenset(endpoint["scope"]), endpoint.get("lineitem"), endpoint["lineitems"])
        self.members_url = roster.get("context_memberships_url", "")

    @property
    def column(self) -> str:
        """The address of the link's own line item."""
        assert self.ags.line_item
        return self.ags.line_item

    def line_item(self, resource_id: str = "assignment", **more: Any) -> str:
        """Find or make a line item where the launch named none."""
        return self.scores.find_or_create_line_item(
            self.registration,
            replace(self.ags, line_item=None),
            resource_link_id=self.link.id,
            resource_id=resource_id,
            tag="ipylti",
            label="Rain",
            maximum=12.5,
            **more,
        )

    def post(self, given: float | None = None, maximum: float = 10, later: int = 0, **changes: Any) -> None:
        """Post a score of Zoë's, or that there is none yet."""
        score = Score(
            user_id=changes.pop("user_id", self.campus.person("zoe").sub),
            timestamp=datetime.now(UTC) - timedelta(seconds=60 - later),
            activity_progress="Completed",
            grading_progress="PendingManual" if given is None else "FullyGraded",
            score_given=given,
            score_maximum=None if given is None else maximum,
            **changes,
        )
        self.scores.post(self.registration, self.column, score, self.ags.scopes)

    def result(self) -> tuple[float | None, float | None] | None:
        """Read Zoë's result."""
        zoe = self.campus.person("zoe").sub
        found = list(self.scores.results(self.registration, self.column, self.ags.scopes, zoe))
        return (found[0].score, found[0].maximum) if found else None

    def members(self, link: str | None = None) -> dict[str, tuple[str, bool]]:
        """Read the roster; returns names and who is active, by short name."""
        found = self.roster.members(self.registration, self.members_url, link or self.link.id)
        logins = {person.sub: person.login for person in PEOPLE}
        return {logins[sub]: (member.name, member.active) for sub, member in found.items()}


@pytest.fixture
def desk(platform_key: rsa.RSAPrivateKey, tool_key: keys.ToolKey) -> Iterator[Callable[..., Desk]]:
    """Opens campuses whose services are used."""
    published = keys.public_jwks([tool_key], models.now())
    campuses = []

    def made(**config: Any) -> Desk:
        told = Config(tool_url=TOOL, client_id="client", tool_jwks=lambda: published, **config)
        campuses.append(shallow(Campus, told, platform_key).start())
        return Desk(campuses[-1], tool_key)

    yield made
    for campus in campuses:
        campus.stop()


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ServiceError) as error:
        call()
    return error.value.code


@pytest.mark.parametrize("scope", claims.SCOPES)
def test_ags_token_for_one_scope(desk: Callable[..., Desk], scope: str) -> None:
    """lti.md 26."""
    at = desk()
    assert at.tokens.get(at.registration, {scope})


def test_ags_token_for_all_scopes(desk: Callable[..., Desk]) -> None:
    """lti.md 26."""
    at = desk()
    assert at.tokens.get(at.registration, set(claims.SCOPES))


def test_ags_token_for_a_scope_that_is_not_granted(desk: Callable[..., Desk]) -> None:
    """lti.md 26."""
    at = desk(allowed_scopes=(claims.SCOPE_SCORE,))
    wanted = {claims.SCOPE_SCORE, claims.SCOPE_LINE_ITEM}
    assert code_of(lambda: at.tokens.get(at.registration, wanted)) == "token.refused"


def test_ags_token_with_fewer_scopes_than_asked_for(desk: Callable[..., Desk]) -> None:
    """lti.md 26: the scope that comes back is checked."""
    at = desk(allowed_scopes=(claims.SCOPE_SCORE,), behaviour=replace(FAMILIES["campus"], fewer_scopes=True))
    wanted = {claims.SCOPE_SCORE, claims.SCOPE_LINE_ITEM}
    assert code_of(lambda: at.tokens.get(at.registration, wanted)) == "token.scope"


def test_ags_token_that_was_revoked(desk: Callable[..., Desk]) -> None:
    """lti.md 26 and 30: renewed once."""
    at = desk()
    at.post(later=1)
    at.campus.tokens.revoke_all()
    at.post(later=5)


def test_ags_line_item_of_the_launch(desk: Callable[..., Desk]) -> None:
    """lti.md 27."""
    at = desk()
    (column,) = at.campus.gradebook.items_of(at.link)
    assert at.column == at.campus.gradebook.item_url(column)


def test_ags_line_item_is_created(desk: Callable[..., Desk]) -> None:
    """lti.md 27 and 28."""
    at = desk()
    address = at.line_item()
    (made,) = [each for each in at.campus.gradebook.items if at.campus.gradebook.item_url(each) == address]
    fields = made.fields
    assert (fields.label, fields.maximum, fields.resource_id, fields.tag) == (
        "Rain",
        12.5,
        "assignment",
        "ipylti",
    )
    assert fields.resource_link_id == at.link.id


@pytest.mark.parametrize("page_size", [None, 1])
def test_ags_line_item_is_found_again(desk: Callable[..., Desk], page_size: int | None) -> None:
    """lti.md 27 and 31: on a later page, too."""
    at = desk(page_size=page_size)
    others = [at.line_item(f"other-{number}") for number in range(3)]
    first = at.line_item()
    assert at.line_item() == first
    assert first not in others


def test_ags_line_item_that_was_removed_is_made_anew(desk: Callable[..., Desk]) -> None:
    """lti.md 27 and 30."""
    at = desk()
    first = at.line_item()
    (made,) = [each for each in at.campus.gradebook.items if at.campus.gradebook.item_url(each) == first]
    at.campus.gradebook.delete(made.id)
    score = handed_in(
        at.campus.person("zoe").sub, datetime.now(UTC), datetime.now(UTC), at.registration.quirks
    )
    gone = code_of(lambda: at.scores.post(at.registration, first, score, at.ags.scopes))
    assert gone == "lineitem.gone"
    assert at.line_item(gone=first) != first


def test_ags_line_items_may_be_read_only(desk: Callable[..., Desk]) -> None:
    """lti.md 26: nothing is asked for that the launch did not offer."""
    at = desk(allowed_scopes=(claims.SCOPE_LINE_ITEM_READ, claims.SCOPE_SCORE))
    assert code_of(at.line_item) == "lineitem.not_offered"


AGS_SCORES: dict[str, tuple[float, float, tuple[float, float]]] = {
    "nothing": (0, 10, (0, 100)),
    "something": (6.5, 10, (65, 100)),
    "everything": (10, 10, (100, 100)),
    "more than everything": (12, 10, (120, 100)),
    "a fraction": (0.83, 1, (83, 100)),
}


@pytest.mark.parametrize("case", list(AGS_SCORES))
def test_ags_score_is_posted_and_the_result_read(desk: Callable[..., Desk], case: str) -> None:
    """lti.md 28 and 29."""
    at = desk()
    given, maximum, expected = AGS_SCORES[case]
    at.post(given, maximum, comment="Well done & é")
    found = at.result()
    assert found is not None
    top = at.campus.gradebook.items_of(at.link)[0].fields.maximum
    assert found == (pytest.approx(expected[0] / 100 * top), top)


def test_ags_score_handed_in_and_not_graded(desk: Callable[..., Desk]) -> None:
    """lti.md 29."""
    at = desk()
    at.post()
    assert at.result() is None
    (column,) = at.campus.gradebook.items_of(at.link)
    latest = at.campus.gradebook.latest(column, at.campus.person("zoe"))
    assert latest is not None
    assert (latest.activity_progress, latest.grading_progress) == ("Completed", "PendingManual")
    assert latest.given is None


def test_ags_score_is_replaced_by_a_later_one(desk: Callable[..., Desk]) -> None:
    """lti.md 29."""
    at = desk()
    at.post(3, later=1)
    at.post(7, later=5)
    found = at.result()
    assert found is not None
    assert found[0] == pytest.approx(0.7 * (found[1] or 0))


@pytest.mark.parametrize("later", [0, -10])
def test_ags_score_that_is_not_later(desk: Callable[..., Desk], later: int) -> None:
    """lti.md 29: which the outbox sees to."""
    at = desk()
    at.post(3, later=10)
    assert code_of(lambda: at.post(7, later=later)) == "score.conflict"


AGS_NOBODY: dict[str, str] = {"somebody unknown": "nobody", "a teacher": "nora"}


@pytest.mark.parametrize("case", list(AGS_NOBODY))
def test_ags_score_of_somebody_who_gets_none(desk: Callable[..., Desk], case: str) -> None:
    """lti.md 30: final."""
    at = desk()
    who = AGS_NOBODY[case]
    sub = who if who == "nobody" else at.campus.person(who).sub
    assert code_of(lambda: at.post(3, user_id=sub)) == "score.refused"


def test_ags_score_without_the_scope(desk: Callable[..., Desk]) -> None:
    """lti.md 26."""
    at = desk(allowed_scopes=(claims.SCOPE_LINE_ITEM,))
    assert code_of(lambda: at.post(3)) == "score.not_offered"


@pytest.mark.parametrize("page_size", [None, 1])
def test_ags_results_of_everybody(desk: Callable[..., Desk], page_size: int | None) -> None:
    """lti.md 31."""
    at = desk(page_size=page_size)
    people = {at.campus.person(login).sub for login in ("zoe", "layla", "sam")}
    for sub in people:
        at.post(5, user_id=sub)
    found = at.scores.results(at.registration, at.column, at.ags.scopes)
    assert {each.user_id for each in found} == people


def test_ags_results_without_the_scope(desk: Callable[..., Desk]) -> None:
    """lti.md 26: none are asked for."""
    at = desk(allowed_scopes=(claims.SCOPE_SCORE,))
    at.post(5)
    assert at.result() is None


def test_nrps_context_members(desk: Callable[..., Desk]) -> None:
    """lti.md 34."""
    at = desk()
    assert at.members() == {
        login: (at.campus.person(login).name, True) for login in ("nora", "zoe", "layla", "sam")
    }


def test_nrps_members_of_a_resource_link(desk: Callable[..., Desk]) -> None:
    """lti.md 34: with `rlid`, and asked once."""
    at = desk()
    at.members()
    assert len(at.campus.log.accepted("memberships")) == 1
    assert at.campus.log.refused("memberships") == ()


def test_nrps_members_of_a_link_that_the_platform_does_not_know(desk: Callable[..., Desk]) -> None:
    """lti.md 34: then they are those of the course."""
    at = desk()
    assert len(at.members("unknown")) == 4
    assert [each.status for each in at.campus.log.refused("memberships")] == [404]


@pytest.mark.parametrize("page_size", [1, 2, 3])
def test_nrps_members_in_pages(desk: Callable[..., Desk], page_size: int) -> None:
    """lti.md 31 and 34."""
    assert len(desk(page_size=page_size).members()) == 4


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_nrps_members_of_every_family(desk: Callable[..., Desk], family: str) -> None:
    """lti.md 31 and 34: however the next page is named. Moodle makes pages only where it is asked to."""
    page_size = None if family == "moodle" else 1
    assert len(desk(page_size=page_size, behaviour=FAMILIES[family]).members()) == 4


def test_nrps_inactive_members(desk: Callable[..., Desk]) -> None:
    """lti.md 34: `status`."""
    at = desk()
    at.campus.set_status("sam", "Inactive")
    at.campus.set_status("layla", "Deleted")
    found = at.members()
    assert found["sam"] == (at.campus.person("sam").name, False)
    assert found["zoe"][1] is True
    assert "layla" not in found


def test_nrps_members_without_names(desk: Callable[..., Desk]) -> None:
    """lti.md 34."""
    assert set(desk(member_names=False).members().values()) == {("", True)}


def test_nrps_roles_are_told_and_give_no_rights(desk: Callable[..., Desk]) -> None:
    """lti.md 34: an instructor of the roster is what the launch says, and nothing more."""
    at = desk()
    found = at.roster.members(at.registration, at.members_url, at.link.id)
    assert INSTRUCTOR in found[at.campus.person("nora").sub].roles
    assert not hasattr(found[at.campus.person("nora").sub], "staff")


def test_nrps_without_the_scope(desk: Callable[..., Desk]) -> None:
    """lti.md 26."""
    at = desk()
    at.campus.registry.register("active", allowed_scopes=(claims.SCOPE_SCORE,))
    assert code_of(at.members) == "token.refused"
