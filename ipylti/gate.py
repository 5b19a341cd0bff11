"""The gate: who may pass to a notebook host, decided without asking anybody.

The gate's cookie holds the workspace, the launch that let the browser in, when it was issued and when it
ends, and a keyed hash over these and the host. While it is fresh, neither database nor Redis is asked. After
:data:`FRESH` seconds the launch is looked up and the cookie issued anew; that is where revoking takes effect.

Since the gate hands Jupyter its token with each request that it lets pass, Jupyter no longer checks where a
request comes from (``jupyter_server.base.handlers.check_xsrf_cookie`` skips requests that carry the token).
:func:`is_from_own_origin` does it instead.
"""

import base64
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ipylti.settings import Settings

COOKIE = "__Host-ipylti-gate"

#: Cookies of this prefix are the tool's own; none of them reaches a container.
OWN_COOKIES = "__Host-ipylti-"

_OWN_COOKIE = re.compile(rf"{OWN_COOKIES}[A-Za-z0-9_-]+=[A-Za-z0-9_.=-]*")

#: Seconds for which a cookie is believed by itself.
FRESH = 300

#: More seconds for which it is believed while the database is away: who is at work goes on working.
GRACE = 1800

#: Seconds for which the worker's own probe passes.
_PROBE = 60

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Pass:
    """What a gate cookie says.

    :param launch: the id of the launch that let the browser in; "" for the worker's probe.
    :param issued: seconds since the epoch; likewise ``expires``.
    """

    workspace: str
    launch: str
    issued: int
    expires: int

    def fresh(self, now: float) -> bool:
        """Return whether it is believed by itself."""
        return now < min(self.issued + FRESH, self.expires)

    def tolerable(self, now: float) -> bool:
        """Return whether it is believed while nobody can be asked."""
        return now < min(self.issued + FRESH + GRACE, self.expires)

    def renewed(self, now: float) -> "Pass":
        """Return it issued anew; when it ends does not change."""
        return replace(self, issued=int(now))


class Gatekeeper:
    """Seals and opens passes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._key = settings.key("gate cookie")

    def seal(self, given: Pass) -> str:
        """Return the cookie's value for a pass."""
        body = f"{given.workspace}.{given.launch}.{given.issued}.{given.expires}"
        return f"{body}.{self._mac(self.settings.notebook_host(given.workspace), body)}"

    def open(self, value: str | None, host: str, now: float) -> Pass | None:
        """Return the pass in a cookie's value, or None if it is not a valid one for this host and time.

        :param host: the notebook host that was asked for, without the port.
        """
        body, _, mac = (value or "").rpartition(".")
        if not hmac.compare_digest(_bytes(mac), _bytes(self._mac(host, body))):
            return None
        workspace, launch, issued, expires = body.split(".")
        found = Pass(workspace, launch, int(issued), int(expires))
        if host != self.settings.notebook_host(workspace) or now >= found.expires:
            return None
        return found

    def _mac(self, host: str, body: str) -> str:
        mac = hmac.digest(self._key, _bytes(f"{host}\n{body}"), "sha256")
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """Return any text as bytes: what strangers send may hold what UTF-8 can't."""
    return text.encode("utf-8", "surrogatepass")


def probe_cookie(settings: Settings, workspace: str) -> str:
    """Return a Cookie header that lets the worker see for a minute whether a notebook host is routed."""
    now = int(time.time())
    return f"{COOKIE}={Gatekeeper(settings).seal(Pass(workspace, '', now, now + _PROBE))}"


def is_from_own_origin(method: str, headers: Mapping[str, str], origin: str) -> bool:
    """Return whether a request may use the notebook host's cookie, by where it comes from.

    What changes something, and a WebSocket, must come from the notebook's own pages. What only reads may
    also be a navigation from elsewhere (the workbench opens the notebook), but nothing that another page
    embeds: the neighbour's notebook is of the same site.

    A WebSocket is known by its key (RFC 6455, 4.1): ``Upgrade`` is for one hop only, and Traefik does not
    hand it to the gate.

    :param headers: of the browser, by Fetch Metadata's and RFC 6454's names.
    :param origin: the notebook host's own origin.
    """
    given, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if given and given != origin:
        return False
    if method in _SAFE_METHODS and "Sec-WebSocket-Key" not in headers:
        return site in (None, "same-origin", "none") or headers.get("Sec-Fetch-Mode") == "navigate"
    return bool(given) or site == "same-origin"


def own_cookie(header: str) -> str | None:
    """Return the gate's own cookie out of a Cookie header, whatever else stands in it."""
    prefix = f"{COOKIE}="
    return next((pair.removeprefix(prefix) for pair in _pairs(header) if pair.startswith(prefix)), None)


def foreign_cookies(header: str) -> str:
    """Return a Cookie header without the tool's own cookies."""
    return "; ".join(pair for pair in _pairs(header) if not pair.startswith(OWN_COOKIES))


def own_cookies(header: str) -> str:
    """Return a Cookie header with such cookies only as the tool itself sets."""
    return "; ".join(pair for pair in _pairs(header) if _OWN_COOKIE.fullmatch(pair))


def _pairs(header: str) -> list[str]:
    return [pair for pair in map(str.strip, header.split(";")) if pair]
