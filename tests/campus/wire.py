"""What tools send to the line item and score services, read strictly (AGS 2.0)."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .errors import Refused

MEDIA = "application/vnd.ims.lis."
LINEITEM_TYPE = MEDIA + "v2.lineitem+json"
LINEITEMS_TYPE = MEDIA + "v2.lineitemcontainer+json"
RESULTS_TYPE = MEDIA + "v2.resultcontainer+json"
SCORE_TYPE = MEDIA + "v1.score+json"

ACTIVITY = ("Initialized", "Started", "InProgress", "Submitted", "Completed")
GRADING = ("FullyGraded", "Pending", "PendingManual", "Failed", "NotReady")

_SCORE_FIELDS = {
    "userId", "scoringUserId", "timestamp", "activityProgress", "gradingProgress",
    "scoreGiven", "scoreMaximum", "comment", "submission",
}  # fmt: skip
_LINE_ITEM_FIELDS = {
    "id", "label", "scoreMaximum", "resourceId", "tag", "resourceLinkId",
    "startDateTime", "endDateTime", "gradesReleased",
}  # fmt: skip

# RFC 3339, section 5.6, with the zone that fromisoformat() would do without.
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True)
class Score:
    """One accepted score.

    :param user_id: the person's `sub`.
    :param timestamp: the tool's time, with a zone.
    :param given: `scoreGiven`, or None.
    :param maximum: `scoreMaximum`, or None.
    :param submitted_at: `submission.submittedAt` as it was sent, or None.
    :param received: when campus took it.
    :param raw: the whole body.
    """

    user_id: str
    timestamp: datetime
    activity_progress: str
    grading_progress: str
    given: float | None
    maximum: float | None
    comment: str
    submitted_at: str | None
    received: datetime
    raw: Mapping[str, Any]


def bad(reason: str) -> Refused:
    """A body that does not say what it should."""
    return Refused(400, "invalid_request", reason)


def utc_text(moment: datetime) -> str:
    """A time as RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


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


def _number(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if name not in body:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise bad(f"{name} is not a number")
    return float(value)


def _text(body: Mapping[str, Any], name: str, required: bool = False) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise bad(f"{name} is not a string")
    if required and not value.strip():
        raise bad(f"{name} is missing")
    return value


def _one_of(body: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
    value = body.get(name)
    if value not in known:
        raise bad(f"{name} is not one of {', '.join(known)}")
    return str(value)


def _known_only(body: Mapping[str, Any], known: set[str]) -> None:
    """Extensions are members whose name is a URL; any other unknown member is a slip of the pen."""
    for name in body:
        if name not in known and not name.startswith(("https://", "http://")):
            raise bad(f"unknown member '{name}' (extensions are named by a URL)")


def read_score(body: Mapping[str, Any], now: datetime) -> Score:
    """A score as it came in, its shape checked; who may be graded and when is the gradebook's matter.

    :param now: the time to note as its arrival.
    :raises Refused: 400.
    """
    _known_only(body, _SCORE_FIELDS)
    given, maximum = _number(body, "scoreGiven"), _number(body, "scoreMaximum")
    if given is not None and given < 0:
        raise bad("scoreGiven is below 0")
    if maximum is not None and maximum <= 0:
        raise bad("scoreMaximum is not above 0")
    if given is not None and maximum is None:
        raise bad("scoreGiven without scoreMaximum")
    submission = body.get("submission", {})
    if not isinstance(submission, dict):
        raise bad("submission is not an object")
    for name in ("startedAt", "submittedAt"):
        if name in submission:
            read_time(f"submission.{name}", submission[name])
    return Score(
        user_id=_text(body, "userId", required=True),
        timestamp=read_time("timestamp", body.get("timestamp")),
        activity_progress=_one_of(body, "activityProgress", ACTIVITY),
        grading_progress=_one_of(body, "gradingProgress", GRADING),
        given=given,
        maximum=maximum,
        comment=_text(body, "comment"),
        submitted_at=submission.get("submittedAt"),
        received=now,
        raw=dict(body),
    )


@dataclass(frozen=True)
class LineItemFields:
    """What a tool may say of a line item; texts that were not given are empty."""

    label: str
    maximum: float
    resource_id: str
    tag: str
    resource_link_id: str
    start: str
    end: str


def read_line_item(body: Mapping[str, Any], url: str | None = None) -> LineItemFields:
    """A line item as it came in.

    :param url: its address where it exists already; a new one must not name an `id`.
    :raises Refused: 400.
    """
    _known_only(body, _LINE_ITEM_FIELDS)
    if url is None and "id" in body:
        raise bad("a new line item has no id: the platform gives it one")
    if url is not None and body.get("id", url) != url:
        raise bad("the id of a line item does not change")
    maximum = _number(body, "scoreMaximum")
    if maximum is None or maximum <= 0:
        raise bad("scoreMaximum is missing or not above 0")
    for name in ("startDateTime", "endDateTime"):
        if name in body:
            read_time(name, body[name])
    if not isinstance(body.get("gradesReleased", True), bool):
        raise bad("gradesReleased is not a boolean")
    return LineItemFields(
        label=_text(body, "label", required=True),
        maximum=maximum,
        resource_id=_text(body, "resourceId"),
        tag=_text(body, "tag"),
        resource_link_id=_text(body, "resourceLinkId"),
        start=_text(body, "startDateTime"),
        end=_text(body, "endDateTime"),
    )
