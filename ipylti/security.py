"""Identity, permissions, policy. Secure by default: a view that says nothing can be called by nobody.

A browser can be several people at once: a teacher in one frame, a test student in the next. So there is a
session for each launch, with a cookie of its own, and it says one thing: this browser is the one that
launched. A launch's page, its status and its Submit are for that browser and for nobody else. Two launches
in two frames of one page do not touch each other's cookie.
"""

import contextlib
import json
import secrets
from collections.abc import Callable
from typing import Any

import redis
from pyramid.authorization import ACLHelper, Allow, Everyone
from pyramid.config import Configurator
from pyramid.csrf import SessionCSRFStoragePolicy
from pyramid.httpexceptions import HTTPNotFound
from pyramid.request import Request
from pyramid.tweens import EXCVIEW
from pyramid_session_redis import RedisSessionFactory
from webob.cookies import SignedSerializer

from ipylti import ids, models, volatile
from ipylti.errors import AccessDenied
from ipylti.settings import Settings

#: The session cookie of a launch is named so and by the beginning of the launch's id.
SESSION_COOKIE = "__Host-ipylti-session"

#: Where a request says who may frame its answer, beside the platforms and its context.
FRAMED_BY = "ipylti.framed_by"

#: Where a page sends its session's token in place of the cookie.
SESSION_HEADER = "X-Ipylti-Session"

#: Seconds without a request after which a session ends.
SESSION_LIFETIME = 12 * 3600

#: Where a request that is about to open a launch says which.
_LAUNCH = "ipylti.launch"

#: Where a request has what writes its session.
_WRITE = "ipylti.write_session"


class LaunchContext:
    """A launch as the context of a request: who may do what with it.

    :param frame_origins: still to be had when the request's transaction, and with it the row, is gone.
    """

    def __init__(self, launch: models.Launch) -> None:
        self.launch = launch
        self.frame_origins = tuple(launch.frame_origins)

    def __acl__(self) -> list[tuple[str, str, tuple[str, ...]]]:
        permissions = ("work", "submit", "teach") if self.launch.staff else ("work", "submit")
        return [(Allow, f"launch:{self.launch.id}", permissions)]

    def require_valid(self) -> None:
        """Ask that the launch still opens something.

        :raises AccessDenied: ``launch.expired``.
        """
        if not self.launch.valid(models.now()):
            raise AccessDenied("the launch has expired", code="launch.expired")


