"""campus itself: its parts put together, and the server that it runs on."""

import socket
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from waitress import create_server, wasyncore

from .app import make_app
from .config import Config
from .course import Course, Link, Person, first_links
from .faults import Faults
from .gradebook import Gradebook
from .journal import Journal
from .keys import Keyring, public_jwk, sign
from .logins import Logins
from .messages import resource_link_claims
from .tokens import TokenOffice

THREADS = 8
LONGEST_BODY = 1 << 20
STOP_TIMEOUT = 5


class Campus:
    """A small strict LMS with one course and one registered tool. All its state is in memory.

    :param config: its addresses and the tool's. With port 0 a free port is bound at once, so that all
        addresses are known before :meth:`start`.
    :param key: its signing key; a new one if None.
    """

    def __init__(self, config: Config | None = None, key: rsa.RSAPrivateKey | None = None) -> None:
        wanted = config or Config()
        self._socket = None if wanted.port is None else _listen(wanted.host, wanted.port)
        self.config = wanted.resolve(self._socket.getsockname()[1] if self._socket else None)
        self.keys = Keyring(key)
        self.course = Course()
        self.gradebook = Gradebook(self.course, self.config.backchannel_url)
        self.log = Journal()
        self.faults = Faults()
        self.tokens = TokenOffice(self.config)
        self.logins = Logins(self.config, self.course)
        for link in first_links(datetime.now(UTC)):
            self.add_link(link)
        self.app = make_app(self)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._map: dict[int, Any] = {}
        self._server: Any = None

    # Running

    @property
    def url(self) -> str:
        """Where people find it."""
        return self.config.base_url

    def start(self) -> "Campus":
        """Serve in a thread, until :meth:`stop`; may be started again on the same port."""
        if self.config.port is None:
            raise ValueError("this campus was made without a port")
        if self._thread is not None:
            raise RuntimeError("this campus is running already")
        listening = self._socket or _listen(self.config.host, self.config.port)
        self._socket = None
        self._stopping.clear()
        self.faults.open()
        self._map = {}
        self._server = create_server(
            self.app,
            map=self._map,
            sockets=[listening],
            threads=THREADS,
            max_request_body_size=LONGEST_BODY,
            ident=None,
        )
        self._thread = threading.Thread(target=self._serve, name="campus", daemon=True)
        self._thread.start()
        return self

    def _serve(self) -> None:
        while not self._stopping.is_set():
            wasyncore.loop(timeout=1.0, map=self._map, count=1)
        self._server.task_dispatcher.shutdown(timeout=STOP_TIMEOUT)
        wasyncore.close_all(self._map, ignore_all=True)

    def stop(self) -> None:
        """Stop serving: from now on connections are refused. What came in stays."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._thread is None:
            return
        self._stopping.set()
        self.faults.close()
        self._server.pull_trigger()
        self._thread.join()
        self._thread = None

    def __enter__(self) -> "Campus":
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    # What tests ask of it

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

    def person(self, who: Person | str) -> Person:
        """Somebody by short name.

        :raises KeyError: for nobody.
        """
        found = who if isinstance(who, Person) else self.course.by_login(who)
        if found is None:
            raise KeyError(who)
        return found

    def link(self, which: Link | str | None = None) -> Link:
        """A link by its id; the first one without.

        :raises KeyError: for none.
        """
        if which is None:
            return self.course.links[0]
        found = which if isinstance(which, Link) else self.course.link(which)
        if found is None:
            raise KeyError(which)
        return found

    def add_link(self, link: Link) -> Link:
        """Put another link into the course, with its column in the gradebook."""
        self.course.add(link)
        self.gradebook.couple(link)
        return link

    def initiation(
        self, person: Person | str, link: Link | str | None = None, target: str = "iframe"
    ) -> dict[str, str]:
        """The parameters with which a browser comes to the tool's login initiation."""
        return self.logins.initiate(self.person(person), self.link(link), target)

    def claims(
        self, person: Person | str, link: Link | str | None = None, nonce: str = "", target: str = "iframe"
    ) -> dict[str, Any]:
        """The claims of a genuine message, not signed yet."""
        where = self.link(link)
        endpoint = {"scope": list(self.config.scopes), "lineitems": self.gradebook.items_url}
        columns = self.gradebook.items_of(where)
        # AGS 2.0: the claim names a line item only where the link has exactly one.
        if len(columns) == 1:
            endpoint["lineitem"] = self.gradebook.item_url(columns[0])
        return resource_link_claims(self.config, self.person(person), where, nonce, target, endpoint)

    def id_token(
        self,
        person: Person | str,
        link: Link | str | None = None,
        nonce: str = "",
        *,
        target: str = "iframe",
        claims: Mapping[str, Any] | None = None,
        without: tuple[str, ...] = (),
        headers: Mapping[str, Any] | None = None,
        key: rsa.RSAPrivateKey | bytes | None = None,
        algorithm: str = "RS256",
        payload: bytes | None = None,
    ) -> str:
        """A signed message, genuine unless told otherwise.

        :param person: short name of who launches.
        :param link: id of what is launched; the first link if None.
        :param nonce: the tool's.
        :param target: `iframe` or `window`.
        :param claims: claims that take the place of the genuine ones; `lti("roles")` gives a full name.
        :param without: claims that are left out.
        :param headers: header members that take the place of the genuine ones; None leaves one out.
        :param key: signs in place of campus' key: another RSA key, or a secret for the HMAC algorithms.
        :param algorithm: RS256, RS384, RS512, HS256, HS384, HS512 or none.
        :param payload: the payload as it is, in place of all claims.
        """
        ours = self.keys.current
        header = {"typ": "JWT", "alg": algorithm, "kid": public_jwk(ours)["kid"]} | dict(headers or {})
        body = self.claims(person, link, nonce, target) | dict(claims or {})
        return sign(
            {name: value for name, value in header.items() if value is not None},
            payload or {name: value for name, value in body.items() if name not in without},
            ours if key is None else key,
            algorithm,
        )

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


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket. It listens from now on, so that a client that comes early waits and is not refused."""
    listening = socket.create_server((host, port), backlog=128)
    listening.setblocking(False)
    return listening
