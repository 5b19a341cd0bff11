"""Assignment and Grade Services 2.0: line items, scores, results."""

import functools
import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config

from ..config import LINEITEM, LINEITEM_READONLY, RESULT_READONLY, SCORE
from ..course import CONTEXT_ID
from ..errors import Refused
from ..gradebook import TYPE_ID
from ..wire import LINEITEM_TYPE, LINEITEMS_TYPE, RESULTS_TYPE, SCORE_TYPE, bad

View = Callable[[Request], Response]
Item = TypeVar("Item")


def service(*scopes: str, accept: str = "", consumes: str = "") -> Callable[[View], View]:
    """What every operation asks before it does anything.

    :param scopes: scopes of which the access token needs one.
    :param accept: the exact `Accept` header, if the operation wants one.
    :param consumes: the exact `Content-Type` of the body, if there is one.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def checked(request: Request) -> Response:
            request.campus.tokens.require(request.headers.get("Authorization"), scopes)
            if request.matchdict["context"] != CONTEXT_ID:
                raise Refused(404, "not_found", f"there is no course {request.matchdict['context']}")
            if request.GET.getall("type_id") != [TYPE_ID]:
                why = "type_id is missing or changed: the query is part of the address"
                raise Refused(404, "not_found", why)
            given = request.headers.get("Accept", "")
            if accept and given != accept:
                raise Refused(406, "not_acceptable", f"Accept is '{given}', not '{accept}'")
            sent = request.headers.get("Content-Type", "")
            if consumes and sent != consumes:
                raise Refused(415, "unsupported_media_type", f"Content-Type is '{sent}', not '{consumes}'")
            return view(request)

        return checked

    return decorate


@view_config(route_name="lineitems", request_method="GET")
@service(LINEITEM, LINEITEM_READONLY, accept=LINEITEMS_TYPE)
def list_line_items(request: Request) -> Response:
    """The container of line items, filtered, in pages."""
    book = request.campus.gradebook
    found = book.find(request.GET)
    shown, headers = _page(request, found)
    request.campus.log.accept("lineitems", f"{len(shown)} of {len(found)} line items listed")
    return _json([book.to_json(item) for item in shown], LINEITEMS_TYPE, headers=headers)


@view_config(route_name="lineitems", request_method="POST")
@service(LINEITEM, consumes=LINEITEM_TYPE)
def create_line_item(request: Request) -> Response:
    """A new line item."""
    book = request.campus.gradebook
    item = book.create(request.body)
    request.campus.log.accept("lineitems", f"line item “{item.fields.label}” made", 201)
    return _json(book.to_json(item), LINEITEM_TYPE, 201, {"Location": book.item_url(item)})


@view_config(route_name="lineitem", request_method="GET")
@service(LINEITEM, LINEITEM_READONLY, accept=LINEITEM_TYPE)
def get_line_item(request: Request) -> Response:
    """One line item."""
    book = request.campus.gradebook
    item = book.item(request.matchdict["item"])
    request.campus.log.accept("lineitem", f"line item “{item.fields.label}” shown")
    return _json(book.to_json(item), LINEITEM_TYPE)


@view_config(route_name="lineitem", request_method="PUT")
@service(LINEITEM, consumes=LINEITEM_TYPE)
def put_line_item(request: Request) -> Response:
    """Change a line item."""
    book = request.campus.gradebook
    item = book.update(request.matchdict["item"], request.body)
    request.campus.log.accept("lineitem", f"line item “{item.fields.label}” changed")
    return _json(book.to_json(item), LINEITEM_TYPE)


@view_config(route_name="lineitem", request_method="DELETE")
@service(LINEITEM)
def delete_line_item(request: Request) -> Response:
    """Remove a line item."""
    item = request.campus.gradebook.delete(request.matchdict["item"])
    request.campus.log.accept("lineitem", f"line item “{item.fields.label}” removed", 204)
    return Response(status=204)


@view_config(route_name="scores", request_method="POST")
@service(SCORE, consumes=SCORE_TYPE)
def post_score(request: Request) -> Response:
    """Take a score."""
    campus = request.campus
    item = campus.gradebook.item(request.matchdict["item"])
    score = campus.gradebook.post(item.id, request.body)
    name = campus.course.by_sub(score.user_id).name
    points = "no score" if score.given is None else f"{score.given:g} of {score.maximum:g}"
    progress = f"{score.activity_progress}, {score.grading_progress}, {points}"
    campus.log.accept("scores", f"{name}, “{item.fields.label}”: {progress}", 204)
    return Response(status=204)


@view_config(route_name="results", request_method="GET")
@service(RESULT_READONLY, accept=RESULTS_TYPE)
def list_results(request: Request) -> Response:
    """The results of a line item, of one person or of all, in pages."""
    book = request.campus.gradebook
    found = book.results(book.item(request.matchdict["item"]), request.GET.get("user_id"))
    shown, headers = _page(request, found)
    request.campus.log.accept("results", f"{len(shown)} of {len(found)} results listed")
    return _json(list(shown), RESULTS_TYPE, headers=headers)


def _json(
    content: Any, media_type: str, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    response = Response(status=status, body=json.dumps(content).encode(), content_type=media_type)
    response.headers.update(headers or {})
    return response


def _page(
    request: Request, found: tuple[Item, ...] | list[Item]
) -> tuple[tuple[Item, ...] | list[Item], dict[str, str]]:
    """The part of a list that `limit` asks for, and the Link header to the rest (RFC 8288)."""
    limit, start = _positive(request, "limit"), _positive(request, "from") or 0
    if limit is None:
        return found[start:], {}
    headers = {}
    if start + limit < len(found):
        query = {**request.GET, "limit": limit, "from": start + limit}
        address = f"{request.campus.config.backchannel_url}{request.path}?{urlencode(query)}"
        headers["Link"] = f'<{address}>; rel="next"'
    return found[start : start + limit], headers


def _positive(request: Request, name: str) -> int | None:
    value = request.GET.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise bad(f"{name} is not a whole number above 0")
    return int(value)
