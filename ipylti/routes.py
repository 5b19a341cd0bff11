"""Every URL on one screen.

A request arrives on one of two kinds of host: the tool's own, or a workspace's notebook host (what of a
notebook host is not answered by its server: tickets, and the page of a server that sleeps). A route belongs
to one kind and does not exist on the other, so that no page of the tool can be had on an origin which
student code controls.
"""

import hashlib
from pathlib import Path

from pyramid.config import Configurator

from ipylti.security import launch_factory, selection_factory

FILES = Path(__file__).parent / "static"

#: Seconds for which browsers keep a file whose address changes with it.
_KEPT = 365 * 86400


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
    tool("login_look", "/login/look")
    tool("login_ticket", "/login/ticket")
    tool("login_tab", "/login/tab")
    tool("launch_match", "/launch/match")
    tool("launch_tab", "/launch/tab")
    tool("register", "/register")
    tool("jwks", "/.well-known/jwks.json")
    tool("canvas", "/.well-known/canvas.json")

    # pages
    tool("home", "/")
    tool("selection", "/deep-links/{launch_id}", factory=selection_factory)
    tool("workbench", "/launches/{launch_id}", factory=launch_factory)
    tool("status", "/launches/{launch_id}/status", factory=launch_factory)
    tool("stay_awake", "/launches/{launch_id}/awake", factory=launch_factory)
    tool("tab", "/launches/{launch_id}/tab", factory=launch_factory)
    tool("limits", "/launches/{launch_id}/limits", factory=launch_factory)
    tool("save_limits", "/launches/{launch_id}/limits/save", factory=launch_factory)
    tool("people", "/launches/{launch_id}/submissions", factory=launch_factory)
    tool("submission", "/launches/{launch_id}/submissions/{submission_id}", factory=launch_factory)
    tool("resend", "/launches/{launch_id}/submissions/{submission_id}/resend", factory=launch_factory)
    tool("submit", "/submit/{launch_id}", factory=launch_factory)

    # a workspace's notebook host
    notebook("enter", "/_ipylti/enter")
    notebook("awake", "/_ipylti/awake")
    # Any path at all, with line ends in it, too.
    notebook("asleep", "/{path:(?s:.*)}")

    # operations; Traefik routes neither /gate nor /metrics
    tool("gate", "/gate")
    tool("healthz", "/healthz")
    tool("readyz", "/readyz")
    tool("metrics", "/metrics")
    # Pages name files by the first, whose addresses change with the files; others know them by the second.
    config.add_static_view(f"static/{files_version()}", "ipylti:static", cache_max_age=_KEPT)
    tool("static_of_another", r"/static/{version:[0-9a-f]{12}}/{name:[a-z]+\.(?:css|js|svg)}")
    config.add_static_view("static", "ipylti:static", cache_max_age=3600)


def files_version() -> str:
    """Return a name of all static files as they are: a browser never has an old one with a new page.

    It stands in the path and not in the query, since scripts import each other by relative paths.
    """
    digest = hashlib.sha256()
    for path in sorted(FILES.iterdir()):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
