"""Assignment and Grade Services 2.0: line items, scores, results."""

from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config

from ..gradebook import Gradebook
from ..paging import page
from ..scopes import LINEITEM, LINEITEM_READONLY, RESULT_READONLY, SCORE
from ..wire import LINEITEM_TYPE, LINEITEMS_TYPE, RESULTS_TYPE, SCORE_TYPE
from .services import answer, book_of, check_query, service


def _book(request: Request) -> Gradebook:
    """The gradebook that the address means."""
    found = book_of(request)
    check_query(request, request.campus.config.behaviour.line_item_query)
    return found


@view_config(route_name="lineitems", request_method="GET")
@service(LINEITEM, LINEITEM_READONLY, accept=LINEITEMS_TYPE)
def list_line_items(request: Request) -> Response:
    """The container of line items, filtered, in pages."""
    book = _book(request)
    found = book.find(request.GET)
    shown, headers = page(request, found)
    request.campus.log.accept("lineitems", f"{len(shown)} of {len(found)} line items listed")
    return answer([book.to_json(item) for item in shown], LINEITEMS_TYPE, headers=headers)


@view_config(route_name="lineitems", request_method="POST")
@service(LINEITEM, consumes=LINEITEM_TYPE)
def create_line_item(request: Request) -> Response:
    """A new line item."""
    book = _book(request)
    item = book.create(request.body)
    request.campus.log.accept("lineitems", f"line item “{item.fields.label}” made", 201)
    return answer(book.to_json(item), LINEITEM_TYPE, 201, {"Location": book.item_url(item)})


@view_config(route_name="lineitem", request_method="GET")
@service(LINEITEM, LINEITEM_READONLY, accept=LINEITEM_TYPE)
def get_line_item(request: Request) -> Response:
    """One line item."""
    book = _book(request)
    item = book.item(request.matchdict["item"])
    request.campus.log.accept("lineitem", f"line item “{item.fields.label}” shown")
    return answer(book.to_json(item), LINEITEM_TYPE)


@view_config(route_name="lineitem", request_method="PUT")
@service(LINEITEM, consumes=LINEITEM_TYPE)
def put_line_item(request: Request) -> Response:
    """Change a line item."""
    book = _book(request)
    item = book.update(request.matchdict["item"], request.body)
    request.campus.log.accept("lineitem", f"line item “{item.fields.label}” changed")
    return answer(book.to_json(item), LINEITEM_TYPE)


@view_config(route_name="lineitem", request_method="DELETE")
@service(LINEITEM)
def delete_line_item(request: Request) -> Response:
    """Remove a line item."""
    item = _book(request).delete(request.matchdict["item"])
    request.campus.log.accept("lineitem", f"line item “{item.fields.label}” removed", 204)
    return Response(status=204)


@view_config(route_name="scores", request_method="POST")
@service(SCORE, consumes=SCORE_TYPE)
def post_score(request: Request) -> Response:
    """Take a score."""
    book = _book(request)
    item = book.item(request.matchdict["item"])
    score = book.post(item.id, request.body)
    person = book.course.by_sub(score.user_id)
    name = person.name if person else score.user_id
    points = "no score" if score.given is None else f"{score.given:g} of {score.maximum:g}"
    progress = f"{score.activity_progress}, {score.grading_progress}, {points}"
    status: int = request.campus.config.behaviour.score_status
    request.campus.log.accept("scores", f"{name}, “{item.fields.label}”: {progress}", status)
    if status == 204 or person is None:
        return Response(status=204)
    return answer({"resultUrl": book.result_url(item, person)}, SCORE_TYPE, status)


@view_config(route_name="results", request_method="GET")
@service(RESULT_READONLY, accept=RESULTS_TYPE)
def list_results(request: Request) -> Response:
    """The results of a line item, of one person or of all, in pages."""
    book = _book(request)
    found = book.results(book.item(request.matchdict["item"]), request.GET.get("user_id"))
    shown, headers = page(request, found)
    request.campus.log.accept("results", f"{len(shown)} of {len(found)} results listed")
    return answer(list(shown), RESULTS_TYPE, headers=headers)
