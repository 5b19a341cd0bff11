"""Line items and scores: lti.md 27, 28, 29, 30 and 32."""

import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ipylti.errors import OutgoingError, ServiceError
from ipylti.http import Answer
from ipylti.lti import scores
from ipylti.lti.parts import AgsEndpoint
from ipylti.lti.registrations import Quirks, preset
from ipylti.lti.scores import Score, Scores
from ipylti.lti.tokens import AccessTokens
from tests.unit.lti.platforms import FakePlatform, MemoryCache, MemoryLocks
from tests.unit.lti.services import Request, Services, answer

SCOPE = "https://purl.imsglobal.org/spec/lti-ags/scope/"
ALL = frozenset({SCOPE + "lineitem", SCOPE + "score"})
ITEMS = "https://lms.example/items"
WHEN = datetime(2031, 5, 1, 12, 0, 0, 123_456, tzinfo=UTC)
ASSIGNMENT = {
    "resource_link_id": "link-1",
    "resource_id": "assignment-1",
    "tag": "ipylti",
    "label": "Integrals",
    "maximum": 100,
}


class Signer:
    def sign(self, claims: dict[str, Any]) -> str:
        return "assertion"


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
def locks() -> MemoryLocks:
    return MemoryLocks()


@pytest.fixture
def client(services: Services, locks: MemoryLocks) -> Scores:
    return made(services, locks)


def made(services: Services, locks: MemoryLocks | None = None) -> Scores:
    http = services.http
    return Scores(http, AccessTokens(http, MemoryCache(), Signer()), locks or MemoryLocks())


def score(**changes: Any) -> Score:
    return Score(
        **{
            "user_id": "person-1",
            "timestamp": WHEN,
            "activity_progress": "Completed",
            "grading_progress": "PendingManual",
            **changes,
        }
    )


# What is sent: lines 29 and 32


def test_handed_in_gives_no_points() -> None:
    submitted = WHEN - timedelta(days=2)
    assert scores.handed_in("person-1", submitted, WHEN, Quirks()).as_json() == {
        "userId": "person-1",
        "timestamp": "2031-05-01T12:00:00.123Z",
        "activityProgress": "Completed",
        "gradingProgress": "PendingManual",
        "submission": {"submittedAt": "2031-04-29T12:00:00.123Z"},
    }


def test_a_registration_can_want_submitted_instead() -> None:
    said = scores.handed_in("p", WHEN, WHEN, Quirks(submit_progress="Submitted")).as_json()
    assert said["activityProgress"] == "Submitted"
    assert said["gradingProgress"] == "PendingManual"


def test_a_gradebook_that_shows_nothing_else_gets_a_comment() -> None:
    """lti.md 29: Moodle keeps nothing else of a score without points."""
    submitted = datetime(2031, 4, 29, 23, 5, tzinfo=timezone(timedelta(hours=2)))
    said = scores.handed_in("p", submitted, WHEN, preset("moodle")).as_json()
    assert said["comment"] == "Handed in 2031-04-29 21:05 UTC"
    assert "scoreGiven" not in said


def test_canvas_is_told_of_a_submission_and_to_keep_the_grade() -> None:
    """lti.md 32."""
    url = "https://tool.example/launch?submission=1"
    said = scores.handed_in("p", WHEN, WHEN, preset("canvas"), url).as_json()
    assert said["https://canvas.instructure.com/lti/submission"] == {
        "new_submission": True,
        "preserve_score": True,
        "prioritize_non_tool_grade": True,
        "submission_type": "basic_lti_launch",
        "submission_data": url,
        "submitted_at": "2031-05-01T12:00:00.123Z",
    }
    assert "scoreGiven" not in said


def test_nobody_makes_a_line_item_beside_somebody_who_looks_for_it(
    services: Services, platform: FakePlatform
) -> None:
    """lti.md 27: under a lock; who does not get it in time comes again."""
    tokens = AccessTokens(services.http, MemoryCache(), Signer())
    client = Scores(services.http, tokens, lambda _: nullcontext())
    with pytest.raises(ServiceError) as raised:
        find(client, platform)
    assert (raised.value.code, raised.value.retry) == ("lineitem.busy", True)
    assert services.asked == []


