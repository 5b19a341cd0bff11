"""Launches in a frame of the platform's page, where a browser may keep no cookies for us.

What has to stay in the browser between login and message is the login's secret. Tried in this order:

1. our cookie, partitioned by the platform's site; a redirect to ourselves shows whether it comes back. Up
   to here all is redirects, so that the platform, asked for the message, still sees a request of its own
   page and gets its own cookies;
2. the platform keeps the secret for us and gives it back at the launch (Client Side postMessages and Platform
   Storage): the message waits meanwhile, verified but not acted upon, and the comparison is made here;
3. the login begins anew in a tab of its own, by a ticket: there our cookies are nobody's third party.

None of these can be finished in another browser than the one in which it began.
"""

import hmac
from typing import Any

from pyramid.httpexceptions import HTTPFound
from pyramid.renderers import render_to_response
from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from ipylti import ids, security
from ipylti.errors import RefusedLogin, RefusedMessage
from ipylti.lti import login, messages
from ipylti.platforms import Platforms
from ipylti.views import opening
from ipylti.volatile import SingleUse

#: A cookie that is there for being seen again: whoever sends it in a frame keeps our cookies there.
SEEN = "__Host-ipylti-seen"
_SEEN_SECONDS = 30 * 86400

#: Seconds for which a login may be taken over into a tab, and for which a message waits for its secret.
TICKET_SECONDS = 60
PARKED_SECONDS = 60

_FRAMES = ("iframe", "frame", "embed", "object")


def doubtful(request: Request) -> bool:
    """Return whether the request fills a frame of a browser that has not shown that it keeps cookies there.

    Browsers that don't say what a request is for (Fetch Metadata) are sent on as if they kept them.
    """
    return request.headers.get("Sec-Fetch-Dest") in _FRAMES and SEEN not in request.cookies


def bind(response: Response, state: str, value: str, seconds: int) -> None:
    """Set the cookie that binds a login to its browser; a ``__Host-`` name is taken with these attributes
    only, also when the cookie is to go."""
    _set(response, login.state_cookie(state), value, seconds)


def try_cookie(response: Response) -> None:
    """Set the cookie by which the next login knows that cookies are kept."""
    _set(response, SEEN, "1", _SEEN_SECONDS)


def _set(response: Response, name: str, value: str, seconds: int) -> None:
    response.set_cookie(name, value, max_age=seconds, secure=True, httponly=True, samesite="None")


def look(request: Request, redirect: login.LoginRedirect) -> HTTPFound:
    """Return the redirect to ourselves that shows whether the login's cookie comes back."""
    ticket = ids.random_id()
    record = {"location": redirect.location, "state": redirect.state, "secret": redirect.binding}
    request.services.looks.put(ticket, record, TICKET_SECONDS)
    return HTTPFound(request.route_path("login_look", _query={"ticket": ticket}))


