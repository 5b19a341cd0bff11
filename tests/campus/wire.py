"""What tools send to the line item and score services, read strictly (AGS 2.0)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .canvas import Submission, read_submission
from .course import Review
from .shapes import Fields, bad

MEDIA = "application/vnd.ims.lis."
LINEITEM_TYPE = MEDIA + "v2.lineitem+json"
LINEITEMS_TYPE = MEDIA + "v2.lineitemcontainer+json"
RESULTS_TYPE = MEDIA + "v2.resultcontainer+json"
SCORE_TYPE = MEDIA + "v1.score+json"

ACTIVITY = ("Initialized", "Started", "InProgress", "Submitted", "Completed")
GRADING = ("FullyGraded", "Pending", "PendingManual", "Failed", "NotReady")

_SCORE_MEMBERS = (
    "userId", "scoringUserId", "timestamp", "activityProgress", "gradingProgress",
    "scoreGiven", "scoreMaximum", "comment", "submission",
)  # fmt: skip
_LINE_ITEM_MEMBERS = (
    "id", "label", "scoreMaximum", "resourceId", "tag", "resourceLinkId",
    "startDateTime", "endDateTime", "gradesReleased", "submissionReview",
)  # fmt: skip


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
    :param submission: what Canvas' extension says, if it is there.
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
    submission: Submission | None = None


def read_score(body: Mapping[str, Any], now: datetime, origins: Collection[str]) -> Score:
    """A score as it came in, its shape checked; who may be graded and when is the gradebook's matter.

    :param now: the time to note as its arrival.
    :param origins: the tool's.
    :raises Refused: 400.
    """
    fields = Fields(body)
    fields.known_only(*_SCORE_MEMBERS)
    given, maximum = fields.number("scoreGiven"), fields.number("scoreMaximum")
    if given is not None and given < 0:
        raise bad("scoreGiven is below 0")
    if maximum is not None and maximum <= 0:
        raise bad("scoreMaximum is not above 0")
    if given is not None and maximum is None:
        raise bad("scoreGiven without scoreMaximum")
    submission = fields.object("submission") or Fields({})
    for name in ("startedAt", "submittedAt"):
        submission.time(name)
    timestamp = fields.time("timestamp")
    if timestamp is None:
        raise bad("timestamp is missing")
    return Score(
        user_id=fields.text("userId", required=True),
        timestamp=timestamp,
        activity_progress=fields.one_of("activityProgress", ACTIVITY),
        grading_progress=fields.one_of("gradingProgress", GRADING),
        given=given,
        maximum=maximum,
        comment=fields.text("comment"),
        submitted_at=submission.body.get("submittedAt"),
        received=now,
        raw=dict(body),
        submission=read_submission(fields, origins, now),
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
    review: Review | None = None


def read_line_item(body: Mapping[str, Any], url: str | None = None) -> LineItemFields:
    """A line item as it came in.

    :param url: its address where it exists already; a new one must not name an `id`.
    :raises Refused: 400.
    """
    fields = Fields(body)
    fields.known_only(*_LINE_ITEM_MEMBERS)
    if url is None and "id" in body:
        raise bad("a new line item has no id: the platform gives it one")
    if url is not None and body.get("id", url) != url:
        raise bad("the id of a line item does not change")
    for name in ("startDateTime", "endDateTime"):
        fields.time(name)
    fields.boolean("gradesReleased", True)
    return LineItemFields(
        label=fields.text("label", required=True),
        maximum=read_maximum(fields),
        resource_id=fields.text("resourceId"),
        tag=fields.text("tag"),
        resource_link_id=fields.text("resourceLinkId"),
        start=fields.text("startDateTime"),
        end=fields.text("endDateTime"),
        review=read_review(fields),
    )


def read_maximum(fields: Fields) -> float:
    """The `scoreMaximum` of a line item.

    :raises Refused: 400.
    """
    maximum = fields.number("scoreMaximum")
    if maximum is None or maximum <= 0:
        raise bad(f"{fields.name('scoreMaximum')} is missing or not above 0")
    return maximum


def read_review(fields: Fields) -> Review | None:
    """The `submissionReview` of a line item (Submission Review 1.0), None without.

    :raises Refused: 400.
    """
    found = fields.object("submissionReview")
    if found is None:
        return None
    found.known_only("url", "label", "custom", "reviewableStatus")
    statuses = found.strings("reviewableStatus")
    if not set(statuses) <= set(ACTIVITY):
        raise bad(f"{found.name('reviewableStatus')} has something that is not one of {', '.join(ACTIVITY)}")
    return Review(found.url("url"), found.text("label"), statuses, found.text_map("custom"))


def review_json(review: Review) -> dict[str, Any]:
    """A `submissionReview` as the line item service shows it."""
    members = {
        "reviewableStatus": list(review.statuses),
        "label": review.label,
        "url": review.url,
        "custom": dict(review.custom),
    }
    return {name: value for name, value in members.items() if value}
