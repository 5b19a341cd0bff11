"""JSON that tools send, read strictly: what is not as it should be is refused with the member's name."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from .errors import Refused

# RFC 3339, section 5.6, with the zone that fromisoformat() would do without.
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def bad(reason: str) -> Refused:
    """A body that does not say what it should."""
    return Refused(400, "invalid_request", reason)


def utc_text(moment: datetime) -> str:
    """A time as RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def origin_of(url: str) -> str:
    """The origin of an absolute http(s) URL (RFC 6454, section 4), an empty text for anything else."""
    try:
        parts = urlsplit(url)
        port = {"http": 80, "https": 443}.get(parts.scheme) if parts.port is None else parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}"


def read_object(body: bytes) -> dict[str, Any]:
    """A body as a JSON object: UTF-8, no key twice, no NaN.

    :raises Refused: 400.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise ValueError("a key stands twice")
        return members

    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant)
    except (ValueError, RecursionError) as err:
        raise bad(f"the body is not JSON: {err}") from err
    if not isinstance(value, dict):
        raise bad("the body is not a JSON object")
    return value


def read_time(name: str, value: object) -> datetime:
    """An RFC 3339 timestamp with a zone.

    :raises Refused: 400.
    """
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        raise bad(f"{name} is not an RFC 3339 time with a zone")
    try:
        return datetime.fromisoformat(value)
    except ValueError as err:
        raise bad(f"{name} is no time that exists: {err}") from err


class Fields:
    """A JSON object, read member by member. All readers raise :class:`Refused`, 400.

    :param body: the object.
    :param where: what it is a member of, for the reasons of refusals; empty for a whole body.
    """

    def __init__(self, body: Mapping[str, Any], where: str = "") -> None:
        self.body = body
        self._where = where

    def name(self, member: str) -> str:
        """What a refusal calls a member."""
        return f"{self._where}.{member}" if self._where else member

    def known_only(self, *known: str) -> None:
        """Extensions are members whose name is a URL; any other unknown member is a slip of the pen."""
        for member in self.body:
            if member not in known and not member.startswith(("https://", "http://")):
                raise bad(f"unknown member '{self.name(member)}' (extensions are named by a URL)")

    def text(self, member: str, required: bool = False) -> str:
        """A string, empty if absent."""
        value = self.body.get(member, "")
        if not isinstance(value, str):
            raise bad(f"{self.name(member)} is not a string")
        if required and not value.strip():
            raise bad(f"{self.name(member)} is missing")
        return value

    def number(self, member: str) -> float | None:
        """A finite number, None if absent."""
        if member not in self.body:
            return None
        value = self.body[member]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise bad(f"{self.name(member)} is not a number")
        return float(value)

    def boolean(self, member: str, default: bool = False) -> bool:
        """True or false."""
        value = self.body.get(member, default)
        if not isinstance(value, bool):
            raise bad(f"{self.name(member)} is not a boolean")
        return value

    def one_of(self, member: str, known: tuple[str, ...]) -> str:
        """A string out of a list."""
        value = self.body.get(member)
        if value not in known:
            raise bad(f"{self.name(member)} is not one of {', '.join(known)}")
        return str(value)

    def time(self, member: str) -> datetime | None:
        """An RFC 3339 time with a zone, None if absent."""
        return read_time(self.name(member), self.body[member]) if member in self.body else None

    def url(self, member: str, required: bool = False) -> str:
        """An absolute http(s) URL, empty if absent."""
        value = self.text(member, required)
        if value and not origin_of(value):
            raise bad(f"{self.name(member)} is not an http(s) URL")
        return value

    def object(self, member: str) -> "Fields | None":
        """An object, None if absent."""
        if member not in self.body:
            return None
        value = self.body[member]
        if not isinstance(value, dict):
            raise bad(f"{self.name(member)} is not an object")
        return Fields(value, self.name(member))

    def strings(self, member: str) -> tuple[str, ...]:
        """An array of strings, empty if absent."""
        value = self.body.get(member, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise bad(f"{self.name(member)} is not an array of strings")
        return tuple(value)

    def objects(self, member: str) -> "tuple[Fields, ...]":
        """An array of objects, empty if absent."""
        value = self.body.get(member, [])
        if not isinstance(value, list):
            raise bad(f"{self.name(member)} is not an array")
        for number, each in enumerate(value, 1):
            if not isinstance(each, dict):
                raise bad(f"number {number} of {self.name(member)} is not an object")
        return tuple(Fields(each, f"{self.name(member)}[{number}]") for number, each in enumerate(value))

    def text_map(self, member: str) -> dict[str, str]:
        """An object all of whose members are strings: custom parameters. Empty if absent."""
        found = self.object(member)
        if found is None:
            return {}
        for name, value in found.body.items():
            if not name or not isinstance(value, str):
                raise bad(f"{found.name(name)} is not a string")
        return dict(found.body)
