"""campus' line items, scores and results refuse what they should, one row for each check."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.campus import Campus, ags
from tests.campus.scopes import LINEITEM, LINEITEM_READONLY, RESULT_READONLY, SCORE
from tests.campus.wire import LINEITEM_TYPE, LINEITEMS_TYPE, RESULTS_TYPE, SCORE_TYPE
from tests.functional.campus.good_tool import Service, last_refusal


def test_a_hand_in_and_a_grade_arrive_in_the_gradebook(campus: Campus, service: Service) -> None:
    zoe, item = campus.person("zoe"), campus.gradebook.items[0]
    service.post_score(submission={"submittedAt": "2026-01-02T03:04:05Z"})
    handed_in = campus.gradebook.latest(item, zoe)
    assert handed_in is not None
    assert (handed_in.activity_progress, handed_in.grading_progress) == ("Completed", "PendingManual")
    assert (handed_in.given, handed_in.submitted_at) == (None, "2026-01-02T03:04:05Z")
    assert service.get(service.results, RESULTS_TYPE).json == []
    service.post_score(
        scoreGiven=4,
        scoreMaximum=5,
        gradingProgress="FullyGraded",
        comment="Gut! 👍",
        **{"https://canvas.instructure.com/lti/submission": {"new_submission": False}},
    )
    results = service.get(service.results, RESULTS_TYPE)
    assert results.content_type == RESULTS_TYPE
    assert [(one["userId"], one["resultScore"], one["resultMaximum"]) for one in results.json] == [
        (zoe.sub, 8.0, 10.0)
    ]
    assert results.json[0]["comment"] == "Gut! 👍"
    assert len(campus.gradebook.scores(item, zoe)) == 2
    assert service.get(f"{service.results}&user_id=nobody", RESULTS_TYPE).json == []


def test_a_later_report_without_a_score_clears_the_grade(service: Service) -> None:
    service.post_score(scoreGiven=4, scoreMaximum=5, gradingProgress="FullyGraded")
    service.post_score(activityProgress="InProgress", gradingProgress="NotReady")
    assert service.get(service.results, RESULTS_TYPE).json == []


@pytest.mark.parametrize("zone", ["Z", "+00:00", "+05:30", "-08:00"])
def test_a_timestamp_may_have_any_zone(service: Service, zone: str) -> None:
    service.post_score(timestamp=f"2026-01-02T03:04:05.678{zone}")


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"userId": None}, 400, "userId"),
        ({"userId": ""}, 400, "userId"),
        ({"userId": 7}, 400, "userId"),
        ({"userId": "nobody"}, 422, "nobody of this course"),
        ({"timestamp": None}, 400, "timestamp"),
        ({"timestamp": "2026-01-02T03:04:05"}, 400, "timestamp"),
        ({"timestamp": "2026-01-02 03:04:05Z"}, 400, "timestamp"),
        ({"timestamp": "2026-02-30T03:04:05Z"}, 400, "timestamp"),
        ({"timestamp": "20260102T030405Z"}, 400, "timestamp"),
        ({"timestamp": 1767323045}, 400, "timestamp"),
        ({"activityProgress": None}, 400, "activityProgress"),
        ({"activityProgress": "completed"}, 400, "activityProgress"),
        ({"activityProgress": "Done"}, 400, "activityProgress"),
        ({"gradingProgress": None}, 400, "gradingProgress"),
        ({"gradingProgress": "Graded"}, 400, "gradingProgress"),
        ({"scoreGiven": 1}, 400, "scoreMaximum"),
        ({"scoreGiven": 1, "scoreMaximum": 0}, 400, "scoreMaximum"),
        ({"scoreGiven": 1, "scoreMaximum": -1}, 400, "scoreMaximum"),
        ({"scoreGiven": "1", "scoreMaximum": 1}, 400, "scoreGiven"),
        ({"scoreGiven": True, "scoreMaximum": 1}, 400, "scoreGiven"),
        ({"scoreGiven": -1, "scoreMaximum": 1}, 400, "scoreGiven"),
        ({"comment": 7}, 400, "comment"),
        ({"submission": "yesterday"}, 400, "submission"),
        ({"submission": {"submittedAt": "yesterday"}}, 400, "submittedAt"),
        ({"score_given": 1}, 400, "score_given"),
    ],
)
def test_a_wrong_score_is_refused(
    campus: Campus, service: Service, changes: dict[str, Any], status: int, reason: str
) -> None:
    service.post_score(status, **changes)
    assert reason in last_refusal(campus)
    assert campus.gradebook.latest(campus.gradebook.items[0], campus.person("zoe")) is None


def test_a_teacher_cannot_be_graded(campus: Campus, service: Service) -> None:
    service.post_score(422, userId=campus.person("nora").sub)


@pytest.mark.parametrize("later", [timedelta(0), timedelta(seconds=-1), timedelta(hours=-1)])
def test_a_score_that_is_not_later_than_the_last_is_a_conflict(
    campus: Campus, service: Service, later: timedelta
) -> None:
    first = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    service.post_score(timestamp=first.isoformat())
    service.post_score(409, timestamp=(first + later).isoformat())
    assert "not later" in last_refusal(campus)
    service.post_score(timestamp=first.isoformat(), userId=campus.person("sam").sub)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"userId": "a", "userId": "b"}', b'{"scoreGiven": NaN}', b"\xff\xfe"]
)
def test_a_body_that_is_not_a_json_object_is_refused(service: Service, body: bytes) -> None:
    service.send("post", service.scores, SCORE_TYPE, body, 400)


@pytest.mark.parametrize(
    "media", ["application/json", SCORE_TYPE + "; charset=utf-8", "application/vnd.ims.lis.v2.score+json", ""]
)
def test_a_score_of_another_media_type_is_refused(campus: Campus, service: Service, media: str) -> None:
    service.send("post", service.scores, media, service.score(), 415)
    assert "Content-Type" in last_refusal(campus)


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", LINEITEMS_TYPE + ", */*"])
def test_another_accept_header_is_refused(service: Service, accept: str) -> None:
    service.get(service.items, accept, 406)
    service.get(service.item, accept, 406)
    service.get(service.results, accept, 406)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer made-up", "bearer {token}", "Basic {token}", "{token}"]
)
def test_a_request_without_a_good_token_is_refused(service: Service, header: str | None) -> None:
    good = service.headers.pop("Authorization").removeprefix("Bearer ")
    if header is not None:
        service.headers["Authorization"] = header.replace("{token}", good)
    answer = service.send("post", service.scores, SCORE_TYPE, service.score(), 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_expired_or_revoked_token_is_refused(
    campus: Campus, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    campus.tokens.revoke_all()
    service.post_score(401)
    assert "revoked" in last_refusal(campus)
    service.headers["Authorization"] = f"Bearer {service.token(SCORE)}"
    late = time.time() + 3600
    monkeypatch.setattr("tests.campus.tokens.time.time", lambda: late)
    service.post_score(401)
    assert "expired" in last_refusal(campus)


OPERATIONS = {
    "list line items": ("get", "items", {LINEITEM, LINEITEM_READONLY}),
    "create a line item": ("post", "items", {LINEITEM}),
    "read a line item": ("get", "item", {LINEITEM, LINEITEM_READONLY}),
    "change a line item": ("put", "item", {LINEITEM}),
    "post a score": ("post", "scores", {SCORE}),
    "read results": ("get", "results", {RESULT_READONLY}),
    "remove a line item": ("delete", "item", {LINEITEM}),
}


@pytest.mark.parametrize("scope", [LINEITEM, LINEITEM_READONLY, RESULT_READONLY, SCORE])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_asks_for_its_scope(
    campus: Campus, service: Service, operation: str, scope: str
) -> None:
    method, where, enough = OPERATIONS[operation]
    headers = {"Authorization": f"Bearer {service.token(scope)}"}
    answer = getattr(service.server, method)(getattr(service, where), headers=headers, expect_errors=True)
    if scope in enough:
        assert answer.status_int not in (401, 403)
    else:
        assert answer.status_int == 403
        assert "insufficient_scope" in answer.headers["WWW-Authenticate"]
        assert "lacks" in last_refusal(campus)


def test_the_query_is_part_of_a_line_items_address(service: Service) -> None:
    service.scores = service.item.partition("?")[0] + "/scores"
    service.post_score(404)
    service.scores = service.item + "/scores"
    service.post_score(405)
    service.scores = service.item.replace("type_id=7", "type_id=8").replace("?", "/scores?")
    service.post_score(404)


def test_another_course_and_an_unknown_line_item_are_not_found(service: Service) -> None:
    service.get(service.items.replace("course-", "other-"), LINEITEMS_TYPE, 404)
    service.get(service.item.replace("/41/", "/999/"), LINEITEM_TYPE, 404)
    service.scores = service.scores.replace("/41/", "/999/")
    service.post_score(404)


def test_a_tool_makes_finds_changes_and_removes_a_line_item(campus: Campus, service: Service) -> None:
    wanted = {
        "label": "Übung",
        "scoreMaximum": 40,
        "resourceId": "r-1",
        "tag": "grade",
        "resourceLinkId": campus.link().id,
        "endDateTime": "2026-12-24T18:00:00Z",
    }
    made = service.send("post", service.items, LINEITEM_TYPE, wanted, 201)
    assert made.content_type == LINEITEM_TYPE
    assert made.json == wanted | {"id": made.headers["Location"]}
    found = service.get(f"{service.items}&resource_id=r-1&tag=grade", LINEITEMS_TYPE)
    assert found.content_type == LINEITEMS_TYPE
    assert found.json == [made.json]
    assert service.get(f"{service.items}&resource_id=r-2", LINEITEMS_TYPE).json == []
    assert "lineitem" not in campus.claims("zoe")[ags("endpoint")], "the link has two columns now"
    item = service.path(made.json["id"])
    changed = service.send("put", item, LINEITEM_TYPE, made.json | {"label": "Probe"}, 200)
    assert service.get(item, LINEITEM_TYPE).json == changed.json == made.json | {"label": "Probe"}
    service.server.delete(item, headers=service.headers, status=204)
    service.get(item, LINEITEM_TYPE, 404)
    assert "lineitem" in campus.claims("zoe")[ags("endpoint")]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"label": None}, 400),
        ({"label": " "}, 400),
        ({"label": 7}, 400),
        ({"scoreMaximum": None}, 400),
        ({"scoreMaximum": 0}, 400),
        ({"scoreMaximum": "10"}, 400),
        ({"id": "http://campus.localhost/mine"}, 400),
        ({"tag": 7}, 400),
        ({"resourceID": "r-1"}, 400),
        ({"endDateTime": "tomorrow"}, 400),
        ({"gradesReleased": "yes"}, 400),
        ({"resourceLinkId": "another-link"}, 404),
    ],
)
def test_a_wrong_line_item_is_refused(
    campus: Campus, service: Service, changes: dict[str, Any], status: int
) -> None:
    body = {"label": "L", "scoreMaximum": 10} | changes
    body = {name: value for name, value in body.items() if value is not None}
    service.send("post", service.items, LINEITEM_TYPE, body, status)
    assert len(campus.gradebook.items) == 2
    service.send("post", service.items, "application/json", {"label": "L", "scoreMaximum": 10}, 415)


def test_a_line_item_keeps_its_address_and_its_link(campus: Campus, service: Service) -> None:
    body = service.get(service.item, LINEITEM_TYPE).json
    service.send("put", service.item, LINEITEM_TYPE, body | {"id": body["id"] + "1"}, 400)
    other = campus.course.links[1].id
    service.send("put", service.item, LINEITEM_TYPE, body | {"resourceLinkId": other}, 400)


def test_lists_come_in_pages_with_links_to_the_next(service: Service) -> None:
    for label in ("a", "b", "c"):
        service.send("post", service.items, LINEITEM_TYPE, {"label": label, "scoreMaximum": 1}, 201)
    labels, address, pages = [], f"{service.items}&limit=2", 0
    while address:
        page = service.get(address, LINEITEMS_TYPE)
        labels += [item["label"] for item in page.json]
        following = re.fullmatch(r'<(.+)>; rel="next"', page.headers.get("Link", ""))
        address = service.path(following[1]) if following else ""
        pages += 1
    assert (labels[2:], pages) == (["a", "b", "c"], 3)
    service.get(f"{service.items}&limit=0", LINEITEMS_TYPE, 400)
    service.get(f"{service.items}&limit=many", LINEITEMS_TYPE, 400)
