"""Typed, frozen settings, read once from the ini file and the environment.

A missing or bad key stops the start and is named; so is an unknown ``ipylti.…`` key, which is most likely a
misspelt one. Each key can be given by environment instead: ``ipylti.secret`` is ``IPYLTI_SECRET``,
``redis.sessions.url`` is ``REDIS_SESSIONS_URL``; the environment wins.
"""

import hashlib
import hmac
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar
from urllib.parse import urlsplit

from ipylti.errors import SettingsError

T = TypeVar("T")

#: The secret of development.ini; nothing but a ``localhost`` address may be run with it.
DEVELOPMENT_SECRET = "development-only-secret-of-at-least-32-characters"  # noqa: S105

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
_PORTS = {"https": 443, "http": 80}

#: Seconds: a hundred years.
_LONGEST = 100 * 365 * 86400

_HOSTNAME = re.compile(r"(?=.{1,200}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


@dataclass(frozen=True)
class Settings:
    """All that can be configured; see ``production.ini`` for what each key means to a sysadmin.

    :param url: the tool's own origin, without a trailing slash.
    :param notebook_domain: notebook hosts are ``<workspace id>.<notebook_domain>``.
    :param traefik_url: where the worker reaches Traefik to see whether a notebook host is routed.
    :param memory: bytes per server, None for no limit; likewise ``cpus`` and ``pids``.
    :param max_starting: servers that start at a time; more than there are cores makes all of them late.
    :param start_timeout: how long a server may take until Jupyter answers.
    """

    url: str
    notebook_domain: str
    notebook_scheme: str
    notebook_port: int
    traefik_url: str
    podman_url: str
    image: str
    memory: int | None
    cpus: float | None
    pids: int | None
    idle_timeout: timedelta
    max_starting: int
    max_servers: int | None
    start_timeout: timedelta
    egress: bool
    secret: str = field(repr=False)
    allow_private_platforms: bool
    administrators_are_staff: bool
    title: str
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)

    @property
    def host(self) -> str:
        """The tool's own host name, without the port."""
        return urlsplit(self.url).hostname or ""

    @property
    def instance(self) -> str:
        """A short name of this installation, for labels: two may share one Podman."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:12]

    @property
    def launch_url(self) -> str:
        """The one redirect URI, as registered at every platform."""
        return f"{self.url}/launch"

    def notebook_host(self, workspace: str) -> str:
        """Return the host name of a workspace."""
        return f"{workspace}.{self.notebook_domain}"

    def notebook_origin(self, workspace: str) -> str:
        """Return the origin of a workspace, with the port where it is not the scheme's own."""
        port = "" if self.notebook_port == _PORTS[self.notebook_scheme] else f":{self.notebook_port}"
        return f"{self.notebook_scheme}://{self.notebook_host(workspace)}{port}"

    def is_notebook_host(self, host: str) -> bool:
        """Return whether a host name (without port) is below the notebook domain."""
        return host.lower().endswith("." + self.notebook_domain)

    def key(self, purpose: str) -> bytes:
        """Return a key for one purpose, derived from the secret, so that none serves two."""
        return hmac.digest(self.secret.encode(), b"ipylti key: " + purpose.encode(), "sha256")

    def jupyter_token(self, workspace: str) -> str:
        """Return the token of a workspace's Jupyter server, known to the gate without asking anybody."""
        return hmac.new(self.key("jupyter token"), workspace.encode(), "sha256").hexdigest()


