"""Identity, permissions, policy. Secure by default: a view that says nothing can be called by nobody.

A browser can be several people at once: a teacher in one frame, a test student in the next. So there is a
session for each launch, with a cookie of its own, and it says one thing: this browser is the one that
launched. A launch's page, its status and its Submit are for that browser and for nobody else. Two launches
in two frames of one page do not touch each other's cookie.
"""

import json
import secrets
from collections.abc import Callable
from typing import Any

from pyramid.authorization import ACLHelper, Allow, Everyone
from pyramid.config import Configurator
from pyramid.csrf import SessionCSRFStoragePolicy
from pyramid.httpexceptions import HTTPNotFound
from pyramid.request import Request
from pyramid_session_redis import RedisSessionFactory

from ipylti import ids, models, volatile
from ipylti.settings import Settings

#: The session cookie of a launch is named so and by the beginning of the launch's id.
SESSION_COOKIE = "__Host-ipylti-session"

#: Seconds without a request after which a session ends.
SESSION_LIFETIME = 12 * 3600

#: Where a request that is about to open a launch says which.
_LAUNCH = "ipylti.launch"


class LaunchContext:
    """A launch as the context of a request: who may do what with it.

    :param frame_origins: still to be had when the request's transaction, and with it the row, is gone.
    """

    def __init__(self, launch: models.Launch) -> None:
        self.launch = launch
        self.frame_origins = tuple(launch.frame_origins)

    def __acl__(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [(Allow, f"launch:{self.launch.id}", ("work", "submit"))]


def launch_factory(request: Request) -> LaunchContext:
    """Return the launch that the URL names.

    :raises HTTPNotFound: there is no such launch.
    """
    launch_id = request.matchdict["launch_id"]
    launch = request.db.get(models.Launch, launch_id) if ids.is_name(launch_id) else None
    if launch is None:
        raise HTTPNotFound
    return LaunchContext(launch)


def remember(request: Request, launch: models.Launch) -> None:
    """Let this browser, and no other, open the launch."""
    request.environ[_LAUNCH] = launch.id
    request.session["launch"] = launch.id


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
    config.set_session_factory(_session_factory(settings))
    config.set_csrf_storage_policy(SessionCSRFStoragePolicy())
    config.set_default_csrf_options(require_csrf=True)


def _launch_id(request: Request) -> str | None:
    """Return the id of the launch that a request is about, if any."""
    found: str | None = request.environ.get(_LAUNCH) or (request.matchdict or {}).get("launch_id")
    return found


def _session_factory(settings: Settings) -> Callable[[Request], Any]:
    client = volatile.connect(settings.redis_url)
    secret = settings.key("session cookie").hex()

    def factory(request: Request) -> Any:
        make = RedisSessionFactory(
            secret=secret,
            timeout=SESSION_LIFETIME,
            cookie_name=f"{SESSION_COOKIE}-{(_launch_id(request) or '')[:16]}",
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
        return make(request)

    return factory
