"""How far a server and a submission are, in the words of the contract."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipylti.models import OutboxItem, OutboxState, Submission, SubmissionState
from ipylti.views.status import SENTENCES, server_status, submission_status
from ipylti.volatile import Progress, State, Step

quick = settings(max_examples=100, deadline=None)
AT = datetime(2030, 5, 1, 12, 0, tzinfo=UTC)


def status(**progress: object) -> dict[str, object]:
    return server_status(Progress(**progress), None, "request-1")  # type: ignore[arg-type]


def test_a_server_that_nobody_asked_for() -> None:
    assert status() == {
        "state": "stopped",
        "step": None,
        "progress": None,
        "bytes": None,
        "position": None,
        "url": None,
        "extension": None,
        "error": None,
    }


def test_a_place_in_the_queue() -> None:
    told = server_status(Progress(State.QUEUED, Step.QUEUE), 3, "request-1")
    assert (told["state"], told["step"], told["position"], told["progress"]) == ("queued", "queue", 3, 0)


def test_copying_tells_its_bytes() -> None:
    told = status(state=State.STARTING, step=Step.COPY, done=30, total=120)
    assert told["bytes"] == {"done": 30, "total": 120}
    assert told["step"] == "copy"


def test_a_copy_whose_size_is_not_known_yet_tells_none() -> None:
    told = status(state=State.STARTING, step=Step.COPY)
    assert told["bytes"] is None
    assert isinstance(told["progress"], int)


def test_it_only_goes_forward() -> None:
    way = [
        Progress(State.QUEUED, Step.QUEUE),
        Progress(State.STARTING, Step.COPY),
        *(Progress(State.STARTING, Step.COPY, done, 1000) for done in range(0, 1001, 50)),
        Progress(State.STARTING, Step.CONTAINER),
        Progress(State.STARTING, Step.JUPYTER),
        Progress(State.STARTING, Step.ROUTE),
        Progress(State.READY),
    ]
    percents = [server_status(each, None, "")["progress"] for each in way]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0, 100)
    assert percents.count(100) == 1


@quick
@given(
    st.sampled_from(State),
    st.none() | st.sampled_from(Step),
    st.integers(0, 2**63),
    st.integers(0, 2**63),
    st.text(max_size=20),
)
def test_whatever_stands_on_the_board_can_be_told(
    state: State, step: Step | None, done: int, total: int, error: str
) -> None:
    """Also more bytes than there were to be: the teacher may save while the copy runs."""
    told = server_status(Progress(state, step, done, total, error), None, "request-1")
    json.dumps(told)
    assert told["progress"] is None or 0 <= told["progress"] <= 100
    assert (told["error"] is not None) is (state is State.FAILED)


@pytest.mark.parametrize("code", SENTENCES)
def test_a_failure_has_a_sentence_a_code_and_the_requests_id(code: str) -> None:
    told = status(state=State.FAILED, error=code)["error"]
    assert isinstance(told, dict)
    assert told == {"code": code, "message": SENTENCES[code], "request_id": "request-1"}
    assert "safe" in told["message"]


def test_a_failure_nobody_thought_of_has_one_too() -> None:
    told = status(state=State.FAILED, error="server.odd")["error"]
    assert isinstance(told, dict)
    assert told["code"] == "server.odd"
    assert "files are safe" in told["message"]


def test_nothing_handed_in_yet() -> None:
    told = submission_status(None)
    assert (told["number"], told["state"], told["lms"], told["submitted_at"]) == (0, "none", "none", None)


@pytest.mark.parametrize("state", SubmissionState)
@pytest.mark.parametrize("lms", [None, *OutboxState])
def test_handed_in(state: SubmissionState, lms: OutboxState | None) -> None:
    submission = Submission(number=2, state=state, submitted_at=AT)
    if lms is not None:
        submission.outbox = OutboxItem(state=lms)
    told = submission_status(submission)
    assert told["number"] == 2
    assert told["state"] == state.value
    assert told["lms"] == (lms.value if lms else "none")
    assert told["submitted_at"] == "2030-05-01T12:00:00+00:00"
    json.dumps(told)
