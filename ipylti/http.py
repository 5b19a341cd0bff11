"""The one way out: HTTP to platforms, which are named by others and are not to be trusted with more than
an answer.

Each request opens a connection of its own to an address that was looked at first, so a name that resolves
anew between check and use (DNS rebinding) gains nothing. It ends at one deadline, however slowly it is
answered; reads no more than a cap; and knows no cookies, no ``.netrc`` and no proxy of the environment, each
of which would send a request, or a secret, elsewhere than its URL says. It stands on :mod:`http.client`,
because that has none of these to be switched off. TLS trusts what the machine trusts, so an institution's
own authority needs no setting here.
"""

import contextlib
import http.client
import ipaddress
import json
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from ipylti.errors import OutgoingError

MAX_REDIRECTS = 3

#: Characters that a URL may have.
URL_LENGTH = 4000

_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
_CHUNK = 64 * 1024

#: What ``localhost`` and all names below it mean, as browsers have it: no resolver is asked (RFC 6761, 6.3).
_LOOPBACK = ("127.0.0.1", "::1")

_GLOBAL_6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_6TO4 = ipaddress.ip_network("2002::/16")


@dataclass(frozen=True)
class Answer:
    """What came back, whatever its status.

    :param headers: by lower-case name; several of one name are joined by ``", "`` (RFC 9110, 5.3).
    :param body: not longer than the client's cap.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class OutgoingHTTP:
    """A client that threads may share.

    :param user_agent: what to call ourselves; some Moodles answer 403 to nobody in particular.
    :param allow_private: also allow http, and addresses of private networks and of this machine: for
        platforms in the same house, and for tests.
    :param timeout: seconds for everything that one call does, redirects included.
    :param max_bytes: the longest body.
    :param told: called for each request with its outcome (``ok``, ``refused`` for a status of 4xx, ``failed``
        for 5xx, ``unreachable`` where there was no whole answer) and the seconds that it took.

    Every method raises :class:`ipylti.errors.OutgoingError` where there is no whole answer: ``http.address``
    (a URL or address that is not allowed), ``http.connect``, ``http.tls``, ``http.timeout``,
    ``http.too_large``, ``http.redirect``, and ``http.failed`` for an answer that breaks off or is no HTTP.
    """

    def __init__(
        self,
        user_agent: str,
        allow_private: bool = False,
        timeout: float = 5.0,
        max_bytes: int = 1024 * 1024,
        told: Callable[[str, float], None] | None = None,
    ) -> None:
        self._user_agent = user_agent
        self._allow_private = allow_private
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._told = told or _tell_nobody
        self._tls = ssl.create_default_context()

    def get_json(
        self,
        url: str,
        *,
        accept: str = "application/json",
        token: str | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """GET a URL and follow up to three redirects, never from https to http.

        :param token: a bearer token; a redirect to another origin does not get it.
        :param timeout: seconds, if not the client's own.
        """
        deadline = _Deadline(timeout or self._timeout)
        headers = self._headers(accept, token)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._exchange("GET", url, headers, None, deadline)
            if answer.status not in _REDIRECTS:
                return answer
            following = self._following(url, answer)
            if origin(following) != origin(url):
                headers.pop("Authorization", None)
            url = following
        raise OutgoingError(f"too many redirects, the last to {_shown(url)}", code="http.redirect")

    def post_form(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        accept: str = "application/json",
        timeout: float | None = None,
    ) -> Answer:
        """POST a form; a redirect is an error."""
        content_type = "application/x-www-form-urlencoded"
        return self._post(url, urlencode(fields).encode(), content_type, accept, None, timeout)

    def post_json(
        self,
        url: str,
        content: Any,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        token: str | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """POST a JSON text under exactly this media type; a redirect is an error."""
        return self._post(url, json.dumps(content).encode(), content_type, accept, token, timeout)

    def _post(
        self,
        url: str,
        body: bytes,
        content_type: str,
        accept: str,
        token: str | None,
        timeout: float | None,
    ) -> Answer:
        headers = {**self._headers(accept, token), "Content-Type": content_type}
        answer = self._exchange("POST", url, headers, body, _Deadline(timeout or self._timeout))
        if answer.status in _REDIRECTS:
            # Repeating a POST elsewhere would hand an assertion or a score to whoever is there.
            raise OutgoingError(f"{_shown(url)} redirects a POST", code="http.redirect")
        return answer

    def _headers(self, accept: str, token: str | None) -> dict[str, str]:
        headers = {
            "User-Agent": self._user_agent,
            "Accept": accept,
            # A compressed body could be far longer than the cap on what is read.
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _following(self, url: str, answer: Answer) -> str:
        """Return where a redirect leads."""
        try:
            following = urljoin(url, answer.headers["location"])
        except (KeyError, ValueError):
            raise OutgoingError(f"{_shown(url)} redirects to nowhere", code="http.redirect") from None
        if not is_web_url(following):
            raise OutgoingError(f"{_shown(url)} redirects to no web page", code="http.redirect")
        if urlsplit(url).scheme == "https" and urlsplit(following).scheme != "https":
            raise OutgoingError(f"{_shown(url)} redirects from https to http", code="http.redirect")
        return following

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline: "_Deadline"
    ) -> Answer:
        """Send one request and read its answer."""
        begun, outcome = time.monotonic(), "unreachable"
        try:
            answer = self._sent(method, url, headers, body, deadline)
            outcome = "ok" if answer.status < 400 else "refused" if answer.status < 500 else "failed"
            return answer
        finally:
            self._told(outcome, time.monotonic() - begun)

    def _sent(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline: "_Deadline"
    ) -> Answer:
        self._check_url(url)
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        sock = self._connected(host, port, deadline)
        try:
            if parts.scheme == "https":
                sock = self._tls.wrap_socket(sock, server_hostname=host)
            with deadline.enforced(sock):
                return self._spoken(sock, parts.scheme, host, port, method, _target(url), headers, body)
        except OutgoingError:
            raise
        except TimeoutError as err:
            raise OutgoingError(f"{_shown(url)} did not answer in time", code="http.timeout") from err
        except ssl.SSLError as err:
            raise OutgoingError(f"{_shown(url)}: {err.reason or 'TLS failed'}", code="http.tls") from err
        except (OSError, http.client.HTTPException, ValueError) as err:
            raise OutgoingError(f"{_shown(url)}: {type(err).__name__}", code="http.failed") from err
        finally:
            sock.close()

    def _spoken(
        self,
        sock: socket.socket,
        scheme: str,
        host: str,
        port: int,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Answer:
        """Speak HTTP over a socket that is connected already."""
        connection = http.client.HTTPConnection(host, port)
        connection.default_port = _PORTS[scheme]  # which the Host header leaves out
        connection.sock = sock
        connection.request(method, target, body=body, headers=dict(headers))
        response = connection.getresponse()
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise OutgoingError(f"{host} compressed its answer unasked")
        answer = response.read(self._max_bytes + 1)
        if len(answer) > self._max_bytes:
            raise OutgoingError(f"{host} answered more than {self._max_bytes} bytes", code="http.too_large")
        if response.length:
            raise OutgoingError(f"{host} broke off")
        found: dict[str, str] = {}
        for name, value in response.getheaders():
            name = name.lower()
            found[name] = f"{found[name]}, {value}" if name in found else value
        return Answer(response.status, found, answer)

    def _check_url(self, url: str) -> None:
        """Refuse what is no URL that may be asked."""
        if not url.isascii() or not is_web_url(url):
            raise OutgoingError("not an http(s) URL", code="http.address")
        if urlsplit(url).scheme != "https" and not self._allow_private:
            raise OutgoingError(f"{_shown(url)} is not https", code="http.address")

    def _connected(self, host: str, port: int, deadline: "_Deadline") -> socket.socket:
        """Return a socket connected to one of the host's addresses, if all of them are allowed."""
        addresses = _resolved(host, port, deadline)
        if not self._allow_private:
            for address in addresses:
                if not is_public(address[4][0]):
                    raise OutgoingError(f"{host} has a private address", code="http.address")
        failure: OSError | None = None
        for number, (family, kind, protocol, _, address_and_port) in enumerate(addresses):
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError as err:
                # A machine without IPv6 still reads of such addresses.
                failure = err
                continue
            try:
                # A dead address (often the IPv6 one) leaves time for the others.
                sock.settimeout(deadline.left(host) / (len(addresses) - number))
                sock.connect(address_and_port)
                sock.settimeout(deadline.left(host))
                return sock
            except (OSError, OutgoingError) as err:
                sock.close()
                if isinstance(err, OutgoingError):
                    raise
                failure = err
        code = "http.timeout" if isinstance(failure, TimeoutError) else "http.connect"
        raise OutgoingError(f"{host}: can't connect", code=code) from failure


