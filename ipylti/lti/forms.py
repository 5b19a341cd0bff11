"""Parameters of a request, each given once."""

from collections.abc import Iterable

from ipylti.errors import IpyltiError
from ipylti.lti.strict_json import storable

#: Characters of one parameter of a login; a ``lti_message_hint`` may be a whole token.
PARAMETER_LENGTH = 8 * 1024


def single(
    params: Iterable[tuple[str, object]], error: type[IpyltiError], *, length: int = PARAMETER_LENGTH
) -> dict[str, str]:
    """Return the parameters by name.

    Of two equally named ones this reader could believe the first and the next the last, so OAuth forbids
    them (RFC 6749, 3.1).

    :param params: a value that is no text is a file that somebody uploaded.
    :param error: the class to raise, with the codes ``request.twice``, ``request.file``, ``request.long`` or
        ``request.characters``.
    """
    found: dict[str, str] = {}
    for name, value in params:
        if name in found:
            raise error("a parameter is given twice", code="request.twice")
        if not isinstance(value, str):
            raise error("a parameter is a file", code="request.file")
        if len(name) > length or len(value) > length:
            raise error("a parameter is too long", code="request.long")
        if not storable(name) or not storable(value):
            raise error("a parameter holds a NUL or a lone surrogate", code="request.characters")
        found[name] = value
    return found
