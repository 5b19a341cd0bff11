"""campus' deep linking: its request, and what it refuses in an answer, one row for each check."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from webtest import TestApp

from tests.campus import Campus, Config, ags, dl, lti
from tests.campus.errands import Settings
from tests.campus.errors import Refused
from tests.campus.keys import public_pem
from tests.campus.wire import LINEITEM_TYPE
from tests.functional.campus.good_tool import CLIENT, LAUNCH, Chosen, Service, last_refusal, posted, read

LTI_LINK = {"type": "ltiResourceLink", "title": "Exercise 9", "url": LAUNCH}


@pytest.fixture
def chosen(campus: Campus, keys: dict[str, rsa.RSAPrivateKey]) -> Chosen:
    """The answer of a good tool to Nóra's request: one link with all that belongs to it."""
    return Chosen(campus, keys["tool"], read(campus, campus.deep_linking_token("nora", "n")))


def test_the_request_says_what_campus_takes(campus: Campus) -> None:
    claims = read(campus, campus.deep_linking_token("nora", "a-nonce", target="window"))
    assert claims[lti("message_type")] == "LtiDeepLinkingRequest"
    assert claims["nonce"] == "a-nonce"
    assert claims[lti("target_link_uri")] == LAUNCH
    assert claims[lti("launch_presentation")]["document_target"] == "window"
    assert lti("resource_link") not in claims
    assert "lineitem" not in claims[ags("endpoint")]
    settings = claims[dl("deep_linking_settings")]
    assert settings["deep_link_return_url"].startswith(f"{campus.url}/course/content?course=")
    assert settings["accept_types"] == ["ltiResourceLink"]
    assert settings["accept_presentation_document_targets"] == ["iframe", "window"]
    assert (settings["accept_multiple"], settings["auto_create"]) == (False, True)
    assert settings["data"]


def test_a_request_may_ask_for_something_else(campus: Campus) -> None:
    settings = Settings(accept_types=("link", "file"), accept_multiple=True, title="A title", text="A text")
    claims = read(campus, campus.deep_linking_token("nora", settings=settings, without=("nonce",)))
    told = claims[dl("deep_linking_settings")]
    assert (told["accept_types"], told["accept_multiple"]) == (["link", "file"], True)
    assert (told["title"], told["text"]) == ("A title", "A text")
    assert "nonce" not in claims


def test_the_teacher_chooses_an_activity_and_finds_it_in_the_course(
    campus: Campus, server: TestApp, browser: TestApp, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    browser.get("/?as=nora")
    page = browser.get("/course").click("Add an activity")
    assert page.html.find("iframe", id="tool")["src"] == "/course/choose/open?target=iframe"
    begun = posted(browser.get(page.html.find("iframe", id="tool")["src"]))[1]
    assert begun["target_link_uri"] == LAUNCH
    wanted = {
        "scope": "openid",
        "response_type": "id_token",
        "response_mode": "form_post",
        "prompt": "none",
        "client_id": CLIENT,
        "redirect_uri": LAUNCH,
        "state": "s",
        "nonce": "n",
        "login_hint": begun["login_hint"],
        "lti_message_hint": begun["lti_message_hint"],
    }
    message = read(campus, posted(browser.get("/auth", wanted))[1]["id_token"])
    answer = Chosen(campus, keys["tool"], message).change(**{dl("msg"): "Here it is"})
    # The browser comes from another site: without campus' cookie.
    back = server.post(answer.path, {"JWT": answer.text()})
    course = browser.get(back.html.find("a", id="back")["href"])
    assert "The tool says: <bdi>Here it is</bdi>" in course.text
    assert "“<bdi>Exercise 9</bdi>” is in the course now." in course.text
    assert "the tool brings “Exercise 9”" in campus.log.accepted("content")[-1].text
    server.post(answer.path, {"JWT": answer.change(nonce="another").text()}, status=400)
    assert "was used before" in last_refusal(campus)


def test_students_choose_nothing(browser: TestApp) -> None:
    browser.get("/course/choose", status=403)
    browser.get("/course/choose/open", status=403)
    assert "Add an activity" not in browser.get("/course").text


def test_a_link_comes_with_its_column_its_dates_and_its_parameters(
    campus: Campus, chosen: Chosen, service: Service
) -> None:
    (link,) = campus.take_content_items(chosen.text())
    assert campus.course.links[-1] == link
    assert (link.title, link.points, link.resource_id, link.tag) == ("Exercise 9", 12.5, "r-9", "grade")
    assert link.due == datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC)
    message = campus.claims("zoe", link.id)
    assert message[lti("resource_link")]["id"] == link.id
    assert message[lti("target_link_uri")] == f"{LAUNCH}?exercise=9"
    custom = message[lti("custom")]
    assert (custom["exercise"], custom["who"], custom["unknown"]) == (
        "9",
        campus.person("zoe").sub,
        "$No.such",
    )
    assert custom["due"] == "2030-05-06T07:08:09Z", "the tool's parameters win over the link's"
    item = service.get(service.path(message[ags("endpoint")]["lineitem"]), LINEITEM_TYPE).json
    assert (item["label"], item["scoreMaximum"]) == ("Column 9", 12.5)
    assert (item["resourceId"], item["tag"], item["resourceLinkId"]) == ("r-9", "grade", link.id)


