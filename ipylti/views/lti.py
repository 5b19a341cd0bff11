"""The platform's side of the tool: login, launch, keys, configuration."""

import time
from datetime import UTC, datetime
from typing import Any

from pyramid.httpexceptions import HTTPFound, HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from ipylti.lti import login, messages
from ipylti.lti.canvas import canvas_configuration
from ipylti.platforms import Platforms, ToolKeys
from ipylti.views import framed, opening

# State and nonce, bound to the browser, take the place of a CSRF token in both (OpenID Connect Core 1.0,
# 3.1.2.1 and 15.5.2): these requests come from the platform's pages by design.


@view_config(
    route_name="login",
    request_method=("GET", "POST"),
    permission=NO_PERMISSION_REQUIRED,
    require_csrf=False,
)
def begin_login(request: Request) -> Response:
    """Answer the platform's login initiation by sending the browser back there to sign in.

    In a frame, of a browser that has not shown yet that it keeps our cookies there, it is looked first.
    """
    services = request.services
    with services.reading() as db:
        redirect = login.begin(
            request.params.items(),
            Platforms(db),
            services.states,
            services.settings.launch_url,
            framed=framed.doubtful(request),
        )
    response = framed.look(request, redirect) if redirect.login.storage else HTTPFound(redirect.location)
    framed.bind(response, redirect.state, redirect.binding, login.STATE_SECONDS)
    framed.try_cookie(response)
    return response


@view_config(
    route_name="launch",
    request_method="POST",
    permission=NO_PERMISSION_REQUIRED,
    require_csrf=False,
)
def launch(request: Request) -> Response:
    """Receive the platform's message, and go on to what it opens."""
    received = opening.receive(request, request.POST.items(), request.cookies, time.time())
    if isinstance(received, messages.Parked):
        return framed.matching_page(request, received)
    response = HTTPSeeOther(opening.opened(request, received))
    framed.bind(response, request.POST["state"], "", 0)
    return response


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
