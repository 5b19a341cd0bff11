"""Dynamic registration: the administrator's pages, and the two endpoints for tools."""

from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.view import view_config

from ..errors import Refused
from ..shapes import origin_of
from .members import for_administrators


@view_config(route_name="tools", request_method="GET", renderer="tools.jinja2")
@for_administrators
def tools(request: Request) -> dict[str, Any]:
    """The tool that is registered, and the form to register another."""
    return _tools(request)


def _tools(request: Request, url: str = "", problem: str = "") -> dict[str, Any]:
    """The page, with what is wrong with the form."""
    campus = request.campus
    return {
        "page": "tools",
        "config": campus.config,
        "state": campus.registry.state,
        "url": url,
        "problem": problem,
    }


@view_config(route_name="tools", request_method="POST", renderer="register.jinja2")
@for_administrators
def begin(request: Request) -> Any:
    """The tool's registration page in a frame."""
    campus = request.campus
    url = request.POST.get("url", "").strip()
    if not origin_of(url):
        request.response.status_int = 400
        request.override_renderer = "tools.jinja2"
        return _tools(request, url, "This is not a web address.")
    return {"page": "launch", "address": campus.registrar.registration_url(url)}


@view_config(route_name="activate", request_method="POST")
@for_administrators
def activate(request: Request) -> HTTPSeeOther:
    """Switch the registered tool on."""
    request.campus.registry.activate()
    return HTTPSeeOther(request.route_path("tools"))


@view_config(route_name="openid_configuration", request_method="GET", renderer="json")
def openid_configuration(request: Request) -> dict[str, Any]:
    """What campus says of itself (OpenID Connect Discovery, section 4)."""
    given = _bearer(request) or request.GET.get("registration_token")
    found: dict[str, Any] = request.campus.registrar.configuration(given)
    request.campus.log.accept("openid_configuration", "the platform's configuration shown")
    return found


@view_config(route_name="register", request_method="POST", renderer="json")
def register(request: Request) -> dict[str, Any]:
    """Register a tool."""
    campus = request.campus
    sent = request.headers.get("Content-Type", "")
    if sent != "application/json":
        raise Refused(415, "unsupported_media_type", f"Content-Type is '{sent}', not 'application/json'")
    tool, answer = campus.registrar.register(_bearer(request), request.body)
    status: int = campus.config.behaviour.registration_status
    campus.log.accept("register", f"“{tool.name}” is registered ({campus.registry.state})", status)
    request.response.status_int = status
    found: dict[str, Any] = answer
    return found


def _bearer(request: Request) -> str | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value if scheme == "Bearer" else None
