"""The files of an installation, and how they are written: only where they differ, and each of them whole."""

import difflib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ipylti.errors import SettingsError
from ipylti.install import traefik
from ipylti.install.plan import HOUSE, Plan, program

_TEMPLATES = HOUSE / "containers" / "systemd"
_DYNAMIC = HOUSE / "traefik" / "dynamic.yml"

TARGET = "ipylti.target"
TRAEFIK = "ipylti-traefik.service"
_REDIS = "ipylti-redis.service"
_CERTIFICATE = ("ipylti-certificate.path", "ipylti-certificate.service")

_NAME = re.compile(r"@([A-Z_]+)@")


@dataclass(frozen=True)
class Change:
    """What became of a file.

    :param before: its text, None if it was not there; likewise ``after``.
    """

    path: Path
    before: str | None
    after: str | None

    def lines(self) -> Iterator[str]:
        """Yield the change as a person reads it."""
        if self.before is None or self.after is None:
            yield f"{'new' if self.before is None else 'removed':8} {self.path}"
            return
        yield f"changed  {self.path}"
        for line in difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), n=0, lineterm=""):
            if not line.startswith(("---", "+++", "@@")):
                yield f"             {line[0]} {line[1:]}"


def all_files(plan: Plan) -> dict[Path, str]:
    """Return all files of an installation and what is in them, but for secrets."""
    names = [TARGET, "ipylti-web.socket", "ipylti-web@.service", "ipylti-worker@.service", TRAEFIK]
    if plan.redis_socket:
        names.append(_REDIS)
    if plan.certificate:
        names.extend(_CERTIFICATE)
    values = _values(plan)
    files = {plan.units / name: _filled(name, values) for name in names}
    files[plan.units / "podman.service.d" / "ipylti.conf"] = _filled("podman.conf", values)
    files[plan.configuration / "dynamic.yml"] = _DYNAMIC.read_text()
    files[plan.configuration / "traefik.yml"] = traefik.static(plan)
    files[plan.configuration / "traefik.conf"] = _lines(traefik.environment(plan))
    return files


def stale_files(plan: Plan, wanted: Mapping[Path, str]) -> list[Path]:
    """Return what an earlier installation left that this one has no use for."""
    return [path for path in sorted(plan.units.glob("ipylti*")) if path.is_file() and path not in wanted]


def write(path: Path, text: str | None, mode: int = 0o644) -> Change | None:
    """Put a text into a file, all of it or nothing, or remove the file; returns the change, if it is one."""
    try:
        before = path.read_text()
    except FileNotFoundError:
        before = None
    if before == text:
        return None
    if text is None:
        path.unlink(missing_ok=True)
        return Change(path, before, None)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return Change(path, before, text)


def _values(plan: Plan) -> dict[str, str]:
    """Return what stands for the names in the templates."""
    host, port = plan.web_address
    wants = [
        *plan.instances,
        *([_REDIS] if plan.redis_socket else []),
        *(_CERTIFICATE[:1] if plan.certificate else []),
    ]
    config = plan.podman_config
    return {
        "HOUSE": str(HOUSE),
        "INSTANCES": " ".join(wants),
        "WEB_ADDRESS": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "COMMAND": f"{sys.executable} -P -m ipylti.cli",
        "INI": str(plan.ini),
        "FINGERPRINT": plan.fingerprint,
        "ENVIRONMENT": str(plan.environment),
        "REDIS": program("redis-server") if plan.redis_socket else "",
        "REDIS_SOCKET": plan.redis_socket or "",
        "TRAEFIK": f"{program('traefik')} --configFile={plan.configuration / 'traefik.yml'}",
        "TRAEFIK_ENVIRONMENT": str(plan.configuration / "traefik.conf"),
        "TRAEFIK_SECRETS": str(plan.environment.with_name("traefik.env")),
        "CERTIFICATE": str(plan.certificate[0]) if plan.certificate else "",
        "PODMAN_ENVIRONMENT": f"Environment=XDG_CONFIG_HOME={config}" if config else "",
        "HARDENING": (_TEMPLATES / "hardening.conf").read_text().rstrip(),
    }


def _filled(name: str, values: Mapping[str, str]) -> str:
    template = (_TEMPLATES / name).read_text()
    return _NAME.sub(lambda found: values[found[1]], template)


def _lines(values: Mapping[str, str]) -> str:
    """Return an environment as systemd reads it from a file."""
    for name, value in values.items():
        if re.search(r"[\s\"'\\]", value):
            raise SettingsError(f"{name}: has characters that do not belong there")
    return "".join(f"{name}={value}\n" for name, value in values.items())
