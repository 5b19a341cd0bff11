"""What went wrong, for the person: only here does an error get a status and words."""

import logging
import shlex
from dataclasses import dataclass
from typing import Any

import redis
from pyramid.exceptions import BadCSRFOrigin, BadCSRFToken
from pyramid.httpexceptions import HTTPException, HTTPForbidden, HTTPNotFound
from pyramid.renderers import render_to_response
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import exception_view_config, forbidden_view_config, notfound_view_config
from sqlalchemy.exc import SQLAlchemyError

from ipylti import errors, security
from ipylti.metrics import count_error
from ipylti.views.accept import wants_json

log = logging.getLogger(__name__)

#: Routes at which nobody knows yet, or ever, which platform's page frames the answer: of one that is not
#: connected, or whose pages are on another host. What goes wrong there is said all the same.
ANYWHERE = ("login", "login_look", "launch")

AGAIN = "Please open it from your course again."

#: Above a line for the shell.
COMMAND = "For administrators: run this on the tool's server, if the place is one that you know:"


@dataclass(frozen=True)
class Words:
    """How an error is told: the HTTP status, a title, a sentence that helps, and what else to know."""

    status: int
    title: str
    message: str
    hint: str = ""


#: Code, or its part before the last dot, and so on -> words. The longest that fits is taken.
WORDS = {
    "request": Words(400, "This address doesn't work like that", f"The request was malformed. {AGAIN}"),
    "request.csrf": Words(
        400, "This page is too old", f"The page was open for too long, or came from elsewhere. {AGAIN}"
    ),
    "login": Words(
        400,
        "Your course's login did not work",
        "The learning platform asked for a login that can't be answered. Please tell your administrator.",
    ),
    "login.missing": Words(
        400,
        "This is not a page to open by hand",
        f"The login needs what only the learning platform sends. {AGAIN}",
    ),
    "login.unknown_platform": Words(
        400,
        "This course is not connected yet",
        "The learning platform that you come from is not registered here. Please tell your administrator.",
        "For administrators: add it with “ipylti platform add”; issuer and client id have to match exactly.",
    ),
    "login.ambiguous": Words(
        400,
        "Your course's login is ambiguous",
        "The learning platform has to say which registration it means. Please tell your administrator.",
        "For administrators: several registrations share this issuer, and no client_id came along.",
    ),
    "login.state": Words(
        403, "This login is over", f"It took too long, or began in another browser. {AGAIN}"
    ),
    "login.ticket": Words(403, "This link is used up", f"It opens a page once, and within a minute. {AGAIN}"),
    "message": Words(
        403,
        "This launch was refused",
        f"What your learning platform sent did not pass the checks. {AGAIN}",
        "If it happens again, please tell your administrator the code below.",
    ),
    "message.expired": Words(403, "This launch is too old", f"It took too long to get here. {AGAIN}"),
    "message.state": Words(403, "This launch can't be used", f"It was used already, or has expired. {AGAIN}"),
    "message.nonce": Words(403, "This launch can't be used", f"It was used already. {AGAIN}"),
    "message.other_browser": Words(
        403, "This launch can't be used", f"It was started in another browser. {AGAIN}"
    ),
    "message.cookie_missing": Words(
        403,
        "This launch can't be used",
        f"Your browser kept no cookie of this page, or it was started in another browser. {AGAIN}",
        "If it happens every time, open the activity in a new window, or allow cookies for this site.",
    ),
    "message.no_sub": Words(
        403,
        "Your course did not say who you are",
        "Anonymous launches can't have a workspace. Please log in to your learning platform and try again.",
    ),
    "message.deployment": Words(
        403,
        "This course is not connected yet",
        "The tool was put into a place of the learning platform that it does not know. "
        "Please tell your administrator.",
    ),
    "message.assignment": Words(
        403,
        "This link is of another course",
        "It points at an assignment of a course that this one is no copy of, or at one that is no longer "
        "known. Please tell your teacher.",
        "For teachers: remove the link and add the assignment anew; there you can copy it from a course of "
        "yours.",
    ),
    "message.deep_linking": Words(
        403,
        "Your learning platform asked for something else",
        "What it sent does not say where the assignment is to go. Please tell your administrator.",
    ),
    "deep_linking": Words(
        400,
        "No assignment can be added here",
        "Your learning platform takes something else than a link in this place. "
        "Please add it as an activity or an assignment.",
    ),
    "invitation": Words(
        403,
        "This invitation can't be used",
        "It is not one of ours, or the address was not pasted whole.",
        "For administrators: “ipylti platform invite” makes a new one.",
    ),
    "invitation.used": Words(
        403,
        "This invitation was used",
        "An invitation connects one platform, once.",
        "For administrators: “ipylti platform invite” makes a new one.",
    ),
    "invitation.expired": Words(
        403,
        "This invitation is too old",
        "An invitation is good for some days only.",
        "For administrators: “ipylti platform invite” makes a new one.",
    ),
    "registration": Words(
        502,
        "The platform could not be registered",
        "Nothing was registered here, and the invitation is still good.",
    ),
    "registration.unreachable": Words(
        502,
        "The platform is not answering",
        "Its configuration, or the place to register at, could not be reached from here. Nothing was "
        "registered, and the invitation is still good.",
        "For administrators: this server has to reach the platform by https; one of a private network or of "
        "this machine needs “ipylti.allow_private_platforms = true” in the ini file, and may use http then.",
    ),
    "registration.configuration": Words(
        502,
        "The platform's configuration can't be understood",
        "It lacks what LTI Advantage needs. Nothing was registered, and the invitation is still good.",
    ),
    "registration.issuer": Words(
        403,
        "The platform speaks for another one",
        "Its configuration names an issuer on another host. Nothing was registered, and the invitation is "
        "still good.",
    ),
    "registration.refused": Words(
        502,
        "The platform refused the registration",
        "Nothing was registered here, and the invitation is still good.",
    ),
    "registration.http": Words(
        502,
        "The platform's addresses are not safe",
        "One of them is no https address. Nothing was registered, and the invitation is still good.",
        "For administrators: http is for a platform of a private network or of this machine, with "
        "“ipylti.allow_private_platforms = true” in the ini file.",
    ),
    "platform.bad": Words(
        400,
        "The platform could not be registered",
        "One of its addresses is no https address. The invitation is still good.",
    ),
    "selection.not_teacher": Words(
        403, "Only teachers add assignments", "Your learning platform says that you don't teach this course."
    ),
    "selection.over": Words(
        403,
        "This page is used up",
        "It was answered already, or was open for too long. If nothing was added, please begin again in your "
        "course.",
    ),
    "platform": Words(
        403,
        "Your learning platform refused the launch",
        "It may be that you are no longer logged in there. Please log in and open it again.",
    ),
    "platform.unreachable": Words(
        502,
        "Your learning platform is not answering",
        f"Its keys could not be read, so the launch could not be checked. {AGAIN}",
    ),
    "access": Words(
        403, "This is not yours to open", f"Your visit here has ended, or it is another's. {AGAIN}"
    ),
    "launch.erasing": Words(
        409,
        "This is being deleted",
        "Your work here, or all of this course's, is being deleted, as somebody asked. "
        "Open it from your course again in some minutes.",
    ),
    "launch.expired": Words(
        403, "It was a long time ago", f"For safety, a launch ends after some hours. {AGAIN}"
    ),
    "ticket": Words(403, "Please launch again", f"This link to your notebook was used already. {AGAIN}"),
    "gate": Words(403, "Please launch again", f"This notebook belongs to a course. {AGAIN}"),
    "submit": Words(403, "This can't be handed in", "There is nothing of yours to hand in here."),
    "submit.nothing": Words(
        409, "There is nothing to hand in yet", "Your workspace has no files yet. Wait until it has opened."
    ),
    "redis": Words(
        503,
        "Please try again in a minute",
        "A part of the service is not answering. No work is lost; open it from your course again.",
    ),
    "database": Words(
        503,
        "Please try again in a minute",
        "A part of the service is not answering. No work is lost; reload this page in a minute.",
    ),
    "missing": Words(404, "There is nothing here", f"This page does not exist. {AGAIN}"),
    "error": Words(
        500,
        "Something went wrong on our side",
        "No work is lost. Please try again, or open it from your course.",
    ),
}


