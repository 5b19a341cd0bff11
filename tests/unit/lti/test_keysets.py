"""Platforms' key sets: lti.md 9."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from unittest.mock import create_autospec

import pytest

from ipylti.errors import OutgoingError, PlatformUnreachable
from ipylti.http import Answer, OutgoingHTTP
from ipylti.lti import keysets
from ipylti.lti.keysets import PlatformKeys, usable_keys
from ipylti.lti.strict_json import NotJSON
from tests.unit.lti.platforms import MemoryCache, MemoryLocks, public_jwk, rsa_key

URL = "https://lms.example/jwks"


class Lms:
    """What the platform publishes, and how often it was asked."""

    def __init__(self) -> None:
        self.keys = [public_jwk(rsa_key("lms"), kid="one")]
        self.answer: Callable[[], Answer] = lambda: Answer(200, {}, json.dumps({"keys": self.keys}).encode())
        self.asked = 0
        self.now = 1_000_000.0
        self.cache = MemoryCache()
        self.http = create_autospec(OutgoingHTTP, instance=True)
        self.http.get_json.side_effect = self.get

    def get(self, url: str) -> Answer:
        assert url == URL
        self.asked += 1
        return self.answer()

    def process(self, **options: Any) -> PlatformKeys:
        """Return the key sets of a new process."""
        return PlatformKeys(self.http, self.cache, clock=lambda: self.now, **options)

    def down(self) -> None:
        self.answer = self.fail

    @staticmethod
    def fail() -> Answer:
        raise OutgoingError("no answer", code="http.timeout")


@pytest.fixture
def lms() -> Lms:
    return Lms()


def test_a_launch_costs_no_network_and_no_shared_store(lms: Lms) -> None:
    keys = lms.process()
    first = keys.find(URL, "one")
    assert first is not None
    assert first.public_numbers() == rsa_key("lms").public_key().public_numbers()
    reads = lms.cache.reads
    lms.now += 3000
    for _ in range(20):
        assert keys.find(URL, "one") is first
    assert (lms.asked, lms.cache.reads) == (1, reads)


def test_a_second_process_asks_the_shared_store(lms: Lms) -> None:
    lms.process().find(URL, "one")
    assert lms.process().find(URL, "one") is not None
    assert lms.asked == 1


def test_an_unknown_kid_is_asked_for_at_once_but_only_every_30_seconds(lms: Lms) -> None:
    keys = lms.process()
    keys.find(URL, "one")
    lms.now += 31
    lms.keys.append(public_jwk(rsa_key("other"), kid="two"))
    assert keys.find(URL, "two") is not None
    assert lms.asked == 2
    for seconds in range(29):
        lms.now += 1
        assert keys.find(URL, f"made up {seconds}") is None
    assert lms.asked == 2
    lms.now += 2
    assert keys.find(URL, "made up") is None
    assert lms.asked == 3


def test_processes_share_the_pause(lms: Lms) -> None:
    first, second = lms.process(), lms.process()
    first.find(URL, "one")
    second.find(URL, "one")
    lms.now += 31
    assert first.find(URL, "made up") is None
    lms.now += 5
    assert second.find(URL, "made up") is None
    assert lms.asked == 2


def test_an_hour_later_the_set_is_fetched_anew(lms: Lms) -> None:
    """A key that the platform withdrew is not believed for ever."""
    keys = lms.process()
    keys.find(URL, "one")
    lms.keys = [public_jwk(rsa_key("other"), kid="two")]
    lms.now += 3601
    assert keys.find(URL, "one") is None
    assert keys.find(URL, "two") is not None
    assert lms.asked == 2


@pytest.mark.parametrize(
    "broken",
    [
        lambda: Answer(500, {}, b""),
        lambda: Answer(403, {}, b"who are you?"),
        lambda: Answer(200, {}, b"<html>maintenance</html>"),
        lambda: Answer(200, {}, b"[]"),
        lambda: Answer(200, {}, b'{"keys": {}}'),
        lambda: Answer(200, {}, b'{"keys": [], "keys": []}'),
        Lms.fail,
    ],
)
def test_the_remembered_set_serves_through_an_outage(lms: Lms, broken: Callable[[], Answer]) -> None:
    keys = lms.process()
    keys.find(URL, "one")
    lms.answer = broken
    lms.now += 24 * 3600
    for _ in range(5):
        assert keys.find(URL, "one") is not None
    assert lms.asked == 2
    lms.now += 31
    assert keys.find(URL, "one") is not None
    assert lms.asked == 3
    assert lms.process().find(URL, "one") is not None, "a process started during the outage"


def test_an_outage_does_not_last_for_ever(lms: Lms) -> None:
    keys = lms.process()
    keys.find(URL, "one")
    lms.down()
    lms.cache.values.clear()
    lms.now += 7 * 24 * 3600 + 1
    with pytest.raises(PlatformUnreachable):
        keys.find(URL, "one")


def test_a_platform_that_was_never_reached_is_not_asked_by_every_launch(lms: Lms) -> None:
    lms.down()
    keys = lms.process()
    for _ in range(3):
        with pytest.raises(PlatformUnreachable):
            keys.find(URL, "one")
    assert lms.asked == 1
    del lms.answer
    lms.answer = lambda: Answer(200, {}, json.dumps({"keys": lms.keys}).encode())
    lms.now += 31
    assert keys.find(URL, "one") is not None


def test_many_threads_fetch_once(lms: Lms) -> None:
    locks = MemoryLocks()
    keys = lms.process(locks=locks)
    barrier = threading.Barrier(8)
    found = []

    def look() -> None:
        barrier.wait()
        found.append(keys.find(URL, "one"))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lms.asked == 1
    assert None not in found
    assert len(set(locks.names)) == 1


@pytest.fixture
def hanging(lms: Lms) -> Iterator[threading.Event]:
    """The platform takes requests and does not answer, until the event is set; or the test is over."""
    free = threading.Event()

    def hang() -> Answer:
        assert free.wait(60)
        raise OutgoingError("no answer", code="http.timeout")

    lms.answer = hang
    yield free
    free.set()


def asking(keys: PlatformKeys, kid: str = "one") -> "Future[object]":
    """Ask for a key in a thread of its own."""
    pool = ThreadPoolExecutor(1)
    future: Future[object] = pool.submit(keys.find, URL, kid)
    pool.shutdown(wait=False)
    return future


def begun(lms: Lms, times: int) -> None:
    """Wait until the platform has been asked so often."""
    until = time.monotonic() + 30
    while lms.asked < times:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_platform_that_hangs_takes_one_thread_and_no_more(
    lms: Lms, hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others are told so at once, or soon; by the first answer, whatever it is, all are free."""
    monkeypatch.setattr(keysets, "PATIENCE", 0.1)
    keys = lms.process()
    first = asking(keys)
    begun(lms, 1)
    for other in [asking(keys) for _ in range(8)]:
        with pytest.raises(PlatformUnreachable):
            other.result(30)
    assert (first.done(), lms.asked) == (False, 1)
    hanging.set()
    with pytest.raises(PlatformUnreachable):
        first.result(30)


