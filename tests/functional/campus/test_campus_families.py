"""campus behaves as other products do: each difference, and one good tool that gets along with all."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from webtest import TestApp

from tests.campus import Campus, Config, ags, dl, lti
from tests.campus.families import CAMPUS, FAMILIES, Behaviour
from tests.campus.scopes import LINEITEM, LINEITEM_READONLY, SCORE
from tests.campus.wire import LINEITEM_TYPE, LINEITEMS_TYPE, RESULTS_TYPE
from tests.functional.campus.good_tool import (
    CLIENT,
    Assertion,
    Chosen,
    Service,
    last_refusal,
    posted,
    read,
    token_request,
)

Make = Callable[..., Campus]


@pytest.fixture
def make(campus: Campus, keys: dict[str, rsa.RSAPrivateKey]) -> Make:
    """Makes a campus of some behaviour, or of campus' own with changes."""

    def made(family: Behaviour = CAMPUS, config: dict[str, Any] | None = None, **changes: Any) -> Campus:
        told: dict[str, Any] = {
            "tool_url": "http://tool.example", "client_id": CLIENT, "port": None, "control": True,
            "tool_jwks": campus.config.tool_jwks, "behaviour": replace(family, **changes),
        }  # fmt: skip
        return Campus(Config(**told | (config or {})), keys["campus"])

    return made