@exception_view_config(errors.IpyltiError)
def known(error: errors.IpyltiError, request: Request) -> Response:
    """Tell what was raised on purpose."""
    log.info("refused", extra={"code": error.code, "detail": error.detail})
    return _answer(request, error.code, getattr(error, "words", ""))


@exception_view_config(errors.UnknownDeployment)
def unknown_deployment(error: errors.UnknownDeployment, request: Request) -> Response:
    """Tell an administrator how to make a deployment known; the message was verified before.

    An id with characters that don't show could do in a terminal what nobody sees in the line.
    """
    named = {"issuer": error.issuer, "client-id": error.client_id, "deployment": error.deployment}
    if not all(value.isprintable() for value in named.values()):
        log.warning("unknown deployment, not printable")
        return _answer(request, error.code)
    options = " ".join(f"--{name} {shlex.quote(value)}" for name, value in named.items())
    command = f"ipylti deployment add production.ini {options}"
    log.warning("unknown deployment", extra={"command": command})
    return _answer(request, error.code, command=command)


@exception_view_config(redis.RedisError)
def redis_down(error: redis.RedisError, request: Request) -> Response:
    """Tell that the session store is away."""
    log.error("redis is away: %s", error)
    return _answer(request, "redis.down")


@exception_view_config(SQLAlchemyError)
def database_down(error: SQLAlchemyError, request: Request) -> Response:
    """Tell that the database is away, or did not do as it should."""
    log.error("database failed", exc_info=error)
    return _answer(request, "database.down")


