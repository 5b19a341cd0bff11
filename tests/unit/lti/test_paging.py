"""Pages: lti.md 31."""

import itertools

import pytest

from ipylti.errors import ServiceError
from ipylti.http import Answer
from ipylti.lti import paging

URL = "https://lms.example/items?tag=a"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", None),
        ("nonsense", None),
        ('<https://lms.example/items?page=2>; rel="next"', "https://lms.example/items?page=2"),
        ("<https://lms.example/items?page=2>; rel=next", "https://lms.example/items?page=2"),
        ("<https://lms.example/Items?Page=AbC>; REL=NEXT", "https://lms.example/Items?Page=AbC"),
        ("<?page=2>;rel=next", "https://lms.example/items?page=2"),
        ("</more>;rel=next", "https://lms.example/more"),
        ('<https://lms.example/1>; rel="prev", <https://lms.example/3>; rel="next"', "https://lms.example/3"),
        ('<https://lms.example/3>; rel="last next"', "https://lms.example/3"),
        ('<https://lms.example/a,b;c>; title="x, y; <z>"; rel="next"', "https://lms.example/a,b;c"),
        ('<https://lms.example/1>; title="rel=next"; rel=prev', None),
        ('<https://lms.example/1>; title="a\\"b"; rel=next', "https://lms.example/1"),
        ('<https://lms.example/1>; rel=prev; rel="next"', None),
        ('<https://lms.example/1>; rel=next; anchor="#x"', None),
        ("<https://lms.example/1>; rel=nextpage", None),
        ("<https://lms.example/1>", None),
        (
            '<https://lms.example/1>; rel="prev"; hreflang, <https://lms.example/3>; rel=next',
            "https://lms.example/3",
        ),
        (',,<https://lms.example/3>; rel="next",', "https://lms.example/3"),
        ("<https://lms.example:443/3>; rel=next", "https://lms.example:443/3"),
    ],
)
def test_the_next_page(header: str, found: str | None) -> None:
    """RFC 8288, with case kept."""
    assert paging.next_page(header, URL) == found


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/items",
        "http://lms.example/items",
        "https://lms.example:8443/items",
        "//evil.example/items",
        "https://lms.example@evil.example/",
        "javascript:alert(1)",
        "https://[bad",
    ],
)
def test_never_to_another_origin(target: str) -> None:
    """Our token would go there."""
    with pytest.raises(ServiceError) as error:
        paging.next_page(f"<{target}>; rel=next", URL)
    assert (error.value.code, error.value.retry) == ("service.paging", False)


def listed(links: dict[str, str]) -> list[str]:
    """Follow pages; return those that were fetched."""
    fetched: list[str] = []

    def fetch(url: str) -> Answer:
        fetched.append(url)
        return Answer(200, {"link": f"<{links[url]}>; rel=next"} if url in links else {}, b"")

    for _ in paging.pages(fetch, "https://lms.example/1"):
        pass
    return fetched


def test_all_pages_come_in_order() -> None:
    pages = [f"https://lms.example/{number}" for number in range(1, 100)]
    assert listed(dict(itertools.pairwise(pages))) == pages


@pytest.mark.parametrize("target", ["https://lms.example/1", "https://lms.example/2"])
def test_loops_are_noticed(target: str) -> None:
    with pytest.raises(ServiceError) as error:
        listed({"https://lms.example/1": "https://lms.example/2", "https://lms.example/2": target})
    assert error.value.code == "service.paging"


def test_there_is_a_last_page() -> None:
    with pytest.raises(ServiceError):
        listed(
            {f"https://lms.example/{number}": f"https://lms.example/{number + 1}" for number in range(10_000)}
        )