@view_config(route_name="login_look", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def go_on(request: Request) -> Response:
    """Go on to the platform if the login's cookie came back; else show the page that finds another way."""
    record = _taken(request.services.looks, request)
    state, secret = record["state"], record["secret"]
    kept = request.cookies.get(login.state_cookie(state), "")
    if hmac.compare_digest(kept, secret):
        return HTTPFound(record["location"])
    begun = login.bound(state, secret, request.services.states)
    values = record | {
        "storage": begun.storage,
        "storage_origin": begun.storage_origin,
        "ticket_url": request.route_path("login_ticket"),
    }
    return _page(request, "ipylti:templates/leaving.jinja2", values)


def matching_page(request: Request, parked: messages.Parked) -> Response:
    """Return the page that gets the login's secret back from the platform; the message waits for it."""
    ticket = ids.random_id()
    record = {"state": parked.state, "id_token": parked.id_token, "at": parked.at}
    request.services.parked.put(ticket, record, PARKED_SECONDS)
    values = {
        "parked": ticket,
        "state": parked.state,
        "storage": parked.storage,
        "storage_origin": parked.storage_origin,
        "match_url": request.route_path("launch_match"),
    }
    return _page(request, "ipylti:templates/matching.jinja2", values)


def _page(request: Request, template: str, values: dict[str, Any]) -> Response:
    # Who frames this page is not known before the message is; nothing in it is worth a victim's click.
    security.let_anybody_frame(request)
    return render_to_response(template, values, request)


# The login's secret, which only the browser knows in which it began, is the permission in what follows.


@view_config(
    route_name="login_ticket",
    request_method="POST",
    permission=NO_PERMISSION_REQUIRED,
    require_csrf=False,
    renderer="json",
)
def ticket(request: Request) -> dict[str, str]:
    """Give a ticket with which the login begins anew in a tab, soon and once."""
    services = request.services
    state, secret = _field(request, "state"), _field(request, "secret")
    begun = login.bound(state, secret, services.states)
    made = ids.random_id()
    services.logins.put(made, dict(begun.request), TICKET_SECONDS)
    return {"url": request.route_path("login_tab", _query={"ticket": made})}


@view_config(route_name="login_tab", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def tab(request: Request) -> Response:
    """Begin a login anew, in a tab of its own, as the platform began it in the frame."""
    services = request.services
    params = _taken(services.logins, request)
    with services.reading() as db:
        redirect = login.begin(params.items(), Platforms(db), services.states, services.settings.launch_url)
    response = HTTPFound(redirect.location)
    bind(response, redirect.state, redirect.binding, login.STATE_SECONDS)
    return response


@view_config(
    route_name="launch_match",
    request_method="POST",
    permission=NO_PERMISSION_REQUIRED,
    require_csrf=False,
    renderer="json",
)
def match(request: Request) -> dict[str, str]:
    """Go on with a message that waited, for the browser to which the platform gave the login's secret back.

    Since this browser keeps no cookie of ours here, its page is told what the session's cookie would hold.
    """
    given, secret = _field(request, "parked"), _field(request, "secret")
    record = request.services.parked.take(given) if ids.is_name(given) else None
    if record is None:
        raise RefusedMessage("no such message waits (any more)", code="message.state")
    form = {"state": record["state"], "id_token": record["id_token"]}
    cookies = {login.state_cookie(record["state"]): secret}
    received = opening.receive(request, form.items(), cookies, record["at"])
    if isinstance(received, messages.Parked):
        raise RefusedMessage("no secret", code="message.cookie_missing")
    location = opening.opened(request, received)
    return {
        "location": location,
        "session": security.session_token(request),
        "csrf_token": request.session.get_csrf_token(),
    }


@view_config(route_name="launch_tab", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def take_over(request: Request) -> Response:
    """Open a launch of a frame without cookies in a tab of its own, by a ticket of the frame's page."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise RefusedLogin("the ticket came from elsewhere", code="login.ticket")
    record = _taken(request.services.tabs, request)
    security.remember(request, record["launch"])
    return HTTPFound(record["path"])


def _field(request: Request, name: str) -> str:
    """Return a form's field; "" where it is missing, or a file."""
    value = request.POST.get(name)
    return value if isinstance(value, str) else ""


def _taken(records: SingleUse, request: Request) -> dict[str, Any]:
    """Return what a request's ticket stands for; nobody gets it again."""
    given = request.GET.get("ticket", "")
    record = records.take(given) if ids.is_name(given) else None
    if record is None:
        raise RefusedLogin("the ticket is used up or expired", code="login.ticket")
    return record


def tab_url(request: Request, launch_id: str, path: str) -> str:
    """Return a URL that opens a page of a launch in a tab, soon and once.

    :param path: of the page.
    """
    made = ids.random_id()
    request.services.tabs.put(made, {"launch": launch_id, "path": path}, TICKET_SECONDS)
    return str(request.route_path("launch_tab", _query={"ticket": made}))
