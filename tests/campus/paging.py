"""Lists in pages, and the Link headers that lead from one to the next (RFC 8288)."""

from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlencode

from pyramid.request import Request

from .families import Behaviour
from .shapes import bad

Item = TypeVar("Item")


def page(
    request: Request, found: Sequence[Item], last: dict[str, str] | None = None
) -> tuple[Sequence[Item], dict[str, str]]:
    """The part of a list that a request asks for, and the headers of the answer.

    :param last: addresses of the last page's header, by their relation.
    :raises Refused: 400 for a limit that is none.
    """
    config = request.campus.config
    sizes = [size for size in (_positive(request, "limit"), config.page_size) if size is not None]
    start = _positive(request, "from") or 0
    size = min(sizes, default=max(len(found), 1))
    links = _others(request, start, size, len(found)) if sizes else {}
    if start + size < len(found):
        links["next"] = _address(request, start + size)
    else:
        links |= last or {}
    headers = {"Link": link_header(config.behaviour, links)} if links else {}
    return found[start : start + size], headers


def _others(request: Request, start: int, size: int, total: int) -> dict[str, str]:
    """The addresses of other pages that a platform names beside the next one."""
    starts = {"first": 0, "current": start, "canonical": start, "last": max(total - 1, 0) // size * size}
    return {name: _address(request, starts[name]) for name in request.campus.config.behaviour.link_others}


def link_header(behaviour: Behaviour, links: Mapping[str, str]) -> str:
    """Links as a platform writes them, in the characters of a WSGI header.

    :param links: addresses by their relation.
    """
    written = (behaviour.link_format.format(url=url, rel=rel) for rel, url in links.items())
    return behaviour.link_joint.join(written).encode().decode("latin-1")


def service_url(request: Request, query: Sequence[tuple[str, object]]) -> str:
    """The address of a request to a service with another query."""
    config = request.campus.config
    base = "" if config.behaviour.relative_links else config.backchannel_url
    return f"{base}{request.path}?{urlencode(query)}"


def _address(request: Request, start: int) -> str:
    kept = [(name, value) for name, value in request.GET.items() if name != "from"]
    return service_url(request, [*kept, ("from", start)])


def _positive(request: Request, name: str) -> int | None:
    value = request.GET.get(name)
    if value is None or (name == "from" and value == "0"):
        return None
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise bad(f"{name} is not a whole number above 0")
    return int(value)
