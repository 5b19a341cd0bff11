"""The network: names, certificates, Traefik, platforms, clocks."""

import secrets
import socket
import ssl
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import urllib3

from ipylti import gate
from ipylti.doctor.findings import Finding, failed, ok, skipped, warning
from ipylti.errors import OutgoingError
from ipylti.http import OutgoingHTTP
from ipylti.lti.registrations import Registration
from ipylti.settings import Settings

#: Seconds that one look may take.
_TIMEOUT = 5.0

#: Days before a certificate's end from which on it is warned of.
_RENEW = 14

#: Seconds that clocks may differ: messages are believed for so long beside their time, and what is noticed.
_LEEWAY, _NOTICED = 60.0, 5.0


def any_notebook() -> str:
    """Return a workspace's name that nobody has."""
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(32))


def names(settings: Settings, look_up: Callable[[str], set[str]] | None = None) -> Iterator[Finding]:
    """Check that the tool's name and any notebook's lead somewhere, and to the same machine."""
    look_up = look_up or _addresses
    if settings.host.endswith("localhost") and settings.notebook_domain.endswith("localhost"):
        # RFC 6761, 6.3.
        yield ok("names", "browsers know by themselves where localhost is")
        return
    tool = look_up(settings.host)
    notebook = look_up(settings.notebook_host(any_notebook()))
    record = f"*.{settings.notebook_domain}"
    address = next(iter(sorted(tool)), "<this machine's address>")
    if tool:
        yield ok("tool's name", f"{settings.host} is {', '.join(sorted(tool))}")
    else:
        told = f"the DNS does not know {settings.host}"
        yield failed("tool's name", told, f"add to the DNS: {settings.host}. A <this machine's address>")
    if not notebook:
        yield failed(
            "notebooks' names", f"the DNS does not know {record}", f"add to the DNS: {record}. A {address}"
        )
    elif tool and not tool & notebook:
        told = f"{record} is {', '.join(sorted(notebook))}, and the tool is elsewhere"
        yield warning("notebooks' names", told, f"change in the DNS: {record}. A {address}")
    else:
        yield ok("notebooks' names", f"{record} is {', '.join(sorted(notebook))}")


def _addresses(name: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)}
    except OSError:
        return set()


def certificates(settings: Settings) -> Iterator[Finding]:
    """Check what Traefik shows to browsers for the tool and for any notebook."""
    parts = urlsplit(settings.traefik_url)
    if parts.scheme != "https":
        yield skipped("certificate", "browsers come by plain http")
        return
    address = (parts.hostname or "", parts.port or 443)
    for about, name in (
        ("tool's certificate", settings.host),
        ("notebooks' certificate", settings.notebook_host(any_notebook())),
    ):
        yield _certificate(about, name, address)


def _certificate(about: str, name: str, address: tuple[str, int]) -> Finding:
    mend = "certificate and certificate_key in [install], then “ipylti install”"
    try:
        with (
            socket.create_connection(address, timeout=_TIMEOUT) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=name) as tls,
        ):
            shown = tls.getpeercert() or {}
    except ssl.SSLCertVerificationError as err:
        return failed(about, f"browsers refuse it for {name}: {err.verify_message}", mend)
    except (OSError, ssl.SSLError) as err:
        told = f"Traefik does not speak TLS at {address[0]}:{address[1]} ({type(err).__name__})"
        return failed(about, told, "systemctl --user restart ipylti-traefik.service")
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
    left = (end - datetime.now(UTC)).days
    told = f"{name}: good until {end:%Y-%m-%d}"
    return warning(about, f"{told}, {left} days", "renew it") if left < _RENEW else ok(about, told)