class _Deadline:
    """One moment for all parts of a call."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, host: str) -> float:
        """Return the seconds left, or raise if there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise OutgoingError(f"{host} did not answer in time", code="http.timeout")
        return left

    @contextlib.contextmanager
    def enforced(self, sock: socket.socket) -> Iterator[None]:
        """Cut the socket off at the deadline.

        A socket's own time-out starts anew with every byte, so a server that sends one now and then could
        hold a thread for ever.
        """
        over = threading.Event()

        def cut() -> None:
            over.set()
            with contextlib.suppress(OSError):
                # The plain socket's method: an SSLSocket's would take the connection from under its reader.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, self._end - time.monotonic()), cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, http.client.HTTPException, OutgoingError) as err:
            if over.is_set():
                raise TimeoutError("deadline") from err
            raise
        finally:
            timer.cancel()
        if over.is_set():
            raise TimeoutError("deadline")


def is_web_url(text: str) -> bool:
    """Return whether the text is an absolute http(s) URL that can be followed without surprises."""
    if len(text) > URL_LENGTH or not text.isprintable() or " " in text or "\\" in text:
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in _PORTS
        and bool(parts.hostname)
        and parts.username is None
        and parts.password is None
        and port != 0
    )


def _tell_nobody(_outcome: str, _seconds: float) -> None:
    """Nobody counts."""


