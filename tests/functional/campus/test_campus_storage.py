"""campus' Platform Storage, in Chromium: a tool's page in campus' frame writes and reads."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from playwright.sync_api import Frame, Page
from webtest import TestApp

from tests.campus import Campus, Config
from tests.functional.campus.good_tool import STRANGER, TOOL, posted

#: Sends a message to the parent, the opener or a frame beside, as a tool does; answers with the response.
ASK = """([message, target]) => new Promise((resolve, reject) => {
  const above = window.parent === window ? window.opener : window.parent;
  const to = target === "_parent" ? above : above.frames[target];
  setTimeout(() => reject(new Error("no answer")), 30000);
  window.addEventListener("message", (event) => {
    if (event.data.message_id !== message.message_id || event.source !== to) return;
    resolve({ ...event.data, from: event.origin });
  });
  to.postMessage(message, "*");
})"""


def campus_with(storage: str, key: rsa.RSAPrivateKey) -> Campus:
    return Campus(Config(tool_url=TOOL, storage=storage), key)


def launch(campus: Campus, page: Page, url: str = "") -> Frame:
    """The tool in its frame, or whatever else stands there."""
    page.goto(f"{campus.url}/course/launch/{campus.link().id}?as=zoe")
    page.frame_locator("#tool").get_by_text("The tool").wait_for()
    frame = page.frame(name="tool")
    assert frame is not None
    if url:
        frame.goto(url)
    return frame


def ask(frame: Frame | Page, target: str, subject: str, **members: Any) -> dict[str, Any]:
    message = {"subject": subject, "message_id": f"m-{subject}-{len(members)}"} | members
    answer: dict[str, Any] = frame.evaluate(ASK, [message, target])
    assert answer["subject"] == f"{subject}.response"
    return answer


@pytest.mark.parametrize("storage", ["_parent", "storage_frame"])
def test_a_tool_keeps_its_state_where_campus_says(
    page: Page, keys: dict[str, rsa.RSAPrivateKey], storage: str
) -> None:
    with campus_with(storage, keys["campus"]) as campus:
        tool = launch(campus, page)
        said = ask(tool, "_parent", "lti.capabilities")
        assert said["from"] == campus.url
        subjects = {each["subject"]: each.get("frame", "_parent") for each in said["supported_messages"]}
        assert subjects["lti.put_data"] == subjects["lti.get_data"] == storage
        put = ask(tool, storage, "lti.put_data", key="state-1", value="ü")
        assert (put["key"], put["value"], put["from"]) == ("state-1", "ü", campus.url)
        # The frame goes to campus' authorization endpoint and comes back: what was kept is still there.
        tool.goto(f"{TOOL}/launch")
        assert ask(tool, storage, "lti.get_data", key="state-1")["value"] == "ü"
        assert ask(tool, storage, "lti.get_data", key="state-2")["value"] is None
        ask(tool, storage, "lti.put_data", key="state-1", value=None)
        assert ask(tool, storage, "lti.get_data", key="state-1")["value"] is None


def test_a_tool_in_a_window_asks_the_page_that_opened_it(
    page: Page, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    with campus_with("_parent", keys["campus"]) as campus:
        page.goto(f"{campus.url}/course?as=zoe")
        with page.expect_popup() as opened:
            page.get_by_role("link", name="New tab").first.click()
        tool = opened.value
        tool.get_by_text("The tool").wait_for()
        ask(tool, "_parent", "lti.put_data", key="k", value="v")
        assert ask(tool, "_parent", "lti.get_data", key="k")["value"] == "v"


def test_what_is_wrong_is_answered_with_an_error(page: Page, keys: dict[str, rsa.RSAPrivateKey]) -> None:
    with campus_with("_parent", keys["campus"]) as campus:
        tool = launch(campus, page)

        def code(subject: str, **members: Any) -> str:
            return str(ask(tool, "_parent", subject, **members)["error"]["code"])

        assert code("lti.put_data", key="", value="v") == "bad_request"
        assert code("lti.put_data", key=7, value="v") == "bad_request"
        assert code("lti.put_data", key="k", value=7) == "bad_request"
        assert code("lti.put_data", key="k", value="x" * 5000) == "storage_exhaustion"
        assert code("lti.get_data") == "bad_request"
        assert code("lti.fetch", key="k") == "unsupported_subject"
        assert code("lti.get_data", key="k", message_id=7) == "bad_request"
        launch(campus, page, f"{STRANGER}/")
        tool = page.frame(name="tool")  # type: ignore[assignment]
        assert code("lti.get_data", key="k") == "wrong_origin"


def test_the_page_does_not_keep_what_belongs_into_the_frame(
    page: Page, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    with campus_with("storage_frame", keys["campus"]) as campus:
        tool = launch(campus, page)
        answer = ask(tool, "_parent", "lti.put_data", key="k", value="v")
        assert answer["error"]["code"] == "wrong_frame"


def test_the_login_initiation_says_where(keys: dict[str, rsa.RSAPrivateKey]) -> None:
    config = Config(tool_url=TOOL, port=None, storage="storage_frame")
    server = TestApp(Campus(config, keys["campus"]).app)
    link = Campus(config, keys["campus"]).link()
    server.get("/?as=zoe")
    begun = posted(server.get(f"/course/open/{link.id}"))[1]
    assert begun["lti_storage_target"] == "storage_frame"
    assert server.get("/course").html.find("iframe", attrs={"name": "storage_frame"})["src"] == "/storage"
    server.get("/storage")


def test_without_storage_there_is_nothing_of_it(campus: Campus, server: TestApp, browser: TestApp) -> None:
    assert "lti_storage_target" not in campus.initiation("zoe")
    assert "storage.js" not in browser.get("/course").text
    server.get("/storage", status=404)
    behaviour = replace(campus.config.behaviour, storage="_parent")
    own = Campus(Config(port=None, behaviour=behaviour))
    assert own.initiation("zoe")["lti_storage_target"] == "_parent"
    none = Campus(Config(port=None, behaviour=behaviour, storage=""))
    assert "lti_storage_target" not in none.initiation("zoe")
