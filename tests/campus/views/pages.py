"""The pages: who are you, the course, a launch, the gradebook, the log."""

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pyramid.httpexceptions import HTTPForbidden, HTTPNotFound, HTTPSeeOther
from pyramid.request import Request
from pyramid.view import view_config

from .. import course
from ..app import COOKIE, set_session
from ..course import Link, new_link_id
from ..messages import TARGETS

LONGEST_TITLE = 200
LONGEST_DESCRIPTION = 2000
MOST_POINTS = 1000


def for_members(view: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """Ask who it is first, and come back."""

    @functools.wraps(view)
    def known(request: Request) -> Any:
        if request.person is None:
            return HTTPSeeOther(request.route_path("home", _query={"next": request.path_qs}))
        return view(request)

    return known


def for_teachers(view: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """Members who teach."""

    @functools.wraps(view)
    def teaching(request: Request) -> Any:
        if not request.person.teacher:
            raise HTTPForbidden("Only the teacher of this course can do this.")
        return view(request)

    return for_members(teaching)


def link_of(request: Request) -> Link:
    """The link that the address names."""
    link: Link | None = request.campus.course.link(request.matchdict["link"])
    if link is None:
        raise HTTPNotFound("This course has no such link.")
    return link


def way_back(wanted: str) -> str:
    """Where to go after signing in: a page of the course, whatever the query says."""
    parts = urlsplit(wanted)
    inside = not parts.scheme and not parts.netloc and wanted.startswith("/course") and "\\" not in wanted
    return wanted if inside else "/course"


@view_config(route_name="home", request_method="GET", renderer="home.jinja2")
def home(request: Request) -> dict[str, Any]:
    """Choose who you are."""
    return {
        "page": "home",
        "people": request.campus.course.people,
        "next": way_back(request.GET.get("next", "")),
        "unknown": "unknown" in request.GET,
        "course": course,
    }


@view_config(route_name="sign_in", request_method="POST")
def sign_in(request: Request) -> HTTPSeeOther:
    """Sign in as somebody."""
    person = request.campus.course.by_login(request.POST.get("login", ""))
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


@view_config(route_name="course", request_method="GET", renderer="course.jinja2")
@for_members
def show_course(request: Request) -> dict[str, Any]:
    """The course with its links, and what the tool said when it sent somebody back."""
    campus = request.campus
    book = campus.gradebook
    return {
        "page": "course",
        "course": course,
        "teachers": [person for person in campus.course.people if person.teacher],
        "rows": [
            {"link": link, "score": _own_score(book, link, request.person)} for link in campus.course.links
        ],
        "said": request.GET.get("lti_msg", "")[:LONGEST_TITLE],
        "failed": request.GET.get("lti_errormsg", "")[:LONGEST_TITLE],
        "added": campus.course.link(request.GET.get("added", "")),
    }


def _own_score(book: Any, link: Link, person: Any) -> Any:
    columns = book.items_of(link)
    return book.latest(columns[0], person) if columns and not person.teacher else None


@view_config(route_name="launch", request_method="GET", renderer="launch.jinja2")
@for_members
def launch(request: Request) -> dict[str, Any]:
    """The page in which the tool stands in a frame."""
    return {"page": "launch", "link": link_of(request), "course": course}


@view_config(route_name="open", request_method="GET", renderer="form_post.jinja2")
@for_members
def open_tool(request: Request) -> dict[str, Any]:
    """Begin a launch: the browser posts itself to the tool's login initiation."""
    link, target = link_of(request), request.GET.get("target", "window")
    if target not in TARGETS:
        raise HTTPNotFound("A tool opens in a frame or in a window.")
    return {
        "action": request.campus.config.login_url,
        "fields": request.campus.initiation(request.person, link, target),
        "title": link.title,
    }


@view_config(route_name="return", request_method="GET", renderer="return.jinja2")
def come_back(request: Request) -> dict[str, Any]:
    """Where the tool sends people when they are done (`launch_presentation.return_url`).

    It may stand in the frame, where campus' cookie does not come along when another site leads there: so it
    needs none, and leads the whole window to the course page.
    """
    kept = {name: request.GET[name] for name in ("lti_msg", "lti_errormsg") if request.GET.get(name)}
    for name in ("lti_log", "lti_errorlog"):
        if request.GET.get(name):
            request.campus.log.accept("return", f"the tool's {name}: {request.GET[name]}")
    return {"address": request.route_path("course", _query=kept or None)}


@view_config(route_name="gradebook", request_method="GET", renderer="gradebook.jinja2")
@for_members
def gradebook(request: Request) -> dict[str, Any]:
    """What came in through AGS: all of it for the teacher, their own for students."""
    book = request.campus.gradebook
    everybody = request.campus.course.learners
    shown = everybody if request.person.teacher else (request.person,)
    return {
        "page": "gradebook",
        "course": course,
        "columns": [
            {
                "item": item,
                "link": request.campus.course.link(item.fields.resource_link_id),
                "rows": [
                    {"person": person, "score": scores[-1] if scores else None, "count": len(scores)}
                    for person in shown
                    for scores in [book.scores(item, person)]
                ],
            }
            for item in book.items
        ],
    }


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


@view_config(route_name="new_link", request_method="GET", renderer="new_link.jinja2")
@for_teachers
def ask_for_link(_request: Request) -> dict[str, Any]:
    """The form for another link."""
    return {"page": "course", "course": course, "given": {"points": "10", "graded": "1"}, "problems": {}}


@view_config(route_name="new_link", request_method="POST", renderer="new_link.jinja2")
@for_teachers
def add_link(request: Request) -> Any:
    """Add another link, or say what is wrong with the form."""
    given = {name: request.POST.get(name, "").strip() for name in ("title", "description", "due", "points")}
    given["graded"] = request.POST.get("graded", "")
    link, problems = read_link(given)
    if link is None:
        request.response.status_int = 400
        return {"page": "course", "course": course, "given": given, "problems": problems}
    request.campus.add_link(link)
    return HTTPSeeOther(request.route_path("course", _query={"added": link.id}))


def read_link(given: dict[str, str]) -> tuple[Link | None, dict[str, str]]:
    """A link from the form's fields.

    :returns: the link, or None and a sentence for each field that is wrong.
    """
    problems = {}
    if not 0 < len(given["title"]) <= LONGEST_TITLE:
        problems["title"] = f"Give a title of at most {LONGEST_TITLE} characters."
    if len(given["description"]) > LONGEST_DESCRIPTION:
        problems["description"] = f"At most {LONGEST_DESCRIPTION} characters."
    due = None
    if given["due"]:
        try:
            due = datetime.fromisoformat(given["due"]).replace(tzinfo=UTC)
        except ValueError:
            problems["due"] = "This is not a date and time."
    points = None
    if given["graded"]:
        try:
            points = float(given["points"])
        except ValueError:
            points = 0.0
        if not 0 < points <= MOST_POINTS:
            problems["points"] = f"Points go from more than 0 to {MOST_POINTS}."
    if problems:
        return None, problems
    return Link(new_link_id(), given["title"], given["description"], due, points), {}
