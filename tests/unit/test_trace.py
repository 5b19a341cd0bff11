"""On whose behalf a piece of work is done."""

import threading

import pytest

from ipylti import trace
from ipylti.trace import NOBODY, Actor, ActorKind, Trace


def test_nothing_has_begun() -> None:
    assert trace.current() == Trace("", NOBODY)


def test_it_holds_for_the_length_of_a_block() -> None:
    with trace.begun(Trace("one")):
        trace.act_as(trace.person(3))
        with trace.acting(trace.program("idle")):
            assert trace.current() == Trace("one", Actor(ActorKind.PROGRAM, "idle"))
        assert trace.current() == Trace("one", Actor(ActorKind.PERSON, "3"))
    assert trace.current() == Trace()


def test_it_ends_with_what_fails() -> None:
    with pytest.raises(ZeroDivisionError), trace.begun(Trace("one")):
        raise ZeroDivisionError
    assert trace.current() == Trace()


def test_threads_do_not_mix() -> None:
    seen = []
    with trace.begun(Trace("one")):
        thread = threading.Thread(target=lambda: seen.append(trace.current()))
        thread.start()
        thread.join()
    assert seen == [Trace()]


def test_a_message_carries_it() -> None:
    one = Trace("one", trace.person(3))
    assert Trace.from_dict(one.to_dict()) == one


def test_a_message_without_begins_anew() -> None:
    first, second = Trace.from_dict(None), Trace.from_dict(None)
    assert first.actor == NOBODY
    assert first.request_id and first.request_id != second.request_id
