"""The frame beside the tool's that keeps its state (LTI postMessage Storage)."""

from typing import Any

from pyramid.httpexceptions import HTTPNotFound
from pyramid.request import Request
from pyramid.view import view_config

from ..storage import origins


@view_config(route_name="storage", request_method="GET", renderer="storage.jinja2")
def frame(request: Request) -> dict[str, Any]:
    """A page without content. It needs nobody: what is kept in it comes from the tool."""
    config = request.campus.config
    if not config.storage or config.storage == "_parent":
        raise HTTPNotFound("This campus has no frame for storage.")
    return {"config": config, "origins": origins(config)}
