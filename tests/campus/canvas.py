"""Canvas' extension of scores: what was submitted, and where the tool shows it.

Source: Canvas LMS REST API documentation, "Score", `https://canvas.instructure.com/lti/submission`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from .shapes import Fields, bad, origin_of

SUBMISSION = "https://canvas.instructure.com/lti/submission"
TYPES = ("none", "basic_lti_launch", "online_text_entry", "online_url", "external_tool", "online_upload")
#: Types whose `submission_data` is an address.
ADDRESSES = ("basic_lti_launch", "online_url")
#: How far `submitted_at` may be ahead of campus' clock.
AHEAD = timedelta(minutes=1)

_MEMBERS = (
    "new_submission", "submission_type", "submission_data", "submitted_at", "preserve_score",
    "prioritize_non_tool_grade", "content_items",
)  # fmt: skip


@dataclass(frozen=True)
class Submission:
    """What a tool said of a submission.

    :param url: where the tool shows it, by a launch; empty for a submission of another kind.
    :param is_new: whether it counts as another attempt.
    :param preserve_score: whether a score without `scoreGiven` leaves the grade alone.
    """

    kind: str
    url: str
    submitted_at: datetime | None
    is_new: bool
    preserve_score: bool


def read_submission(score: Fields, origins: Collection[str], now: datetime) -> Submission | None:
    """The extension of a score, None without.

    :param origins: the tool's: what it submits is shown nowhere else.
    :raises Refused: 400.
    """
    fields = score.object(SUBMISSION)
    if fields is None:
        return None
    fields.known_only(*_MEMBERS)
    kind = fields.one_of("submission_type", TYPES) if "submission_type" in fields.body else "external_tool"
    submitted_at = fields.time("submitted_at")
    if submitted_at is not None and submitted_at > now + AHEAD:
        raise bad(f"{fields.name('submitted_at')} is in the future")
    if kind == "online_upload" and not fields.objects("content_items"):
        raise bad(f"{fields.name('content_items')} is missing, and the type is online_upload")
    fields.boolean("prioritize_non_tool_grade")
    return Submission(
        kind=kind,
        url=_address(fields, kind, origins),
        submitted_at=submitted_at,
        is_new=fields.boolean("new_submission", True),
        preserve_score=fields.boolean("preserve_score"),
    )


def _address(fields: Fields, kind: str, origins: Collection[str]) -> str:
    """The `submission_data` where it has to be an address."""
    if kind not in ADDRESSES:
        fields.text("submission_data")
        return ""
    url = fields.url("submission_data", required=True)
    if origin_of(url) not in origins:
        raise bad(f"{fields.name('submission_data')} is not on the tool's origin")
    return url if kind == "basic_lti_launch" else ""