def origin(url: str) -> str:
    """Return a web URL's origin (RFC 6454), without the port where it is the scheme's own.

    :param url: one of which :func:`is_web_url` holds.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    usual = parts.port in (None, _PORTS[parts.scheme])
    return f"{parts.scheme}://{host}" + ("" if usual else f":{parts.port}")


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet.

    An IPv4 address wrapped into an IPv6 one counts as what it wraps; 6to4 wraps one too, and nobody uses it.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip not in _GLOBAL_6 or ip in _6TO4:
            return False
    return ip.is_global and not ip.is_multicast


def _resolved(host: str, port: int, deadline: _Deadline) -> list[Any]:
    """Return the host's addresses as ``getaddrinfo`` does, but in time: the resolver knows no time-out."""
    results: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()
    names = _LOOPBACK if _is_localhost(host) else (host,)

    def resolve() -> None:
        try:
            found = [socket.getaddrinfo(name, port, type=socket.SOCK_STREAM) for name in names]
            results.put([address for each in found for address in each])
        except (OSError, UnicodeError) as err:
            results.put(err)

    threading.Thread(target=resolve, daemon=True).start()
    try:
        found = results.get(timeout=deadline.left(host))
    except queue.Empty:
        raise OutgoingError(f"{host}: no address in time", code="http.timeout") from None
    if isinstance(found, Exception) or not found:
        cause = found if isinstance(found, Exception) else None
        raise OutgoingError(f"{host}: no address", code="http.connect") from cause
    return found


def _is_localhost(host: str) -> bool:
    """Return whether a host is this machine by its name."""
    return ("." + host.rstrip(".").lower()).endswith(".localhost")


def _target(url: str) -> str:
    """Return the request target: path and query."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _shown(url: str) -> str:
    """Return a URL for the log: a query may hold what is nobody's business."""
    parts = urlsplit(url)
    return f"{origin(url)}{parts.path}"
