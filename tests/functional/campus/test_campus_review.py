"""campus' submission review requests, and the ways to them."""

import pytest
from webtest import TestApp

from tests.campus import Campus, ags, lti
from tests.campus.course import Link, Review
from tests.campus.wire import LINEITEM_TYPE
from tests.functional.campus.good_tool import LAUNCH, Service, authentication_request, posted, read

REVIEWED = Link(
    "link-r",
    "Reviewed",
    "",
    None,
    5.0,
    f"{LAUNCH}?x=1",
    {"mine": "link", "who": "$User.id"},
    review=Review(f"{LAUNCH}?look=1", "Look at it", ("InProgress",), {"mine": "review", "more": "yes"}),
)


def test_a_request_says_whose_submission_and_of_which_line_item(campus: Campus) -> None:
    claims = read(campus, campus.review_token("nora", "zoe", "a-nonce", target="window"))
    zoe = campus.person("zoe")
    assert claims[lti("message_type")] == "LtiSubmissionReviewRequest"
    assert (claims["sub"], claims["nonce"]) == (campus.person("nora").sub, "a-nonce")
    assert claims[lti("for_user")]["user_id"] == zoe.sub
    assert claims[lti("for_user")]["roles"] == list(zoe.roles)
    assert claims[lti("target_link_uri")] == LAUNCH
    assert claims[lti("resource_link")]["id"] == campus.link().id
    assert claims[ags("endpoint")]["lineitem"] == campus.gradebook.item_url(campus.gradebook.items[0])


def test_a_link_may_say_where_its_submissions_are_shown(campus: Campus) -> None:
    campus.add_link(REVIEWED)
    claims = read(campus, campus.review_token("zoe", "zoe", link="link-r", without=("nonce",)))
    assert claims[lti("target_link_uri")] == f"{LAUNCH}?look=1"
    custom = claims[lti("custom")]
    assert (custom["mine"], custom["more"], custom["who"]) == ("link", "yes", campus.person("zoe").sub)
    assert "nonce" not in claims


def test_without_a_column_there_is_nothing_to_review(campus: Campus) -> None:
    campus.add_link(Link("link-p", "Playground", "", None, None))
    with pytest.raises(KeyError):
        campus.review_token("nora", "zoe", link="link-p")


def test_the_gradebook_leads_to_what_was_handed_in(
    campus: Campus, service: Service, browser: TestApp
) -> None:
    assert "Submission<" not in browser.get("/course/gradebook").text
    service.post_score(activityProgress="InProgress", gradingProgress="NotReady")
    assert "Submission<" not in browser.get("/course/gradebook").text
    service.post_score()
    page = browser.get("/course/gradebook").click("Submission")
    assert page.html.find("h1").text == "Zoë Müller: Exercise 1: First steps in Python"
    begun = posted(browser.get(page.html.find("iframe", id="tool")["src"]))[1]
    wanted = authentication_request(campus, lti_message_hint=begun["lti_message_hint"])
    message = read(campus, posted(browser.get("/auth", wanted))[1]["id_token"])
    assert message[lti("for_user")]["user_id"] == message["sub"] == campus.person("zoe").sub
    browser.get("/?as=nora")
    assert "of Zoë Müller" in browser.get("/course/gradebook").text
    browser.get(f"/course/review/{campus.gradebook.items[0].id}/zoe")


def test_a_line_item_may_name_its_own_way_to_review(
    campus: Campus, service: Service, browser: TestApp
) -> None:
    body = service.get(service.item, LINEITEM_TYPE).json
    review = {"reviewableStatus": ["InProgress"], "label": "Look at it", "url": f"{LAUNCH}?look=1"}
    changed = service.send("put", service.item, LINEITEM_TYPE, body | {"submissionReview": review}, 200)
    assert changed.json["submissionReview"] == review
    service.post_score(activityProgress="InProgress", gradingProgress="NotReady")
    assert "Look at it" in browser.get("/course/gradebook").text
    service.post_score()
    assert "Look at it" not in browser.get("/course/gradebook").text
    assert campus.review_initiation("nora", "zoe")["target_link_uri"] == f"{LAUNCH}?look=1"
    wrong = body | {"submissionReview": {"reviewableStatus": ["Done"]}}
    service.send("put", service.item, LINEITEM_TYPE, wrong, 400)


def test_students_see_nobody_elses(campus: Campus, browser: TestApp) -> None:
    item = campus.gradebook.items[0].id
    browser.get(f"/course/review/{item}/sam", status=403)
    browser.get(f"/course/review/{item}/sam/open", status=403)
    browser.get(f"/course/review/{item}/nobody", status=404)
    browser.get("/course/review/999/zoe", status=404)


def test_a_column_of_no_link_has_nothing_to_review(
    campus: Campus, service: Service, browser: TestApp
) -> None:
    service.send("post", service.items, LINEITEM_TYPE, {"label": "Own", "scoreMaximum": 1}, 201)
    service.scores = service.path(campus.gradebook.item_url(campus.gradebook.items[-1])).replace(
        "?", "/scores?"
    )
    service.post_score()
    assert "Submission<" not in browser.get("/course/gradebook").text
    browser.get(f"/course/review/{campus.gradebook.items[-1].id}/zoe", status=404)