@pytest.fixture
def using(keys: dict[str, rsa.RSAPrivateKey]) -> Callable[[Campus], Service]:
    """Makes the services' good tool at a campus."""
    return lambda campus: Service(campus, TestApp(campus.app), keys["tool"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_good_tool_gets_along_with_every_family(
    make: Make, using: Callable[[Campus], Service], keys: dict[str, rsa.RSAPrivateKey], family: str
) -> None:
    campus = make(FAMILIES[family])
    behaviour = campus.config.behaviour
    begun = campus.deep_linking_initiation("nora")
    assert begun["iss"] == campus.config.issuer
    request = read(campus, campus.deep_linking_token("nora", "n"))
    answer = Chosen(campus, keys["tool"], request)
    TestApp(campus.app).post(answer.path, {"JWT": answer.text()})
    link = campus.course.links[-1]
    message = read(campus, campus.id_token("zoe", link, "n"))
    assert message["exp"] - int(message["iat"]) == behaviour.lifetime
    service = using(campus)
    service.item = service.path(message[ags("endpoint")]["lineitem"])
    service.use(service.item)
    if behaviour.first_score:
        service.post_score(behaviour.first_score.status)
    service.post_score(behaviour.score_status, timestamp="2026-01-02T03:04:05Z")
    graded = {"scoreGiven": 5, "scoreMaximum": 10, "gradingProgress": "FullyGraded"}
    service.post_score(behaviour.score_status, timestamp="2026-01-02T03:04:06Z", **graded)
    results = service.get(service.results, RESULTS_TYPE).json
    assert [(one["resultScore"], one["resultMaximum"]) for one in results] == [(6.25, 12.5)]
    assert service.get(service.item, LINEITEM_TYPE).json["resourceId"] == "r-9"


def test_customers_share_an_issuer(make: Make, keys: dict[str, rsa.RSAPrivateKey]) -> None:
    campus = make(issuer="https://lms.example")
    claims = read(campus, campus.deep_linking_token("nora"))
    assert claims["iss"] == campus.registration["issuer"] == "https://lms.example"
    assert campus.config.auth_url.startswith(campus.url)
    with_url = Chosen(campus, keys["tool"], claims)
    assert len(campus.take_content_items(with_url.text())) == 1


def test_a_message_may_say_less_or_otherwise(make: Make) -> None:
    campus = make(fractional_iat=True, short_roles=True, names_itself=False, key_algorithm=False)
    claims = read(campus, campus.id_token("zoe"))
    assert isinstance(claims["iat"], float) and claims["iat"] % 1
    assert claims[lti("roles")][0] == "Learner"
    assert lti("tool_platform") not in claims
    published = TestApp(campus.app).get("/jwks").json["keys"]
    assert [set(key) for key in published] == [{"kty", "n", "e", "kid", "use"}]


def test_the_deployment_is_named_twice_by_canvas(make: Make) -> None:
    begun = make(FAMILIES["canvas"]).initiation("zoe")
    assert begun["deployment_id"] == begun["lti_deployment_id"] == "campus-1"


def test_an_assertion_names_the_familys_own_audience(make: Make, keys: dict[str, rsa.RSAPrivateKey]) -> None:
    campus = make(token_audience="https://aud.example/token")
    server = TestApp(campus.app)
    assert campus.registration["token-audience"] == "https://aud.example/token"
    server.post("/token", token_request(Assertion(campus, keys["tool"])))
    wrong = Assertion(campus, keys["tool"]).change(aud=campus.config.token_url)
    server.post("/token", token_request(wrong), status=400)


@pytest.mark.parametrize(
    ("changes", "granted"),
    [
        ({"refused_scopes": frozenset({SCORE})}, None),
        ({"refused_scopes": frozenset({SCORE}), "fewer_scopes": True}, LINEITEM),
        ({"unoffered_scopes": frozenset({SCORE})}, None),
        ({"unoffered_scopes": frozenset({SCORE}), "fewer_scopes": True}, LINEITEM),
    ],
)
def test_a_scope_may_be_refused(
    make: Make, keys: dict[str, rsa.RSAPrivateKey], changes: dict[str, Any], granted: str | None
) -> None:
    campus = make(**changes)
    server = TestApp(campus.app)
    answer = server.post("/token", token_request(Assertion(campus, keys["tool"])), expect_errors=True)
    assert answer.json.get("scope") == granted
    if granted is None:
        assert (answer.status_int, answer.json["error"]) == (400, "invalid_scope")
    only = token_request(Assertion(campus, keys["tool"]), scope=SCORE)
    server.post("/token", only, status=400)
    offered = SCORE in campus.claims("zoe")[ags("endpoint")]["scope"]
    assert offered is ("refused_scopes" in changes)


def test_sakai_does_not_offer_all_scopes(make: Make) -> None:
    scopes = make(FAMILIES["sakai"]).claims("zoe")[ags("endpoint")]["scope"]
    assert LINEITEM_READONLY not in scopes and LINEITEM in scopes


PLACES = {
    "campus": '<{url}>; rel="next"',
    "canvas": '<{url}>; rel="next"',
    "moodle": "<{url}>; rel=“next”",
    "blackboard": '<{url}>; title="a, b; rel=c"; REL="next"',
    "d2l": "<{url}>;rel=next",
    "schoology": '<{url}>; rel="next collection"',
}


@pytest.mark.parametrize("family", PLACES)
def test_links_to_the_next_page_are_written_in_many_ways(
    make: Make, using: Callable[[Campus], Service], family: str
) -> None:
    campus = make(FAMILIES[family])
    service = using(campus)
    joint = "&" if "?" in service.items else "?"
    header = service.get(f"{service.items}{joint}limit=1", LINEITEMS_TYPE).headers["Link"]
    text = header.encode("latin-1").decode()
    parts = re.split(rf"{campus.config.behaviour.link_joint}(?=<)", text)
    url = re.match(r"<([^>]+)>", parts[-1])
    assert url is not None
    assert parts[-1] == PLACES[family].format(url=url[1])
    assert len(parts) == 1 + len(campus.config.behaviour.link_others)
    following = service.get(service.path(url[1]), LINEITEMS_TYPE)
    assert following.json[0]["label"].startswith("Exercise 2")


def test_links_may_be_relative(make: Make, using: Callable[[Campus], Service]) -> None:
    service = using(make(FAMILIES["sakai"]))
    header = service.get(f"{service.items}?limit=1", LINEITEMS_TYPE).headers["Link"]
    assert re.fullmatch(r'</ags/course-7d1c2f/lineitems\?limit=1&from=1>; rel="next"', header)


def test_other_pages_are_named_too(make: Make, using: Callable[[Campus], Service]) -> None:
    service = using(make(FAMILIES["canvas"]))
    for label in ("a", "b", "c"):
        service.send("post", service.items, LINEITEM_TYPE, {"label": label, "scoreMaximum": 1}, 201)
    header = service.get(f"{service.items}?limit=2&from=2", LINEITEMS_TYPE).headers["Link"]
    starts = {rel: start for start, rel in re.findall(r'from=(\d+)>; rel="(\w+)"', header)}
    assert starts == {"first": "0", "current": "2", "next": "4", "last": "4"}


@pytest.mark.parametrize(
    ("family", "accept", "status"),
    [
        ("canvas", "*/*", 200),
        ("moodle", "*/*", 400),
        ("d2l", "application/json", 406),
        ("schoology", "", 200),
    ],
)
def test_families_are_more_or_less_strict_about_accept(
    make: Make, using: Callable[[Campus], Service], family: str, accept: str, status: int
) -> None:
    service = using(make(FAMILIES[family]))
    service.get(service.item, accept, status)


@pytest.mark.parametrize(
    ("family", "status"), [("moodle", 400), ("canvas", 422), ("d2l", 403), ("blackboard", 404)]
)
def test_who_cannot_be_graded_is_answered_in_many_ways(
    make: Make, using: Callable[[Campus], Service], family: str, status: int
) -> None:
    campus = make(FAMILIES[family], first_score=None)
    using(campus).post_score(status, userId=campus.person("nora").sub)
    assert "cannot be graded" in last_refusal(campus)


def test_a_family_may_be_busy_at_first(make: Make, using: Callable[[Campus], Service]) -> None:
    canvas = using(make(FAMILIES["canvas"])).post_score(403)
    assert "Rate Limit Exceeded" in canvas.text
    assert canvas.headers["X-Rate-Limit-Remaining"] == "0.0"
    assert using(make(FAMILIES["blackboard"])).post_score(429).headers["Retry-After"] == "1"
    d2l = make(FAMILIES["d2l"])
    service = using(d2l)
    assert "Retry-After" not in service.post_score(429).headers
    assert "throttled" in last_refusal(d2l)
    service.post_score(200)


@pytest.mark.parametrize(
    ("changes", "times", "statuses"),
    [
        ({}, ("05.1", "05.2", "05.2"), (204, 204, 409)),
        ({"whole_seconds": True}, ("05.1", "05.9", "06.0"), (204, 409, 204)),
        ({"same_time": True}, ("05", "05", "04"), (204, 204, 409)),
        ({"same_time": True, "conflict_status": 400}, ("05", "04", "05"), (204, 400, 204)),
    ],
)
def test_times_are_compared_in_many_ways(
    make: Make,
    using: Callable[[Campus], Service],
    changes: dict[str, Any],
    times: tuple[str, ...],
    statuses: tuple[int, ...],
) -> None:
    service = using(make(**changes))
    for second, status in zip(times, statuses, strict=True):
        service.post_score(status, timestamp=f"2026-01-02T03:04:{second}Z")


GRADE = {"scoreGiven": 5, "scoreMaximum": 5}


@pytest.mark.parametrize(
    ("family", "after", "graded"),
    [
        ("campus", {"gradingProgress": "PendingManual"}, False),
        ("d2l", {"gradingProgress": "PendingManual"}, True),
        ("campus", GRADE | {"gradingProgress": "Pending"}, True),
        ("canvas", GRADE | {"gradingProgress": "Pending"}, False),
        ("canvas", GRADE | {"gradingProgress": "PendingManual"}, True),
        ("moodle", GRADE | {"gradingProgress": "PendingManual"}, False),
    ],
)
def test_what_comes_after_a_grade_may_take_it_away(
    make: Make, using: Callable[[Campus], Service], family: str, after: dict[str, Any], graded: bool
) -> None:
    campus = make(FAMILIES[family], first_score=None)
    service, status = using(campus), campus.config.behaviour.score_status
    service.post_score(status, timestamp="2026-01-02T03:04:05Z", gradingProgress="FullyGraded", **GRADE)
    service.post_score(status, timestamp="2026-01-02T03:04:06Z", **after)
    results = service.get(service.results, RESULTS_TYPE).json
    assert ["resultScore" in one for one in results if "resultScore" in one] == [True] * graded
    assert len(results) == 1 or not campus.config.behaviour.ungraded_results


def test_an_accepted_score_may_be_answered_with_its_result(
    make: Make, using: Callable[[Campus], Service]
) -> None:
    campus = make(score_status=200)
    told = using(campus).post_score(200).json["resultUrl"]
    assert told.endswith(f"/results/{campus.person('zoe').sub}")


@pytest.mark.parametrize(
    ("family", "known"),
    [
        ("campus", {"due", "context", "link"}),
        ("canvas", {"due", "canvas", "context"}),
        ("moodle", {"context"}),
        ("blackboard", {"due", "context", "link"}),
        ("openedx", set()),
    ],
)
def test_families_know_some_variables(make: Make, family: str, known: set[str]) -> None:
    custom = {
        "due": "$ResourceLink.submission.endDateTime",
        "canvas": "$Canvas.assignment.dueAt.iso8601",
        "context": "$Context.id.history",
        "link": "$ResourceLink.id.history",
    }
    campus = make(FAMILIES[family], {"custom": custom})
    link = campus.copy_course().links[0]
    told = campus.claims("zoe", link)[lti("custom")]
    assert {name for name, value in told.items() if not value.startswith("$")} == known


def test_a_history_with_nothing_in_it_may_be_an_empty_text(make: Make) -> None:
    custom = {"history": "$Context.id.history"}
    for family, wanted in (("moodle", ""), ("campus", "$Context.id.history")):
        assert make(FAMILIES[family], {"custom": custom}).claims("zoe")[lti("custom")]["history"] == wanted


def test_a_family_without_review_messages_has_no_way_to_them(
    make: Make, using: Callable[[Campus], Service]
) -> None:
    campus = make(FAMILIES["openedx"])
    service = using(campus)
    service.post_score(200)
    service.server.get("/?as=zoe")
    assert "Submission<" not in service.server.get("/course/gradebook").text
    with pytest.raises(KeyError):
        campus.review_initiation("nora", "zoe")


def test_a_family_may_offer_reviews_only_where_the_line_item_asks(
    make: Make, using: Callable[[Campus], Service]
) -> None:
    campus = make(FAMILIES["moodle"])
    with pytest.raises(KeyError):
        campus.review_initiation("nora", "zoe")
    service = using(campus)
    column = service.get(service.item, LINEITEM_TYPE).json
    asking = column | {"submissionReview": {"reviewableStatus": ["Completed"]}}
    service.send("put", service.item, LINEITEM_TYPE, asking, 200)
    assert campus.review_initiation("nora", "zoe")["iss"] == campus.config.issuer


def test_a_clock_that_is_behind_grants_nothing(make: Make, keys: dict[str, rsa.RSAPrivateKey]) -> None:
    campus = make(behind=60)
    now = int(time.time())
    for age, status in ((90, 200), (1, 400)):
        assertion = Assertion(campus, keys["tool"]).change(iat=now - age, exp=now + 60)
        TestApp(campus.app).post("/token", token_request(assertion), status=status)
        answer = Chosen(campus, keys["tool"], read(campus, campus.deep_linking_token("nora")))
        answer.change(iat=now - age, exp=now + 60)
        TestApp(campus.app).post(answer.path, {"JWT": answer.text()}, status=status)


def test_settings_and_hints_may_be_texts(make: Make) -> None:
    campus = make(FAMILIES["moodle"])
    settings = read(campus, campus.deep_linking_token("nora"))[dl("deep_linking_settings")]
    assert (settings["accept_multiple"], settings["auto_create"]) == ("false", "true")
    assert "accept_lineitem" not in settings
    assert set(json.loads(campus.initiation("zoe")["lti_message_hint"])) == {"cmid", "launchid"}


def test_moodles_new_tools_wait(make: Make) -> None:
    assert make(FAMILIES["moodle"]).config.new_tools_pending is True
    assert make(FAMILIES["moodle"], {"new_tools_pending": False}).config.new_tools_pending is False
    assert make().config.new_tools_pending is False


def test_a_family_may_ask_who_comes_back(make: Make) -> None:
    for known, status in ((True, 303), (False, 200)):
        campus = make(return_known=known)
        browser = TestApp(campus.app)
        address = f"/course/return?link={campus.link().id}"
        asked = browser.get(address, status=status)
        assert (asked.location or "").startswith(f"{browser.get('/').request.host_url}/?next=") is known
        browser.get("/?as=zoe")
        assert browser.get(address, status=200).html.find("a", id="back")


def test_the_page_opens_in_every_family(make: Make) -> None:
    for family in FAMILIES.values():
        campus = make(family)
        browser = TestApp(campus.app)
        browser.get("/?as=zoe")
        begun = posted(browser.get(f"/course/open/{campus.link().id}"))[1]
        assert begun["iss"] == campus.config.issuer
