"""Ways to the tool: for each errand a page with the tool in a frame, and the beginning of its login."""

from typing import Any

from pyramid.httpexceptions import HTTPNotFound
from pyramid.request import Request
from pyramid.view import view_config

from ..errands import Choose, Errand, LookAt, Open
from .members import (
    column_of,
    course_of,
    course_path,
    for_members,
    for_teachers,
    link_of,
    somebody_of,
    target_of,
)


def _framed(request: Request, errand: Errand, way: str) -> dict[str, Any]:
    """The page in which the tool stands in a frame.

    :param way: the address at which the errand begins; `target` is added to its query.
    """
    joint = "&" if "?" in way else "?"
    return {
        "page": "launch",
        "title": errand.title,
        "course": errand.course,
        "back": course_path(request, errand.course),
        "framed": f"{way}{joint}target=iframe",
        "apart": f"{way}{joint}target=window",
    }


def _begin(request: Request, errand: Errand) -> dict[str, Any]:
    """Begin a login: the browser posts itself to the tool's login initiation."""
    campus = request.campus
    return {
        "action": campus.config.login_url,
        "fields": campus.begin(request.person, errand, target_of(request)),
        "title": errand.title,
    }


@view_config(route_name="launch", request_method="GET", renderer="launch.jinja2")
@for_members
def launch(request: Request) -> dict[str, Any]:
    """A link."""
    link = link_of(request)
    return _framed(request, request.campus.opening(link), request.route_path("open", link=link.id))


@view_config(route_name="open", request_method="GET", renderer="form_post.jinja2")
@for_members
def open_tool(request: Request) -> dict[str, Any]:
    """Begin a launch of a link."""
    return _begin(request, request.campus.opening(link_of(request)))


@view_config(route_name="choose", request_method="GET", renderer="launch.jinja2")
@for_teachers
def choose(request: Request) -> dict[str, Any]:
    """Content to be put into the course."""
    course = course_of(request)
    return _framed(request, Choose(course), course_path(request, course, "choose_open"))


@view_config(route_name="choose_open", request_method="GET", renderer="form_post.jinja2")
@for_teachers
def choose_open(request: Request) -> dict[str, Any]:
    """Begin to choose content."""
    return _begin(request, Choose(course_of(request)))


@view_config(route_name="review", request_method="GET", renderer="launch.jinja2")
@for_members
def review(request: Request) -> dict[str, Any]:
    """What somebody handed in."""
    return _framed(request, _looking(request), request.route_path("review_open", **request.matchdict))


@view_config(route_name="review_open", request_method="GET", renderer="form_post.jinja2")
@for_members
def review_open(request: Request) -> dict[str, Any]:
    """Begin to look at what somebody handed in."""
    return _begin(request, _looking(request))


def _looking(request: Request) -> LookAt:
    """What the address means."""
    book, item = column_of(request)
    link = book.course.link(item.fields.resource_link_id)
    if link is None:
        raise HTTPNotFound("This column belongs to no link, so there is nothing to look at.")
    return LookAt(book.course, link, item, somebody_of(request))


@view_config(route_name="submission", request_method="GET", renderer="launch.jinja2")
@for_members
def submission(request: Request) -> dict[str, Any]:
    """What somebody submitted, where the tool said so with the score (Canvas)."""
    return _framed(request, _submitted(request), request.route_path("submission_open", **request.matchdict))


@view_config(route_name="submission_open", request_method="GET", renderer="form_post.jinja2")
@for_members
def submission_open(request: Request) -> dict[str, Any]:
    """Begin to open what somebody submitted."""
    return _begin(request, _submitted(request))


def _submitted(request: Request) -> Open:
    """What the address means: a launch of the link with the address that came with the score."""
    book, item = column_of(request)
    link = book.course.link(item.fields.resource_link_id)
    url = book.submission(item, somebody_of(request))
    if link is None or not url:
        raise HTTPNotFound("The tool said nothing of where to see this.")
    return Open(book.course, link, url)