def test_canvas_without_a_url_to_show() -> None:
    said = scores.handed_in("p", WHEN, WHEN, preset("canvas")).as_json()
    assert "submission_type" not in said["https://canvas.instructure.com/lti/submission"]


def test_a_score_with_points() -> None:
    said = score(score_given=0, score_maximum=10, grading_progress="FullyGraded", comment="Well…").as_json()
    assert (said["scoreGiven"], said["scoreMaximum"], said["comment"]) == (0, 10, "Well…")


@pytest.mark.parametrize(
    "changes",
    [
        {"score_given": 1},
        {"score_given": 1, "score_maximum": 0},
        {"score_given": 1, "score_maximum": -1},
        {"score_given": -1, "score_maximum": 1},
        {"score_given": float("nan"), "score_maximum": 1},
        {"score_given": 1, "score_maximum": float("inf")},
        {"activity_progress": "Done"},
        {"grading_progress": "Graded"},
    ],
)
def test_a_score_that_makes_no_sense_can_not_be_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        score(**changes)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2031, 5, 1, 14, tzinfo=timezone(timedelta(hours=2))), "2031-05-01T12:00:00.000Z"),
        (datetime(2031, 5, 1, 12, 0, 0, 999_999, tzinfo=UTC), "2031-05-01T12:00:00.999Z"),
    ],
)
def test_timestamps_are_rfc_3339_in_utc(moment: datetime, text: str) -> None:
    assert scores.rfc3339(moment) == text


def test_a_timestamp_without_zone_is_a_mistake() -> None:
    with pytest.raises(ValueError):
        scores.rfc3339(datetime(2031, 5, 1))


def test_each_timestamp_is_a_second_later_at_least() -> None:
    assert scores.next_timestamp(None, WHEN) == WHEN
    assert scores.next_timestamp(WHEN, WHEN) == WHEN + timedelta(seconds=1)
    assert scores.next_timestamp(WHEN + timedelta(hours=1), WHEN) == WHEN + timedelta(hours=1, seconds=1)
    assert scores.next_timestamp(WHEN, WHEN + timedelta(minutes=1)) == WHEN + timedelta(minutes=1)


# Posting: lines 27, 28, 30


@pytest.mark.parametrize(
    ("line_item", "url"),
    [
        (f"{ITEMS}/1", f"{ITEMS}/1/scores"),
        (f"{ITEMS}/1/", f"{ITEMS}/1/scores"),
        (f"{ITEMS}/1/lineitem?type_id=2&x=%2F", f"{ITEMS}/1/lineitem/scores?type_id=2&x=%2F"),
    ],
)
def test_scores_go_onto_the_path_before_the_query(
    client: Scores, services: Services, platform: FakePlatform, line_item: str, url: str
) -> None:
    """lti.md 27: Moodle's line items have a query."""
    services.posts[url.split("?")[0].removeprefix("https://lms.example")] = lambda _: answer(None, 204)
    client.post(platform.registration, line_item, score(), ALL)
    request = services.asked[-1]
    assert request.url == url
    assert request.headers["content_type"] == "application/vnd.ims.lis.v1.score+json"
    assert request.headers["token"] == "t1"
    assert request.content == score().as_json()


@pytest.mark.parametrize(
    ("results", "graded"),
    [
        ([], False),
        ([{"userId": "person-1", "resultScore": 0}], True),
        ([{"userId": "person-1", "resultScore": None}], False),
        ([{"userId": "person-1"}], False),
        ([{"userId": "person-2", "resultScore": 8}], False),
    ],
)
def test_a_grade_that_stands_is_known(
    client: Scores, services: Services, platform: FakePlatform, results: list[Any], graded: bool
) -> None:
    """lti.md 29: the filter is repeated here, since not every platform knows it."""
    services.gets["/items/1/results"] = lambda _: answer(results)
    scopes = ALL | {SCOPE + "result.readonly"}
    line_item = f"{ITEMS}/1?type_id=7"
    assert client.is_graded(platform.registration, line_item, "person-1", scopes) is graded
    request = services.asked[-1]
    assert request.query == {"type_id": ["7"], "user_id": ["person-1"]}
    assert request.headers["accept"] == "application/vnd.ims.lis.v2.resultcontainer+json"
    assert services.named("/token")[0].content["scope"] == SCOPE + "result.readonly"


