"""What the text of a setting may be: each function reads one, or raises ValueError with what it must be."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

#: The port that goes without saying, by scheme.
PORTS = {"https": 443, "http": 80}

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")

#: Seconds: a hundred years.
_LONGEST = 100 * 365 * 86400

_HOSTNAME = re.compile(r"(?=.{1,200}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def text(text: str) -> str:
    """Return a text that says something."""
    if not text:
        raise ValueError("must not be empty")
    return text


def origin(text: str) -> str:
    """Return the origin as browsers write it: in lower case, without the scheme's own port."""
    text = text.lower().rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("must be a URL like https://tool.example.org")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else hostname(parts.hostname)
    bare = f"{parts.scheme}://{host}"
    if text not in (bare, f"{bare}:{parts.port}"):
        raise ValueError("must be scheme, host and port only, without a path")
    return bare if parts.port in (None, PORTS[parts.scheme]) else text


def url(*schemes: str) -> Callable[[str], str]:
    """Return what reads a URL of one of the schemes."""

    def parse(text: str) -> str:
        scheme, found, _rest = text.partition("://")
        if not found or scheme not in schemes:
            raise ValueError(f"must begin with one of: {', '.join(f'{each}://' for each in schemes)}")
        return text

    return parse


def redis_url(text: str) -> str:
    """Return the URL of a Redis."""
    text = url("redis", "rediss", "unix")(text)
    try:
        _port = urlsplit(text).port
    except ValueError:
        # The library's own words may hold a part of the password.
        raise ValueError("must be a URL like redis://127.0.0.1:6379/0") from None
    return text


def hostname(text: str) -> str:
    """Return a host name in lower case."""
    text = text.lower()
    if not _HOSTNAME.fullmatch(text):
        raise ValueError("must be a host name like notebooks.example.org")
    return text


def secret(text: str) -> str:
    """Return a secret that is long enough."""
    if len(text) < 32:
        raise ValueError("must have at least 32 characters (openssl rand -hex 32 makes one)")
    return text


def boolean(text: str) -> bool:
    """Return whether something is to be so."""
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError("must be true or false")


def one_of(*words: str) -> Callable[[str], str]:
    """Return what reads one of the words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of: {', '.join(words)}")
        return text

    return parse


def integer(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def positive(text: str) -> float:
    """Return a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 10_000:
        raise ValueError("must be a number above 0")
    return number


def size(text: str) -> int:
    """Return bytes."""
    match = _SIZE.fullmatch(text)
    size = float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " ") if match else 0
    if not 1 <= size < 1 << 60:
        raise ValueError("must be a size like 512m or 1g")
    return int(size)


def duration(text: str) -> timedelta:
    """Return a time of seconds, minutes, hours or days."""
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2] or "s"] if match else 0
    if not 0.001 <= seconds < _LONGEST:
        raise ValueError("must be a time like 90s, 15m, 2h or 1d")
    return timedelta(seconds=seconds)


def days(text: str) -> timedelta | None:
    """Read whole days; 0 is for ever."""
    try:
        days = integer(0, 3650)(text)
    except ValueError as err:
        raise ValueError("must be a number of days from 1 to 3650, or 0 for never") from err
    return timedelta(days=days) if days else None


def kept(text: str) -> timedelta:
    """Read whole days."""
    try:
        return timedelta(days=integer(1, 36500)(text))
    except ValueError as err:
        raise ValueError("must be a number of days from 1 to 36500, or none for ever") from err


def or_none(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """Return what reads ``none``, too."""

    def parse_or_none(text: str) -> T | None:
        return None if text.lower() == "none" else parse(text)

    return parse_or_none
