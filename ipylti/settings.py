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
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ipylti import values
from ipylti.errors import SettingsError

T = TypeVar("T")

#: The secret of development.ini; nothing but a ``localhost`` address may be run with it.
DEVELOPMENT_SECRET = "development-only-secret-of-at-least-32-characters"  # noqa: S105

_LIMIT = re.compile(r"([a-z_]+)=(\S+)(?:\s+|$)")

#: Words of examples, and the fewest different characters that a secret made by chance has.
_PLACEHOLDERS = ("change", "secret", "password", "example", "default", "replace")
_VARIETY = 8


@dataclass(frozen=True)
class Image:
    """A notebook image that teachers may choose, and what a server made of it may use; None is no limit.

    :param reference: as Podman knows it.
    :param title: as people read it.
    :param memory: bytes, as ``volume_size``, of which the workspace's files may have so many.
    """

    reference: str
    title: str
    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    volume_size: int | None = None


@dataclass(frozen=True)
class Settings:
    """All that can be configured; see ``production.ini`` for what each key means to a sysadmin.

    :param url: the tool's own origin, without a trailing slash.
    :param notebook_domain: notebook hosts are ``<workspace id>.<notebook_domain>``.
    :param traefik_url: where the worker reaches Traefik to see whether a notebook host is routed.
    :param images: what teachers may choose from; the first is ``image``.
    :param memory: bytes per server, None for no limit; likewise ``cpus``, ``pids`` and ``volume_size``. It is
        so for the usual image, and for those that have none of their own.
    :param max_memory: the most that a teacher may give to an assignment's servers, None where that is not for
        teachers; likewise ``max_cpus``.
    :param idle_timeout: how long a server goes on at which nobody works.
    :param max_age: how long one goes on that computes, None for ever.
    :param max_starting: servers that start at a time; more than there are cores makes all of them late.
    :param min_free_memory: bytes of the host's memory that a start leaves to others, None to start whatever
        is left.
    :param start_timeout: how long a server may take until Jupyter answers.
    :param key_lifetime: how long one of the tool's keys signs, None for ever.
    :param keep_launches: how long it is kept who opened what, None for ever; likewise submissions, and
        workspaces at which nobody was.
    """

    url: str
    notebook_domain: str
    notebook_scheme: str
    notebook_port: int
    traefik_url: str
    podman_url: str
    image: str
    images: tuple[Image, ...]
    memory: int | None
    cpus: float | None
    pids: int | None
    volume_size: int | None
    max_memory: int | None
    max_cpus: float | None
    idle_timeout: timedelta
    max_age: timedelta | None
    max_starting: int
    max_servers: int | None
    min_free_memory: int | None
    start_timeout: timedelta
    egress: bool
    secret: str = field(repr=False)
    allow_private_platforms: bool
    trust_new_deployments: bool
    administrators_are_staff: bool
    key_lifetime: timedelta | None
    keep_launches: timedelta | None
    keep_submissions: timedelta | None
    keep_workspaces: timedelta | None
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

    def listed_image(self, reference: str | None) -> Image | None:
        """Return the image of that name, the usual one without a name; None if it is not in the list."""
        wanted = reference or self.image
        return next((each for each in self.images if each.reference == wanted), None)

    def notebook_host(self, workspace: str) -> str:
        """Return the host name of a workspace."""
        return f"{workspace}.{self.notebook_domain}"

    def notebook_origin(self, workspace: str) -> str:
        """Return the origin of a workspace, with the port where it is not the scheme's own."""
        port = "" if self.notebook_port == values.PORTS[self.notebook_scheme] else f":{self.notebook_port}"
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
    url = reader.get("ipylti.url", values.origin)
    notebook_domain = reader.get("ipylti.notebook_domain", values.hostname)
    scheme = reader.get("ipylti.notebook_scheme", values.one_of("https", "http"), "https")
    port = reader.get("ipylti.notebook_port", values.integer(1, 65535), str(values.PORTS[scheme]))
    usual = Image(
        reference=reader.get("ipylti.image", values.text, "localhost/ipylti-notebook:latest"),
        title="Standard",
        memory=reader.get("ipylti.memory", _LIMITS["memory"], "1g"),
        cpus=reader.get("ipylti.cpus", _LIMITS["cpus"], "1"),
        pids=reader.get("ipylti.pids", _LIMITS["pids"], "512"),
        volume_size=reader.get("ipylti.volume_size", _LIMITS["volume_size"], "2g"),
    )
    settings = Settings(
        url=url,
        notebook_domain=notebook_domain,
        notebook_scheme=scheme,
        notebook_port=port,
        traefik_url=reader.get("ipylti.traefik_url", values.origin, f"{scheme}://127.0.0.1:{port}"),
        podman_url=reader.get("ipylti.podman_url", values.text, _default_podman_url(environ)),
        image=usual.reference,
        images=reader.get("ipylti.images", _images(usual), ""),
        memory=usual.memory,
        cpus=usual.cpus,
        pids=usual.pids,
        volume_size=usual.volume_size,
        max_memory=reader.get("ipylti.max_memory", _LIMITS["memory"], "none"),
        max_cpus=reader.get("ipylti.max_cpus", _LIMITS["cpus"], "none"),
        idle_timeout=reader.get("ipylti.idle_timeout", values.duration, "1h"),
        max_age=reader.get("ipylti.max_age", values.or_none(values.duration), "24h"),
        max_starting=reader.get("ipylti.max_starting", values.integer(1, 1000), str(os.cpu_count() or 1)),
        max_servers=reader.get("ipylti.max_servers", values.or_none(values.integer(1, 1 << 20)), "none"),
        min_free_memory=reader.get("ipylti.min_free_memory", values.or_none(values.size), "512m"),
        start_timeout=reader.get("ipylti.start_timeout", values.duration, "60s"),
        egress=reader.get("ipylti.egress", values.one_of("internet", "none"), "internet") == "internet",
        secret=reader.get("ipylti.secret", values.secret),
        allow_private_platforms=reader.get("ipylti.allow_private_platforms", values.boolean, "false"),
        trust_new_deployments=reader.get("ipylti.trust_new_deployments", values.boolean, "false"),
        administrators_are_staff=reader.get("ipylti.administrators_are_staff", values.boolean, "false"),
        key_lifetime=reader.get("ipylti.key_lifetime", values.days, "90"),
        keep_launches=reader.get("ipylti.keep_launches", values.or_none(values.kept), "365"),
        keep_submissions=reader.get("ipylti.keep_submissions", values.or_none(values.kept), "none"),
        keep_workspaces=reader.get("ipylti.keep_workspaces", values.or_none(values.kept), "none"),
        title=reader.get("ipylti.title", values.text, "Notebooks"),
        database_url=reader.get("sqlalchemy.url", values.url("sqlite", "postgresql", "postgresql+psycopg")),
        redis_url=reader.get("redis.sessions.url", values.redis_url),
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
    if not _is_local(settings.host):
        _check_secret(settings.secret)
    if not settings.url.startswith("https:") and not _is_local(settings.host):
        raise SettingsError("ipylti.url: must be https, or browsers keep no cookies for it")
    if settings.notebook_scheme != "https" and not _is_local(settings.notebook_domain):
        raise SettingsError("ipylti.notebook_scheme: must be https, or browsers keep no cookies for it")


def _check_secret(secret: str) -> None:
    """Refuse what was not made by chance; whoever guesses it gets into all notebooks."""
    if secret == DEVELOPMENT_SECRET:
        raise SettingsError("ipylti.secret: is the one of development.ini, which everybody knows")
    lowered = secret.lower()
    repeated = any(secret[length:] == secret[:-length] for length in range(1, len(secret) // 2 + 1))
    if repeated or len(set(secret)) < _VARIETY or any(word in lowered for word in _PLACEHOLDERS):
        raise SettingsError("ipylti.secret: can be guessed (openssl rand -hex 32 makes one that can't)")


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


def _images(usual: Image) -> Callable[[str], tuple[Image, ...]]:
    """Read a line for each image; the usual one comes first, whether it is listed or not."""

    def parse(text: str) -> tuple[Image, ...]:
        found = [_image(line.strip(), usual) for line in text.splitlines() if line.strip()]
        listed = {image.reference: image for image in found}
        return (listed.pop(usual.reference, usual), *listed.values())

    return parse


def _image(line: str, usual: Image) -> Image:
    """Read a reference, limits that are not as usual (``memory=2g``), and a title."""
    reference, *more = line.split(None, 1)
    rest = more[0] if more else ""
    limits: dict[str, float | None] = {}
    while match := _LIMIT.match(rest):
        name, rest = match[1], rest[match.end() :]
        if name not in _LIMITS:
            raise ValueError(f"{reference}: {name} is none of the limits: {', '.join(_LIMITS)}")
        try:
            limits[name] = _LIMITS[name](match[2])
        except ValueError as err:
            raise ValueError(f"{reference}: {name} {err}") from err
    return replace(usual, reference=reference, title=rest or reference, **limits)  # type: ignore[arg-type]


#: What an image's line may limit, and how that is read.
_LIMITS: dict[str, Callable[[str], Any]] = {
    "memory": values.or_none(values.size),
    "cpus": values.or_none(values.positive),
    "pids": values.or_none(values.integer(16, 1 << 22)),
    "volume_size": values.or_none(values.size),
}
