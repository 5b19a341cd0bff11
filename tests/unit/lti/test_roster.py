"""Rosters (NRPS 2.0): lti.md 31 and 34."""

from typing import Any

import pytest

from ipylti.errors import OutgoingError, ServiceError
from ipylti.http import Answer
from ipylti.lti import roster
from ipylti.lti.roster import RosterMember, RosterReader
from ipylti.lti.tokens import AccessTokens
from tests.unit.lti.platforms import LEARNER, FakePlatform, MemoryCache
from tests.unit.lti.services import Request, Services, answer
from tests.unit.lti.test_scores import Signer

URL = "https://lms.example/members?view=all"
SCOPE = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
def reader(services: Services) -> RosterReader:
    http = services.http
    return RosterReader(http, AccessTokens(http, MemoryCache(), Signer()))


def person(number: int, **changes: Any) -> dict[str, Any]:
    return {"user_id": f"person-{number}", "roles": [LEARNER], "status": "Active"} | changes


def container(*members: Any) -> dict[str, Any]:
    return {"id": URL, "context": {"id": "course"}, "members": list(members)}


def read(reader: RosterReader, platform: FakePlatform) -> dict[str, RosterMember]:
    return reader.members(platform.registration, URL, "link 1&2")


def test_the_links_roster_is_asked_for(
    reader: RosterReader, services: Services, platform: FakePlatform
) -> None:
    """lti.md 34: exact Accept, `rlid` once; the address keeps its own query."""
    services.gets["/members"] = lambda _: answer(container(person(1, name="Zoë Müller")))
    assert read(reader, platform) == {
        "person-1": RosterMember("person-1", "Zoë Müller", (LEARNER,), active=True)
    }
    asked = services.asked[-1]
    assert asked.query == {"view": ["all"], "rlid": ["link 1&2"]}
    assert asked.headers["accept"] == "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
    assert services.named("/token")[0].content["scope"] == SCOPE


def test_all_pages_are_read_and_nobody_is_there_twice(
    reader: RosterReader, services: Services, platform: FakePlatform
) -> None:
    """lti.md 31 and 34."""

    def page(request: Request) -> Answer:
        if request.query.get("page") == ["2"]:
            return answer(container(person(2), person(3)))
        return answer(container(person(1), person(2)), link=f'<{URL}&page=2>; rel="next"')

    services.gets["/members"] = page
    assert sorted(read(reader, platform)) == ["person-1", "person-2", "person-3"]


@pytest.mark.parametrize(
    ("status", "active"),
    [("Active", True), (None, True), ("Inactive", False), ("Deleted", False), (7, False)],
)
def test_only_the_active_may_come_in(
    reader: RosterReader, services: Services, platform: FakePlatform, status: Any, active: bool
) -> None:
    """lti.md 34."""
    services.gets["/members"] = lambda _: answer(container(person(1, status=status)))
    assert read(reader, platform)["person-1"].active is active


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"name": " Zoë "}, "Zoë"),
        ({"given_name": "Zoë", "family_name": "Müller"}, "Zoë Müller"),
        ({"family_name": "Müller"}, "Müller"),
        ({"name": 5, "given_name": None}, ""),
        ({"name": "x" * 5000}, "x" * 2000),
        ({}, ""),
    ],
)
def test_names(
    reader: RosterReader, services: Services, platform: FakePlatform, told: dict[str, Any], name: str
) -> None:
    services.gets["/members"] = lambda _: answer(container(person(1, **told)))
    assert read(reader, platform)["person-1"].name == name


@pytest.mark.parametrize("member", [None, 5, [], {}, {"user_id": ""}, {"user_id": 5}, {"user_id": "x" * 256}])
def test_whoever_can_not_be_told_is_left_out(
    reader: RosterReader, services: Services, platform: FakePlatform, member: Any
) -> None:
    services.gets["/members"] = lambda _: answer(container(member, person(2, roles="Learner")))
    assert read(reader, platform) == {"person-2": RosterMember("person-2", "", (), active=True)}


@pytest.mark.parametrize("status", [400, 404, 501])
def test_a_platform_without_lists_for_links_gives_the_courses(
    reader: RosterReader, services: Services, platform: FakePlatform, status: int
) -> None:
    """lti.md 34."""
    services.gets["/members"] = lambda request: (
        answer(None, status) if "rlid" in request.query else answer(container(person(1)))
    )
    assert list(read(reader, platform)) == ["person-1"]


@pytest.mark.parametrize("content", [None, [], {}, {"members": None}, {"members": {}}, "members"])
def test_what_is_no_roster(
    reader: RosterReader, services: Services, platform: FakePlatform, content: Any
) -> None:
    services.gets["/members"] = lambda _: answer(content)
    with pytest.raises(ServiceError) as error:
        read(reader, platform)
    assert (error.value.code, error.value.retry) == ("roster.answer", False)


@pytest.mark.parametrize(("status", "code"), [(403, "roster.forbidden"), (503, "roster.failed")])
def test_a_platform_that_says_no(
    reader: RosterReader, services: Services, platform: FakePlatform, status: int, code: str
) -> None:
    services.gets["/members"] = lambda _: answer(None, status)
    with pytest.raises(ServiceError) as error:
        read(reader, platform)
    assert error.value.code == code
    assert len(services.named("/members")) == 1


def test_no_answer(reader: RosterReader, services: Services, platform: FakePlatform) -> None:
    def fail(_: Request) -> Answer:
        raise OutgoingError("no", code="http.timeout")

    services.gets["/members"] = fail
    with pytest.raises(ServiceError) as error:
        read(reader, platform)
    assert error.value.code == "roster.unreachable"


def test_more_people_than_a_course_has(
    reader: RosterReader, services: Services, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "PEOPLE", 2)
    services.gets["/members"] = lambda _: answer(container(*(person(number) for number in range(3))))
    with pytest.raises(ServiceError) as error:
        read(reader, platform)
    assert error.value.code == "roster.size"
