"""campus' roster: who is in it, in pages, and what it refuses."""

import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from webtest import TestApp

from tests.campus import Campus, lti, nrps
from tests.campus.memberships import MEMBERS_TYPE
from tests.campus.scopes import AGS_SCOPE, MEMBERS
from tests.functional.campus.good_tool import Service, last_refusal

LEARNER = "http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"


def address(service: Service) -> str:
    """The roster's address as a launch tells it."""
    told = service.campus.claims("zoe")[nrps("namesroleservice")]
    assert told["service_versions"] == ["2.0"]
    return service.path(told["context_memberships_url"])


def links(header: str) -> dict[str, str]:
    """A Link header's addresses by their relation."""
    return {rel: url for url, rel in re.findall(r'<([^>]+)>; rel="(\w+)"', header)}


def names(page: Any) -> list[str]:
    return [member["given_name"] for member in page.json["members"]]


def test_the_roster_has_everybody_with_roles_and_status(campus: Campus, service: Service) -> None:
    page = service.get(address(service), MEMBERS_TYPE)
    assert page.content_type == MEMBERS_TYPE
    assert page.json["id"] == campus.claims("zoe")[nrps("namesroleservice")]["context_memberships_url"]
    assert page.json["context"] == {
        "id": campus.course.id, "label": campus.course.label, "title": campus.course.title,
    }  # fmt: skip
    zoe = page.json["members"][1]
    assert zoe == {
        "status": "Active",
        "user_id": campus.person("zoe").sub,
        "roles": list(campus.person("zoe").roles),
        "name": "Zoë Müller",
        "given_name": "Zoë",
        "family_name": "Müller",
        "email": "zoe.mueller@campus.example",
    }
    assert len(page.json["members"]) == 4
    assert "4 of 4 members listed" in campus.log.accepted("memberships")[-1].text


def test_a_roster_may_be_without_names(campus: Campus, keys: dict[str, rsa.RSAPrivateKey]) -> None:
    quiet = Campus(replace(campus.config, member_names=False), keys["campus"])
    service = Service(quiet, TestApp(quiet.app), keys["tool"])
    members = service.get(address(service), MEMBERS_TYPE).json["members"]
    assert [set(member) for member in members] == [{"status", "user_id", "roles"}] * 4


@pytest.mark.parametrize("role", ["Learner", quote(LEARNER)])
def test_a_role_may_be_asked_for(service: Service, role: str) -> None:
    page = service.get(f"{address(service)}&role={role}", MEMBERS_TYPE)
    assert names(page) == ["Zoë", "ليلى", "Sam"]
    assert service.get(f"{address(service)}&role=Mentor", MEMBERS_TYPE).json["members"] == []


def test_pages_follow_one_another_by_their_links(campus: Campus, service: Service) -> None:
    found, wanted = [], f"{address(service)}&limit=3"
    pages = []
    while wanted:
        page = service.get(wanted, MEMBERS_TYPE)
        found += names(page)
        pages.append(links(page.headers["Link"]))
        wanted = service.path(pages[-1].get("next", ""))
    assert found == ["Nóra", "Zoë", "ليلى", "Sam"]
    assert [set(page) for page in pages] == [{"next"}, {"differences"}]


