"""Every URL on one screen.

A request arrives on one of two kinds of host: the tool's own, or a workspace's notebook host (what of a
notebook host is not answered by its server: tickets, and the page of a server that sleeps). A route belongs
to one kind and does not exist on the other, so that no page of the tool can be had on an origin which
student code controls.
"""

from pyramid.config import Configurator

from ipylti.security import launch_factory


class NotebookHost:
    """Route predicate: whether the request came in on a workspace's notebook host."""

    def __init__(self, value: bool, config: Configurator) -> None:
        self.value = value

    def text(self) -> str:
        return f"notebook_host = {self.value}"

    phash = text

    def __call__(self, info, request) -> bool:  # type: ignore[no-untyped-def]
        return request.registry.settings["ipylti"].is_notebook_host(request.domain) is self.value


def includeme(config: Configurator) -> None:
    """Add all routes; the order is the order of matching."""
    config.add_route_predicate("notebook_host", NotebookHost)

    def tool(name: str, pattern: str, **kwargs) -> None:  # type: ignore[no-untyped-def]
        config.add_route(name, pattern, notebook_host=False, **kwargs)

    def notebook(name: str, pattern: str) -> None:
        config.add_route(name, pattern, notebook_host=True)

    # LTI
    tool("login", "/login")
    tool("launch", "/launch")
    tool("jwks", "/.well-known/jwks.json")
    tool("canvas", "/.well-known/canvas.json")

    # pages
    tool("home", "/")
    tool("workbench", "/launches/{launch_id}", factory=launch_factory)
    tool("status", "/launches/{launch_id}/status", factory=launch_factory)
    tool("tab", "/launches/{launch_id}/tab", factory=launch_factory)
    tool("submit", "/submit/{launch_id}", factory=launch_factory)

    # a workspace's notebook host
    notebook("enter", "/_ipylti/enter")
    notebook("awake", "/_ipylti/awake")
    notebook("asleep", "/*path")

    # operations; Traefik routes neither /gate nor /metrics
    tool("gate", "/gate")
    tool("healthz", "/healthz")
    tool("readyz", "/readyz")
    tool("metrics", "/metrics")
    config.add_static_view("static", "ipylti:static", cache_max_age=3600)
