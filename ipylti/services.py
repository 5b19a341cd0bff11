"""The collaborators of a web process, made once, and handed out on the request."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

import zope.sqlalchemy
from pyramid.config import Configurator
from pyramid.request import Request
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models, volatile
from ipylti.admission import estimate
from ipylti.desk import Desk
from ipylti.gate import Gatekeeper
from ipylti.http import OutgoingHTTP
from ipylti.idling import Visits
from ipylti.jobs import Jobs
from ipylti.line import Line
from ipylti.lti import stores
from ipylti.lti.keysets import PATIENCE, PlatformKeys
from ipylti.models.meta import READ_ONLY
from ipylti.models.upgrade import require_current
from ipylti.settings import Settings
from ipylti.tally import PLATFORM_REQUESTS, PLATFORM_SECONDS, Tally
from ipylti.usage import Usage
from ipylti.volatile import Board, Cache, Locks, Pulse, SingleUse

USER_AGENT = "ipylti"

#: Seconds for which the protocol's locks (of a line item) last, and are waited for.
_LOCK_LASTS = 120.0
_LOCK_WAIT = 20.0

#: Seconds for which the lock of a platform's keys lasts: a fetch ends sooner.
_KEY_LOCK_LASTS = 10.0


class Services:
    """What views work with; see each class.

    :param tickets: single-use tickets to notebook hosts.
    :param states: what is remembered between login and launch.
    :param looks: logins of which it is looked whether their cookie comes back, by ticket.
    :param logins: logins that are to begin anew in a tab, by ticket.
    :param parked: verified messages that wait for their login's secret.
    :param tabs: pages that are to open in a tab, by ticket.
    :param selections: what is being chosen by Deep Linking.
    """

    def __init__(self, settings: Settings) -> None:
        redis = volatile.connect(settings.redis_url)
        self.settings = settings
        self.redis = redis
        self.engine: Engine = models.make_engine(settings.database_url)
        self.sessions = sessionmaker(self.engine)
        self.jobs = Jobs(settings.redis_url)
        self.board = Board(redis)
        self.line = Line(redis, self.board)
        self.desk = Desk(self.board, self.line, self.jobs)
        self.locks = Locks(redis)
        self.pulse = Pulse(redis)
        self.tickets = SingleUse(redis, "ticket")
        self.states = SingleUse(redis, "state")
        self.looks = SingleUse(redis, "look")
        self.logins = SingleUse(redis, "login")
        self.parked = SingleUse(redis, "parked")
        self.tabs = SingleUse(redis, "tab")
        self.selections = SingleUse(redis, "selection")
        self.usage = Usage(redis)
        self.visits = Visits(Cache(redis, "visits"), settings)
        self.gatekeeper = Gatekeeper(settings)
        self.tally = Tally(redis)
        self.http = outgoing_http(settings, self.tally)
        self.platform_keys = PlatformKeys(self.http, Cache(redis, "jwks"), self._key_locks)

    def _key_locks(self, name: str) -> AbstractContextManager[object]:
        """Return a lock for one platform's keys, which lasts for a fetch."""
        return self.locks.hold(name, wait=PATIENCE, seconds=_KEY_LOCK_LASTS)

    def waiting(self, workspace: str) -> tuple[int | None, int | None]:
        """Return a workspace's place in the queue, 1 being next, and the seconds that it is likely to wait;
        None for what is not so, or not known."""
        position = self.line.position(workspace)
        if position is None:
            return None, None
        return position, estimate(self.line, position, self.settings.max_starting)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session beside the request's own that only reads, and so waits for no writer."""
        with self.sessions() as session:
            session.connection(execution_options={READ_ONLY: True})
            yield session


def outgoing_http(settings: Settings, tally: Tally) -> OutgoingHTTP:
    """Return the one HTTP client for requests to platforms."""

    def count(outcome: str, seconds: float) -> None:
        tally.count(PLATFORM_REQUESTS, outcome)
        tally.observe(PLATFORM_SECONDS, seconds)

    return OutgoingHTTP(USER_AGENT, allow_private=settings.allow_private_platforms, told=count)


def protocol_locks(locks: Locks) -> stores.Locks:
    """Return locks as the protocol wants them: by name, waited for."""
    return lambda name: locks.hold(name, wait=_LOCK_WAIT, seconds=_LOCK_LASTS)


def _db(request: Request) -> Session:
    """Return the request's database session; it ends with the request's transaction.

    What only reads waits for no writer; the exception is a launch, which is always posted.
    """
    services: Services = request.registry["ipylti.services"]
    session = services.sessions(info={"request": request})
    zope.sqlalchemy.register(session, transaction_manager=request.tm)
    if request.method in ("GET", "HEAD"):
        session.connection(execution_options={READ_ONLY: True})
    return session


def after_commit(request: Request, job: str, argument: str | int) -> None:
    """Ask for a job once the request's transaction is committed.

    If the queue is away by then, the work is written down all the same, and the sweep asks for it again.
    """
    services: Services = request.registry["ipylti.services"]

    def ask(success: bool) -> None:
        if success:
            services.jobs.ask(job, argument)

    # The transaction package logs what goes wrong in a hook and goes on.
    request.tm.get().addAfterCommitHook(ask)


def tool_path(request: Request) -> str:
    """Return the path of a request to the tool's own host, as it came: one that can't be decoded gets an
    answer, too. It is "" on a notebook host, where every path is the notebook's."""
    settings: Settings = request.registry.settings["ipylti"]
    return "" if settings.is_notebook_host(request.domain) else str(request.environ["PATH_INFO"])


def _manage(request: Request) -> bool:
    """Return whether a request gets a transaction: the gate and the static files need none."""
    path = tool_path(request)
    return path != "/gate" and not path.startswith("/static/")


def includeme(config: Configurator) -> None:
    """Make the services and put them on the request."""
    settings: Settings = config.registry.settings["ipylti"]
    services = Services(settings)
    require_current(services.engine)
    config.registry["ipylti.services"] = services
    config.add_settings({"tm.activate": _manage, "tm.manager_hook": "pyramid_tm.explicit_manager"})
    config.include("pyramid_tm")
    config.add_request_method(_db, "db", reify=True)
    config.add_request_method(lambda request: request.registry["ipylti.services"], "services", property=True)
    config.add_request_method(after_commit, "after_commit")
