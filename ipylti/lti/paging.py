"""Lists that come in pages: following ``Link: …; rel="next"`` (RFC 8288)."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import urljoin

from ipylti.errors import ServiceError
from ipylti.http import Answer, is_web_url, origin

#: Pages of one list.
PAGES = 100

_TARGET = re.compile(r"[\s,]*<([^>]*)>\s*")
_PARAMETER = re.compile(r';\s*([^\s=;,<>"]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))\s*)?')


def pages(fetch: Callable[[str], Answer], url: str) -> Iterator[Answer]:
    """Return one page after the other.

    :param fetch: returns a page, or raises.
    :raises ServiceError: ``service.paging``: the next page is on another origin (our token would go there),
        was there before, or is one too many.
    """
    seen: set[str] = set()
    following: str | None = url
    while following is not None:
        if following in seen or len(seen) >= PAGES:
            raise _error("the pages go in a circle, or are too many")
        seen.add(following)
        answer = fetch(following)
        yield answer
        following = next_page(answer.headers.get("link", ""), following)


def next_page(header: str, url: str) -> str | None:
    """Return the URL of the next page, its case and query untouched; None if there is none.

    :param header: all Link headers, joined by commas.
    :param url: the page that came with it.
    """
    for target, relations in _links(header):
        if "next" in relations:
            try:
                found = urljoin(url, target)
            except ValueError:
                found = ""
            if not is_web_url(found) or origin(found) != origin(url):
                raise _error("the next page is on another origin")
            return found
    return None


def _links(header: str) -> Iterator[tuple[str, set[str]]]:
    """Return each link's target and relations, up to where the header makes no sense any more.

    Of several ``rel`` the first counts, and a link with an ``anchor`` is about another page (RFC 8288, 3.2
    and 3.3).
    """
    position = 0
    while link := _TARGET.match(header, position):
        position = link.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            position = parameter.end()
            name, quoted, bare = parameter.groups()
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare or ""
            parameters.setdefault(name.lower(), value)
        if "anchor" not in parameters:
            yield link[1], set(parameters.get("rel", "").lower().split())


def _error(detail: str) -> ServiceError:
    return ServiceError(detail, code="service.paging", retry=False)
