"""How far a server and a submission are, in the words of the contract."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipylti.models import OutboxItem, OutboxState, Submission, SubmissionState
from ipylti.usage import Files
from ipylti.views.status import SENTENCES, notices, server_status, submission_status
from ipylti.volatile import Progress, State, Step

quick = settings(max_examples=100, deadline=None)
AT = datetime(2030, 5, 1, 12, 0, tzinfo=UTC)


def status(**progress: object) -> dict[str, object]:
    return server_status(Progress(**progress), None, None, "request-1")  # type: ignore[arg-type]


def test_a_server_that_nobody_asked_for() -> None:
    assert status() == {
        "state": "stopped",
        "step": None,
        "progress": None,
        "bytes": None,
        "position": None,
        "wait": None,
        "url": None,
        "extension": None,
        "ends_at": None,
        "error": None,
    }


def test_a_place_in_the_queue() -> None:
    told = server_status(Progress(State.QUEUED, Step.QUEUE), 3, None, "request-1")
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
    percents = [server_status(each, None, None, "")["progress"] for each in way]
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
    told = server_status(Progress(state, step, done, total, error), None, None, "request-1")
    json.dumps(told)
    assert told["progress"] is None or 0 <= told["progress"] <= 100
    assert (told["error"] is not None) is (state is State.FAILED)


@pytest.mark.parametrize("code", SENTENCES)
def test_a_failure_has_a_sentence_a_code_and_the_requests_id(code: str) -> None:
    told = status(state=State.FAILED, error=code)["error"]
    assert isinstance(told, dict)
    message = SENTENCES[code].format(used="share", limit="share")
    assert told == {"code": code, "message": message, "request_id": "request-1"}
    # Of files that are gone that would not be true.
    assert ("safe" in told["message"]) == (code != "volume.gone")


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (
            {"error": "server.out_of_memory", "limit": 1 << 30},
            "more than its 1 GiB of memory and was stopped. Your saved files are safe",
        ),
        (
            {"error": "volume.full", "used": 7 << 29, "limit": 2 << 30},
            "Your files take 3.5 GiB; 2 GiB is what they may take.",
        ),
    ],
)
def test_a_limit_is_named(progress: dict[str, object], words: str) -> None:
    told = status(state=State.FAILED, **progress)["error"]
    assert isinstance(told, dict)
    assert words in told["message"]


GIB = 1 << 30


@pytest.mark.parametrize(
    ("files", "memory", "told"),
    [
        (None, None, []),
        (Files(GIB, 2 * GIB), None, []),
        (Files(17 * GIB // 10, 2 * GIB), None, ["volume.filling"]),
        (Files(4 * GIB, 2 * GIB, stopped=4 * GIB), None, ["volume.too_full"]),
        (Files(2 * GIB, 2 * GIB), GIB, ["memory.short", "volume.filling"]),
    ],
)
def test_what_is_used_up_is_told(files: Files | None, memory: int | None, told: list[str]) -> None:
    found = notices(files, memory)
    assert [each["code"] for each in found] == told
    assert not [each for each in found if "{" in each["message"]]


def test_a_notice_names_the_limits() -> None:
    (memory, filling) = notices(Files(17 * GIB // 10, 2 * GIB), GIB)
    assert "more than its 1 GiB of memory" in memory["message"]
    assert "Your files take 1.7 GiB; 2 GiB is what they may take" in filling["message"]
    assert "at 3 GiB the notebook is stopped" in filling["message"]
    (unknown,) = notices(None, 0)
    assert "more than its share of memory" in unknown["message"]


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
