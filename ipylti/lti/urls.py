"""Addresses of services: more path, more query, nothing else changed."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit


def with_path(url: str, ending: str) -> str:
    """Return the URL with more path, its query kept behind it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + ending, fragment=""))


def with_query(url: str, query: Mapping[str, str]) -> str:
    """Return the URL with these parameters, which replace its own of the same names."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, True) if name not in query]
    return urlunsplit(parts._replace(query=urlencode([*kept, *query.items()]), fragment=""))
