"""The gradebook's page."""

from typing import Any

from pyramid.request import Request
from pyramid.view import view_config

from ..gradebook import Gradebook, LineItem
from ..people import Person
from ..wire import Score
from .members import course_of, course_path, for_members


@view_config(route_name="gradebook", request_method="GET", renderer="gradebook.jinja2")
@for_members
def gradebook(request: Request) -> dict[str, Any]:
    """What came in through AGS: all of it for the teacher, their own for students."""
    course = course_of(request)
    book = request.campus.courses.gradebook(course)
    shown = course.learners if request.person.teacher else (request.person,)
    return {
        "page": "gradebook",
        "course": course,
        "back": course_path(request, course),
        "columns": [
            {"item": item, "rows": [_row(request, book, item, person) for person in shown]}
            for item in book.items
        ],
    }


def _row(request: Request, book: Gradebook, item: LineItem, person: Person) -> dict[str, Any]:
    scores = book.scores(item, person)
    latest = scores[-1] if scores else None
    where = {"item": item.id, "who": person.login}
    look = book.offers_review(item) and latest is not None and _can_be_looked_at(book, item, latest)
    return {
        "person": person,
        "score": latest,
        "count": len(scores),
        "submission": request.route_path("submission", **where) if book.submission(item, person) else None,
        "review": request.route_path("review", **where) if look else None,
        "review_label": (item.fields.review.label if item.fields.review else "") or "Submission",
    }


def _can_be_looked_at(book: Gradebook, item: LineItem, latest: Score) -> bool:
    """Whether there is a submission that the tool wants to show (Submission Review 1.0)."""
    if book.course.link(item.fields.resource_link_id) is None:
        return False
    statuses = item.fields.review.statuses if item.fields.review else ()
    return latest.activity_progress in (statuses or ("Submitted", "Completed"))
