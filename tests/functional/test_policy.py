"""Secure by default, exempt by name: what every view demands, read off the registry."""

from typing import Any

import pytest
from pyramid.config import Configurator
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from webtest import TestApp

from ipylti.settings import Settings
from tests.functional.browser import TOOL, Browser, Student, csrf_token, path_of
from tests.functional.conftest import on_sqlite

pytestmark = on_sqlite

#: Route -> methods (None: all), permission (None: anybody), whether unsafe methods need a CSRF token.
#: Login and launch come from the platform by design, and have state and nonce; the gate and the page of a
#: sleeping server answer for what was meant for Jupyter, and change nothing.
VIEWS: dict[str, tuple[set[str] | None, str | None, bool]] = {
    "login": ({"GET", "POST"}, None, False),
    "launch": ({"POST"}, None, False),
    "jwks": ({"GET"}, None, True),
    "canvas": ({"GET"}, None, True),
    "home": ({"GET"}, None, True),
    "workbench": ({"GET"}, "work", True),
    "status": ({"GET"}, "work", True),
    "tab": ({"POST"}, "work", True),
    "submit": ({"POST"}, "submit", True),
    "enter": ({"GET"}, None, True),
    "awake": ({"GET"}, None, True),
    "asleep": (None, None, False),
    "gate": (None, None, False),
    "healthz": ({"GET"}, None, True),
    "readyz": ({"GET"}, None, True),
    "metrics": ({"GET"}, None, True),
}


def views(app: Any) -> list[dict[str, Any]]:
    """Return all views, those for exceptions and static files left away, with their permissions."""
    found = []
    for each in app.registry.introspector.get_category("views"):
        view = dict(each["introspectable"])
        if view["exception_only"] or view["route_name"] in (None, "__static/"):
            continue
        view["permissions"] = [
            related["value"] for related in each["related"] if related.category_name == "permissions"
        ]
        found.append(view)
    return found


def test_every_route_has_its_views_and_nothing_else_has(app: Any) -> None:
    routes = {each["introspectable"]["name"] for each in app.registry.introspector.get_category("routes")}
    assert routes == set(VIEWS) | {"__static/"}
    assert {view["route_name"] for view in views(app)} == set(VIEWS)


def test_every_view_says_who_may_call_it(app: Any) -> None:
    for view in views(app):
        _methods, permission, _csrf = VIEWS[view["route_name"]]
        assert view["permissions"] == [permission or NO_PERMISSION_REQUIRED], view["route_name"]


def test_every_view_says_by_which_methods(app: Any) -> None:
    for view in views(app):
        methods = view["request_methods"]
        told = None if methods is None else {methods} if isinstance(methods, str) else set(methods)
        assert told == VIEWS[view["route_name"]][0], view["route_name"]


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
    (static,) = (
        each
        for each in app.registry.introspector.get_category("views")
        if each["introspectable"]["route_name"] == "__static/"
    )
    permissions = [each["value"] for each in static["related"] if each.category_name == "permissions"]
    assert permissions == [NO_PERMISSION_REQUIRED]


@pytest.mark.parametrize("route", sorted(name for name, (_, permission, _) in VIEWS.items() if permission))
def test_what_belongs_to_a_launch_is_closed_to_others(
    route: str, student: Student, another_browser: Browser
) -> None:
    path = {
        "workbench": path_of(student.page),
        "status": f"{path_of(student.page)}/status",
        "tab": f"{path_of(student.page)}/tab",
        "submit": f"/submit/{student.launch_id}",
    }[route]
    headers = {"Origin": TOOL, "X-CSRF-Token": csrf_token(student.page)}
    methods, _permission, _csrf = VIEWS[route]
    assert methods is not None
    for method in methods:
        theirs = getattr(another_browser.app, method.lower())(path, headers=headers, status=403)
        assert "Zoë" not in theirs
        assert "notebooks.example/_ipylti" not in theirs
        getattr(student.browser.app, method.lower())(path, headers=headers, status=(200, 201, 303))


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