@exception_view_config(BadCSRFToken)
@exception_view_config(BadCSRFOrigin)
def csrf(error: Exception, request: Request) -> Response:
    """Tell that a form came without its token, or from elsewhere."""
    return _answer(request, "request.csrf")


@notfound_view_config()
def missing(error: HTTPNotFound, request: Request) -> Response:
    """Tell that there is no such page."""
    return _answer(request, "missing")


@forbidden_view_config()
def forbidden(error: HTTPForbidden, request: Request) -> Response:
    """Tell that this browser has no right to the page."""
    return _answer(request, "access.denied")


@exception_view_config(HTTPException)
def http(error: HTTPException, request: Request) -> Response:
    """Pass on redirects and the like that were raised."""
    return error if error.status_int < 400 else _answer(request, "request.bad")


@exception_view_config(Exception)
def unexpected(error: Exception, request: Request) -> Response:
    """Tell that the fault is ours; what it is stands in the log."""
    log.error("unexpected error", exc_info=error)
    return _answer(request, "error")


def words_for(code: str) -> Words:
    """Return the words for a code."""
    found = code
    while found and found not in WORDS:
        found = found.rpartition(".")[0]
    return WORDS[found or "error"]


def _answer(request: Request, code: str, said: str = "", command: str = "") -> Response:
    """Return a page to a person and JSON to a script.

    :param said: a platform's own words.
    :param command: a line for an administrator's shell.
    """
    words = words_for(code)
    count_error(request, code, words.status)
    message = f"{words.message} The platform says: “{said}”" if said else words.message
    told: dict[str, Any] = {"code": code, "message": message, "request_id": request.request_id}
    if wants_json(request):
        response = Response(json_body={"error": told}, status=words.status)
    else:
        if request.matched_route is not None and request.matched_route.name in ANYWHERE:
            security.let_anybody_frame(request)
        hint = COMMAND if command else words.hint
        values = told | {"title": words.title, "hint": hint, "close_url": None, "command": command}
        values["static_origin"] = request.services.settings.url
        response = render_to_response("ipylti:templates/error.jinja2", values, request)
        response.status_int = words.status
    if words.status == 503:
        response.headers["Retry-After"] = "30"
    return response
