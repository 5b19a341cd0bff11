"""The pages as they are rendered: what each state shows, what is never let through, who can use them.

What the scripts do with them is for the browser tests.
"""

import json
import re
from pathlib import Path

import jinja2
import pytest
from bs4 import BeautifulSoup, Tag

PACKAGE = Path(__file__).parents[2] / "ipylti"
STATIC = PACKAGE / "static"
HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&"""
NOTEBOOK = "https://abc.notebook.example"
TOOL = "https://tool.example"


class Request:
    """As much of a request as the pages use."""

    locale_name = "en"
    request_id = "r"

    def static_path(self, spec: str) -> str:
        return "/static/" + spec.removeprefix("ipylti:static/")


@pytest.fixture(scope="module")
def templates() -> jinja2.Environment:
    """Autoescaping as in pyramid_jinja2, and stricter: a name that no view passes is an error."""
    files = jinja2.FileSystemLoader(PACKAGE / "templates")
    return jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.PrefixLoader({"ipylti:templates": files}),
    )


@pytest.fixture
def render(templates: jinja2.Environment):
    def page(name: str, **context) -> BeautifulSoup:
        request = context.pop("request", Request())
        html = templates.get_template(f"ipylti:templates/{name}.jinja2").render(request=request, **context)
        return BeautifulSoup(html, "html.parser")

    return page


def status(state: str = "ready", **changes) -> dict:
    return {
        "state": state,
        "step": None,
        "progress": None,
        "bytes": None,
        "position": None,
        "wait": None,
        "url": f"{NOTEBOOK}/_ipylti/enter?ticket=once&next=1" if state == "ready" else None,
        "extension": True if state == "ready" else None,
        "ends_at": None,
        "error": None,
        "notices": [],
        "submission": submission(),
    } | changes


def submission(state: str = "none", lms: str = "none", message: str = "") -> dict:
    handed_in = state != "none"
    return {
        "number": int(handed_in),
        "state": state,
        "submitted_at": "2026-03-01T14:03:00Z" if handed_in else None,
        "lms": lms,
        "message": message,
    }


def workbench(**changes) -> dict:
    return {
        "title": "Rain in numbers",
        "description": "Load rain.csv.",
        "role": "student",
        "course": "Data science",
        "launch_id": "l1",
        "due_at": "2026-03-02T12:00:00Z",
        "available_until": None,
        "csrf_token": "csrf",
        "submit_url": "/submit/l1",
        "status_url": "/launches/l1/status",
        "awake_url": "/launches/a/awake",
        "tab_url": "/launches/l1/tab",
        "people_url": None,
        "limits_url": None,
        "session_token": None,
        "close_url": "https://lms.example/back",
        "close_on_top": False,
        "notebook_origin": NOTEBOOK,
        "can_submit": True,
        "test_user": False,
        "status": status(),
    } | changes


FAILED = {"code": "server.timeout", "message": "Your notebook didn't start in time.", "request_id": "r-1"}
LAUNCH = {
    "title": "Rain",
    "course": "Data science",
    "staff": True,
    "csrf_token": "csrf",
    "session_token": None,
    "workbench_url": "/launches/a",
    "people_url": "/launches/a/submissions",
}


def person(name, **changes):
    """A row of the page of submissions."""
    return {
        "name": name,
        "left": False,
        "test_user": False,
        "working_since": "2031-05-01T12:00:00+00:00",
        "number": 2,
        "submitted_at": "2031-05-01T12:00:00+00:00",
        "late": True,
        "delivery": "Your course didn't take it.",
        "delivery_state": "failed",
        "url": "/launches/a/submissions/1",
        "resend_url": "/launches/a/submissions/1/resend",
    } | changes


PAGES = {
    "workbench": workbench(),
    "waking": {"awake_url": "/_ipylti/awake", "static_origin": TOOL, "status": status("queued")},
    "launch_again": {"static_origin": TOOL},
    "error": {
        "title": "Too old",
        "message": "Launch again.",
        "code": "x",
        "request_id": "r",
        "close_url": None,
    },
    "selection": {
        "course": "Data science",
        "given": {"title": "Rain", "points": "10"},
        "problems": {"points": "Give points."},
        "copies": [],
        "images": [],
        "limits_offered": {"memory": [("536870912", "512 MiB")]},
        "egress_offered": True,
        "graded_offered": True,
        "csrf_token": "csrf",
        "session_token": None,
    },
    "limits": LAUNCH
    | {
        "given": {"memory": "1"},
        "problems": {"memory": "Choose one of the amounts in the list."},
        "offered": {"memory": [("536870912", "512 MiB")], "cpus": [("0.5", "0.5 cores"), ("1", "1 core")]},
        "usual": {"memory": "1 GiB", "cpus": ""},
        "software": "R",
        "volume_size": "2 GiB",
        "saved": True,
        "save_url": "/launches/a/limits/save",
    },
    "people": LAUNCH
    | {
        "rows": [person("<b>Zoë</b>"), person("Layla", submitted_at=None, url=None), person("", left=True)],
        "counted": 3,
        "handed_in": 2,
        "failed": 2,
        "resend_all_url": "/launches/a/submissions/all/resend",
        "roster_at": "2031-05-01T12:00:00+00:00",
    },
    "submission": LAUNCH
    | {
        "number": 2,
        "person": "Zoë",
        "submitted_at": "2031-05-01T12:00:00+00:00",
        "late": True,
        "frozen": True,
        "digest": "a" * 64,
        "size": 2048,
        "files": 2000,
        "entries": [
            {"kind": "file", "size": 5, "path": "<i>.ipynb"},
            {"kind": "folder", "size": None, "path": "d"},
        ],
        "delivery": "Your course didn't take it.",
        "delivery_state": "failed",
        "resend_url": "/launches/a/submissions/1/resend",
    },
    "returning": {"return_url": "https://lms.example/return?a=1", "jwt": "a.b.c", "chosen": True},
    "leaving": {
        "location": "https://lms.example/auth?state=s&nonce=n",
        "state": "s",
        "secret": "x",
        "storage": "_parent",
        "storage_origin": "https://lms.example",
        "ticket_url": "/login/ticket",
    },
    "matching": {
        "parked": "p",
        "state": "s",
        "storage": "_parent",
        "storage_origin": "https://lms.example",
        "match_url": "/launch/match",
    },
    "registration": {
        "registered": {
            "issuer": "https://lms.example",
            "client_id": "client",
            "deployment": "1",
            "services": ["send scores"],
            "missing": ["see who is in the course"],
        },
        "next_steps": ["Switch the tool on."],
        "url": None,
    },
    "home": {"urls": [("Login URL", f"{TOOL}/login")]},
}


def seen(page: Tag) -> str:
    """Return the words that are in the page for a person: no templates, nothing hidden, no data."""
    page = BeautifulSoup(str(page), "html.parser")
    for part in page.select("template, [hidden], script, style, noscript, dialog"):
        part.decompose()
    return " ".join(page.get_text(" ").split())


# -- every page ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_language_title_viewport_one_main_and_one_heading(render, name):
    page = render(name, **PAGES[name])
    assert page.html["lang"] == "en" and page.html["dir"] == "ltr"
    assert page.title.get_text(strip=True)
    assert page.find("meta", attrs={"name": "viewport"})
    assert len(page.find_all("main")) == 1
    assert len([each for each in page.find_all("h1") if not each.find_parent("template")]) == 1


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_no_inline_script_or_style(render, name):
    page = render(name, **PAGES[name])
    for script in page.find_all("script"):
        assert script.get("src") or script["type"] == "application/json"
    assert not page.find_all("style")
    for tag in page.find_all(True):
        assert not [name for name in tag.attrs if name == "style" or name.startswith("on")], tag


@pytest.mark.parametrize("name", PAGES)
def test_static_files_that_a_page_names_exist(render, name):
    page = render(name, **PAGES[name])
    named = [tag.get("src") or tag.get("href") for tag in page.select("script[src], link[href], img[src]")]
    for url in named:
        origin, path = re.fullmatch(r"(https://[^/]+)?/static/(.+)", url).groups()
        assert origin == PAGES[name].get("static_origin")
        assert (STATIC / path).is_file()


@pytest.mark.parametrize("name", PAGES)
def test_ids_are_unique_and_references_lead_somewhere(render, name):
    page = render(name, **PAGES[name])
    ids = [tag["id"] for tag in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    for attribute in ("aria-labelledby", "aria-describedby", "for"):
        for tag in page.find_all(attrs={attribute: True}):
            assert tag[attribute] in ids


def test_scripts_import_only_files_that_exist():
    for script in STATIC.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', script.read_text()):
            assert (STATIC / name).is_file()


def test_a_page_in_a_right_to_left_language_says_so(render):
    class Arabic(Request):
        locale_name = "ar-EG"

    assert render("launch_again", request=Arabic(), static_origin=TOOL).html["dir"] == "rtl"


# -- the workbench -------------------------------------------------------------------------------------------


def test_a_ready_notebook_is_in_its_frame_before_any_script_runs(render):
    page = render("workbench", **workbench())
    frame = page.find("iframe")
    assert frame["src"] == f"{NOTEBOOK}/_ipylti/enter?ticket=once&next=1"
    assert frame["title"] == "Notebook: Rain in numbers"
    assert frame["allow"] == "clipboard-read; clipboard-write; fullscreen"
    assert page.find(id="panel").has_attr("hidden")
    assert not page.find(id="submit").has_attr("disabled")


@pytest.mark.parametrize(
    ("state", "changes", "words"),
    [
        ("queued", {"step": "queue", "position": 3}, "Starting your notebook"),
        ("starting", {"step": "copy", "progress": 12}, "Starting your notebook"),
        ("not_ready", {}, "Your teacher hasn't saved anything yet"),
        ("stopped", {}, "Your notebook has stopped"),
        ("failed", {"error": FAILED}, "Your notebook can't run just now"),
        ("ready", {"extension": False}, "Your notebook is ready"),
    ],
)
def test_the_panel_says_how_it_is_while_there_is_no_notebook(render, state, changes, words):
    page = render("workbench", **workbench(status=status(state, **changes)))
    panel = page.find(id="panel")
    assert not panel.has_attr("hidden")
    assert seen(panel.h2) == words
    assert not page.find("iframe").has_attr("src")


def test_the_current_step_and_the_progress_are_marked(render):
    page = render("workbench", **workbench(status=status("starting", step="copy", progress=12)))
    panel = page.find(id="panel")
    assert [step["data-step"] for step in panel.select("[aria-current=step]")] == ["copy"]
    steps = ["queue", "copy", "container", "jupyter", "route"]
    assert [step["data-step"] for step in panel.select("li")] == steps
    assert panel.progress["value"] == "12"


def test_a_failure_has_sentence_code_request_and_a_way_on(render):
    panel = render("workbench", **workbench(status=status("failed", error=FAILED))).find(id="panel")
    assert "Your notebook didn't start in time." in seen(panel)
    assert "server.timeout" in seen(panel) and "r-1" in seen(panel) and "Try again" in seen(panel)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (submission(), "Not handed in yet."),
        (submission("freezing"), "Handing in…"),
        (submission("frozen"), "Handed in 2026-03-01 14:03 UTC ."),
        (submission("frozen", "waiting"), "Your course hasn't got it yet; we keep trying."),
        (submission("frozen", "delivered"), "Your course has it."),
        (submission("frozen", "failed", "No such link."), "please tell your teacher. No such link."),
        (submission("failed", message="The disk is full."), "please submit again. The disk is full."),
    ],
)
def test_the_bar_says_what_became_of_the_submission(render, what, words):
    page = render("workbench", **workbench(status=status(submission=what)))
    assert words in seen(page.find(id="submission"))


def test_of_the_submissions_states_only_its_own_is_in_the_page(render):
    page = render("workbench", **workbench(status=status(submission=submission("frozen", "delivered"))))
    assert seen(page.find(id="submission")) == "Handed in 2026-03-01 14:03 UTC . Your course has it."


def test_submit_and_the_tab_are_forms_with_a_csrf_token(render):
    page = render("workbench", **workbench())
    submit, tab = page.find(id="submit-form"), page.find("form", class_="tab")
    assert (submit["method"], submit["action"]) == ("post", "/submit/l1")
    assert (tab["method"], tab["action"], tab["target"]) == ("post", "/launches/l1/tab", "_blank")
    assert tab["rel"] == "noopener"
    for form in submit, tab:
        assert form.find("input", attrs={"name": "csrf_token"})["value"] == "csrf"


@pytest.mark.parametrize("state", ["queued", "starting", "not_ready"])
def test_nothing_can_be_handed_in_before_there_is_a_notebook(render, state):
    page = render("workbench", **workbench(status=status(state)))
    assert page.find(id="submit").has_attr("disabled")
    assert page.noscript.meta["http-equiv"] == "refresh"


def test_a_teacher_is_told_who_gets_the_folder_and_has_nothing_to_hand_in(render):
    page = render("workbench", **workbench(role="teacher", can_submit=False))
    assert "What is in this folder is what students get who start from now on." in seen(page)
    assert not page.find(id="submit") and not page.find("dialog")


def test_a_test_user_may_submit_and_is_told_that_nothing_is_sent(render):
    page = render("workbench", **workbench(can_submit=False, test_user=True))
    assert page.find(id="submit")
    assert "nothing is sent to the course" in seen(page)


def test_dates_are_machine_readable_and_optional(render):
    page = render("workbench", **workbench(available_until="2026-03-09T12:00:00Z"))
    assert [time["datetime"] for time in page.select(".facts > p:not(#submission) time")] == [
        "2026-03-02T12:00:00Z",
        "2026-03-09T12:00:00Z",
    ]
    page = render("workbench", **workbench(due_at=None))
    assert not page.select(".facts > p:not(#submission)")


def test_there_is_a_way_back_only_if_the_platform_gave_one(render):
    assert render("workbench", **workbench()).find("a", string="Close")["href"] == "https://lms.example/back"
    assert not render("workbench", **workbench(close_url=None)).find("a", string="Close")


@pytest.mark.parametrize(("on_top", "target"), [(True, "_top"), (False, None)])
def test_the_way_back_is_taken_by_the_frame_or_by_the_whole_window(render, on_top, target):
    page = render("workbench", **workbench(close_on_top=on_top))
    assert page.find("a", string="Close").get("target") == target


def test_changes_are_announced(render):
    page = render("workbench", **workbench())
    assert page.find(id="announcer")["role"] == "status"
    assert page.find(id="notice").p["role"] == "alert"


def test_hostile_texts_stay_texts(render):
    handed_in = submission("failed", message=HOSTILE)
    state = status("failed", error=FAILED | {"message": HOSTILE}, submission=handed_in)
    page = render("workbench", **workbench(title=HOSTILE, course=HOSTILE, description=HOSTILE, status=state))
    assert page.h1.get_text() == HOSTILE
    assert page.find("iframe")["title"] == f"Notebook: {HOSTILE}"
    assert len(page.find_all("script")) == 3 and not page.find_all("img")
    assert json.loads(page.find("script", id="status").string) == state


def test_the_embedded_status_can_not_end_its_script(templates):
    page = templates.get_template("ipylti:templates/workbench.jinja2")
    state = status("failed", error=FAILED | {"message": HOSTILE})
    html = page.render(request=Request(), **workbench(status=state))
    data = html.partition('id="status">')[2].partition("</script>")[0]
    assert json.loads(data) == state
    assert not set("<>&'") & set(data)


# -- the other pages -----------------------------------------------------------------------------------------


def test_the_waking_page_polls_and_uses_no_module(render):
    page = render("waking", **PAGES["waking"])
    assert page.main["data-awake-url"] == "/_ipylti/awake"
    assert "Waking your notebook…" in seen(page)
    scripts = page.find_all("script")
    assert scripts and all(script.has_attr("defer") and not script.get("type") for script in scripts)


def test_the_waking_page_is_not_empty_while_a_server_that_ended_still_counts_as_ready(render):
    page = render("waking", **PAGES["waking"] | {"status": status("ready")})
    assert "Opening your notebook…" in seen(page)


def test_a_stranger_is_sent_to_the_course(render):
    page = render("launch_again", static_origin=TOOL)
    assert "This notebook belongs to a course. Open it from your course again." in seen(page)


def test_an_error_page_helps_and_can_be_traced(render):
    page = render(
        "error",
        title=HOSTILE,
        message=HOSTILE,
        code="message.expired",
        request_id="r-1",
        close_url="https://lms.example/back",
        hint="Ask your administrator.",
    )
    assert page.h1.get_text() == HOSTILE and not page.find_all("script")
    assert "Code message.expired · Request r-1" in seen(page) and "Ask your administrator." in seen(page)
    assert page.find("a", class_="button")["href"] == "https://lms.example/back"


def test_an_error_page_needs_neither_hint_nor_way_back(render):
    page = render("error", title="t", message="m", code="c", request_id="r")
    assert not page.find("a")


def test_an_error_page_may_have_a_line_for_the_shell(render):
    page = render("error", **PAGES["error"], hint="Run this:", command=HOSTILE)
    assert page.find("p", class_="command").code.get_text() == HOSTILE and page.select_one("button.copy")
    assert [script["src"] for script in page.find_all("script")] == ["/static/copying.js"]
    assert not render("error", **PAGES["error"]).find_all("script")


def test_registering_says_what_came_of_it_and_what_is_left(render):
    page = render("registration", **PAGES["registration"])
    assert "The tool is registered" in seen(page) and "Switch the tool on." in seen(page)
    assert "send scores" in seen(page) and "see who is in the course" in seen(page)


def test_a_platform_need_not_tell_its_deployment_nor_allow_anything(render):
    registered = PAGES["registration"]["registered"] | {"deployment": None, "services": [], "missing": []}
    page = render("registration", **PAGES["registration"] | {"registered": registered})
    assert "the first one that opens the tool" in seen(page) and "It may" not in seen(page)


def test_what_a_platform_says_of_itself_is_text(render):
    registered = {
        "issuer": HOSTILE,
        "client_id": HOSTILE,
        "deployment": HOSTILE,
        "services": [],
        "missing": [],
    }
    page = render("registration", **PAGES["registration"] | {"registered": registered})
    assert [each.get_text() for each in page.select("dd")] == [HOSTILE] * 3
    assert len(page.find_all("script")) == len(
        render("registration", **PAGES["registration"]).find_all("script")
    )


def test_an_invitation_that_is_opened_by_hand_says_where_to_paste_it(render):
    page = render("registration", registered=None, url=f"{TOOL}/register?token={HOSTILE}")
    assert page.select_one("dl.urls code").get_text() == f"{TOOL}/register?token={HOSTILE}"
    assert "Moodle" in seen(page) and [button.get_text() for button in page.find_all("button")] == ["Copy"]


def test_home_gives_the_addresses_to_administrators(render):
    page = render("home", urls=[("Login URL", f"{TOOL}/login"), (HOSTILE, HOSTILE)])
    assert [code.get_text() for code in page.select("dl code")] == [f"{TOOL}/login", HOSTILE]
    assert len(page.select("button.copy")) == 2
    assert "Connect a platform" not in seen(render("home", urls=[]))


# -- colours -------------------------------------------------------------------------------------------------

#: (text, ground): at least 4.5 to 1, WCAG 2.2, 1.4.3.
TEXTS = [
    *((text, ground) for text in ("ink", "muted") for ground in ("ground", "surface", "raised")),
    *((text, "surface") for text in ("accent", "good", "warn", "bad")),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("ink", "bad-ground"),
]
#: What has to be made out without being read: at least 3 to 1, WCAG 2.2, 1.4.11.
SHAPES = [("edge", "surface"), ("edge", "ground"), ("accent", "raised"), ("accent", "ground")]


def palettes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", (STATIC / "ipylti.css").read_text(), re.S)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    return {"light": light, "dark": dark}


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rrggbb`` (WCAG 2.2, glossary)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("colour", "ground", "least"), [(*pair, 4.5) for pair in TEXTS] + [(*pair, 3.0) for pair in SHAPES]
)
def test_contrast_is_sufficient(scheme, colour, ground, least):
    palette = palettes()[scheme]
    light, dark = sorted((luminance(palette[colour]), luminance(palette[ground])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= least
