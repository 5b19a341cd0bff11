"""docs/lti.md: every rule of the protocol is named by a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = re.findall(r"^(\d+)\. ", (ROOT / "docs" / "lti.md").read_text(), re.MULTILINE)


def named() -> set[str]:
    """Return the numbers of the rules that tests name, as in ``lti.md 10, 11``."""
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for numbers in re.findall(r"lti\.md (\d+(?:(?:, | and )\d+)*)", path.read_text()):
            found.update(re.findall(r"\d+", numbers))
    return found


def test_the_rules_are_numbered_without_a_gap() -> None:
    assert [str(number) for number in range(1, len(RULES) + 1)] == RULES
    assert len(RULES) > 30


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_named_by_a_test(rule: str) -> None:
    assert rule in named()


def test_no_test_names_a_rule_that_is_not_there() -> None:
    assert named() <= set(RULES)
