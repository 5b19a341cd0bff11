"""What every answer of the tool carries: a request id, a content security policy, partitioned cookies."""

import contextlib
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.events import NewResponse, subscriber
from pyramid.request import Request
from sqlalchemy.exc import SQLAlchemyError

from ipylti import security, trace
from ipylti.platforms import Platforms
from ipylti.services import Services, tool_path
from ipylti.trace import Trace

log = logging.getLogger(__name__)

#: Seconds for which the registered platforms' origins are remembered, and after which the database is asked
#: again where it did not answer: most answers need it for nothing else.
_REMEMBERED = 30.0
_AGAIN = 3.0

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class FrameOrigins:
    """The origins that may frame the tool's pages; the last known ones while the database is away."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._origins: tuple[str, ...] = ()
        self._next = 0.0

    def current(self) -> tuple[str, ...]:
        """Return the registered platforms' origins."""
        if time.monotonic() >= self._next:
            # Before the answer is there: while the database hangs, one request waits for it and not all.
            self._next = time.monotonic() + _AGAIN
            with contextlib.suppress(SQLAlchemyError), self.services.reading() as db:
                self._origins = Platforms(db).frame_origins()
                self._next = time.monotonic() + _REMEMBERED
        return self._origins

    def forget(self) -> None:
        """Ask the database at the next answer: a platform has come."""
        self._next = 0.0


def request_id(request: Request) -> str:
    """Return the id of this request: the one that the proxy gave it, or a new one."""
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else trace.new_id()


def tracing(handler: Callable[[Request], Any], _registry: Any) -> Callable[[Request], Any]:
    """Have all that a request does, and causes, carry its id."""

    def traced(request: Request) -> Any:
        with trace.begun(Trace(request.request_id)):
            return handler(request)

    return traced


@subscriber(NewResponse)
def add_headers(event: NewResponse) -> None:
    """Add to the answer what every answer carries; the gate's own answers are Traefik's business."""
    request, headers = event.request, event.response.headers
    path = tool_path(request)
    if path == "/gate":
        return
    headers["X-Request-Id"] = request.request_id
    headers.setdefault("Content-Security-Policy", _policy(request))
    # With "no-referrer", browsers post our own forms with "Origin: null", which the CSRF check refuses.
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if not path.startswith("/static/"):
        headers.setdefault("Cache-Control", "no-store")
    else:
        # The page of a sleeping server, on a notebook host, uses them too.
        headers["Access-Control-Allow-Origin"] = "*"
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    _partition_cookies(event)


def _policy(request: Request) -> str:
    settings = request.services.settings
    notebooks = settings.notebook_origin("*")
    own = settings.url
    known = request.registry["ipylti.frame_origins"].current()
    # Where the launch was not found, the request has no context at all.
    context = getattr(request, "context", None)
    framed_by = request.environ.get(security.FRAMED_BY, ())
    ancestors = {*known, *getattr(context, "frame_origins", ()), *framed_by} - {own}
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {own}",
            f"style-src 'self' {own}",
            f"img-src 'self' {own}",
            "connect-src 'self'",
            f"frame-src {notebooks}",
            " ".join(("form-action 'self'", notebooks, *getattr(context, "form_targets", ()))),
            "base-uri 'none'",
            " ".join(("frame-ancestors", own, *sorted(ancestors))),
        )
    )


def _partition_cookies(event: NewResponse) -> None:
    """Mark every cookie as partitioned: browsers that block third-party cookies then keep them in a frame
    (CHIPS, draft-cutler-httpbis-partitioned-cookies); WebOb does not know the attribute."""
    response = event.response
    cookies = response.headers.getall("Set-Cookie")
    if cookies:
        del response.headers["Set-Cookie"]
        for cookie in cookies:
            marked = cookie if "partitioned" in cookie.lower() else f"{cookie}; Partitioned"
            response.headers.add("Set-Cookie", marked)


def includeme(config: Configurator) -> None:
    """Add the request id, and what the subscriber above needs."""
    config.add_request_method(request_id, reify=True)
    config.add_tween("ipylti.headers.tracing", over="pyramid_tm.tm_tween_factory")
    config.registry["ipylti.frame_origins"] = FrameOrigins(config.registry["ipylti.services"])