def test_without_the_scope_for_results_nothing_is_asked(
    client: Scores, services: Services, platform: FakePlatform
) -> None:
    assert client.is_graded(platform.registration, f"{ITEMS}/1", "person-1", ALL) is False
    assert services.asked == []


def test_a_token_for_scores_only(client: Scores, services: Services, platform: FakePlatform) -> None:
    """lti.md 26: only what the launch offered, and no more than is needed."""
    services.posts["/items/1/scores"] = lambda _: answer({}, 200)
    client.post(platform.registration, f"{ITEMS}/1", score(), ALL)
    assert services.named("/token")[0].content["scope"] == SCOPE + "score"


def test_a_scope_that_the_launch_did_not_offer_is_not_asked_for(
    client: Scores, services: Services, platform: FakePlatform
) -> None:
    with pytest.raises(ServiceError) as error:
        client.post(platform.registration, f"{ITEMS}/1", score(), {SCOPE + "lineitem"})
    assert (error.value.code, error.value.retry) == ("score.not_offered", False)
    assert services.asked == []


def test_a_refused_token_is_renewed_once(client: Scores, services: Services, platform: FakePlatform) -> None:
    """lti.md 30."""
    services.tokens = [
        answer({"access_token": token, "token_type": "Bearer", "expires_in": 3600})
        for token in ("old", "new")
    ]
    services.posts["/items/1/scores"] = lambda request: answer(
        None, 200 if request.headers["token"] == "new" else 401
    )
    client.post(platform.registration, f"{ITEMS}/1", score(), ALL)
    assert [each.headers["token"] for each in services.named("/items/1/scores")] == ["old", "new"]
    client.post(platform.registration, f"{ITEMS}/1", score(), ALL)
    assert len(services.named("/token")) == 2


def test_a_second_401_is_an_answer(client: Scores, services: Services, platform: FakePlatform) -> None:
    """lti.md 30."""
    services.posts["/items/1/scores"] = lambda _: answer(None, 401)
    with pytest.raises(ServiceError) as error:
        client.post(platform.registration, f"{ITEMS}/1", score(), ALL)
    assert (error.value.code, error.value.retry) == ("score.unauthorized", False)
    assert len(services.named("/items/1/scores")) == 2


@pytest.mark.parametrize(
    ("said", "code", "retry", "after"),
    [
        (answer(None, 400), "score.refused", False, None),
        (answer(None, 422), "score.refused", False, None),
        (answer(None, 403), "score.forbidden", False, None),
        (answer(None, 403, x_rate_limit_remaining="0.0"), "score.throttled", True, None),
        (answer(None, 403, x_rate_limit_remaining="12.5"), "score.forbidden", False, None),
        (Answer(403, {}, b"403 Forbidden (Rate Limit Exceeded)"), "score.throttled", True, None),
        (answer(None, 404), "lineitem.gone", True, None),
        (answer(None, 410), "lineitem.gone", True, None),
        (answer(None, 409), "score.conflict", False, None),
        (answer(None, 408), "score.failed", True, None),
        (answer(None, 429), "score.throttled", True, None),
        (answer(None, 429, retry_after="30"), "score.throttled", True, 30.0),
        (answer(None, 500), "score.failed", True, None),
        (answer(None, 502), "score.failed", True, None),
        (answer(None, 503, retry_after="120"), "score.failed", True, 120.0),
        (answer(None, 304), "score.refused", False, None),
    ],
)
def test_what_a_refusal_means(
    client: Scores,
    services: Services,
    platform: FakePlatform,
    said: Answer,
    code: str,
    retry: bool,
    after: float | None,
) -> None:
    """lti.md 30."""
    services.posts["/items/1/scores"] = lambda _: said
    with pytest.raises(ServiceError) as error:
        client.post(platform.registration, f"{ITEMS}/1", score(), ALL)
    raised = error.value
    assert (raised.code, raised.retry, raised.status, raised.retry_after) == (code, retry, said.status, after)


