"""The platform's side of the tool: login, launch, keys, configuration."""

from datetime import UTC, datetime
from typing import Any

from pyramid.httpexceptions import HTTPFound, HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from ipylti import security
from ipylti.launches import open_launch
from ipylti.lti import login, messages
from ipylti.lti.canvas import canvas_configuration
from ipylti.platforms import Platforms, ToolKeys

# State and nonce, bound to the browser, take the place of a CSRF token in both (OpenID Connect Core 1.0,
# 3.1.2.1 and 15.5.2): these requests come from the platform's pages by design.


@view_config(
    route_name="login",
    request_method=("GET", "POST"),
    permission=NO_PERMISSION_REQUIRED,
    require_csrf=False,
)
def begin_login(request: Request) -> HTTPFound:
    """Answer the platform's login initiation by sending the browser back there to sign in."""
    services = request.services
    redirect = login.begin(
        request.params.items(), Platforms(request.db), services.states, services.settings.launch_url
    )
    response = HTTPFound(redirect.location)
    _set_state_cookie(response, redirect.state, redirect.binding, login.STATE_SECONDS)
    return response


@view_config(
    route_name="launch",
    request_method="POST",
    permission=NO_PERMISSION_REQUIRED,
    require_csrf=False,
)
def launch(request: Request) -> HTTPSeeOther:
    """Receive the platform's message, ask for the person's server, and go on to their workbench."""
    services, settings = request.services, request.services.settings
    message = messages.receive(
        request.POST.items(),
        request.cookies,
        services.states,
        Platforms(request.db),
        services.platform_keys,
        settings.url,
        ("/launch",),
        staff_from_institution=settings.administrators_are_staff,
    )
    opened = open_launch(request.db, message, datetime.now(UTC))
    security.remember(request, opened)
    workspace = opened.workspace_id
    request.tm.get().addAfterCommitHook(lambda success: success and services.desk.ask(workspace))
    response = HTTPSeeOther(request.route_path("workbench", launch_id=opened.id))
    _set_state_cookie(response, request.POST["state"], "", 0)
    return response


def _set_state_cookie(response: Response, state: str, value: str, seconds: int) -> None:
    """Set the cookie that binds a login to its browser; a ``__Host-`` name is taken with these attributes
    only, also when the cookie is to go."""
    response.set_cookie(
        login.state_cookie(state), value, max_age=seconds, secure=True, httponly=True, samesite="None"
    )


@view_config(route_name="jwks", request_method="GET", permission=NO_PERMISSION_REQUIRED, renderer="json")
def jwks(request: Request) -> dict[str, Any]:
    """Return the tool's public keys (RFC 7517, 5)."""
    request.response.cache_control = "public, max-age=300"
    return ToolKeys(request.db).published(datetime.now(UTC))


@view_config(route_name="canvas", request_method="GET", permission=NO_PERMISSION_REQUIRED, renderer="json")
def canvas(request: Request) -> dict[str, Any]:
    """Return the configuration that an administrator of Canvas gives the URL of."""
    settings = request.services.settings
    return dict(canvas_configuration(settings.url, settings.title, "JupyterLab assignments"))
