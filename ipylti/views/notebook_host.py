"""The gate, and what of a notebook host its server does not answer itself: tickets, and sleeping servers."""

import logging
import time
from typing import Any

from pyramid.httpexceptions import HTTPFound
from pyramid.renderers import render_to_response
from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config
from sqlalchemy.exc import SQLAlchemyError

from ipylti import gate, models, trace
from ipylti.errors import AccessDenied
from ipylti.gate import Pass
from ipylti.metrics import GATE
from ipylti.services import Services
from ipylti.views.status import server_status
from ipylti.volatile import State

log = logging.getLogger(__name__)

# The gate's cookie, bound to the host and checked against the request's origin, is the permission here.


@view_config(route_name="gate", permission=NO_PERMISSION_REQUIRED, require_csrf=False)
def check(request: Request) -> Response:
    """Answer Traefik's question whether a request may pass to a notebook host (ForwardAuth)."""
    services: Services = request.services
    headers = request.headers
    host = headers.get("X-Forwarded-Host", "").partition(":")[0].lower()
    now = time.time()
    given = services.gatekeeper.open(gate.own_cookie(headers.get("Cookie", "")), host, now)
    if given is None:
        GATE.labels("unknown").inc()
        return _refuse(request, 401)
    settings = services.settings
    method = headers.get("X-Forwarded-Method", "")
    if not gate.is_from_own_origin(method, headers, settings.notebook_origin(given.workspace)):
        GATE.labels("foreign").inc()
        log.warning("foreign origin refused", extra={"workspace": given.workspace, "method": method})
        return _refuse(request, 403)
    response = Response(status=200)
    decision = "passed" if given.fresh(now) else _renew(services, response, given, now)
    GATE.labels(decision).inc()
    if decision == "revoked":
        return _refuse(request, 401)
    response.headers["Authorization"] = f"token {settings.jupyter_token(given.workspace)}"
    cookies = gate.foreign_cookies(headers.get("Cookie", ""))
    if cookies:
        response.headers["Cookie"] = cookies
    return response


def _renew(services: Services, response: Response, given: Pass, now: float) -> str:
    """Look the launch up and issue the cookie anew; return what is decided: the browser may go on unless it
    is ``revoked``."""
    try:
        with services.reading() as db:
            launch = db.get(models.Launch, given.launch)
    except SQLAlchemyError:
        log.exception("database is away; the gate believes cookies for longer")
        return "believed" if given.tolerable(now) else "revoked"
    if launch is None or not launch.valid(models.now()):
        return "revoked"
    _set_cookie(services, response, given.renewed(now))
    return "renewed"


def _set_cookie(services: Services, response: Response, given: Pass) -> None:
    response.headers.add(
        "Set-Cookie",
        f"{gate.COOKIE}={services.gatekeeper.seal(given)}; Path=/; Max-Age={given.expires - given.issued}; "
        "Secure; HttpOnly; SameSite=None; Partitioned",
    )


@view_config(route_name="enter", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def enter(request: Request) -> HTTPFound:
    """Take a ticket and let the browser in, or let in whoever is in already (a reloaded frame)."""
    services: Services = request.services
    record = services.tickets.take(request.GET.get("ticket", ""))
    now = int(time.time())
    response: Response
    if record is not None and services.settings.notebook_host(record["workspace"]) == request.domain:
        given = Pass(record["workspace"], record["launch"], now, record["expires"])
        services.visits.note(given.workspace)
        response = HTTPFound(_lab(services, given))
        _set_cookie(services, response, given)
        return response
    known = _known(request)
    if known is None:
        raise AccessDenied("the ticket is used up, expired or of another host", code="ticket.bad")
    return HTTPFound(_lab(services, known))


@view_config(route_name="awake", request_method="GET", permission=NO_PERMISSION_REQUIRED, renderer="json")
def awake(request: Request) -> dict[str, Any]:
    """Say how far the waking of this host's server is."""
    known = _known(request)
    if known is None:
        raise AccessDenied("not known to the gate", code="gate.unknown")
    services: Services = request.services
    progress = services.desk.look(known.workspace)
    return server_status(progress, *services.waiting(known.workspace), request.request_id)


@view_config(route_name="asleep", permission=NO_PERMISSION_REQUIRED, require_csrf=False)
def asleep(request: Request) -> Response:
    """Answer for a host whose server does not run: a person's navigation wakes it, a script's request
    does not, or a forgotten tab would keep its server awake for ever."""
    known = _known(request)
    if known is None:
        raise AccessDenied("not known to the gate", code="gate.unknown")
    if not _is_navigation(request):
        return Response("The notebook's server is asleep.", status=503, headers={"Retry-After": "10"})
    services: Services = request.services
    progress = services.desk.look(known.workspace)
    if progress.state in (State.READY, State.STOPPED, State.FAILED, State.NOT_READY):
        progress = services.desk.ask(known.workspace)
    values = {
        "status": server_status(progress, *services.waiting(known.workspace), request.request_id),
        "awake_url": "/_ipylti/awake",
        "static_origin": services.settings.url,
    }
    response = render_to_response("ipylti:templates/waking.jinja2", values, request)
    response.status_int = 503
    response.headers["Retry-After"] = "2"
    return response


def _known(request: Request) -> Pass | None:
    """Return the pass of a browser whose launch is still good; the database is asked."""
    services: Services = request.services
    given = services.gatekeeper.open(request.cookies.get(gate.COOKIE), request.domain, time.time())
    if given is None:
        return None
    launch = request.db.get(models.Launch, given.launch)
    if launch is None or not launch.valid(models.now()):
        return None
    trace.act_as(trace.person(launch.person_id))
    return given


def _lab(services: Services, given: Pass) -> str:
    """Return JupyterLab's URL; spelt out with the host, or WebOb would put in the one it believes in."""
    return f"{services.settings.notebook_origin(given.workspace)}/lab"


def _is_navigation(request: Request) -> bool:
    mode = request.headers.get("Sec-Fetch-Mode")
    return mode == "navigate" if mode else "text/html" in request.headers.get("Accept", "")


def _refuse(request: Request, status: int) -> Response:
    """Return the refusal that Traefik hands to the browser: a page to a person, a line to a script."""
    if not _is_navigation(request):
        return Response("Open this notebook from your course again.", status=status)
    values = {"static_origin": request.services.settings.url}
    response = render_to_response("ipylti:templates/launch_again.jinja2", values, request)
    response.status_int = status
    response.headers["Cache-Control"] = "no-store"
    return response