class SelectionContext:
    """A teacher's choosing by Deep Linking as the context of a request.

    :param frame_origins: origins of the platform's pages.
    """

    #: The answer is a form that goes to the platform, which may send the browser on from there.
    form_targets = ("https:", "http:")

    def __init__(self, selection_id: str, record: dict[str, Any]) -> None:
        self.id = selection_id
        self.record = record
        self.frame_origins = tuple(record["frame_origins"])

    def __acl__(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [(Allow, f"launch:{self.id}", ("choose",))]


def let_anybody_frame(request: Request) -> None:
    """Let the answer, also one that says what went wrong, stand in a frame of whatever page."""
    request.environ[FRAMED_BY] = ("https:", "http:")


def selection_factory(request: Request) -> SelectionContext:
    """Return the choosing that the URL names.

    :raises AccessDenied: ``selection.over``: it was answered, or took too long.
    """
    selection_id = request.matchdict["launch_id"]
    record = request.services.selections.peek(selection_id) if ids.is_name(selection_id) else None
    if record is None:
        raise AccessDenied("no such choosing (any more)", code="selection.over")
    return SelectionContext(selection_id, record)


def launch_factory(request: Request) -> LaunchContext:
    """Return the launch that the URL names.

    :raises HTTPNotFound: there is no such launch.
    """
    launch_id = request.matchdict["launch_id"]
    launch = request.db.get(models.Launch, launch_id) if ids.is_name(launch_id) else None
    if launch is None:
        raise HTTPNotFound
    return LaunchContext(launch)


def remember(request: Request, launch_id: str) -> None:
    """Let this browser, and no other, open a launch or a choosing."""
    request.environ[_LAUNCH] = launch_id
    request.session["launch"] = launch_id


def session_token(request: Request) -> str:
    """Return what the session's cookie would hold, for the page of a browser that keeps no cookies of ours.

    The page sends it with each request, as the header :data:`SESSION_HEADER` or the field ``session`` of a
    form; it never stands in a URL.
    """
    signer: SignedSerializer = request.registry["ipylti.session_signer"]
    return str(signer.dumps(request.session.ensure_id()).decode())


def given_session_token(request: Request) -> str | None:
    """Return the session token that a page without cookies sent with its request."""
    token = request.headers.get(SESSION_HEADER) or request.POST.get("session")
    return token if isinstance(token, str) and token else None


class SecurityPolicy:
    """Pyramid's security policy; an identity is the id of the launch that the browser has been through."""

    def __init__(self) -> None:
        self.acl = ACLHelper()

    def identity(self, request: Request) -> str | None:
        """Return the launch that the URL names, if it is this browser's."""
        if _launch_id(request) is None:
            return None
        launch: str | None = request.session.get("launch")
        return launch

    def authenticated_userid(self, request: Request) -> str | None:
        """Return the identity; there are no user ids beside it."""
        return self.identity(request)

    def permits(self, request: Request, context: Any, permission: str) -> Any:
        """Return whether this browser's launch has the permission."""
        return self.acl.permits(context, [Everyone, f"launch:{self.identity(request)}"], permission)

    def remember(self, request: Request, userid: str, **kwargs: Any) -> list[tuple[str, str]]:
        """Return no headers: see :func:`remember`."""
        return []

    def forget(self, request: Request, **kwargs: Any) -> list[tuple[str, str]]:
        """Return no headers: a session ends by itself."""
        return []


def includeme(config: Configurator) -> None:
    """Set policy, sessions and CSRF protection."""
    settings: Settings = config.registry.settings["ipylti"]
    config.set_security_policy(SecurityPolicy())
    config.set_default_permission("nobody")
    # As pyramid_session_redis does it by default; here it is needed by more than the cookie.
    signer = SignedSerializer(
        settings.key("session cookie").hex(), "ipylti.session.", "sha512", serializer=_Plain()
    )
    config.registry["ipylti.session_signer"] = signer
    config.set_session_factory(_session_factory(settings, signer))
    config.add_tween("ipylti.security.write_session", under=EXCVIEW)
    config.set_csrf_storage_policy(SessionCSRFStoragePolicy())
    config.set_default_csrf_options(require_csrf=True)


def _launch_id(request: Request) -> str | None:
    """Return the id of the launch that a request is about, if any."""
    found: str | None = request.environ.get(_LAUNCH) or (request.matchdict or {}).get("launch_id")
    return found


class _Plain:
    """A session id as bytes, for the signer."""

    def dumps(self, text: str) -> bytes:
        return text.encode()

    def loads(self, data: bytes) -> str:
        return data.decode()


def _session_factory(settings: Settings, signer: SignedSerializer) -> Callable[[Request], Any]:
    client = volatile.connect(settings.redis_url)

    def factory(request: Request) -> Any:
        cookie = f"{SESSION_COOKIE}-{(_launch_id(request) or '')[:16]}"
        token = given_session_token(request)
        if token is not None and cookie not in request.cookies:
            request.cookies[cookie] = token
        make = RedisSessionFactory(
            cookie_signer=signer,
            timeout=SESSION_LIFETIME,
            cookie_name=cookie,
            cookie_max_age=SESSION_LIFETIME,
            cookie_secure=True,
            cookie_httponly=True,
            # As a string: None would leave the attribute away.
            cookie_samesite="None",
            redis_client_callable=lambda _request, **_options: client,
            # Whoever can write to Redis must not thereby run code here, as with the default, pickle.
            serialize=lambda data: json.dumps(data).encode(),
            deserialize=json.loads,
            deserialized_fails_new=True,
            id_generator=lambda: secrets.token_urlsafe(32),
        )
        session = make(request)
        # The library would write when all else is done, and a failure could be no page any more.
        cookie, write = request.response_callbacks.pop(), request.finished_callbacks.pop()
        request.environ[_WRITE] = write
        request.add_response_callback(_quietly(cookie))
        request.add_finished_callback(_quietly(write))
        return session

    return factory


def _quietly(callback: Callable[..., None]) -> Callable[..., None]:
    """Return a callback that does nothing where Redis is away: the person has been told by then."""

    def quiet(*arguments: Any) -> None:
        with contextlib.suppress(redis.RedisError):
            callback(*arguments)

    return quiet


def write_session(handler: Callable[[Request], Any], _registry: Any) -> Callable[[Request], Any]:
    """Return a tween that writes the session before the transaction ends: a launch of which Redis does not
    know is none in the database either, and the person is told."""

    def tween(request: Request) -> Any:
        response = handler(request)
        write = request.environ.get(_WRITE)
        if write is not None:
            write(request)
        return response

    return tween
