"""Secure by default, exempt by name: what every view demands, read off the registry."""

from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from pyramid.config import Configurator
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from webtest import TestApp

from ipylti import models
from ipylti.routes import files_version
from ipylti.settings import Settings
from tests.campus import lti
from tests.functional.browser import TOOL, Browser, Student, csrf_token, path_of
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite

#: How the names of static files' routes begin.
STATIC = "__static/"

#: Route -> methods (None: all), permission (None: anybody), whether unsafe methods need a CSRF token.
#: Login and launch come from the platform by design, and have state and nonce; what goes on from them in a
#: frame without cookies has the login's secret; the gate and the page of a sleeping server answer for what
#: was meant for Jupyter, and change nothing.
VIEWS: dict[str, tuple[set[str] | None, str | None, bool]] = {
    "login": ({"GET", "POST"}, None, False),
    "launch": ({"POST"}, None, False),
    "login_look": ({"GET"}, None, True),
    "login_ticket": ({"POST"}, None, False),
    "login_tab": ({"GET"}, None, True),
    "launch_match": ({"POST"}, None, False),
    "launch_tab": ({"GET"}, None, True),
    "register": ({"GET"}, None, True),
    "jwks": ({"GET"}, None, True),
    "canvas": ({"GET"}, None, True),
    "home": ({"GET"}, None, True),
    "selection": ({"GET", "POST"}, "choose", True),
    "workbench": ({"GET", "POST"}, "work", True),
    "status": ({"GET"}, "work", True),
    "tab": ({"POST"}, "work", True),
    "stay_awake": ({"POST"}, "work", True),
    "limits": ({"GET", "POST"}, "teach", True),
    "save_limits": ({"POST"}, "teach", True),
    "submit": ({"POST"}, "submit", True),
    "people": ({"GET", "POST"}, "teach", True),
    "submission": ({"GET", "POST"}, "work", True),
    "resend": ({"POST"}, "teach", True),
    "enter": ({"GET"}, None, True),
    "awake": ({"GET"}, None, True),
    "asleep": (None, None, False),
    "gate": (None, None, False),
    "static_of_another": ({"GET"}, None, True),
    "healthz": ({"GET"}, None, True),
    "readyz": ({"GET"}, None, True),
    "metrics": ({"GET"}, None, True),
}


def views(app: Any) -> list[dict[str, Any]]:
    """Return all views, those for exceptions and static files left away, with their permissions."""
    found = []
    for each in app.registry.introspector.get_category("views"):
        view = dict(each["introspectable"])
        if view["exception_only"] or (view["route_name"] or STATIC).startswith(STATIC):
            continue
        view["permissions"] = [
            related["value"] for related in each["related"] if related.category_name == "permissions"
        ]
        found.append(view)
    return found


def methods_of(view: dict[str, Any]) -> set[str] | None:
    """Return the methods that a view answers; None: all."""
    methods = view["request_methods"]
    return {methods} if isinstance(methods, str) else None if methods is None else set(methods)


def test_every_view_is_in_the_table_and_has_its_route(app: Any) -> None:
    routes = {each["introspectable"]["name"] for each in app.registry.introspector.get_category("routes")}
    assert {view["route_name"] for view in views(app)} == set(VIEWS)
    assert routes >= set(VIEWS) | {STATIC, f"{STATIC}{files_version()}/"}


def test_every_view_says_who_may_call_it(app: Any) -> None:
    for view in views(app):
        _methods, permission, _csrf = VIEWS[view["route_name"]]
        assert view["permissions"] == [permission or NO_PERMISSION_REQUIRED], view["route_name"]


def test_every_view_says_by_which_methods(app: Any) -> None:
    for route, (methods, _permission, _csrf) in VIEWS.items():
        told = [methods_of(view) for view in views(app) if view["route_name"] == route]
        if methods is None:
            assert told == [None], route
        else:
            assert sorted(name for each in told for name in each or {"all"}) == sorted(methods), route


def test_what_changes_something_demands_a_token_unless_exempt_by_name(app: Any) -> None:
    for view in views(app):
        # None: as is the default, which is below.
        assert view["require_csrf"] in ((None, True) if VIEWS[view["route_name"]][2] else (False,))
    (options,) = app.registry.introspector.get_category("default csrf view options")
    assert options["introspectable"]["require_csrf"] is True
    assert "POST" not in options["introspectable"]["safe_methods"]


def test_a_view_that_says_nothing_can_be_called_by_nobody(config: Settings) -> None:
    with Configurator(settings={"ipylti": config}) as made:
        made.include("ipylti.services")
        made.include("ipylti.security")
        made.add_route("forgotten", "/forgotten")
        made.add_view(lambda _request: Response("in"), route_name="forgotten")
        made.add_route("open", "/open")
        made.add_view(lambda _request: Response("in"), route_name="open", permission=NO_PERMISSION_REQUIRED)
        app = TestApp(made.make_wsgi_app(), extra_environ={"HTTP_HOST": "tool.example"})
    app.get("/forgotten", status=403)
    app.post("/forgotten", status=403)
    assert app.get("/open", status=200).text == "in"
    app.post("/open", status=400)


