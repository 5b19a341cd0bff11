"""Requests whose text can't be read, or is too long, are refused before any view reads it."""

from collections.abc import Callable

from pyramid.config import Configurator
from pyramid.registry import Registry
from pyramid.request import Request
from pyramid.response import Response
from pyramid.tweens import EXCVIEW

from ipylti.errors import BadRequest
from ipylti.gate import own_cookies
from ipylti.services import tool_path

Handler = Callable[[Request], Response]

#: Bytes of the largest form that anybody has a reason to send: a launch, with its token.
BODY_SIZE = 256 * 1024


def tween_factory(handler: Handler, registry: Registry) -> Handler:
    """Return the tween; WebOb reads path, query, cookies and form at first use, and raises then.

    Of the cookies only the tool's own are kept, since one of another's that can't be read would lock its
    owner out; the gate, which hands the others on, reads the header itself.
    """

    def tween(request: Request) -> Response:
        path = tool_path(request)
        try:
            _ = request.GET, request.path_info
            if path != "/gate":
                request.headers["Cookie"] = own_cookies(request.headers.get("Cookie", ""))
                _ = request.cookies.get("")
            # What is meant for a notebook, or asks about it, may be of any length: nobody reads it here.
            if path not in ("", "/gate"):
                if (request.content_length or 0) > BODY_SIZE:
                    raise BadRequest(f"a body of {request.content_length} bytes", code="request.long")
                if request.method == "POST" or request.content_type:
                    _ = request.POST
        # A charset that WebOb does not know is a DeprecationWarning that it raises.
        except (ValueError, LookupError, DeprecationWarning) as err:
            raise BadRequest(type(err).__name__, code="request.characters") from err
        return handler(request)

    return tween


def includeme(config: Configurator) -> None:
    """Put the tween below the exception views, which tell what it raises.

    The pages speak English. Pyramid's own way to choose a language reads query and cookies, which the page
    of an error must not do.
    """
    config.add_tween("ipylti.wellformed.tween_factory", under=EXCVIEW)
    config.set_locale_negotiator(lambda _request: "en")
