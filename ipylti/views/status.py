"""How far a server and a submission are, as JSON for the pages' scripts, in words for people."""

from datetime import UTC, datetime
from typing import Any

from ipylti import models
from ipylti.usage import Files
from ipylti.views import amounts
from ipylti.volatile import Progress, State, Step

#: Code -> what went wrong with a server, and what to do. A code that is not here has no better words.
SENTENCES = {
    "podman.down": "The notebook service is not answering at the moment. Your files are safe; "
    "please try again in a minute.",
    "redis.down": "The service is not answering at the moment. Your files are safe; "
    "please try again in a minute.",
    "server.image_missing": "The notebook's image is missing on the server. Please tell your teacher or "
    "administrator; your files are safe.",
    "server.image_refused": "The software that this assignment was made for is not offered any more. "
    "Please tell your teacher; your files are safe.",
    "server.timeout.jupyter": "The notebook did not start in time. Please try again; your files are safe.",
    "server.timeout.route": "The notebook started, but can't be reached yet. Please try again; "
    "your files are safe.",
    "server.ended": "The notebook ended unexpectedly. Your files are safe; start it again.",
    "server.out_of_memory": "The notebook used more than its {limit} of memory and was stopped. "
    "Your saved files are safe; start it again.",
    "volume.full": "Your files take {used}; {limit} is what they may take. So the notebook was stopped. "
    "All files are safe: start it again and delete what you don't need.",
    "volume.gone": "The files of this notebook are missing on the server. Please tell your teacher or "
    "administrator, who can bring them back from a backup.",
    "volume.no_space": "There is no room left on the server. Please tell your teacher or administrator; "
    "your saved files are safe.",
    "volume.too_deep": "The assignment's folders are nested too deeply to be copied. Please tell your "
    "teacher; all files are safe.",
}
#: Code -> what people should know while they work.
NOTICES = {
    "memory.short": "The notebook used more than its {limit} of memory, and what used most was ended: "
    "a kernel most likely, with all its variables. Your saved files are safe.",
    "volume.filling": "Your files take {used}; {limit} is what they may take. Please delete what you don't "
    "need: at {end} the notebook is stopped. Files are kept in any case.",
    "volume.too_full": "Your files take {used}; {limit} is what they may take, and the notebook was stopped "
    "for that. Please delete what you don't need: it is stopped again if they become more.",
}
_OTHERWISE = "The notebook could not be started. Your files are safe; please try again."

#: Step -> percent of the way at its beginning. Copying counts its bytes from there to the next step.
_PERCENT = {Step.QUEUE: 0, Step.COPY: 10, Step.CONTAINER: 40, Step.JUPYTER: 60, Step.ROUTE: 90}


def server_status(
    progress: Progress, position: int | None, wait: int | None, request_id: str
) -> dict[str, Any]:
    """Return the part of the status that is about the server.

    :param position: the place in the queue, 1 being next.
    :param wait: seconds that the queue is likely to take, where that can be known.
    """
    failed = progress.state is State.FAILED
    error = {
        "code": progress.error,
        "message": _told(SENTENCES.get(progress.error, _OTHERWISE), used=progress.used, limit=progress.limit),
        # Of the work that failed, so that it finds the log's lines.
        "request_id": progress.request_id or request_id,
    }
    return {
        "state": progress.state.value,
        "step": progress.step.value if progress.step else None,
        "progress": _percent(progress),
        "bytes": {"done": progress.done, "total": progress.total} if progress.total else None,
        "position": position,
        "wait": wait,
        "url": None,
        "extension": progress.extension,
        "ends_at": datetime.fromtimestamp(progress.ends_at, UTC).isoformat() if progress.ends_at else None,
        "error": error if failed else None,
    }


def notices(files: Files | None, memory: int | None) -> list[dict[str, str]]:
    """Return the part of the status that is about what the server and its files use, where that is too much.

    :param memory: bytes of the limit that was passed of late, 0 if that is not known; None where none was.
    """
    found = []
    if memory is not None:
        found.append(_notice("memory.short", limit=memory))
    if files is not None and files.many:
        code = "volume.too_full" if files.stopped else "volume.filling"
        found.append(_notice(code, used=files.size, limit=files.limit, end=files.end))
    return found


def _notice(code: str, **amounts_of: int) -> dict[str, str]:
    return {"code": code, "message": _told(NOTICES[code], **amounts_of)}


def _told(sentence: str, **amounts_of: int) -> str:
    """Return a sentence with amounts in it; one that is not known is a "share"."""
    return sentence.format(
        **{name: amounts.size(each) if each else "share" for name, each in amounts_of.items()}
    )


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