def load(ini: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    :param ini: the ``[app:main]`` section.
    :raises SettingsError: a key is missing, bad or unknown; ``detail`` names it and says what is expected.
    """
    reader = _Reader(ini, environ)
    url = reader.get("ipylti.url", _origin)
    notebook_domain = reader.get("ipylti.notebook_domain", _hostname)
    scheme = reader.get("ipylti.notebook_scheme", _one_of("https", "http"), "https")
    port = reader.get("ipylti.notebook_port", _integer(1, 65535), str(_PORTS[scheme]))
    settings = Settings(
        url=url,
        notebook_domain=notebook_domain,
        notebook_scheme=scheme,
        notebook_port=port,
        traefik_url=reader.get("ipylti.traefik_url", _origin, f"{scheme}://127.0.0.1:{port}"),
        podman_url=reader.get("ipylti.podman_url", _text, _default_podman_url(environ)),
        image=reader.get("ipylti.image", _text, "localhost/ipylti-notebook:latest"),
        memory=reader.get("ipylti.memory", _or_none(_size), "1g"),
        cpus=reader.get("ipylti.cpus", _or_none(_positive), "1"),
        pids=reader.get("ipylti.pids", _or_none(_integer(16, 1 << 22)), "512"),
        idle_timeout=reader.get("ipylti.idle_timeout", _duration, "1h"),
        max_starting=reader.get("ipylti.max_starting", _integer(1, 1000), str(os.cpu_count() or 1)),
        max_servers=reader.get("ipylti.max_servers", _or_none(_integer(1, 1 << 20)), "none"),
        start_timeout=reader.get("ipylti.start_timeout", _duration, "60s"),
        egress=reader.get("ipylti.egress", _one_of("internet", "none"), "internet") == "internet",
        secret=reader.get("ipylti.secret", _secret),
        allow_private_platforms=reader.get("ipylti.allow_private_platforms", _boolean, "false"),
        administrators_are_staff=reader.get("ipylti.administrators_are_staff", _boolean, "false"),
        title=reader.get("ipylti.title", _text, "Notebooks"),
        database_url=reader.get("sqlalchemy.url", _url("sqlite", "postgresql", "postgresql+psycopg")),
        redis_url=reader.get("redis.sessions.url", _redis_url),
    )
    reader.refuse_unknown()
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Refuse what is only wrong in combination."""
    if settings.host == settings.notebook_domain or settings.host.endswith("." + settings.notebook_domain):
        raise SettingsError(
            "ipylti.notebook_domain: must not be the tool's own host or a parent of it, "
            "or student code could set cookies for the tool"
        )
    if settings.secret == DEVELOPMENT_SECRET and not _is_local(settings.host):
        raise SettingsError("ipylti.secret: is the one of development.ini, which everybody knows")
    if not settings.url.startswith("https:") and not _is_local(settings.host):
        raise SettingsError("ipylti.url: must be https, or browsers keep no cookies for it")
    if settings.notebook_scheme != "https" and not _is_local(settings.notebook_domain):
        raise SettingsError("ipylti.notebook_scheme: must be https, or browsers keep no cookies for it")


def _is_local(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def _default_podman_url(environ: Mapping[str, str]) -> str | None:
    runtime = environ.get("XDG_RUNTIME_DIR")
    return f"unix://{runtime}/podman/podman.sock" if runtime else None


class _Reader:
    """Looks keys up in the environment, then in the ini file, and remembers which were asked for."""

    def __init__(self, ini: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self.ini = ini
        self.environ = environ
        self.asked: set[str] = set()

    def get(self, key: str, parse: Callable[[str], T], default: str | None = None) -> T:
        self.asked.add(key)
        variable = re.sub(r"[.-]", "_", key).upper()
        text = self.environ.get(variable) or self.ini.get(key) or default
        if text is None:
            raise SettingsError(f"{key}: missing (set it in the ini file, or {variable} in the environment)")
        try:
            return parse(text.strip())
        except ValueError as err:
            raise SettingsError(f"{key}: {err}") from err

    def refuse_unknown(self) -> None:
        for key in self.ini:
            if key.startswith("ipylti.") and key not in self.asked:
                raise SettingsError(f"{key}: unknown key")


def _text(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _origin(text: str) -> str:
    """Return the origin as browsers write it: in lower case, without the scheme's own port."""
    text = text.lower().rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("must be a URL like https://tool.example.org")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else _hostname(parts.hostname)
    bare = f"{parts.scheme}://{host}"
    if text not in (bare, f"{bare}:{parts.port}"):
        raise ValueError("must be scheme, host and port only, without a path")
    return bare if parts.port in (None, _PORTS[parts.scheme]) else text


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        scheme, found, _rest = text.partition("://")
        if not found or scheme not in schemes:
            raise ValueError(f"must begin with one of: {', '.join(f'{each}://' for each in schemes)}")
        return text

    return parse


def _redis_url(text: str) -> str:
    text = _url("redis", "rediss", "unix")(text)
    try:
        _port = urlsplit(text).port
    except ValueError:
        # The library's own words may hold a part of the password.
        raise ValueError("must be a URL like redis://127.0.0.1:6379/0") from None
    return text


def _hostname(text: str) -> str:
    text = text.lower()
    if not _HOSTNAME.fullmatch(text):
        raise ValueError("must be a host name like notebooks.example.org")
    return text


def _secret(text: str) -> str:
    if len(text) < 32:
        raise ValueError("must have at least 32 characters (openssl rand -hex 32 makes one)")
    return text


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError("must be true or false")


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of: {', '.join(words)}")
        return text

    return parse


def _integer(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 10_000:
        raise ValueError("must be a number above 0")
    return number


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    size = float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " ") if match else 0
    if not 1 <= size < 1 << 60:
        raise ValueError("must be a size like 512m or 1g")
    return int(size)


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2] or "s"] if match else 0
    if not 0.001 <= seconds < _LONGEST:
        raise ValueError("must be a time like 90s, 15m, 2h or 1d")
    return timedelta(seconds=seconds)


def _or_none(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    def parse_or_none(text: str) -> T | None:
        return None if text.lower() == "none" else parse(text)

    return parse_or_none
