"""The user's service manager, by ``systemctl --user``."""

import os
import re
import subprocess
import time
from pathlib import Path

from ipylti.errors import SettingsError
from ipylti.install.files import TARGET, TRAEFIK
from ipylti.install.plan import Plan

#: Seconds that a command may take: web processes and workers say when they are up.
_TIMEOUT = 300


class Manager:
    """Tells the manager what to do.

    :raises SettingsError: by every method; a command failed, in the manager's own words.
    """

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command, and return what it prints."""
        # Where Podman's configuration is elsewhere, the units are still where the manager looks for them.
        environ = {name: value for name, value in os.environ.items() if name != "XDG_CONFIG_HOME"}
        try:
            done = subprocess.run(  # noqa: S603
                ["systemctl", "--user", *words],  # noqa: S607
                env=environ,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
            )
        except (OSError, subprocess.TimeoutExpired) as err:
            raise SettingsError(f"systemctl --user {' '.join(words)}: {err}") from err
        if check and done.returncode:
            raise SettingsError(f"systemctl --user {' '.join(words)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def require(self) -> None:
        """Return if there is a manager for this user."""
        try:
            self.run("show", "--property=Version")
        except SettingsError as err:
            raise SettingsError(
                f"no systemd of this user's own: sudo loginctl enable-linger {os.getuid()} ({err.detail})"
            ) from err

    def bring_up(self, plan: Plan) -> list[str]:
        """Have run what is to run, and as it is written now; returns what was started anew.

        Web processes go one after the other, so that one of several is always there.
        """
        self.run("daemon-reload")
        self.run("enable", TARGET)
        self._stop_superfluous(plan)
        restarted = []
        for unit, paths in _written(plan).items():
            if self._outdated(unit, paths):
                self.run("restart", unit)
                restarted.append(unit)
        self.run("start", TARGET)
        # The target only wants its units; each of these says when it is up.
        self.run("start", *plan.instances, TRAEFIK)
        return restarted

    def take_down(self, units: list[str]) -> None:
        """Stop everything, and have nothing of it start again."""
        self.run("disable", "--now", TARGET, check=False)
        self.run("stop", "ipylti-*", "ipylti-web.socket", *units, check=False)

    def _outdated(self, unit: str, paths: list[Path]) -> bool:
        """Return whether a unit has been running for longer than what is written of it.

        Whatever was interrupted: what was not started anew then is now.
        """
        told = self.run("show", "--property=ActiveEnterTimestampMonotonic,ActiveState", unit)
        values = dict(line.split("=", 1) for line in told.splitlines())
        if values["ActiveState"] in ("inactive", "failed"):
            return False
        age = time.monotonic() - int(values["ActiveEnterTimestampMonotonic"]) / 1e6
        return time.time() - age < max(path.stat().st_mtime for path in paths)

    def _stop_superfluous(self, plan: Plan) -> None:
        """Stop what an earlier installation had more of: its files are gone by now."""
        wanted = {*plan.instances, *(path.name for path in plan.units.glob("ipylti*"))}
        listed = self.run("list-units", "--plain", "--no-legend", "ipylti*")
        superfluous = {line.split()[0] for line in listed.splitlines() if line.strip()} - wanted
        if superfluous:
            self.run("stop", *sorted(superfluous))


def _written(plan: Plan) -> dict[str, list[Path]]:
    """Return which files say what a unit runs, in the order in which units are started anew.

    Not ``dynamic.yml``: Traefik reads that again by itself.
    """
    units, configuration = plan.units, plan.configuration
    files = {
        "podman.service": [units / "podman.service.d" / "ipylti.conf"],
        "ipylti-redis.service": [units / "ipylti-redis.service"],
        "ipylti-web.socket": [units / "ipylti-web.socket"],
        **{unit: [units / re.sub(r"@[0-9]+", "@", unit)] for unit in plan.instances},
        TRAEFIK: [units / TRAEFIK, configuration / "traefik.yml", configuration / "traefik.conf"],
        "ipylti-certificate.path": [units / "ipylti-certificate.path"],
    }
    return {unit: paths for unit, paths in files.items() if all(path.exists() for path in paths)}
