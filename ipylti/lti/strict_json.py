"""JSON from strangers: read once, without room for two opinions on what it says."""

import json
import re
from typing import Any

from ipylti.errors import IpyltiError

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class NotJSON(IpyltiError):
    """The bytes are not the strict JSON that is asked for here."""

    code = "json.bad"


def loads(data: bytes) -> Any:
    """Return what the JSON text says.

    Stricter than :func:`json.loads`, which takes the last of two equal keys (so that two readers of one
    signed text may read two messages), guesses at UTF-16, and knows ``NaN`` and ``Infinity``. NUL
    characters and lone surrogates, which PostgreSQL or UTF-8 can't hold, are refused in keys and values.

    :param data: UTF-8 without byte order mark. The caller has bounded its size.
    :raises NotJSON: for anything else.
    """
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant, parse_float=_float
        )
    except NotJSON:
        raise
    except (ValueError, RecursionError) as err:
        raise NotJSON(type(err).__name__) from err
    _check_texts(value)
    return value


def storable(text: str) -> bool:
    """Return whether every store can hold the text: no NUL, no lone surrogate."""
    return _UNSTORABLE.search(text) is None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotJSON("a key is given twice")
    return found


def _constant(name: str) -> Any:
    raise NotJSON(f"{name} is not JSON")


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise NotJSON("a number is out of range")
    return value


def _check_texts(value: Any) -> None:
    """Look at every string of the tree, without recursion: the parser's depth limit is not this one's."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if not storable(item):
                raise NotJSON("a NUL or a lone surrogate")
        elif isinstance(item, dict):
            waiting.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
