"""Template filters: times and scores in words."""

from datetime import UTC, datetime

from markupsafe import Markup

from .wire import Score


def moment(when: datetime, seconds: bool = False) -> Markup:
    """A time in UTC, for people and for machines.

    :param seconds: whether people see seconds, too.
    """
    there = when.astimezone(UTC)
    text = f"{there.day} {there:%b %Y, %H:%M:%S}" if seconds else f"{there.day} {there:%b %Y, %H:%M}"
    return Markup('<time datetime="{}">{} UTC</time>').format(there.isoformat(), text)


def in_words(score: Score, points: bool = True) -> str:
    """What a score says of the work.

    :param points: whether it names the points, too.
    """
    if score.grading_progress == "Failed":
        return "Grading failed"
    if score.grading_progress == "FullyGraded" and score.given is not None:
        return f"Graded: {score.given:g} / {score.maximum:g}" if points else "Graded"
    if score.activity_progress in ("Submitted", "Completed"):
        return "Handed in"
    return {"InProgress": "In progress"}.get(score.activity_progress, score.activity_progress)


def tone(score: Score) -> str:
    """The class of the badge that says it."""
    if score.grading_progress == "Failed":
        return "bad"
    if score.grading_progress == "FullyGraded" and score.given is not None:
        return "good"
    return "wait" if score.activity_progress in ("Submitted", "Completed") else ""
