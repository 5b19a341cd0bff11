"""The token endpoint."""

from typing import Any

from pyramid.request import Request
from pyramid.view import view_config

from ..errors import Refused

FORM = "application/x-www-form-urlencoded"


@view_config(route_name="token", request_method="POST", renderer="json")
def token(request: Request) -> dict[str, Any]:
    """Exchange a client assertion for an access token (RFC 6749, section 4.4; RFC 7523, section 2.2)."""
    if request.content_type != FORM:
        raise Refused(400, "invalid_request", f"the body is {request.content_type or 'untyped'}, not {FORM}")
    if "Authorization" in request.headers:
        raise Refused(400, "invalid_request", "an Authorization header beside an assertion: two ways at once")
    for name in request.POST:
        if len(request.POST.getall(name)) != 1:
            raise Refused(400, "invalid_request", f"{name} is given more than once")
    answer: dict[str, Any] = request.campus.tokens.grant(dict(request.POST))
    request.campus.log.accept("token", f"access token for {answer['scope']}")
    request.response.headers["Pragma"] = "no-cache"
    return answer
