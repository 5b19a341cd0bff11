"""What is to be installed: read from the ini file, whose ``[install]`` is for nobody else."""

import hmac
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import ipylti
from ipylti.errors import SettingsError
from ipylti.settings import Settings

T = TypeVar("T")

#: Where the package lies, and with it ``containers/systemd`` and ``traefik``.
HOUSE = Path(ipylti.__file__).resolve().parent.parent

_WORD = re.compile(r"[A-Za-z0-9_.@:/+-]+")


@dataclass(frozen=True)
class Acme:
    """How certificates are had from an authority (RFC 8555): by a record in the DNS, as a wildcard needs.

    :param provider: the DNS provider, by the name that Traefik knows it by.
    :param server: the authority's directory, None for Let's Encrypt.
    """

    email: str
    provider: str
    server: str | None


@dataclass(frozen=True)
class Plan:
    """One installation, for one user.

    :param home: the user's.
    :param webs: how many web processes; likewise ``workers``.
    :param web_address: host and port at which Traefik reaches the web processes, all at one.
    :param http_port: None for none; what comes there is sent to https.
    :param certificate: the files of a certificate and its key; None where ``acme`` gets one.
    :param rate: requests a second that one address may send to what needs no launch, and ``burst`` at once.
    :param podman_config: the folder of Podman's configuration, None for the user's own.
    """

    settings: Settings
    ini: Path
    environment: Path
    home: Path
    webs: int
    workers: int
    web_address: tuple[str, int]
    http_port: int | None
    https_port: int
    certificate: tuple[Path, Path] | None
    acme: Acme | None
    rate: int
    burst: int
    podman_config: Path | None

    @property
    def units(self) -> Path:
        """Where the user's systemd finds units, wherever Podman's configuration is."""
        return self.home / ".config" / "systemd" / "user"

    @property
    def configuration(self) -> Path:
        """Where Traefik's configuration goes."""
        return self.home / ".config" / "ipylti"

    @property
    def acme_storage(self) -> Path:
        """Where Traefik keeps the certificates that it got."""
        return self.home / ".local" / "share" / "ipylti" / "acme.json"

    @property
    def inside_port(self) -> int:
        """The port of this machine at which Traefik says whether it is well."""
        return self.web_address[1] - 1

    @property
    def redis_socket(self) -> str | None:
        """The socket of a Redis of ipylti's own; None where the ini file names somebody else's."""
        parts = urlsplit(self.settings.redis_url)
        return unquote(parts.path) if parts.scheme == "unix" else None

    @property
    def fingerprint(self) -> str:
        """What changes when the ini file or the secrets beside it do: then processes are started anew."""
        texts = [path.read_bytes() if path.exists() else b"" for path in (self.ini, self.environment)]
        return hmac.new(self.settings.key("fingerprint"), b"\0".join(texts), "sha256").hexdigest()[:16]

    @property
    def instances(self) -> list[str]:
        """The names of the units of web processes and workers."""
        names = [("web", self.webs), ("worker", self.workers)]
        return [f"ipylti-{name}@{number}.service" for name, count in names for number in range(1, count + 1)]


def make_plan(
    settings: Settings,
    ini: Path,
    environment: Path,
    section: Mapping[str, str],
    server: Mapping[str, str],
    *,
    home: Path,
    podman_config: Path | None,
) -> Plan:
    """Return the plan.

    :param section: the ini file's ``[install]``; ``server`` its ``[server:main]``.
    :raises SettingsError: a key is bad or unknown, or things do not go together; says what.
    """
    reader, serving = _Reader("install", section), _Reader("server:main", server)
    url = urlsplit(settings.url)
    plan = Plan(
        settings=settings,
        ini=ini.resolve(),
        environment=environment.resolve(),
        home=home,
        webs=reader.get("webs", _number(1, 32), "2"),
        workers=reader.get("workers", _number(1, 8), "1"),
        web_address=(
            serving.get("host", _text, "127.0.0.1"),
            serving.get("port", _number(1024, 65000), "8002"),
        ),
        http_port=reader.get("http_port", _or_none(_number(1, 65535)), "80"),
        https_port=url.port or 443,
        certificate=_pair(reader.get("certificate", _file, ""), reader.get("certificate_key", _file, "")),
        acme=_acme(reader),
        rate=reader.get("rate", _number(1, 100_000), "50"),
        burst=reader.get("burst", _number(1, 1_000_000), "1500"),
        podman_config=podman_config,
    )
    reader.refuse_unknown()
    _check(plan)
    return plan