def test_pages_come_without_a_limit_where_campus_makes_them(
    campus: Campus, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    small = Campus(replace(campus.config, page_size=2), keys["campus"])
    service = Service(small, TestApp(small.app), keys["tool"])
    first = service.get(address(service), MEMBERS_TYPE)
    second = service.get(service.path(links(first.headers["Link"])["next"]), MEMBERS_TYPE)
    assert (len(names(first)), len(names(second))) == (2, 2)
    assert "next" not in links(second.headers["Link"])
    assert len(names(service.get(f"{address(service)}&limit=3", MEMBERS_TYPE))) == 2


def test_differences_say_who_came_changed_and_left(campus: Campus, service: Service) -> None:
    later = service.path(links(service.get(address(service), MEMBERS_TYPE).headers["Link"])["differences"])
    assert service.get(later, MEMBERS_TYPE).json["members"] == []
    campus.set_status("sam", "Inactive")
    campus.set_status("layla", "Deleted")
    campus.set_status("ada", "Active")
    page = service.get(later, MEMBERS_TYPE)
    statuses = {member["user_id"]: member["status"] for member in page.json["members"]}
    assert statuses == {
        campus.person("sam").sub: "Inactive",
        campus.person("layla").sub: "Deleted",
        campus.person("ada").sub: "Active",
    }
    again = service.path(links(page.headers["Link"])["differences"])
    assert service.get(again, MEMBERS_TYPE).json["members"] == []
    whole = service.get(address(service), MEMBERS_TYPE).json["members"]
    assert campus.person("layla").sub not in {member["user_id"] for member in whole}
    with pytest.raises(ValueError, match="Gone"):
        campus.set_status("sam", "Gone")


def test_who_is_inactive_or_gone_is_not_gradable(campus: Campus, service: Service) -> None:
    campus.set_status("zoe", "Inactive")
    service.post_score(422)
    assert "not active" in last_refusal(campus)
    campus.set_status("zoe", "Deleted")
    service.post_score(422)
    assert "nobody of this course" in last_refusal(campus)


def test_a_link_may_be_asked_for_once(campus: Campus, service: Service) -> None:
    wanted = f"{address(service)}&rlid={campus.link().id}"
    zoe = service.get(wanted, MEMBERS_TYPE).json["members"][1]
    assert zoe["message"][0][lti("message_type")] == "LtiResourceLinkRequest"
    assert zoe["message"][0][lti("custom")] == campus.claims("zoe")[lti("custom")]
    service.get(f"{wanted}&rlid={campus.link().id}", MEMBERS_TYPE, 400)
    assert "rlid is given more than once" in last_refusal(campus)
    service.get(f"{address(service)}&rlid=another", MEMBERS_TYPE, 404)
    service.get(f"{address(service)}&rlid={campus.copy_course().links[0].id}", MEMBERS_TYPE, 404)


@pytest.mark.parametrize(
    "query", ["&limit=0", "&limit=many", "&limit=1&limit=2", "&since=x", "&role=a&role="]
)
def test_a_wrong_question_is_refused(service: Service, query: str) -> None:
    service.get(f"{address(service)}{query}", MEMBERS_TYPE, 400)


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", MEMBERS_TYPE + ", */*"])
def test_another_accept_header_is_refused(campus: Campus, service: Service, accept: str) -> None:
    service.get(address(service), accept, 406)
    assert "Accept is" in last_refusal(campus)


def test_the_roster_asks_for_its_scope(campus: Campus, service: Service) -> None:
    others = [scope for scope in campus.config.scopes if scope.startswith(AGS_SCOPE)]
    service.headers["Authorization"] = f"Bearer {service.token(*others)}"
    service.get(address(service), MEMBERS_TYPE, 403)
    assert "lacks" in last_refusal(campus)
    del service.headers["Authorization"]
    service.get(address(service), MEMBERS_TYPE, 401)
    service.server.post(address(service), {}, status=405)


def test_the_roster_of_no_course_and_half_an_address_are_not_found(campus: Campus, service: Service) -> None:
    service.get(address(service).replace("course-", "other-"), MEMBERS_TYPE, 404)
    service.get(address(service).partition("?")[0], MEMBERS_TYPE, 404)
    assert "the query is part of the address" in last_refusal(campus)


def test_a_tool_without_the_scope_is_not_told_of_the_roster(
    campus: Campus, keys: dict[str, rsa.RSAPrivateKey]
) -> None:
    others = tuple(scope for scope in campus.config.scopes if scope != MEMBERS)
    closed = Campus(replace(campus.config, scopes=others), keys["campus"])
    assert nrps("namesroleservice") not in closed.claims("zoe")
