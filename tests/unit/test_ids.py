"""Names: no two things share one, and each can be a host name."""

import re

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ipylti import ids

quick = settings(max_examples=100, deadline=None)

#: A DNS label (RFC 1123, 2.1), which is also a usable name for volumes and containers.
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

part_lists = st.lists(st.text(max_size=12), max_size=5)


@quick
@given(part_lists)
def test_a_name_is_a_dns_label_of_32_characters(parts: list[str]) -> None:
    name = ids.digest(*parts)
    assert len(name) == 32
    assert LABEL.fullmatch(name)


@quick
@given(part_lists, part_lists)
def test_different_parts_make_different_names(some: list[str], others: list[str]) -> None:
    assert (ids.digest(*some) == ids.digest(*others)) is (some == others)


@quick
@given(st.text(min_size=1, max_size=30), st.data())
def test_where_one_part_ends_and_the_next_begins_matters(text: str, data: st.DataObject) -> None:
    """The prototype joined issuer, deployment and link, so that two platforms' volumes could meet."""
    cuts = st.integers(0, len(text))
    one, other = data.draw(cuts), data.draw(cuts)
    assume(one != other)
    assert ids.digest(text[:one], text[one:]) != ids.digest(text[:other], text[other:])


@quick
@given(st.lists(st.text(max_size=8), min_size=1, max_size=3))
def test_a_part_that_looks_like_two_is_one(parts: list[str]) -> None:
    """A platform may put anything into its ids, also what the length prefixes look like."""
    forged = "".join(f"{len(part.encode())}:{part}" for part in parts)
    assert ids.digest(forged) != ids.digest(*parts)


def test_names_stay_as_they_are() -> None:
    """Volumes are found by them, also after an upgrade."""
    assert ids.digest() == "4oymiquy7qobjgx36tejs35zeqt24qpe"
    assert (
        ids.assignment_id("https://lms.example", "client", "1", "link") == "6p6enw5snabbqy3m3sziszojtv6oeaom"
    )
    assert ids.workspace_id("https://lms.example", "client", "1", "link", "sub") == (
        "brj6uehwybfz4gpqr6743nnyvsg2uryd"
    )


def test_a_persons_workspace_is_not_the_assignments_own() -> None:
    where = ("https://lms.example", "client", "1", "link")
    names = {ids.assignment_id(*where), *(ids.workspace_id(*where, sub) for sub in ("", "a", "b"))}
    assert len(names) == 4


def test_random_names_have_the_same_shape_and_do_not_repeat() -> None:
    names = [ids.random_id() for _ in range(1000)]
    assert len(set(names)) == 1000
    assert all(len(name) == 32 and LABEL.fullmatch(name) for name in names)


@quick
@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_no_other_text_is_taken_for_a_name(text: str) -> None:
    assert ids.is_name(text) is bool(re.fullmatch("[a-z2-7]{32}", text))


def test_every_name_is_known_as_one() -> None:
    for name in (ids.random_id(), ids.digest(), ids.digest("a", "b")):
        assert ids.is_name(name)
        for other in (name + "a", name[1:], name.upper(), name + "\n", name[:-1] + "1"):
            assert not ids.is_name(other)
