"""Names and Role Provisioning Services 2.0."""

from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config

from ..course import Course, Link
from ..errors import Refused
from ..memberships import MEMBERS_TYPE, with_role
from ..paging import page, service_url
from ..roster import Membership
from ..scopes import MEMBERS
from ..shapes import bad
from .services import answer, book_of, check_query, service


@view_config(route_name="memberships", request_method="GET")
@service(MEMBERS, accept=MEMBERS_TYPE)
def list_members(request: Request) -> Response:
    """A course's members, by role, of a link, in pages, or what changed since the last time."""
    campus, course = request.campus, book_of(request).course
    check_query(request, campus.config.behaviour.members_query)
    for name in ("limit", "role", "rlid", "since", "from"):
        if len(request.GET.getall(name)) > 1:
            raise bad(f"{name} is given more than once")
    link = _link(request, course)
    since = request.GET.get("since")
    found = with_role(_members(course, since), request.GET.get("role"))
    shown, headers = page(request, found, {"differences": _differences(request, course)})
    campus.log.accept("memberships", f"{len(shown)} of {len(found)} members listed")
    url = campus.messages.memberships_url(course)
    return answer(campus.memberships.to_json(course, url, shown, link), MEMBERS_TYPE, headers=headers)


def _link(request: Request, course: Course) -> Link | None:
    wanted = request.GET.get("rlid")
    link = course.link(wanted) if wanted is not None else None
    if wanted is not None and link is None:
        raise Refused(404, "not_found", f"there is no resource link {wanted} in this course")
    return link


def _members(course: Course, since: str | None) -> tuple[Membership, ...]:
    if since is None:
        return course.roster.members
    if not (since.isascii() and since.isdigit()):
        raise bad("since is not as campus gave it")
    return course.roster.changed_since(int(since))


def _differences(request: Request, course: Course) -> str:
    """Where to ask for what changes from now on."""
    kept = [(name, value) for name, value in request.GET.items() if name not in ("from", "since", "limit")]
    return service_url(request, [*kept, ("since", course.roster.revision)])