@pytest.mark.parametrize(
    ("code", "retry"),
    [
        ("http.timeout", True),
        ("http.connect", True),
        ("http.tls", True),
        ("http.failed", True),
        ("http.address", False),
        ("http.redirect", False),
    ],
)
def test_no_answer(
    client: Scores, services: Services, platform: FakePlatform, code: str, retry: bool
) -> None:
    """lti.md 30."""

    def fail(_: Request) -> Answer:
        raise OutgoingError("no", code=code)

    services.posts["/items/1/scores"] = fail
    with pytest.raises(ServiceError) as error:
        client.post(platform.registration, f"{ITEMS}/1", score(), ALL)
    assert (error.value.code, error.value.retry) == ("score.unreachable", retry)


# Line items: line 27


def item(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{ITEMS}/{number}",
        "label": "Integrals",
        "scoreMaximum": 100,
        "resourceId": "assignment-1",
        "tag": "ipylti",
        **changes,
    }


def find(client: Scores, platform: FakePlatform, **changes: Any) -> str:
    ags = AgsEndpoint(
        scopes=changes.pop("scopes", ALL),
        line_item=changes.pop("line_item", None),
        line_items=changes.pop("line_items", ITEMS),
    )
    return client.find_or_create_line_item(platform.registration, ags, **{**ASSIGNMENT, **changes})


def test_the_messages_own_line_item_costs_nothing(
    client: Scores, services: Services, platform: FakePlatform
) -> None:
    assert find(client, platform, line_item=f"{ITEMS}/7?x=1") == f"{ITEMS}/7?x=1"
    assert services.asked == []


def test_it_is_found_by_resource_id_and_tag(
    client: Scores, services: Services, platform: FakePlatform
) -> None:
    services.gets["/items"] = lambda _: answer([item(3)])
    assert find(client, platform, line_items=f"{ITEMS}?type_id=2") == f"{ITEMS}/3"
    request = services.asked[-1]
    assert request.query == {
        "type_id": ["2"],
        "resource_id": ["assignment-1"],
        "tag": ["ipylti"],
        "limit": ["100"],
    }
    assert request.headers["accept"] == "application/vnd.ims.lis.v2.lineitemcontainer+json"
    assert services.named("/token")[0].content["scope"] == SCOPE + "lineitem"


def test_no_limit_where_the_platform_pages_wrongly_with_it(client: Scores, services: Services) -> None:
    services.gets["/items"] = lambda _: answer([item(3)])
    find(client, FakePlatform(quirks=preset("moodle")))
    assert "limit" not in services.asked[-1].query


def test_what_the_platform_did_not_filter_is_filtered_here(
    client: Scores, services: Services, platform: FakePlatform
) -> None:
    others = [item(1, resourceId="other"), item(2, tag="other"), item(4, tag=None), item(5, resourceId=None)]
    services.gets["/items"] = lambda _: answer([*others, item(3), item(6)])
    assert find(client, platform) == f"{ITEMS}/3"


def test_it_is_found_on_a_later_page(client: Scores, services: Services, platform: FakePlatform) -> None:
    services.gets["/items"] = lambda request: (
        answer([item(3)])
        if request.query.get("page") == ["B"]
        else answer([item(1, tag="x")], link=f'<{ITEMS}?page=B>; rel="next"')
    )
    assert find(client, platform) == f"{ITEMS}/3"


def test_else_it_is_made(client: Scores, services: Services, platform: FakePlatform) -> None:
    services.gets["/items"] = lambda _: answer([])
    services.posts["/items"] = lambda _: answer(item(9), 201)
    assert find(client, platform, line_items=f"{ITEMS}?type_id=2") == f"{ITEMS}/9"
    request = services.asked[-1]
    assert request.url == f"{ITEMS}?type_id=2"
    assert request.headers["content_type"] == "application/vnd.ims.lis.v2.lineitem+json"
    assert request.headers["accept"] == "application/vnd.ims.lis.v2.lineitem+json"
    assert request.content == {
        "scoreMaximum": 100,
        "label": "Integrals",
        "resourceId": "assignment-1",
        "tag": "ipylti",
        "resourceLinkId": "link-1",
    }