def test_a_static_file_is_for_anybody(app: Any) -> None:
    found = [
        each
        for each in app.registry.introspector.get_category("views")
        if (each["introspectable"]["route_name"] or "").startswith(STATIC)
    ]
    assert len(found) == 2
    for view in found:
        permissions = [each["value"] for each in view["related"] if each.category_name == "permissions"]
        assert permissions == [NO_PERMISSION_REQUIRED]


@pytest.fixture
def pages(student: Student) -> dict[str, tuple[str, str]]:
    """Of each route that belongs to a launch, one path of this browser's and its CSRF token."""
    browser, launch = student.browser, path_of(student.page)
    asked = {
        lti("message_type"): "LtiDeepLinkingRequest",
        "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings": {
            "deep_link_return_url": "https://campus.example/return",
            "accept_types": ["ltiResourceLink"],
        },
    }
    form = browser.message("nora", claims=asked, without=(lti("resource_link"),))
    choosing = urlsplit(browser.app.post("/launch", form, status=303).location).path
    chosen = csrf_token(browser.app.get(choosing))
    token = csrf_token(student.page)
    student.submit()
    with student.sessions() as db:
        handed_in = db.scalars(sa.select(models.Submission.id)).one()
    teacher = browser.launch("nora")
    submissions = f"{path_of(teacher)}/submissions"
    limits = f"{path_of(teacher)}/limits"
    return {
        "selection": (choosing, chosen),
        "workbench": (launch, token),
        "status": (f"{launch}/status", token),
        "tab": (f"{launch}/tab", token),
        "stay_awake": (f"{launch}/awake", token),
        "submit": (f"/submit/{student.launch_id}", token),
        "people": (submissions, csrf_token(teacher)),
        "submission": (f"{launch}/submissions/{handed_in}", token),
        "limits": (limits, csrf_token(teacher)),
        "save_limits": (f"{limits}/save", csrf_token(teacher)),
        "resend": (f"{submissions}/{handed_in}/resend", csrf_token(teacher)),
    }


def test_no_page_of_a_launch_is_forgotten(pages: dict[str, tuple[str, str]]) -> None:
    assert set(pages) == {name for name, (_, permission, _) in VIEWS.items() if permission}


@pytest.mark.parametrize("route", sorted(name for name, (_, permission, _) in VIEWS.items() if permission))
def test_what_belongs_to_a_launch_is_closed_to_others(
    route: str, pages: dict[str, tuple[str, str]], student: Student, another_browser: Browser
) -> None:
    path, token = pages[route]
    headers = {"Origin": TOOL, "X-CSRF-Token": token}
    methods, _permission, _csrf = VIEWS[route]
    for method in sorted(methods or ()):
        # The page of choosing is asked for by a form, too.
        form = {"params": {"do": "show"}} if method == "POST" else {}
        theirs = getattr(another_browser.app, method.lower())(path, headers=headers, status=403, **form)
        assert "Zoë" not in theirs
        assert "notebooks.example/_ipylti" not in theirs
        own = getattr(student.browser.app, method.lower())(path, headers=headers, **form)
        assert own.status_int in (200, 201, 303)


@pytest.mark.parametrize(
    "route", sorted(name for name, (methods, who, _) in VIEWS.items() if who and "POST" in (methods or ()))
)
def test_what_a_launch_posts_needs_its_token(
    route: str, pages: dict[str, tuple[str, str]], student: Student
) -> None:
    path, token = pages[route]
    post = student.browser.app.post
    post(path, headers={"Origin": TOOL}, status=400)
    post(path, headers={"Origin": TOOL, "X-CSRF-Token": "guessed"}, status=400)
    post(path, headers={"Origin": "https://evil.example", "X-CSRF-Token": token}, status=400)


def test_a_tab_demands_a_token(student: Student) -> None:
    path = f"{path_of(student.page)}/tab"
    student.browser.app.post(path, headers={"Origin": TOOL}, status=400)
    form = {"csrf_token": csrf_token(student.page)}
    answer = student.browser.app.post(path, form, headers={"Origin": TOOL}, status=303)
    assert answer.location.startswith(
        f"https://{student.workspace_id}.notebooks.example/_ipylti/enter?ticket="
    )
    told = student.browser.app.post(
        path, form, headers={"Origin": TOOL, "Accept": "application/json"}, status=200
    )
    assert told.json["url"].startswith(
        f"https://{student.workspace_id}.notebooks.example/_ipylti/enter?ticket="
    )
    assert told.json["url"] != answer.location
