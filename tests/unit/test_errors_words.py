"""Every code that can be raised has words for the person who meets it, or is known to meet nobody."""

import ast
import re
from pathlib import Path

import pytest

import ipylti
from ipylti import errors
from ipylti.views.errors import WORDS, words_for
from ipylti.views.status import SENTENCES

ROOT = Path(ipylti.__file__).parent

#: What a code looks like: a part of the house, a dot, what went wrong.
CODE = re.compile(r"[a-z]+(\.[a-z_]+)+")

#: First part of a code -> where it ends, since it reaches no page.
ELSEWHERE = {
    "archive": "the command line",
    "assignment": "a state of the workbench",
    "backup": "the command line",
    "erasure": "the command line",
    "http": "wrapped by whoever asked",
    "json": "wrapped by whoever read",
    "key": "the worker's log",
    "lineitem": "the outbox",
    "podman": "the workbench's status",
    "roster": "the worker's log",
    "score": "the outbox",
    "server": "the workbench's status",
    "service": "the outbox",
    "settings": "the command line",
    "token": "the outbox",
    "volume": "the workbench's status",
}

#: Those of the status that a sentence of their own would not make any clearer.
PLAIN = {
    "server.bad_spec",
    "server.contested",
    "server.failed",
    "server.rootful",
    "server.timeout",
    "volume.copy",
    "volume.empty",
    "volume.in_use",
    "volume.stuck",
    "volume.timeout",
}


def raised() -> dict[str, set[str]]:
    """Return every code in the package's source, and the modules that it stands in: what is given as
    ``code``, by name or as a class's own, and texts of the same shape whose first part is such a code's.

    A code that is put together ends in ``*``.
    """
    certain: dict[str, set[str]] = {}
    likely: dict[str, set[str]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        where = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text())):
            for code in codes_of(node):
                certain.setdefault(code, set()).add(where)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                likely.setdefault(node.value, set()).add(where)
    heads = {code.partition(".")[0] for code in certain}
    for code, where_all in likely.items():
        if code.partition(".")[0] in heads and where_all - {"views/errors.py", "views/status.py"}:
            certain.setdefault(code, set()).update(where_all)
    return certain


def codes_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.keyword) and node.arg == "code":
        return texts(node.value)
    if isinstance(node, ast.ClassDef):
        return [
            text
            for statement in node.body
            if isinstance(statement, ast.Assign)
            and any(isinstance(target, ast.Name) and target.id == "code" for target in statement.targets)
            for text in texts(statement.value)
        ]
    return []


def texts(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "*" for part in node.values]
        return ["".join(map(str, parts))]
    return []


CODES = raised()


def test_codes_are_found() -> None:
    assert {"message.expired", "submit.nothing", "platform.*", "server.timeout.*", "json.bad"} <= set(CODES)
    assert {"message.claim", "message.version"} <= set(CODES), "those that are handed on as an argument"


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_has_words_or_reaches_no_page(code: str) -> None:
    head = code.partition(".")[0]
    if head in ELSEWHERE or code.startswith("*.") or code in ("error", "platform.bad"):
        return
    assert words_for(code.replace("*", "other")) is not WORDS["error"], CODES[code]


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_is_short_and_stable(code: str) -> None:
    assert re.fullmatch(r"[a-z_*]+(\.[a-z_*]+)*", code)
    assert len(code) < 40


@pytest.mark.parametrize("head", ELSEWHERE)
def test_what_is_listed_is_still_raised(head: str) -> None:
    assert any(code.partition(".")[0] in (head, "*") for code in CODES)


@pytest.mark.parametrize(
    "code",
    sorted(code for code in CODES if code.partition(".")[0] in ("server", "volume") and "*" not in code),
)
def test_what_goes_wrong_with_a_server_has_a_sentence(code: str) -> None:
    assert code in SENTENCES or code in PLAIN


def test_every_sentence_is_for_something_that_happens() -> None:
    known = {code.replace("*", "[a-z]+") for code in CODES}
    for code in SENTENCES:
        assert any(re.fullmatch(each, code) for each in known), code


def test_every_error_class_has_a_code_of_its_own() -> None:
    classes = [
        found
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, errors.IpyltiError)
    ]
    # DependencyDown's is made from the part that is down.
    own = [found for found in classes if found is not errors.DependencyDown]
    assert len({found.code for found in own}) == len(own)


@pytest.mark.parametrize("part", ["redis", "database"])
def test_a_part_that_is_down_is_told_as_such(part: str) -> None:
    words = words_for(errors.DependencyDown(part).code)
    assert words.status == 503
    assert "again" in words.title


def test_a_platform_whose_keys_can_not_be_had_did_not_refuse_anything() -> None:
    words = words_for(errors.PlatformUnreachable().code)
    assert words.status == 502
    assert "not answering" in words.title


def test_the_longest_code_that_fits_wins() -> None:
    assert words_for("login.unknown_platform") is WORDS["login.unknown_platform"]
    assert words_for("login.something.else") is WORDS["login"]
    assert words_for("nothing.like.it") is WORDS["error"]
    assert words_for("") is WORDS["error"]


@pytest.mark.parametrize("code", WORDS)
def test_words_are_for_a_person(code: str) -> None:
    words = WORDS[code]
    assert 400 <= words.status < 600
    for text in (words.title, words.message):
        assert text[0].isupper()
    assert not words.title.endswith(".")
    assert words.message.endswith(".")
    assert not re.search(r"None|Error|Exception|\{|<", words.message + words.title + words.hint)
