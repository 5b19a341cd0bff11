"""What a platform's service says when it does not do what it was asked, and whether to ask again."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ipylti.errors import OutgoingError, ServiceError
from ipylti.http import Answer

#: Seconds that a platform may have us wait.
LONGEST_WAIT = 24 * 3600

#: What nobody but a person can mend: the address is not allowed, or leads elsewhere.
_LASTING = frozenset({"http.address", "http.redirect"})


def unreachable(service: str, err: OutgoingError) -> ServiceError:
    """Return the error for a request that got no answer.

    :param service: ``token``, ``lineitem`` or ``score``; the code is ``<service>.unreachable``.
    """
    return ServiceError(
        f"{err.code}: {err.detail}", code=f"{service}.unreachable", retry=err.code not in _LASTING
    )


def refused(service: str, answer: Answer) -> ServiceError:
    """Return the error for an answer that says no.

    Worth another try are what passes by itself: too many requests (Canvas says it with 403 and an empty
    allowance), and all that the platform counts as its own failure. The code ends in ``.throttled``,
    ``.failed``, ``.unauthorized``, ``.forbidden``, ``.missing``, ``.conflict`` or ``.refused``.

    :param service: as for :func:`unreachable`.
    """
    status = answer.status
    if status == 429 or (status == 403 and _spent(answer)):
        word, again = "throttled", True
    elif status >= 500 or status in (408, 425):
        word, again = "failed", True
    else:
        words = {401: "unauthorized", 403: "forbidden", 404: "missing", 409: "conflict", 410: "missing"}
        word, again = words.get(status, "refused"), False
    return ServiceError(
        f"answered {status}",
        code=f"{service}.{word}",
        retry=again,
        status=status,
        retry_after=retry_after(answer.headers) if again else None,
    )


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that ``Retry-After`` asks for (RFC 9110, 10.2.3), a day at most; None without it."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), LONGEST_WAIT))
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    left = (moment - (now or datetime.now(UTC))).total_seconds()
    return min(max(0.0, left), LONGEST_WAIT)


def _spent(answer: Answer) -> bool:
    """Return whether Canvas' allowance is used up (its documentation, "Throttling")."""
    try:
        left = float(answer.headers.get("x-rate-limit-remaining", "nan"))
    except ValueError:
        left = math.nan
    return left <= 0 or b"Rate Limit Exceeded" in answer.body[:1000]