class Traefik:
    """Asks Traefik as a browser's request would come, but at its own address.

    Its certificate is looked at elsewhere (:func:`certificates`).
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pool = urllib3.PoolManager(cert_reqs="CERT_NONE", assert_hostname=False)

    def ask(self, path: str, host: str, cookie: str = "") -> int | None:
        """Return the status that Traefik answers, None where it does not answer."""
        headers = {"Host": host, "Cookie": cookie} if cookie else {"Host": host}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
            try:
                answer = self.pool.request(
                    "GET",
                    f"{self.settings.traefik_url}{path}",
                    headers=headers,
                    timeout=_TIMEOUT,
                    retries=False,
                    redirect=False,
                )
            except urllib3.exceptions.HTTPError:
                return None
        return int(answer.status)

    def check(self, running: Iterable[str] = ()) -> Iterator[Finding]:
        """Check that Traefik leads to the tool, and to notebooks through the gate only.

        :param running: workspaces whose server runs.
        """
        host = self.settings.host
        status = self.ask("/healthz", host)
        if status != 200:
            told = "does not answer" if status is None else f"answers {status} for the tool"
            mend = (
                "systemctl --user restart ipylti-traefik.service",
                "systemctl --user restart ipylti-web@1.service",
            )
            yield failed("traefik", f"{self.settings.traefik_url} {told}", *mend)
            return
        yield ok("traefik", f"{self.settings.traefik_url} leads to the tool")
        for path in ("/metrics", "/gate"):
            yield self._hidden(path, host)
        yield self._gate("gate", any_notebook())
        for workspace in list(running)[:1]:
            yield self._gate("gate before a running notebook", workspace)

    def _hidden(self, path: str, host: str) -> Finding:
        status = self.ask(path, host)
        if status == 404:
            return ok(f"{path} from outside", "it is not there")
        told = f"Traefik answers {status} and should not lead there"
        return failed(
            f"{path} from outside", told, "use ipylti's own traefik/dynamic.yml; ipylti install writes it"
        )

    def _gate(self, about: str, workspace: str) -> Finding:
        """A cookie that nobody sealed opens nothing: neither a host that sleeps nor one that runs."""
        cookie = f"{gate.COOKIE}={workspace}.x.1.9999999999.forged"
        status = self.ask("/api", self.settings.notebook_host(workspace), cookie)
        if status in (302, 401, 403):
            return ok(about, f"a forged cookie opens nothing ({status})")
        told = f"a request with a forged cookie gets {status}, and not 401 or 403"
        return failed(about, told, "use ipylti's own traefik/dynamic.yml; ipylti install writes it")


@dataclass(frozen=True)
class Seen:
    """A platform's answer, for the clock.

    :param ahead: seconds by which its clock is ahead of this host's.
    """

    platform: str
    ahead: float


def platforms(
    http: OutgoingHTTP, known: Iterable[Registration], seen: list[Seen], ini: str
) -> Iterator[Finding]:
    """Check that each platform's keys can be read; without them nobody launches from there.

    :param seen: gets what the answers say of the platforms' clocks.
    """
    found = list(known)
    if not found:
        yield skipped("platforms", "none is connected")
    for each in found:
        about = f"platform {each.issuer}"
        named = f"--issuer {each.issuer} --client-id {each.client_id}"
        mend = f"ipylti platform edit {ini} {named} --jwks-url …"
        try:
            answer = http.get_json(each.jwks_url, timeout=_TIMEOUT)
        except OutgoingError as err:
            yield failed(about, f"its keys can't be read: {err.detail or err.code}", mend)
            continue
        if answer.status != 200:
            yield failed(about, f"its keys can't be read: it answers {answer.status}", mend)
            continue
        yield ok(about, "its keys can be read")
        told = answer.headers.get("date", "")
        try:
            seen.append(Seen(each.issuer, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds()))
        except (ValueError, TypeError):
            continue


def clock(seen: Iterable[Seen]) -> Finding:
    """Check that this host's clock agrees with the platforms'; a header's time is of whole seconds."""
    found = sorted(seen, key=lambda each: abs(each.ahead))
    if not found:
        return skipped("clock", "no platform told the time")
    # Where platforms differ, the one that agrees best speaks for this host.
    best = found[0]
    told = f"it is {abs(best.ahead):.0f} s {'behind' if best.ahead > 0 else 'ahead of'} {best.platform}'s"
    if abs(best.ahead) > _LEEWAY:
        return failed("clock", f"{told}: its messages are refused", "sudo timedatectl set-ntp true")
    if abs(best.ahead) > _NOTICED:
        return warning("clock", told, "sudo timedatectl set-ntp true")
    return ok("clock", f"it agrees with {best.platform}'s")
