"""Whatever is good once is good once, even if it comes to two processes at the same moment."""

import re
import socket
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import sqlalchemy as sa

from ipylti import models
from tests.parts import free_port
from tests.person import Answer, Person
from tests.stack import Ports, Stack

#: How often each race is run.
ROUNDS = 20

#: How many requests take part, in turns to one process and the other.
RUNNERS = 4


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two web processes; the first is reached by the tool's own address, without Traefik.

    On PostgreSQL, since on SQLite one launch waits for another anyway.
    """
    port = free_port()
    ports = Ports(traefik=port, campus=free_port(), web=port)
    made = Stack(tmp_path_factory.mktemp("replay"), ports=ports, webs=2, postgresql=True)
    made.start("redis", "postgresql", "web", "web2")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def person(stack: Stack) -> Person:
    return Person(stack.campus, "zoe")


def race(stack: Stack, request: str) -> list[bytes]:
    """Send a request several times to both processes; return the answers.

    Each runner has sent all but the last byte when the barrier opens.
    """
    barrier = threading.Barrier(RUNNERS)
    answers: list[bytes] = []

    def run(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
            sock.sendall(request[:-1].encode())
            barrier.wait(30)
            sock.sendall(request[-1].encode())
            with sock.makefile("rb") as file:
                answers.append(file.read())

    ports = [urlsplit(url).port or 0 for url in stack.web_urls]
    threads = [threading.Thread(target=run, args=(ports[number % 2],)) for number in range(RUNNERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def statuses(answers: list[bytes]) -> list[int]:
    """Return the answers' statuses in order."""
    return sorted(int(answer.split()[1]) for answer in answers)


def launches(stack: Stack) -> int:
    """Return how many launches the database knows."""
    with stack.sessions() as db:
        return db.scalar(sa.select(sa.func.count()).select_from(models.Launch)) or 0


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_of_one_message_sent_many_times_one_gets_in(stack: Stack, person: Person, _round: int) -> None:
    before = launches(stack)
    url, form = person.message()
    body = urlencode(form)
    host = urlsplit(url).netloc
    answers = race(
        stack,
        f"POST /launch HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: text/html\r\n"
        f"Cookie: {person.cookie_header(host)['Cookie']}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}",
    )
    assert statuses(answers) == [303] + [403] * (RUNNERS - 1)
    assert launches(stack) == before + 1
    for answer in answers:
        if b" 403 " in answer.splitlines()[0]:
            assert re.search(rb"Code <code>message\.(nonce|state)</code>", answer)
            assert b"used already" in answer


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_of_one_ticket_shown_many_times_one_gets_in(stack: Stack, person: Person, _round: int) -> None:
    ticket = urlsplit(person.launch().ticket())
    answers = race(
        stack,
        f"GET {ticket.path}?{ticket.query} HTTP/1.1\r\nHost: {ticket.netloc}\r\n"
        "Connection: close\r\nAccept: text/html\r\n\r\n",
    )
    assert statuses(answers) == [302] + [403] * (RUNNERS - 1)
    assert sum(b"__Host-ipylti-gate=" in answer for answer in answers) == 1


def choosing(person: Person) -> Answer:
    """Return the page on which a teacher chooses what a new activity is to be."""
    campus = person.campus
    begun = person.get(f"{campus.config.login_url}?{urlencode(campus.deep_linking_initiation(person.login))}")
    query = parse_qs(urlsplit(begun.location).query)
    token = campus.deep_linking_token(person.login, query["nonce"][0])
    form = {"state": query["state"][0], "id_token": token}
    posted = person.request("POST", campus.config.redirect_uris[0], form=form)
    assert posted.status == 303, posted.text
    return person.get(posted.location)


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_of_one_choice_sent_many_times_one_is_answered(stack: Stack, _round: int) -> None:
    """… and one assignment can come of it."""
    nora = Person(stack.campus, "nora")
    page = choosing(nora)
    parts = urlsplit(page.url)
    form = {"csrf_token": page.form["csrf_token"], "title": "Exercise", "points": "10", "graded": "1"}
    body = urlencode(form)
    answers = race(
        stack,
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\nAccept: text/html\r\n"
        f"Cookie: {nora.cookie_header(parts.netloc)['Cookie']}\r\nOrigin: {stack.tool_url}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}",
    )
    good = [answer for answer in answers if b" 200 " in answer.splitlines()[0]]
    assert len(good) == 1, statuses(answers)
    assert b'name="JWT"' in good[0]
    assert all(status in (200, 403, 404) for status in statuses(answers))
