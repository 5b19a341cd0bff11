"""What a platform said to a score, in words for teachers."""

from ipylti import models

_NO_ACCESS = "Your learning platform gives us no access: an administrator has to look at the connection."
_NOT_GRADED = "Maybe this person can't be graded there."

#: Code, or its last part -> a sentence. The whole code goes first.
SENTENCES = {
    "answer": "Your learning platform answered something that makes no sense.",
    "busy": "The column in the gradebook is being looked for.",
    "conflict": "Your learning platform has something newer for this person.",
    "failed": "Your learning platform had a failure of its own.",
    "forbidden": f"Your learning platform does not allow it. {_NOT_GRADED}",
    "gone": "The column in the gradebook is not there any more.",
    "missing": "Your learning platform doesn't know this person, or the column in the gradebook.",
    "not_offered": "Your learning platform takes no scores for this activity; its settings say why.",
    "paging": "Your learning platform's list of columns can't be read.",
    "redis.down": "A part of this service did not answer.",
    "refused": f"Your learning platform refused it. {_NOT_GRADED}",
    "throttled": "Your learning platform asked to wait.",
    "token.answer": _NO_ACCESS,
    "token.forbidden": _NO_ACCESS,
    "token.missing": _NO_ACCESS,
    "token.refused": _NO_ACCESS,
    "token.scope": _NO_ACCESS,
    "unauthorized": _NO_ACCESS,
    "unreachable": "Your learning platform did not answer.",
}

#: State -> what it means.
STATES = {
    models.OutboxState.DELIVERED: "Your course has it.",
    models.OutboxState.WAITING: "On its way to your course.",
    models.OutboxState.FAILED: "Your course didn't take it.",
}


def sentence_for(code: str) -> str:
    """Return the sentence for a code; empty for no code, and for one that says nothing to anybody."""
    return SENTENCES.get(code) or SENTENCES.get(code.rpartition(".")[2], "")


def words_for(item: models.OutboxItem | None) -> str:
    """Return what is to be said of a score on its way."""
    if item is None:
        return ""
    told = STATES[models.OutboxState(item.state)]
    if item.state == models.OutboxState.DELIVERED:
        return told
    return f"{told} {sentence_for(item.error)}".strip()
