"""Who is in a course (Names and Role Provisioning Services 2.0).

A roster tells names, and who has not come yet. It gives nobody a right: those come from each launch alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ipylti.errors import RefusedMessage, ServiceError
from ipylti.http import Answer, OutgoingHTTP
from ipylti.lti import claims, paging, services, strict_json
from ipylti.lti.registrations import Registration
from ipylti.lti.tokens import AccessTokens
from ipylti.lti.urls import with_query

#: Seconds for one page.
TIMEOUT = 20.0

#: People of one course; more are no course, and would fill the memory.
PEOPLE = 20_000

_ACTIVE = "Active"


@dataclass(frozen=True)
class RosterMember:
    """Somebody in a course.

    :param sub: as in the person's messages.
    :param name: empty where the platform does not tell it.
    :param roles: as the platform writes them.
    :param active: whether the person may come in (NRPS 2.0, "Membership status").
    """

    sub: str
    name: str
    roles: tuple[str, ...]
    active: bool


class RosterReader:
    """Reads rosters."""

    def __init__(self, http: OutgoingHTTP, tokens: AccessTokens) -> None:
        self._http = http
        self._tokens = tokens

    def members(self, registration: Registration, url: str, resource_link_id: str) -> dict[str, RosterMember]:
        """Return who may open a link, by ``sub``; of the whole course where the platform knows no such list.

        :param url: the message's ``context_memberships_url``.
        :raises ServiceError: ``roster.answer``, ``roster.size``, ``service.paging``, or one of
            :mod:`ipylti.lti.services` and :meth:`AccessTokens.get`.
        """
        try:
            return self._read(registration, with_query(url, {"rlid": resource_link_id}))
        except ServiceError as err:
            if err.status not in (400, 404, 501):
                raise
            return self._read(registration, url)

    def _read(self, registration: Registration, url: str) -> dict[str, RosterMember]:
        found: dict[str, RosterMember] = {}
        for answer in paging.pages(partial(self._page, registration), url):
            for told in _members(answer):
                member = _member(told)
                if member is not None:
                    found[member.sub] = member
            if len(found) > PEOPLE:
                raise ServiceError("more people than a course has", code="roster.size", retry=False)
        return found

    def _page(self, registration: Registration, address: str) -> Answer:
        answer = self._tokens.authorized(
            "roster",
            registration,
            claims.SCOPE_MEMBERS_READ,
            lambda token: self._http.get_json(
                address, accept=claims.MEMBERS_TYPE, token=token, timeout=TIMEOUT
            ),
        )
        if answer.status != 200:
            raise services.refused("roster", answer)
        return answer


def _members(answer: Answer) -> list[Any]:
    try:
        content = strict_json.loads(answer.body)
    except strict_json.NotJSON:
        content = None
    members = content.get("members") if isinstance(content, dict) else None
    if not isinstance(members, list):
        raise ServiceError("no list of members", code="roster.answer", retry=False, status=answer.status)
    return members


def _member(told: Any) -> RosterMember | None:
    """Return a member, None where it can't be told who it is; whatever else is wrong counts as not told."""
    if not isinstance(told, dict):
        return None
    member = claims.Claims(told, "member")
    try:
        sub = member.identifier("user_id")
    except RefusedMessage:
        return None
    roles = told.get("roles")
    return RosterMember(
        sub=sub,
        name=_name(told),
        roles=tuple(each for each in roles if isinstance(each, str)) if isinstance(roles, list) else (),
        active=told.get("status") in (None, _ACTIVE),
    )


def _name(told: Mapping[str, Any]) -> str:
    """Return the name, or what is told of its parts."""
    name, given, family = (
        value.strip()[: claims.TEXT_LENGTH] if isinstance(value, str) else ""
        for value in (told.get("name"), told.get("given_name"), told.get("family_name"))
    )
    return name or f"{given} {family}".strip()
