"""campus itself: its parts put together, and what tests ask of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Unpack

from cryptography.hazmat.primitives.asymmetric import rsa

from .app import make_app
from .config import Config
from .course import Course, Link, first_links
from .courses import Courses
from .deep_linking import Answers
from .errands import ONE_LINK, Choose, Errand, LookAt, Open, Settings
from .faults import Faults
from .gradebook import Gradebook
from .journal import Journal
from .keys import Keyring
from .logins import Logins
from .memberships import Memberships
from .messages import Messages
from .people import Directory, Person
from .registration import Registrar
from .registry import Registry
from .selections import Selections
from .server import Server
from .tampering import Tampering, seal
from .tokens import TokenOffice
from .tool_keys import ToolKeys


class Campus:
    """A small strict LMS with one registered tool. All its state is in memory.

    Where a link is asked for, its id does, and the first course's first link is meant by None. Where a course
    is asked for, None is the first one.

    :param config: its addresses and the tool's. With port 0 a free port is bound at once, so that all
        addresses are known before :meth:`start`.
    :param key: its signing key; a new one if None.
    """

    def __init__(self, config: Config | None = None, key: rsa.RSAPrivateKey | None = None) -> None:
        wanted = config or Config()
        self._server = None if wanted.port is None else Server(wanted.host, wanted.port)
        self.registry = Registry(wanted.resolve(self._server.port if self._server else None))
        self.keys = Keyring(key)
        self.courses = Courses(self.registry)
        self.log = Journal()
        self.faults = Faults()
        self.selections = Selections()
        tool_keys = ToolKeys(self.registry)
        self.tokens = TokenOffice(self.registry, tool_keys)
        self.answers = Answers(self.registry, self.courses, self.selections, tool_keys)
        self.registrar = Registrar(self.registry)
        self.directory = Directory()
        self.logins = Logins(self.registry, self.directory)
        self.messages = Messages(self.registry, self.courses, self.selections)
        self.memberships = Memberships(self.registry, self.messages)
        for link in first_links(datetime.now(UTC)):
            self.add_link(link)
        if self.config.behaviour.first_score is not None:
            self.faults.expect("scores", self.config.behaviour.first_score)
        self.app = make_app(self)

    # Running

    @property
    def config(self) -> Config:
        """The configuration as it is now."""
        return self.registry.config

    @property
    def url(self) -> str:
        """Where people find it."""
        return self.config.base_url

    def start(self) -> "Campus":
        """Serve in a thread, until :meth:`stop`; may be started again on the same port."""
        if self._server is None:
            raise ValueError("this campus was made without a port")
        self.faults.open()
        self._server.start(self.app)
        return self

    def stop(self) -> None:
        """Stop serving: from now on connections are refused. What came in stays."""
        if self._server is not None:
            self.faults.close()
            self._server.stop()

    def __enter__(self) -> "Campus":
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    # What there is

    @property
    def registration(self) -> dict[str, str]:
        """What the tool's administrator is told about this platform, by the options of `platform add`."""
        return {
            "issuer": self.config.issuer,
            "client-id": self.config.client_id,
            "auth-url": self.config.auth_url,
            "token-url": self.config.token_url,
            "jwks-url": self.config.jwks_url,
            "token-audience": self.config.token_audience,
            "deployment": self.config.deployment_id,
        }

    @property
    def course(self) -> Course:
        """The first course."""
        return self.courses.first

    @property
    def gradebook(self) -> Gradebook:
        """The first course's gradebook."""
        return self.courses.gradebook(self.courses.first)

    def person(self, who: Person | str) -> Person:
        """Somebody by short name.

        :raises KeyError: for nobody.
        """
        found = who if isinstance(who, Person) else self.directory.by_login(who)
        if found is None:
            raise KeyError(who)
        return found

    def link(self, which: Link | str | None = None) -> Link:
        """A link by its id, in whatever course.

        :raises KeyError: for none.
        """
        if which is None:
            return self.course.links[0]
        found = which if isinstance(which, Link) else self.courses.link(which)
        if found is None:
            raise KeyError(which)
        return found

    def add_link(self, link: Link, course: Course | None = None) -> Link:
        """Put another link into a course, with its column in the gradebook."""
        return self.courses.add_link(link, course)

    def enrol(self, person: Person) -> None:
        """Have somebody new who can sign in, in the first course."""
        self.directory.add(person)
        self.set_status(person, "Active")

    def set_status(self, person: Person | str, status: str, course: Course | None = None) -> None:
        """Let somebody join a course (`Active`), leave it (`Deleted`), or be there no more than by name.

        :param status: one of `Active`, `Inactive`, `Deleted`.
        """
        (course or self.course).roster.change(self.person(person), status)

    def copy_course(self, course: Course | None = None, title: str | None = None) -> Course:
        """Copy a course with its links: `campus.copy_course().links[0]` can be launched like any other."""
        return self.courses.copy(course or self.course, title)

    def duplicate(self, link: Link | str | None = None) -> Link:
        """Copy a link within its course."""
        return self.courses.duplicate(self.link(link))

    # Errands

    def opening(self, link: Link | str | None = None, url: str = "") -> Open:
        """Somebody opens a link; see :class:`Open`."""
        where = self.link(link)
        return Open(self.courses.book_of(where).course, where, url)

    def looking_at(self, about: Person | str, link: Link | str | None = None) -> LookAt:
        """Somebody looks at what somebody handed in for a link; see :class:`LookAt`.

        :raises KeyError: for a link without a column of which campus offers that.
        """
        where = self.link(link)
        book = self.courses.book_of(where)
        columns = [item for item in book.items_of(where) if book.offers_review(item)]
        if not columns:
            raise KeyError(f"{where.id} has no column that is looked at")
        return LookAt(book.course, where, columns[0], self.person(about))

    # Login initiations: the parameters with which a browser comes to the tool

    def initiation(
        self, person: Person | str, link: Link | str | None = None, target: str = "iframe", *, url: str = ""
    ) -> dict[str, str]:
        """Somebody opens a link.

        :param url: target link URI in place of the link's.
        """
        return self.begin(person, self.opening(link, url), target)

    def deep_linking_initiation(
        self,
        person: Person | str,
        course: Course | None = None,
        target: str = "iframe",
        *,
        settings: Settings = ONE_LINK,
    ) -> dict[str, str]:
        """Somebody chooses content for a course."""
        return self.begin(person, Choose(course or self.course, settings), target)

    def review_initiation(
        self,
        person: Person | str,
        about: Person | str,
        link: Link | str | None = None,
        target: str = "iframe",
    ) -> dict[str, str]:
        """Somebody looks at what somebody handed in."""
        return self.begin(person, self.looking_at(about, link), target)

    def begin(self, person: Person | str, errand: Errand, target: str = "iframe") -> dict[str, str]:
        """Somebody goes to the tool."""
        return self.logins.initiate(self.person(person), errand, target)

    # Messages

    def claims(
        self, person: Person | str, link: Link | str | None = None, nonce: str = "", target: str = "iframe"
    ) -> dict[str, Any]:
        """The claims of a genuine resource link launch, not signed yet."""
        return self.messages.claims(self.person(person), self.opening(link), nonce, target)

    def id_token(
        self,
        person: Person | str,
        link: Link | str | None = None,
        nonce: str = "",
        *,
        target: str = "iframe",
        url: str = "",
        **tampering: Unpack[Tampering],
    ) -> str:
        """A signed resource link launch, genuine unless told otherwise.

        :param person: short name of who launches.
        :param nonce: the tool's.
        :param target: `iframe` or `window`.
        :param url: target link URI in place of the link's.
        :param tampering: see :class:`Tampering`.
        """
        return self.sealed(person, self.opening(link, url), nonce, target, tampering)

    def deep_linking_token(
        self,
        person: Person | str,
        nonce: str = "",
        *,
        course: Course | None = None,
        settings: Settings = ONE_LINK,
        target: str = "iframe",
        **tampering: Unpack[Tampering],
    ) -> str:
        """A signed deep linking request, whose answer :meth:`take_content_items` takes."""
        return self.sealed(person, Choose(course or self.course, settings), nonce, target, tampering)

    def review_token(
        self,
        person: Person | str,
        about: Person | str,
        nonce: str = "",
        *,
        link: Link | str | None = None,
        target: str = "iframe",
        **tampering: Unpack[Tampering],
    ) -> str:
        """A signed submission review request.

        :param person: short name of who looks.
        :param about: short name of whose submission it is.
        """
        return self.sealed(person, self.looking_at(about, link), nonce, target, tampering)

    def sealed(
        self, person: Person | str, errand: Errand, nonce: str, target: str, tampering: Tampering
    ) -> str:
        """A signed message of any kind."""
        genuine = self.messages.claims(self.person(person), errand, nonce, target)
        return seal(genuine, self.keys.current, tampering)

    def take_content_items(self, token: str) -> tuple[Link, ...]:
        """Take the answer to a deep linking request.

        :param token: the `JWT` that the tool's form has.
        :returns: the links that are in the course now.
        :raises Refused: with the reason.
        """
        return self.answers.take(token).links

    # Dynamic registration

    def invite(self) -> dict[str, str]:
        """Let one tool register: `openid_configuration` and `registration_token`."""
        return self.registrar.invite()

    def registration_url(self, url: str) -> str:
        """A tool's registration URL as the administrator's browser opens it."""
        return self.registrar.registration_url(url)

    def activate(self) -> None:
        """Switch on a tool that registered."""
        self.registry.activate()

    # What goes wrong

    def fail_next(
        self, endpoint: str, status: int, times: int = 1, headers: Mapping[str, str] | None = None
    ) -> None:
        """Let the next requests to an endpoint fail; see :meth:`Faults.fail_next`."""
        self.faults.fail_next(endpoint, status, times, headers)

    def slow(self, endpoint: str, seconds: float) -> None:
        """Let an endpoint answer late; see :meth:`Faults.slow`."""
        self.faults.slow(endpoint, seconds)

    def rotate_keys(self, keep_old: bool = True) -> str:
        """Sign with a new key from now on; returns its `kid`."""
        return self.keys.rotate(keep_old)
