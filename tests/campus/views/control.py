"""The levers of tests for a campus that runs as a process of its own. There only with `Config.control`."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pyramid.request import Request
from pyramid.view import view_config

from ..course import Link, new_link_id
from ..errors import Refused
from ..gradebook import Gradebook
from ..shapes import bad, read_object, read_time, utc_text


@view_config(route_name="control_state", request_method="GET", renderer="json")
def state(request: Request) -> dict[str, Any]:
    """Everything that campus knows, as JSON. `links` are the first course's; each course has its own, too."""
    campus = request.campus
    courses = [_course(campus.courses.gradebook(course)) for course in campus.courses.all]
    return {
        "registration": campus.registration,
        "tool": campus.registry.state,
        "people": [
            {"login": person.login, "sub": person.sub, "name": person.name, "teacher": person.teacher}
            for person in campus.course.people
        ],
        "links": [
            {name: link[name] for name in ("id", "title", "due", "points")} for link in courses[0]["links"]
        ],
        "courses": courses,
        "lineitems": [item for course in courses for item in course["lineitems"]],
        "scores": [score for course in courses for score in course["scores"]],
        "log": [{**asdict(entry), "at": entry.at.isoformat()} for entry in campus.log],
    }


def _course(book: Gradebook) -> dict[str, Any]:
    course = book.course
    return {
        "id": course.id,
        "title": course.title,
        "history": list(course.history),
        "links": [_described(link) for link in course.links],
        "lineitems": [{"number": item.id, **book.to_json(item)} for item in book.items],
        "scores": [
            {
                **score.raw,
                "login": person.login,
                "lineitem": book.item_url(item),
                "link": item.fields.resource_link_id,
                "received": score.received.isoformat(),
            }
            for item in book.items
            for person in course.people
            for score in book.scores(item, person)
        ],
    }


def _described(link: Link) -> dict[str, Any]:
    return {
        "id": link.id,
        "title": link.title,
        "due": link.due and utc_text(link.due),
        "points": link.points,
        "url": link.url,
        "custom": dict(link.custom),
        "history": list(link.history),
    }


@view_config(route_name="control", request_method="POST", renderer="json")
def control(request: Request) -> Any:
    """Pull a lever; the body is a JSON object of its parameters.

    The content type keeps a page of another origin from pulling it in somebody's browser.
    """
    if request.content_type != "application/json":
        raise Refused(415, "unsupported_media_type", "levers take application/json")
    lever = LEVERS.get(request.matchdict["action"])
    if lever is None:
        raise Refused(404, "not_found", f"the levers are {', '.join(LEVERS)}")
    try:
        return lever(request, **read_object(request.body or b"{}"))
    except (TypeError, ValueError) as err:
        raise bad(f"{request.matchdict['action']}: {err}") from err


def _fail(
    request: Request, endpoint: str, status: int, times: int = 1, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    request.campus.fail_next(endpoint, int(status), int(times), headers)
    return {}


def _slow(request: Request, endpoint: str, seconds: float) -> dict[str, Any]:
    request.campus.slow(endpoint, float(seconds))
    return {}


def _rotate(request: Request, keep_old: bool = True) -> dict[str, Any]:
    return {"kid": request.campus.rotate_keys(keep_old)}


def _revoke(request: Request) -> dict[str, Any]:
    request.campus.tokens.revoke_all()
    return {}


def _link(
    request: Request,
    title: str,
    description: str = "",
    due: str | None = None,
    points: float | None = 10.0,
    url: str = "",
    custom: dict[str, str] | None = None,
) -> dict[str, Any]:
    moment: datetime | None = read_time("due", due).astimezone(UTC) if due else None
    link = Link(new_link_id(), title, description, moment, points, url, dict(custom or {}))
    return {"id": request.campus.add_link(link).id}


def _invite(request: Request, url: str = "") -> dict[str, Any]:
    """An invitation, in the tool's registration URL if there is one."""
    return {"url": request.campus.registration_url(url)} if url else request.campus.invite()


def _activate(request: Request) -> dict[str, Any]:
    request.campus.activate()
    return {}


def _copy(request: Request, course: str = "") -> dict[str, Any]:
    courses = request.campus.courses
    book = courses.find(course or courses.first.id)
    if book is None:
        raise ValueError(f"there is no course {course}")
    made = courses.copy(book.course)
    return {"id": made.id, "links": [link.id for link in made.links]}


def _duplicate(request: Request, link: str) -> dict[str, Any]:
    found = request.campus.courses.link(link)
    if found is None:
        raise ValueError(f"there is no link {link}")
    return {"id": request.campus.duplicate(found).id}


def _status(request: Request, login: str, status: str) -> dict[str, Any]:
    person = request.campus.directory.by_login(login)
    if person is None:
        raise ValueError(f"nobody is called {login}")
    request.campus.set_status(person, status)
    return {}


LEVERS: dict[str, Callable[..., dict[str, Any]]] = {
    "fail": _fail,
    "slow": _slow,
    "rotate": _rotate,
    "revoke": _revoke,
    "link": _link,
    "invite": _invite,
    "activate": _activate,
    "copy": _copy,
    "duplicate": _duplicate,
    "status": _status,
}
