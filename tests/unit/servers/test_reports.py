"""What the copying helper says, as the spawner understands it."""

import pytest

from ipylti.errors import EmptySource, SpawnerError
from ipylti.servers import reports
from ipylti.servers.spawner import Copied


def test_progress_is_handed_on_until_the_outcome():
    seen = []
    lines = [b"progress 0 100", b"progress 50 100", b"copied 100 7 " + b"a" * 64, b"progress 1 1"]
    assert reports.follow(lines, lambda *pair: seen.append(pair)) == Copied(100, 7, "a" * 64)
    assert seen == [(0, 100), (50, 100)]


def test_the_manifests_first_lines_are_kept():
    lines = [b"entry f 0644 3 ab a%20b", b"progress 1 2", b"entry d 0755 0 - c", b"copied 3 1 " + b"a" * 64]
    told = reports.follow(lines, lambda *_: None).entries
    assert told == ("f 0644 3 ab a%20b", "d 0755 0 - c")


def test_no_digest_is_an_empty_one():
    assert reports.follow([b"copied 0 0 -"], print).digest == ""


def test_nothing_to_copy_is_said_as_such():
    with pytest.raises(EmptySource):
        reports.follow([b"empty"], print)


def test_a_failure_keeps_its_code_and_its_words():
    with pytest.raises(SpawnerError) as caught:
        reports.follow([b"failed volume.no_space cp: error writing 'a b': No space left"], print)
    assert caught.value.code == "volume.no_space"
    assert caught.value.detail == "copy: cp: error writing 'a b': No space left"


@pytest.mark.parametrize("lines", [[], [b"progress 1 2"], [b"Traceback (most recent call last):", b"\xff"]])
def test_a_helper_that_ends_without_an_outcome_has_failed(lines):
    with pytest.raises(SpawnerError) as caught:
        reports.follow(lines, lambda *_: None)
    assert caught.value.code == "volume.copy"
    if b"\xff" in lines:
        assert "Traceback" in caught.value.detail
