"""What all services ask before they do anything."""

import functools
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from pyramid.request import Request
from pyramid.response import Response

from ..errors import Refused
from ..gradebook import Gradebook

View = Callable[[Request], Response]


def service(*scopes: str, accept: str = "", consumes: str = "") -> Callable[[View], View]:
    """An operation of a service.

    :param scopes: scopes of which the access token needs one.
    :param accept: the exact `Accept` header, if the operation wants one.
    :param consumes: the exact `Content-Type` of the body, if there is one.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def checked(request: Request) -> Response:
            request.campus.tokens.require(request.headers.get("Authorization"), scopes)
            _check_accept(request, accept)
            sent = request.headers.get("Content-Type", "")
            if consumes and sent != consumes:
                raise Refused(415, "unsupported_media_type", f"Content-Type is '{sent}', not '{consumes}'")
            return view(request)

        return checked

    return decorate


def _check_accept(request: Request, wanted: str) -> None:
    behaviour = request.campus.config.behaviour
    given = request.headers.get("Accept", "")
    if wanted and behaviour.exact_accept and given != wanted:
        raise Refused(behaviour.accept_refusal, "not_acceptable", f"Accept is '{given}', not '{wanted}'")


def check_query(request: Request, query: str) -> None:
    """Ask that what belongs to a service's address is there.

    :raises Refused: 404.
    """
    for name, value in parse_qsl(query):
        if request.GET.getall(name) != [value]:
            why = f"{name} is missing or changed: the query is part of the address"
            raise Refused(404, "not_found", why)


def book_of(request: Request) -> Gradebook:
    """The gradebook of the course that the address means.

    :raises Refused: 404.
    """
    found: Gradebook | None = request.campus.courses.find(request.matchdict["context"])
    if found is None:
        raise Refused(404, "not_found", f"there is no course {request.matchdict['context']}")
    return found


def answer(
    content: Any, media_type: str, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """An answer in JSON of a service's own type."""
    response = Response(status=status, body=json.dumps(content).encode(), content_type=media_type)
    response.headers.update(headers or {})
    return response