def test_two_at_once_make_one(platform: FakePlatform) -> None:
    services, locks = Services(), MemoryLocks()
    made_items: list[dict[str, Any]] = []

    def look(_: Request) -> Answer:
        found = answer(list(made_items))
        time.sleep(0.02)
        return found

    services.gets["/items"] = look

    def create(_: Request) -> Answer:
        made_items.append(item(len(made_items)))
        return answer(made_items[-1], 201)

    services.posts["/items"] = create
    client, found, barrier = made(services, locks), [], threading.Barrier(6)

    def run() -> None:
        barrier.wait()
        found.append(find(client, platform))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [f"{ITEMS}/0"] * 6
    assert len(made_items) == 1


def test_a_line_item_that_is_gone_is_looked_for_again(
    client: Scores, services: Services, platform: FakePlatform
) -> None:
    """lti.md 30: 404."""
    gone = f"{ITEMS}/3"
    services.gets["/items"] = lambda _: answer([item(3), item(4)])
    assert find(client, platform, line_item=gone, gone=gone) == f"{ITEMS}/4"
    assert find(client, platform, gone=gone) == f"{ITEMS}/4"
    assert find(client, platform, line_item=f"{ITEMS}/5", gone=gone) == f"{ITEMS}/5"


def test_with_reading_only_it_is_found_but_not_made(
    client: Scores, services: Services, platform: FakePlatform
) -> None:
    scopes = frozenset({SCOPE + "lineitem.readonly", SCOPE + "score"})
    services.gets["/items"] = lambda _: answer([item(3)])
    assert find(client, platform, scopes=scopes) == f"{ITEMS}/3"
    assert services.named("/token")[0].content["scope"] == SCOPE + "lineitem.readonly"
    services.gets["/items"] = lambda _: answer([])
    with pytest.raises(ServiceError) as error:
        find(client, platform, scopes=scopes)
    assert (error.value.code, error.value.retry) == ("lineitem.not_offered", False)


@pytest.mark.parametrize("changes", [{"line_items": None}, {"scopes": frozenset({SCOPE + "score"})}])
def test_where_the_launch_offers_no_line_items(
    client: Scores, services: Services, platform: FakePlatform, changes: dict[str, Any]
) -> None:
    with pytest.raises(ServiceError) as error:
        find(client, platform, **changes)
    assert (error.value.code, error.value.retry) == ("lineitem.not_offered", False)
    assert services.asked == []


@pytest.mark.parametrize("content", [None, {}, [1], [[]], "x", {"lineitems": []}])
def test_an_answer_that_is_no_list_of_line_items(
    client: Scores, services: Services, platform: FakePlatform, content: object
) -> None:
    services.gets["/items"] = lambda _: answer(content)
    with pytest.raises(ServiceError) as error:
        find(client, platform)
    assert error.value.code == "lineitem.answer"


@pytest.mark.parametrize("identifier", [None, 5, "", "items/3", "javascript:1", ["https://lms.example/"]])
def test_a_line_item_without_an_address(
    client: Scores, services: Services, platform: FakePlatform, identifier: object
) -> None:
    services.gets["/items"] = lambda _: answer([])
    services.posts["/items"] = lambda _: answer(item(1, id=identifier), 201)
    with pytest.raises(ServiceError) as error:
        find(client, platform)
    assert (error.value.code, error.value.retry) == ("lineitem.answer", False)


@pytest.mark.parametrize(("status", "retry"), [(400, False), (403, False), (404, False), (500, True)])
def test_a_container_that_refuses(
    client: Scores, services: Services, platform: FakePlatform, status: int, retry: bool
) -> None:
    services.gets["/items"] = lambda _: answer(None, status)
    with pytest.raises(ServiceError) as error:
        find(client, platform)
    assert (error.value.code.split(".")[0], error.value.retry) == ("lineitem", retry)
    services.gets["/items"] = lambda _: answer([])
    services.posts["/items"] = lambda _: answer(None, status)
    with pytest.raises(ServiceError) as error:
        find(client, platform)
    assert (error.value.status, error.value.retry) == (status, retry)
