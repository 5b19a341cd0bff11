"""The pages that are of no course: who are you, and the log."""

from typing import Any
from urllib.parse import urlsplit

from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.request import Request
from pyramid.view import view_config

from ..app import COOKIE, set_session
from ..people import ADMINISTRATOR, PEOPLE

#: Where signing in may lead.
INSIDE = ("/course", "/tools")


def way_back(wanted: str) -> str:
    """Where to go after signing in: a page of the course, whatever the query says."""
    parts = urlsplit(wanted)
    inside = not parts.scheme and not parts.netloc and wanted.startswith(INSIDE) and "\\" not in wanted
    return wanted if inside else "/course"


@view_config(route_name="home", request_method="GET", renderer="home.jinja2")
def home(request: Request) -> dict[str, Any]:
    """Choose who you are."""
    return {
        "page": "home",
        "people": PEOPLE,
        "administrator": ADMINISTRATOR,
        "next": way_back(request.GET.get("next", "")),
        "unknown": "unknown" in request.GET,
        "course": request.campus.course,
    }


@view_config(route_name="sign_in", request_method="POST")
def sign_in(request: Request) -> HTTPSeeOther:
    """Sign in as somebody."""
    person = request.campus.directory.by_login(request.POST.get("login", ""))
    if person is None:
        raise HTTPNotFound("Nobody in this course is called that.")
    response = HTTPSeeOther(way_back(request.POST.get("next", "")))
    set_session(request, response, person)
    return response


@view_config(route_name="sign_out", request_method="POST")
def sign_out(request: Request) -> HTTPSeeOther:
    """Sign out."""
    request.campus.logins.sign_out(request.cookies.get(COOKIE, ""))
    response = HTTPSeeOther(request.route_path("home"))
    response.delete_cookie(COOKIE, path="/")
    return response


@view_config(route_name="log", request_method="GET", renderer="log.jinja2")
def log(request: Request) -> dict[str, Any]:
    """What campus refused, and why, and what it accepted; newest first."""
    entries = request.campus.log.entries[::-1]
    only_refused = request.GET.get("show") == "refused"
    return {
        "page": "log",
        "entries": [entry for entry in entries if not (only_refused and entry.accepted)][:300],
        "refusals": sum(not entry.accepted for entry in entries),
        "total": len(entries),
        "only_refused": only_refused,
    }
