"""A course's page, its links, and the way back to it."""

from datetime import UTC, datetime
from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.view import view_config

from ..course import Link, new_link_id
from ..gradebook import Gradebook
from ..people import Person
from ..wire import Score
from .members import course_of, course_path, for_members, for_teachers, link_of

LONGEST_TITLE = 200
LONGEST_DESCRIPTION = 2000
MOST_POINTS = 1000


@view_config(route_name="course", request_method="GET", renderer="course.jinja2")
@for_members
def show_course(request: Request) -> dict[str, Any]:
    """A course with its links, and what the tool said when it sent somebody back."""
    course = course_of(request)
    courses = request.campus.courses
    book = courses.gradebook(course)
    return {
        "page": "course",
        "course": course,
        "others": [(other, course_path(request, other)) for other in courses.all if other is not course],
        "teachers": [person for person in course.people if person.teacher],
        "rows": [{"link": link, "score": _own_score(book, link, request.person)} for link in course.links],
        "said": request.GET.get("lti_msg", "")[:LONGEST_TITLE],
        "failed": request.GET.get("lti_errormsg", "")[:LONGEST_TITLE],
        "added": [link for link in map(course.link, request.GET.getall("added")) if link is not None],
        "new_link": course_path(request, course, "new_link"),
        "choose": course_path(request, course, "choose"),
        "grades": course_path(request, course, "gradebook"),
        "copy": course_path(request, course, "copy_course"),
    }


def _own_score(book: Gradebook, link: Link, person: Person) -> Score | None:
    columns = book.items_of(link)
    return book.latest(columns[0], person) if columns and not person.teacher else None


@view_config(route_name="return", request_method="GET", renderer="return.jinja2")
def come_back(request: Request) -> Any:
    """Where the tool sends people when they are done (`launch_presentation.return_url`).

    It may stand in the frame, where campus' cookie does not come along when another site leads there: so it
    needs none, unless a family's does, and leads the whole window to the course page.
    """
    if request.campus.config.behaviour.return_known and request.person is None:
        return HTTPSeeOther(request.route_path("home", _query={"next": request.path_qs}))
    kept = {name: request.GET[name] for name in ("lti_msg", "lti_errormsg") if request.GET.get(name)}
    for name in ("lti_log", "lti_errorlog"):
        if request.GET.get(name):
            request.campus.log.accept("return", f"the tool's {name}: {request.GET[name]}")
    link = request.campus.courses.link(request.GET.get("link", ""))
    course = request.campus.courses.book_of(link).course if link else course_of(request)
    return {"address": course_path(request, course, **kept)}


@view_config(route_name="copy_course", request_method="POST")
@for_teachers
def copy_course(request: Request) -> HTTPSeeOther:
    """Copy the course, and go to the copy."""
    made = request.campus.courses.copy(course_of(request))
    return HTTPSeeOther(course_path(request, made))


@view_config(route_name="duplicate", request_method="POST")
@for_teachers
def duplicate(request: Request) -> HTTPSeeOther:
    """Copy a link within its course."""
    made = request.campus.courses.duplicate(link_of(request))
    return HTTPSeeOther(course_path(request, request.campus.courses.book_of(made).course, added=made.id))


@view_config(route_name="new_link", request_method="GET", renderer="new_link.jinja2")
@for_teachers
def ask_for_link(request: Request) -> dict[str, Any]:
    """The form for another link."""
    return _form(request, {"points": "10", "graded": "1"}, {})


@view_config(route_name="new_link", request_method="POST", renderer="new_link.jinja2")
@for_teachers
def add_link(request: Request) -> Any:
    """Add another link, or say what is wrong with the form."""
    given = {name: request.POST.get(name, "").strip() for name in ("title", "description", "due", "points")}
    given["graded"] = request.POST.get("graded", "")
    link, problems = read_link(given)
    if link is None:
        request.response.status_int = 400
        return _form(request, given, problems)
    course = course_of(request)
    request.campus.add_link(link, course)
    return HTTPSeeOther(course_path(request, course, added=link.id))


def _form(request: Request, given: dict[str, str], problems: dict[str, str]) -> dict[str, Any]:
    course = course_of(request)
    return {
        "page": "course",
        "course": course,
        "given": given,
        "problems": problems,
        "action": course_path(request, course, "new_link"),
        "back": course_path(request, course),
    }


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