def test_what_is_remembered_serves_while_a_platform_hangs(
    lms: Lms, hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a set that is due to be fetched anew one launch waits, and no other, not even a moment."""
    monkeypatch.setattr(keysets, "PATIENCE", 1000.0)
    answer, lms.answer = lms.answer, Lms().answer
    keys = lms.process()
    assert keys.find(URL, "one") is not None
    lms.answer = answer
    lms.now += 3601
    first = asking(keys)
    begun(lms, 2)
    for _ in range(8):
        assert keys.find(URL, "one") is not None
    assert (first.done(), lms.asked) == (False, 2)
    hanging.set()
    assert first.result(30) is not None


def test_another_process_that_takes_long_is_not_waited_for(lms: Lms) -> None:
    """Nor is the platform asked once more beside it; a key that is remembered serves."""
    keys = lms.process()
    assert keys.find(URL, "one") is not None
    busy = lms.process(locks=lambda _: contextlib.nullcontext())
    lms.cache.values.clear()
    with pytest.raises(PlatformUnreachable):
        busy.find(URL, "one")
    assert lms.asked == 1


def test_the_shared_record_outlives_an_outage(lms: Lms) -> None:
    lms.process().find(URL, "one")
    assert list(lms.cache.seconds.values()) == [keysets.OUTAGE]


def test_keys_without_alg_and_use_are_accepted() -> None:
    assert set(usable_keys({"keys": [public_jwk(rsa_key("lms"), kid="one")]})) == {"one"}


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "one"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "one"},
        public_jwk(rsa_key("lms"), kid="one", use="enc"),
        public_jwk(rsa_key("lms"), kid="one", use=""),
        public_jwk(rsa_key("lms"), kid="one", alg="RS512"),
        public_jwk(rsa_key("lms"), kid="one", alg="HS256"),
        public_jwk(rsa_key("lms"), kid="one", alg="none"),
        public_jwk(rsa_key("lms"), kid=1),
        public_jwk(rsa_key("lms")),
        {**public_jwk(rsa_key("lms"), kid="one"), "kty": "rsa"},
        {**public_jwk(rsa_key("lms"), kid="one"), "n": 5},
        {**public_jwk(rsa_key("lms"), kid="one"), "n": "!!"},
        {**public_jwk(rsa_key("lms"), kid="one"), "n": ""},
        {**public_jwk(rsa_key("lms"), kid="one"), "n": "A" * 100_000},
        {**public_jwk(rsa_key("lms"), kid="one"), "e": "AQ"},
        {**public_jwk(rsa_key("lms"), kid="one"), "e": "AA"},
        {**public_jwk(rsa_key("lms"), kid="one"), "e": ["AQAB"]},
        {"kty": "RSA", "kid": "one"},
        "one",
        None,
        [],
    ],
)
def test_keys_that_are_skipped_and_do_not_hurt_the_others(jwk: object) -> None:
    good = public_jwk(rsa_key("lms"), kid="good", alg="RS256", use="sig")
    assert set(usable_keys({"keys": [jwk, good]})) == {"good"}


@pytest.mark.parametrize("bits", [1024, 2047])
def test_short_keys_are_skipped(bits: int) -> None:
    assert usable_keys({"keys": [public_jwk(rsa_key(f"weak {bits}", bits), kid="one")]}) == {}


def test_a_private_key_in_the_set_is_read_as_a_public_one() -> None:
    jwk = {**public_jwk(rsa_key("lms"), kid="one"), "d": "AQAB", "p": "AQ", "q": "AQ"}
    assert not hasattr(usable_keys({"keys": [jwk]})["one"], "private_numbers")


def test_of_two_keys_of_one_id_the_first_counts() -> None:
    pair = [public_jwk(rsa_key(name), kid="one") for name in ("lms", "other")]
    found = usable_keys({"keys": pair})["one"]
    assert found.public_numbers() == rsa_key("lms").public_key().public_numbers()


@pytest.mark.parametrize("content", [None, [], "keys", {}, {"keys": None}, {"keys": "x"}])
def test_what_is_no_key_set(content: object) -> None:
    with pytest.raises(NotJSON):
        usable_keys(content)
