"""Pages for the people who run the tool: is it alive, what does it depend on, what does it count."""

from collections.abc import Callable
from typing import Any

import redis
import sqlalchemy as sa
from pyramid.httpexceptions import HTTPNotFound
from pyramid.request import Request
from pyramid.response import FileResponse, Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config
from sqlalchemy.exc import SQLAlchemyError

from ipylti.errors import DependencyDown
from ipylti.metrics import CONTENT_TYPE, exposition
from ipylti.routes import FILES
from ipylti.services import Services


@view_config(
    route_name="home",
    request_method="GET",
    permission=NO_PERMISSION_REQUIRED,
    renderer="ipylti:templates/home.jinja2",
)
def home(request: Request) -> dict[str, Any]:
    """Say what this is, and with which URLs a platform is connected."""
    url = request.services.settings.url
    return {
        "title": request.services.settings.title,
        "urls": [
            ("Target link URI (launch)", f"{url}/launch"),
            ("Redirect URI", f"{url}/launch"),
            ("Login initiation URL", f"{url}/login"),
            ("Public keyset URL", f"{url}/.well-known/jwks.json"),
            ("Canvas: configuration URL", f"{url}/.well-known/canvas.json"),
        ],
    }


@view_config(route_name="static_of_another", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def static_of_another(request: Request) -> Response:
    """Answer for a process whose static files are others, as while one after the other is brought up to date:
    with ours, which no browser is to keep.

    :raises HTTPNotFound: there is no such file here.
    """
    path = FILES / request.matchdict["name"]
    if not path.is_file():
        raise HTTPNotFound
    response = FileResponse(path, request)
    response.cache_control = "no-store"
    return response


@view_config(route_name="healthz", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def healthz(request: Request) -> Response:
    """Say that this process answers; it asks nobody."""
    return Response("ok\n", content_type="text/plain")


@view_config(route_name="readyz", request_method="GET", permission=NO_PERMISSION_REQUIRED, renderer="json")
def readyz(request: Request) -> dict[str, str]:
    """Say of each dependency by name whether it answers; 503 if one does not."""
    services: Services = request.services
    told = {
        "database": _state(lambda: _ask_database(services)),
        "redis": _state(services.redis.ping),
        **_worker(services),
    }
    if any(state != "ok" for state in told.values()):
        request.response.status_int = 503
    return told


def _state(ask: Callable[[], Any]) -> str:
    try:
        ask()
    except (SQLAlchemyError, redis.RedisError):
        return "down"
    return "ok"


def _ask_database(services: Services) -> None:
    with services.engine.connect() as connection:
        connection.execute(sa.text("SELECT 1 FROM registrations WHERE 1 = 0"))


def _worker(services: Services) -> dict[str, str]:
    """Return whether a worker lives, and what it says of Podman and Traefik, which only workers talk to."""
    try:
        parts = services.pulse.read()
    except DependencyDown:
        parts = None
    return {"worker": "down"} if parts is None else {"worker": "ok", **parts}


@view_config(route_name="metrics", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def metrics(request: Request) -> Response:
    """Return Prometheus' text format. Traefik does not route it."""
    return Response(exposition(request.services), headers={"Content-Type": CONTENT_TYPE})
