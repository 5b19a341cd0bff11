"""What went wrong, for the person: only here does an error get a status and words."""

import logging
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

from ipylti import errors
from ipylti.views.accept import wants_json

log = logging.getLogger(__name__)

AGAIN = "Please open it from your course again."


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
        "For administrators: add the deployment id with “ipylti platform add … --deployment”.",
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
    "access": Words(403, "This is not yours to open", f"It belongs to another launch. {AGAIN}"),
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
    log.info("refused", extra={"code": error.code, "detail": error.detail, "request_id": request.request_id})
    return _answer(request, error.code)


@exception_view_config(redis.RedisError)
def redis_down(error: redis.RedisError, request: Request) -> Response:
    """Tell that the session store is away."""
    log.error("redis is away: %s", error, extra={"request_id": request.request_id})
    return _answer(request, "redis.down")


@exception_view_config(SQLAlchemyError)
def database_down(error: SQLAlchemyError, request: Request) -> Response:
    """Tell that the database is away, or did not do as it should."""
    log.error("database failed", exc_info=error, extra={"request_id": request.request_id})
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
    log.error("unexpected error", exc_info=error, extra={"request_id": request.request_id})
    return _answer(request, "error")


def words_for(code: str) -> Words:
    """Return the words for a code."""
    found = code
    while found and found not in WORDS:
        found = found.rpartition(".")[0]
    return WORDS[found or "error"]


def _answer(request: Request, code: str) -> Response:
    """Return a page to a person and JSON to a script."""
    words = words_for(code)
    told: dict[str, Any] = {"code": code, "message": words.message, "request_id": request.request_id}
    if wants_json(request):
        response = Response(json_body={"error": told}, status=words.status)
    else:
        values = told | {"title": words.title, "hint": words.hint, "close_url": None}
        values["static_origin"] = request.services.settings.url
        response = render_to_response("ipylti:templates/error.jinja2", values, request)
        response.status_int = words.status
    if words.status == 503:
        response.headers["Retry-After"] = "30"
    return response
