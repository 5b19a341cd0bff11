"""Refusals: each is logged here, once, and answered in the form that its endpoint promises."""

from typing import Any

from pyramid.exceptions import PredicateMismatch
from pyramid.httpexceptions import HTTPException
from pyramid.renderers import render_to_response
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import exception_view_config, notfound_view_config

from ..app import SERVICES
from ..errors import LoginRefused, Refused

#: What people are told, by the code of a refusal; the reason is in the log.
WORDS = {
    "invalid_request": "The tool sent something wrong.",
    "no_tool": "No tool can be opened here yet. An administrator has to register one and switch it on.",
}

#: Under these even what is not there is answered in JSON.
JSON_PATHS = ("/ags/", "/nrps/", "/_control/")


def endpoint_of(request: Request) -> str:
    """The name under which the log knows an endpoint."""
    return request.matched_route.name if request.matched_route else "unknown"


@exception_view_config(Refused)
def refused(exc: Refused, request: Request) -> Response:
    """A service says no: JSON, as RFC 6749, section 5.2, has it. Where a person waits, it is a page."""
    endpoint = endpoint_of(request)
    if endpoint not in SERVICES and not request.path.startswith(JSON_PATHS):
        return page_error(
            request, endpoint, exc.status, WORDS.get(exc.error, "Something is wrong."), exc.reason
        )
    request.campus.log.refuse(endpoint, exc.reason, exc.status)
    response = Response(
        status=exc.status,
        json_body={"error": exc.error, "error_description": exc.reason},
        content_type="application/json",
    )
    for name, value in exc.headers:
        response.headers[name] = value
    return response


@exception_view_config(LoginRefused, renderer="form_post.jinja2")
def login_refused(exc: LoginRefused, request: Request) -> dict[str, Any]:
    """An authentication request is refused: the browser carries the error to the tool."""
    request.campus.log.refuse("auth", exc.reason, 200)
    fields = {"error": exc.error, "error_description": exc.description}
    if exc.state is not None:
        fields["state"] = exc.state
    return {"action": exc.redirect_uri, "fields": fields, "title": "Back to the tool"}


@notfound_view_config()
def not_found(exc: HTTPException, request: Request) -> Any:
    """No such address, or not with this method, or nothing of this name."""
    endpoint = endpoint_of(request)
    if isinstance(exc, PredicateMismatch):
        why = Refused(405, "method_not_allowed", f"{request.method} is not for {request.path}")
    elif request.matched_route is not None:
        return page_error(request, endpoint, 404, exc.detail, exc.detail)
    else:
        why = Refused(404, "not_found", f"there is nothing at {request.path}")
    if endpoint in SERVICES or request.path.startswith(JSON_PATHS):
        return refused(why, request)
    return page_error(request, endpoint, why.status, "There is nothing at this address.", why.reason)


@exception_view_config(HTTPException)
def http_error(exc: HTTPException, request: Request) -> Any:
    """A page that cannot be shown."""
    if exc.status_int < 400:
        return exc
    return page_error(request, endpoint_of(request), exc.status_int, exc.detail or exc.title, exc.detail)


def page_error(request: Request, endpoint: str, status: int, message: str, reason: str | None) -> Response:
    """Log a refusal and show it to the person."""
    request.campus.log.refuse(endpoint, reason or message, status)
    response = render_to_response(
        "error.jinja2", {"message": message, "status": status, "page": "error"}, request=request
    )
    response.status_int = status
    return response