def program(name: str) -> str:
    """Return the path of a program: the virtual environment's, or the machine's.

    :raises SettingsError: there is none.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SettingsError(f"{name} is not installed")
    return found


def _check(plan: Plan) -> None:
    """Refuse what is only wrong in combination."""
    settings = plan.settings
    if not settings.url.startswith("https:") or settings.notebook_scheme != "https":
        raise SettingsError("ipylti.url, ipylti.notebook_scheme: an installation speaks https only")
    if plan.https_port != settings.notebook_port:
        raise SettingsError("ipylti.notebook_port: must be the port of ipylti.url; Traefik has one for both")
    if (plan.certificate is None) == (plan.acme is None):
        raise SettingsError(
            "[install]: needs either certificate and certificate_key, or acme_email and acme_dns_provider"
        )
    if plan.web_address[0] not in ("127.0.0.1", "::1"):
        raise SettingsError("[server:main] host: must be 127.0.0.1; only Traefik is for the world")
    for path in (plan.ini, plan.environment, plan.home, *(plan.certificate or ()), HOUSE):
        if not _WORD.fullmatch(str(path)):
            raise SettingsError(f"{path}: a path of an installation has letters, digits and -_.+@: only")
    folder = Path(plan.redis_socket or plan.ini).parent
    if not os.access(folder, os.W_OK):
        raise SettingsError(f"redis.sessions.url: this user may not write to {folder}")
    if not (HOUSE / "containers" / "systemd").is_dir():
        raise SettingsError(f"{HOUSE} has no containers/systemd: bin/host setup puts it there")


def _acme(reader: "_Reader") -> Acme | None:
    email = reader.get("acme_email", _word, "")
    provider = reader.get("acme_dns_provider", _word, "")
    server = reader.get("acme_server", _word, "")
    if not (email or provider or server):
        return None
    if not (email and provider):
        raise SettingsError("[install] acme_email, acme_dns_provider: one is not enough")
    return Acme(email, provider, server)


def _pair(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if (certificate is None) != (key is None):
        raise SettingsError("[install] certificate, certificate_key: one is not enough")
    return None if certificate is None or key is None else (certificate, key)


class _Reader:
    """Looks keys up, and remembers which were asked for."""

    def __init__(self, name: str, section: Mapping[str, str]) -> None:
        self.name = name
        self.section = section
        self.asked: set[str] = set()

    def get(self, key: str, parse: Callable[[str], T], default: str) -> T:
        self.asked.add(key)
        try:
            return parse(self.section.get(key, default).strip())
        except ValueError as err:
            raise SettingsError(f"[{self.name}] {key}: {err}") from err

    def refuse_unknown(self) -> None:
        for key in self.section:
            if key not in self.asked:
                raise SettingsError(f"[{self.name}] {key}: unknown key")


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _or_none(parse: Callable[[str], int]) -> Callable[[str], int | None]:
    return lambda text: None if text == "none" else parse(text)


def _text(text: str) -> str:
    return text


def _word(text: str) -> str | None:
    if text and not _WORD.fullmatch(text):
        raise ValueError("has characters that do not belong there")
    return text or None


def _file(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text)
    try:
        path.read_bytes()
    except OSError as err:
        raise ValueError(f"{text} can't be read by this user ({err.strerror})") from err
    return path.absolute()
