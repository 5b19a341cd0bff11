"""How far a server and a submission are, as JSON for the pages' scripts, in words for people."""

from typing import Any

from ipylti import models
from ipylti.volatile import Progress, State, Step

#: Code -> what went wrong with a server, and what to do. A code that is not here has no better words.
SENTENCES = {
    "podman.down": "The notebook service is not answering at the moment. Your files are safe; "
    "please try again in a minute.",
    "redis.down": "The service is not answering at the moment. Your files are safe; "
    "please try again in a minute.",
    "server.image_missing": "The notebook's image is missing on the server. Please tell your teacher or "
    "administrator; your files are safe.",
    "server.timeout.jupyter": "The notebook did not start in time. Please try again; your files are safe.",
    "server.timeout.route": "The notebook started, but can't be reached yet. Please try again; "
    "your files are safe.",
    "server.ended": "The notebook ended unexpectedly. Your files are safe; start it again.",
    "server.out_of_memory": "The notebook used more memory than it may and was stopped. Your saved files are "
    "safe; start it again.",
    "volume.no_space": "There is no room left on the server. Please tell your teacher or administrator; "
    "your saved files are safe.",
    "volume.too_deep": "The assignment's folders are nested too deeply to be copied. Please tell your "
    "teacher; all files are safe.",
}
_OTHERWISE = "The notebook could not be started. Your files are safe; please try again."

#: Step -> percent of the way at its beginning. Copying counts its bytes from there to the next step.
_PERCENT = {Step.QUEUE: 0, Step.COPY: 10, Step.CONTAINER: 40, Step.JUPYTER: 60, Step.ROUTE: 90}


def server_status(progress: Progress, position: int | None, request_id: str) -> dict[str, Any]:
    """Return the part of the status that is about the server.

    :param position: the place in the queue, 1 being next.
    """
    failed = progress.state is State.FAILED
    error = {
        "code": progress.error,
        "message": SENTENCES.get(progress.error, _OTHERWISE),
        "request_id": request_id,
    }
    return {
        "state": progress.state.value,
        "step": progress.step.value if progress.step else None,
        "progress": _percent(progress),
        "bytes": {"done": progress.done, "total": progress.total} if progress.total else None,
        "position": position,
        "url": None,
        "extension": progress.extension,
        "error": error if failed else None,
    }


def submission_status(submission: models.Submission | None) -> dict[str, Any]:
    """Return how far the newest submission is, and whether the platform has it."""
    if submission is None:
        return {"number": 0, "state": "none", "submitted_at": None, "lms": "none", "message": ""}
    item = submission.outbox
    return {
        "number": submission.number,
        "state": str(submission.state),
        "submitted_at": submission.submitted_at.isoformat(),
        "lms": str(item.state) if item else "none",
        "message": f"({item.error})" if item and item.state == models.OutboxState.FAILED else "",
    }


def _percent(progress: Progress) -> int | None:
    if progress.state is State.READY:
        return 100
    if progress.step is None:
        return None
    percent = _PERCENT[progress.step]
    if progress.step is Step.COPY and progress.total:
        span = _PERCENT[Step.CONTAINER] - percent
        percent += int(span * min(progress.done / progress.total, 1))
    return percent
