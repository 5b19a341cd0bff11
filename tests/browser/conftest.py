"""One whole stack for all tests of this folder, and people who come to its campus with own browsers."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Error, expect

from tests.browser.people import SOON, Visitor
from tests.campus.course import Link, new_link_id
from tests.chrome import without_cookies
from tests.person import Person
from tests.stack import Stack

#: Another's image, without our extension, which a test makes for itself.
BARE_IMAGE = "localhost/ipylti-bare:latest"

_FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All of ipylti, and campus."""
    if os.getuid() == 0:
        pytest.skip("rootless Podman needs an ordinary user: bin/test runs the tests as one")
    images = {"ipylti.images": f"{BARE_IMAGE}  Without the extension"}
    with Stack(tmp_path_factory.mktemp("stack"), ini=images) as made:
        yield made


@pytest.fixture(scope="session", autouse=True)
def patience() -> None:
    """How long what is expected of a page may take."""
    expect.set_options(timeout=SOON)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture
def visit(
    request: pytest.FixtureRequest, stack: Stack, chrome: Browser, tmp_path: Path
) -> Iterator[Callable[..., Visitor]]:
    """Lets somebody, by the short name at campus, sit down in front of a new browser; with options of
    Playwright's for it. What their browser complained of fails the test, unless they expected it."""
    visitors: list[Visitor] = []

    def sit_down(login: str, **options: Any) -> Visitor:
        settings: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"} | options
        visitors.append(Visitor(chrome.new_context(**settings), stack.campus.url, login))
        return visitors[-1]

    yield sit_down
    _leave(request, stack, visitors, tmp_path)


@pytest.fixture
def visit_without_cookies(
    request: pytest.FixtureRequest, stack: Stack, chrome: Browser, tmp_path: Path
) -> Iterator[Callable[..., Visitor]]:
    """As `visit`, in a browser that keeps none of our cookies in campus' frames."""
    visitors: list[Visitor] = []

    def sit_down(login: str) -> Visitor:
        folder = tmp_path / f"profile-{login}-{len(visitors)}"
        options: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}
        campus = urlsplit(stack.campus.url).hostname or ""
        context = without_cookies(chrome, folder, stack.settings.host, campus, **options)
        visitors.append(Visitor(context, stack.campus.url, login))
        return visitors[-1]

    yield sit_down
    _leave(request, stack, visitors, tmp_path)


def _leave(request: pytest.FixtureRequest, stack: Stack, visitors: list[Visitor], tmp_path: Path) -> None:
    """Close everybody's browser; what it complained of fails the test, if nothing else does."""
    failed = request.node.stash.get(_FAILED, False)
    complaints = {visitor.login: visitor.complaints for visitor in visitors if visitor.complaints}
    if failed or complaints:
        _keep_evidence(stack, visitors, tmp_path)
    for visitor in visitors:
        visitor.context.close()
    assert failed or not complaints


def _keep_evidence(stack: Stack, visitors: list[Visitor], folder: Path) -> None:
    """Save what everybody saw, and what all parts said at last; and say where."""
    for visitor in visitors:
        for number, page in enumerate(visitor.context.pages):
            try:
                page.screenshot(path=folder / f"{visitor.login}-{number}.png", timeout=5_000)
            except Error as err:
                print(f"no picture of what {visitor.login} saw: {err}")
        if visitor.complaints:
            (folder / f"{visitor.login}-console.txt").write_text("\n".join(visitor.complaints))
    for name, process in stack.processes.items():
        (folder / f"{name}.log").write_text(process.tail(200))
    for server in stack.containers():
        command = ["podman", "logs", "--tail", "200", server]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        (folder / f"{server}.log").write_bytes(done.stdout)
    print(f"pictures and logs: {folder}")


@pytest.fixture
def link(stack: Stack) -> Link:
    """A new assignment in the course; nothing is in it yet."""
    return add_link(stack, "Loops and lists")


@pytest.fixture
def exercise(stack: Stack, link: Link) -> Link:
    """A new assignment that the teacher has built: a notebook, First.ipynb."""
    build(stack, link)
    return link


def add_link(stack: Stack, title: str, description: str = "") -> Link:
    """Put another assignment into the course; a number tells its title from all others."""
    number = len(stack.campus.course.links) + 1
    return stack.campus.add_link(Link(new_link_id(), f"Exercise {number}: {title}", description, None, 10.0))


def build(stack: Stack, link: Link, cell: str = "print('six times seven is', 6 * 7)") -> None:
    """Have the teacher save a notebook of one cell as First.ipynb; with no browser, which is quicker."""
    code = {"cell_type": "code", "id": "first", "metadata": {}, "source": cell, "outputs": []}
    python = {"name": "python3", "language": "python", "display_name": "Python 3 (ipykernel)"}
    notebook = {
        "cells": [code | {"execution_count": None}],
        "metadata": {"kernelspec": python},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    teacher = Person(stack.campus, "nora").launch(link.id).enter()
    assert teacher.save("First.ipynb", json.dumps(notebook)).status in (200, 201)