def test_a_link_needs_no_more_than_a_title(campus: Campus, chosen: Chosen) -> None:
    bare = {"type": "ltiResourceLink", "title": "Bare", "https://vendor.example/x": 1}
    (link,) = campus.take_content_items(chosen.items(bare).text())
    assert link.points is None
    assert campus.gradebook.items_of(link) == ()
    assert campus.claims("zoe", link.id)[lti("target_link_uri")] == LAUNCH


@pytest.mark.parametrize("nothing", [[], None])
def test_nothing_chosen_is_no_error(campus: Campus, server: TestApp, chosen: Chosen, nothing: Any) -> None:
    chosen.change(**{dl("content_items"): nothing, dl("log"): "cancelled by the teacher"})
    address = server.post(chosen.path, {"JWT": chosen.text()}).html.find("a", id="back")["href"]
    assert address == "/course"
    assert len(campus.course.links) == 2
    texts = [entry.text for entry in campus.log.accepted("content")]
    assert texts == ["nothing was chosen", "the tool's log: cancelled by the teacher"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": None}, "iss"),
        ({"iss": "http://tool.example"}, "iss"),
        ({"aud": None}, "aud"),
        ({"aud": "http://elsewhere.example"}, "aud"),
        ({"aud": ["http://elsewhere.example"]}, "aud"),
        ({"aud": lambda aud: [aud, "http://elsewhere.example"]}, "azp"),
        ({"azp": "http://elsewhere.example"}, "azp"),
        ({"iat": None}, "iat"),
        ({"iat": "now"}, "iat"),
        ({"iat": lambda iat: iat + 30}, "future"),
        ({"exp": None}, "exp"),
        ({"exp": lambda exp: exp + 0.5}, "exp"),
        ({"iat": lambda iat: iat - 200, "exp": lambda exp: exp - 100}, "expired"),
        ({"exp": lambda exp: exp + 3600}, "3600 seconds"),
        ({"nonce": None}, "nonce"),
        ({"nonce": 7}, "nonce"),
        ({lti("version"): None}, "version"),
        ({lti("version"): "1.3"}, "version"),
        ({lti("message_type"): None}, "message_type"),
        ({lti("message_type"): "LtiDeepLinkingRequest"}, "message_type"),
        ({lti("deployment_id"): None}, "deployment_id"),
        ({lti("deployment_id"): "CAMPUS-1"}, "deployment_id"),
        ({dl("data"): None}, "data"),
        ({dl("data"): lambda data: data.strip() + " "}, "data"),
        ({dl("data"): lambda data: data.replace("&", "&amp;")}, "data"),
        ({dl("data"): {"a": 1}}, "data"),
        ({dl("msg"): 7}, "msg"),
        ({dl("content_items"): LTI_LINK}, "not an array"),
        ({dl("content_items"): "[]"}, "not an array"),
        ({dl("content_items"): ["ltiResourceLink"]}, "not an object"),
        ({dl("content_items"): [LTI_LINK, LTI_LINK]}, "where one was asked for"),
    ],
)
def test_a_wrong_answer_is_refused(
    campus: Campus, server: TestApp, chosen: Chosen, changes: dict[str, Any], reason: str
) -> None:
    server.post(chosen.path, {"JWT": chosen.change(**changes).text()}, status=400)
    assert reason in last_refusal(campus)
    assert len(campus.course.links) == 2
    with pytest.raises(Refused):
        campus.take_content_items(chosen.text())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": None}, "type"),
        ({"type": "link"}, "not asked for"),
        ({"title": None, "lineItem": None}, "title"),
        ({"title": 7}, "title"),
        ({"text": []}, "text"),
        ({"url": "https://evil.example/launch"}, "origin"),
        ({"url": "http://tool.example.evil.example/"}, "origin"),
        ({"url": "http://tool.example@evil.example/"}, "url"),
        ({"url": "https://tool.example/launch"}, "origin"),
        ({"url": "/launch"}, "url"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"custom": []}, "custom"),
        ({"custom": {"n": 1}}, "custom.n"),
        ({"custom": {"n": None}}, "custom.n"),
        ({"custom": {"": "x"}}, "custom"),
        ({"lineItem": []}, "lineItem"),
        ({"lineItem": {"label": "L"}}, "scoreMaximum"),
        ({"lineItem": {"scoreMaximum": 0}}, "scoreMaximum"),
        ({"lineItem": {"scoreMaximum": -1}}, "scoreMaximum"),
        ({"lineItem": {"scoreMaximum": "10"}}, "scoreMaximum"),
        ({"lineItem": {"scoreMaximum": True}}, "scoreMaximum"),
        ({"lineItem": {"scoreMaximum": 1, "label": 7}}, "label"),
        ({"lineItem": {"scoreMaximum": 1, "resourceId": 7}}, "resourceId"),
        ({"lineItem": {"scoreMaximum": 1, "tag": 7}}, "tag"),
        ({"lineItem": {"scoreMaximum": 1, "resourceID": "x"}}, "resourceID"),
        ({"lineItem": {"scoreMaximum": 1, "submissionReview": {"url": "http://x.example/"}}}, "origin"),
        ({"lineItem": {"scoreMaximum": 1, "submissionReview": {"reviewableStatus": ["Done"]}}}, "Status"),
        ({"submission": {"endDateTime": "2030-05-06T07:08:09"}}, "with a zone"),
        ({"submission": {"endDateTime": "2030-05-06"}}, "with a zone"),
        ({"submission": {"endDateTime": None}}, "with a zone"),
        ({"submission": {"until": "2030-05-06T07:08:09Z"}}, "until"),
        ({"available": "2030-05-06T07:08:09Z"}, "available"),
        (
            {"available": {"startDateTime": "2030-01-02T00:00:00Z", "endDateTime": "2030-01-01T00:00:00Z"}},
            "before it begins",
        ),
        ({"icon": {"width": 16}}, "icon.url"),
        ({"iframe": {"width": "wide"}}, "iframe.width"),
        ({"targetLinkUri": LAUNCH}, "targetLinkUri"),
    ],
)
def test_a_wrong_content_item_is_refused(
    campus: Campus, chosen: Chosen, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        campus.take_content_items(chosen.change_item(**changes).text())
    assert len(campus.course.links) == 2


def test_several_items_come_where_several_were_asked_for(
    campus: Campus, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    message = read(campus, campus.deep_linking_token("nora", settings=Settings(accept_multiple=True)))
    answer = Chosen(campus, keys["tool"], message).items(LTI_LINK, LTI_LINK | {"title": "Exercise 10"})
    assert [link.title for link in campus.take_content_items(answer.text())] == ["Exercise 9", "Exercise 10"]


def test_a_line_item_comes_only_where_it_was_asked_for(
    campus: Campus, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    message = read(campus, campus.deep_linking_token("nora", settings=Settings(accept_line_item=False)))
    with pytest.raises(Refused, match="lineItem"):
        campus.take_content_items(Chosen(campus, keys["tool"], message).text())


def _no_kid(chosen: Chosen) -> None:
    del chosen.header["kid"]


def _none(chosen: Chosen) -> None:
    chosen.algorithm = chosen.header["alg"] = "none"


def _rs512(chosen: Chosen) -> None:
    chosen.algorithm = chosen.header["alg"] = "RS512"


def _public_key_as_secret(chosen: Chosen) -> None:
    chosen.key = public_pem(chosen.key)
    chosen.algorithm = chosen.header["alg"] = "HS256"


def _unknown_kid(chosen: Chosen) -> None:
    chosen.header["kid"] = "unknown"


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (_no_kid, "kid"),
        (_unknown_kid, "0 keys"),
        (_none, "none"),
        (_rs512, "RS512"),
        (_public_key_as_secret, "HS256"),
    ],
)
def test_an_answer_that_is_not_signed_as_it_should_is_refused(
    campus: Campus, chosen: Chosen, forge: Callable[[Chosen], None], reason: str
) -> None:
    forge(chosen)
    with pytest.raises(Refused, match=reason):
        campus.take_content_items(chosen.text())


def test_an_answer_of_a_strangers_key_is_refused(
    campus: Campus, chosen: Chosen, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    chosen.key = keys["stranger"]
    with pytest.raises(Refused, match="verify"):
        campus.take_content_items(chosen.text())
    with pytest.raises(Refused, match="not a JWT"):
        campus.take_content_items("eyJ")
    with pytest.raises(Refused, match="longer"):
        campus.take_content_items("x" * 70_000)


def test_a_nonce_and_a_request_are_good_for_one_answer(
    campus: Campus, chosen: Chosen, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    nonce = chosen.claims["nonce"]
    campus.take_content_items(chosen.text())
    with pytest.raises(Refused, match="still open"):
        campus.take_content_items(chosen.change(nonce="another").text())
    again = Chosen(campus, keys["tool"], read(campus, campus.deep_linking_token("nora")))
    with pytest.raises(Refused, match="nonce was used before"):
        campus.take_content_items(again.change(nonce=nonce).text())


def test_the_answers_form_and_address_are_as_campus_gave_them(
    campus: Campus, server: TestApp, chosen: Chosen, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    other = Chosen(campus, keys["tool"], read(campus, campus.deep_linking_token("nora")))
    token = chosen.text()
    server.post(chosen.path.partition("?")[0], {"JWT": token}, status=400)
    server.post(chosen.path + "&more=1", {"JWT": token}, status=400)
    server.post(chosen.path, {"jwt": token}, status=400)
    server.post(chosen.path, {"JWT": token, "id_token": token}, status=400)
    server.post(chosen.path, [("JWT", token), ("JWT", token)], status=400)
    server.post_json(chosen.path, {"JWT": token}, status=400)
    server.get(chosen.path, status=405)
    server.post(other.path, {"JWT": token}, status=400)
    assert "data is not what the request of this return address had" in last_refusal(campus)
    assert len(campus.course.links) == 2
    server.post(chosen.path, {"JWT": token})


def test_a_platform_without_data_knows_the_request_by_its_address(
    campus: Campus, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    behaviour = replace(campus.config.behaviour, deep_linking_data=False)
    plain = Campus(replace(campus.config, behaviour=behaviour), keys["campus"])
    message = read(plain, plain.deep_linking_token("nora"))
    assert "data" not in message[dl("deep_linking_settings")]
    with pytest.raises(Refused, match="data"):
        plain.take_content_items(Chosen(plain, keys["tool"], message).change(**{dl("data"): ""}).text())
    TestApp(plain.app).post(
        Chosen(plain, keys["tool"], message).path, {"JWT": Chosen(plain, keys["tool"], message).text()}
    )
    assert len(plain.course.links) == 3


def test_an_old_request_is_answered_in_vain(
    campus: Campus, chosen: Chosen, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = time.monotonic() + 3601
    monkeypatch.setattr("tests.campus.selections.time.monotonic", lambda: late)
    with pytest.raises(Refused, match="still open"):
        campus.take_content_items(chosen.text())


def test_content_may_be_chosen_elsewhere_than_links_point(keys: dict[str, rsa.RSAPrivateKey]) -> None:
    config = Config(tool_url="http://tool.example", port=None, deep_linking_url="http://tool.example/choose")
    campus = Campus(config, keys["campus"])
    assert campus.deep_linking_initiation("nora")["target_link_uri"] == "http://tool.example/choose"
    assert campus.initiation("nora")["target_link_uri"] == LAUNCH
