"""Who may see a page, and what its address means."""

import functools
from collections.abc import Callable
from typing import Any

from pyramid.httpexceptions import HTTPForbidden, HTTPNotFound, HTTPSeeOther
from pyramid.request import Request

from ..course import Course, Link
from ..gradebook import Gradebook, LineItem
from ..messages import TARGETS
from ..people import ADMINISTRATOR
from ..people import Person as Somebody

View = Callable[[Request], Any]


def for_members(view: View) -> View:
    """Ask who it is first, and come back."""

    @functools.wraps(view)
    def known(request: Request) -> Any:
        if request.person is None:
            return HTTPSeeOther(request.route_path("home", _query={"next": request.path_qs}))
        return view(request)

    return known


def for_teachers(view: View) -> View:
    """Members who teach."""

    @functools.wraps(view)
    def teaching(request: Request) -> Any:
        if not request.person.teacher:
            raise HTTPForbidden("Only the teacher of this course can do this.")
        return view(request)

    return for_members(teaching)


def for_administrators(view: View) -> View:
    """Those who look after campus itself."""

    @functools.wraps(view)
    def administering(request: Request) -> Any:
        if request.person != ADMINISTRATOR:
            raise HTTPForbidden("Only the administrator can do this.")
        return view(request)

    return for_members(administering)


def link_of(request: Request) -> Link:
    """The link that the address names."""
    link: Link | None = request.campus.courses.link(request.matchdict["link"])
    if link is None:
        raise HTTPNotFound("This course has no such link.")
    return link


def course_of(request: Request) -> Course:
    """The course that the query names; the first one without."""
    courses = request.campus.courses
    named = request.GET.get("course")
    book = courses.gradebook(courses.first) if named is None else courses.find(named)
    if book is None:
        raise HTTPNotFound("There is no such course.")
    found: Course = book.course
    return found


def course_path(request: Request, course: Course, route: str = "course", **query: Any) -> str:
    """The address of a page of a course. The first course needs no name."""
    named = {} if course is request.campus.courses.first else {"course": course.id}
    given = {name: value for name, value in {**named, **query}.items() if value}
    path: str = request.route_path(route, _query=given or None)
    return path


def column_of(request: Request) -> tuple[Gradebook, LineItem]:
    """The line item that the address names, with its gradebook."""
    book: Gradebook | None = request.campus.courses.book_with(request.matchdict["item"])
    if book is None:
        raise HTTPNotFound("There is no such column in the gradebook.")
    return book, book.item(request.matchdict["item"])


def somebody_of(request: Request) -> Somebody:
    """The person whom the address names. The teacher may look at everybody, and everybody at themselves."""
    found: Somebody | None = request.campus.directory.by_login(request.matchdict["who"])
    if found is None:
        raise HTTPNotFound("Nobody in this course is called that.")
    if found != request.person and not request.person.teacher:
        raise HTTPForbidden("Only the teacher of this course can do this.")
    return found


def target_of(request: Request) -> str:
    """Where the tool is going to stand."""
    target: str = request.GET.get("target", "window")
    if target not in TARGETS:
        raise HTTPNotFound("A tool opens in a frame or in a window.")
    return target
