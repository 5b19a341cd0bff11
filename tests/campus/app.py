"""The web application: its addresses, and what holds for all of them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response

from . import people
from .people import Person
from .storage import origins
from .words import in_words, moment, tone

if TYPE_CHECKING:
    from .campus import Campus

COOKIE = "campus_session"

# The tool stands in a frame on a page of campus, and so does the authorization endpoint on its way there;
# nobody else may frame campus. No form-action: the form posts of the protocol end on the tool's origin and
# may be redirected from there.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "frame-src http: https:",
        "frame-ancestors 'self'",
        "base-uri 'none'",
        "object-src 'none'",
    )
)

#: Endpoints of the protocol: they answer JSON, never a page.
SERVICES = {
    "jwks", "openid_configuration", "register", "token", "lineitems", "lineitem", "scores", "results",
    "memberships",    "control", "control_state",
}  # fmt: skip


def make_app(campus: "Campus") -> Any:
    """The WSGI application of a campus."""
    with Configurator(package=__package__) as config:
        filters = {word.__name__: word for word in (moment, in_words, tone, origins)}
        config.add_settings({"jinja2.filters": filters})
        config.include("pyramid_jinja2")
        config.add_jinja2_search_path("templates")
        config.add_request_method(lambda request: campus, "campus", reify=True)
        config.add_request_method(signed_in, "person", reify=True)
        config.add_view_deriver(faulty)
        config.add_tween(f"{__package__}.app.finish_tween_factory")
        config.add_static_view("static", "static", cache_max_age=3600)
        add_routes(config)
        if campus.config.control:
            config.add_route("control_state", "/_control/state")
            config.add_route("control", "/_control/{action}")
        config.scan(f"{__package__}.views", ignore=None if campus.config.control else ".control")
        return config.make_wsgi_app()


def add_routes(config: Configurator) -> None:
    """Every address, pages first."""
    for name, pattern in (
        ("home", "/"),
        ("sign_in", "/sign-in"),
        ("sign_out", "/sign-out"),
        ("course", "/course"),
        ("new_link", "/course/links/new"),
        ("launch", "/course/launch/{link}"),
        ("open", "/course/open/{link}"),
        ("choose", "/course/choose"),
        ("choose_open", "/course/choose/open"),
        ("content", "/course/content"),
        ("review", "/course/review/{item}/{who}"),
        ("review_open", "/course/review/{item}/{who}/open"),
        ("submission", "/course/submission/{item}/{who}"),
        ("submission_open", "/course/submission/{item}/{who}/open"),
        ("copy_course", "/course/copy"),
        ("duplicate", "/course/duplicate/{link}"),
        ("return", "/course/return"),
        ("gradebook", "/course/gradebook"),
        ("tools", "/tools"),
        ("activate", "/tools/activate"),
        ("log", "/log"),
        ("storage", "/storage"),
        ("auth", "/auth"),
        ("jwks", "/jwks"),
        ("openid_configuration", "/.well-known/openid-configuration"),
        ("register", "/register"),
        ("token", "/token"),
        ("memberships", "/nrps/{context}/memberships"),
        ("lineitems", "/ags/{context}/lineitems"),
        ("lineitem", "/ags/{context}/lineitems/{item}/lineitem"),
        ("scores", "/ags/{context}/lineitems/{item}/lineitem/scores"),
        ("results", "/ags/{context}/lineitems/{item}/lineitem/results"),
    ):
        config.add_route(name, pattern)


def signed_in(request: Request) -> Person | None:
    """Who is signed in to campus in this browser, or None."""
    who: Person | None = request.campus.logins.who(request.cookies.get(COOKIE))
    return who


def set_session(request: Request, response: Response, person: Person) -> None:
    """Sign somebody in, in this browser, in place of whoever was."""
    campus = request.campus
    campus.logins.sign_out(request.cookies.get(COOKIE, ""))
    same_site = campus.config.cookie_samesite
    response.set_cookie(
        COOKIE,
        campus.logins.sign_in(person),
        path="/",
        httponly=True,
        samesite=same_site,
        secure=same_site == "None",
    )


def faulty(view: Callable[..., Response], info: Any) -> Callable[..., Response]:
    """View deriver: let an endpoint be slow or fail where a test wants it to, before it does anything."""
    if info.exception_only:
        return view

    def maybe(context: Any, request: Request) -> Response:
        endpoint = request.matched_route.name if request.matched_route else "static"
        failure = request.campus.faults.next(endpoint)
        if failure is None:
            return view(context, request)
        request.campus.log.refuse(endpoint, failure.reason, failure.status)
        response = Response(status=failure.status, text=failure.body, content_type="text/plain")
        response.headers.update(failure.headers)
        return response

    return maybe


def finish_tween_factory(handler: Callable[..., Response], registry: Any) -> Callable[..., Response]:
    """Tween: `?as=<short name>` on any page signs that person in; every answer gets its headers."""

    def finish(request: Request) -> Response:
        response = _sign_in_by_address(request) or handler(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        if not request.path.startswith("/static/"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return finish


def _sign_in_by_address(request: Request) -> Response | None:
    page = request.path in ("/", "/log") or request.path.startswith(("/course", "/tools"))
    if request.method != "GET" or not page or "as" not in request.GET:
        return None
    person = request.campus.directory.by_login(request.GET["as"])
    if person is None:
        return HTTPSeeOther("/?unknown=1")
    query = [(name, value) for name, value in request.GET.items() if name != "as"]
    first = "/tools" if person == people.ADMINISTRATOR else "/course"
    path = first if request.path == "/" else request.path
    response = HTTPSeeOther(f"{path}?{urlencode(query)}" if query else path)
    set_session(request, response, person)
    return response
