"""The levers of tests for a campus that runs as a process of its own. There only with `Config.control`."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pyramid.request import Request
from pyramid.view import view_config

from ..course import Link, new_link_id
from ..errors import Refused
from ..wire import bad, read_object, read_time, utc_text


@view_config(route_name="control_state", request_method="GET", renderer="json")
def state(request: Request) -> dict[str, Any]:
    """Everything that campus knows, as JSON."""
    campus = request.campus
    book = campus.gradebook
    return {
        "registration": campus.registration,
        "people": [
            {"login": person.login, "sub": person.sub, "name": person.name, "teacher": person.teacher}
            for person in campus.course.people
        ],
        "links": [
            {
                "id": link.id,
                "title": link.title,
                "due": link.due and utc_text(link.due),
                "points": link.points,
            }
            for link in campus.course.links
        ],
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
            for person in campus.course.learners
            for score in book.scores(item, person)
        ],
        "log": [{**asdict(entry), "at": entry.at.isoformat()} for entry in campus.log],
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
    request: Request, title: str, description: str = "", due: str | None = None, points: float | None = 10.0
) -> dict[str, Any]:
    moment: datetime | None = read_time("due", due).astimezone(UTC) if due else None
    link = request.campus.add_link(Link(new_link_id(), title, description, moment, points))
    return {"id": link.id}


LEVERS: dict[str, Callable[..., dict[str, Any]]] = {
    "fail": _fail,
    "slow": _slow,
    "rotate": _rotate,
    "revoke": _revoke,
    "link": _link,
}
