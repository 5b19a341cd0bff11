"""All checks, in an order in which the cause comes before what follows from it."""

import logging
import os
import pwd
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from ipylti import models, volatile
from ipylti.doctor import host, network, podman, stores
from ipylti.doctor.findings import Finding, failed, skipped
from ipylti.errors import IpyltiError
from ipylti.http import OutgoingHTTP
from ipylti.lti.registrations import Registration
from ipylti.platforms import Platforms, as_registration
from ipylti.reconciling import take_inventory
from ipylti.servers.spawner import Limits, ServerState, Spawner
from ipylti.settings import Settings
from ipylti.volatile import Pulse

log = logging.getLogger(__name__)

_ROOT = Path("/")


class Doctor:
    """Examines one installation, on the host and as the user that it runs as.

    :param ini: the ini file's path, for the commands that are told.
    :param secrets: the files that may hold secrets.
    """

    def __init__(
        self, settings: Settings, ini: str, secrets: Iterable[Path], spawner: Spawner, http: OutgoingHTTP
    ) -> None:
        self.settings = settings
        self.ini = ini
        self.secrets = tuple(secrets)
        self.spawner = spawner
        self.http = http
        self.engine = models.make_engine(settings.database_url)
        self.redis = volatile.connect(settings.redis_url)

    def examine(self) -> Iterator[Finding]:
        """Yield all findings; a check that itself breaks is one."""
        for name, check in (
            ("host", self._host),
            ("podman", self._podman),
            ("database", self._database),
            ("volumes", self._volumes),
            ("redis", lambda: stores.memory(self.redis)),
            ("worker", lambda: [stores.worker(Pulse(self.redis))]),
            ("names", lambda: network.names(self.settings)),
            ("certificate", lambda: network.certificates(self.settings)),
            ("traefik", lambda: network.Traefik(self.settings).check(self._running())),
            ("platforms", self._platforms),
        ):
            yield from _guarded(name, check)
        self.engine.dispose()

    def _host(self) -> Iterator[Finding]:
        uid = os.getuid()
        name = pwd.getpwuid(uid).pw_name
        yield host.user(uid)
        yield host.subordinate_ids(name, _ROOT)
        yield host.programs()
        yield host.tun(_ROOT)
        yield host.cgroups(_ROOT)
        yield host.manager(uid, _ROOT)
        yield host.lingering(name, _ROOT)
        yield host.ports(self.settings, _ROOT)
        yield host.secret(self.settings)
        yield host.files(self.secrets)

    def _podman(self) -> Iterator[Finding]:
        try:
            facts = self.spawner.describe()
        except IpyltiError:
            told = f"{self.settings.podman_url} does not answer"
            yield failed("podman", told, "systemctl --user enable --now podman.socket")
            return
        settings = self.settings
        yield podman.version(facts)
        yield podman.rootless(facts)
        yield podman.storage(facts)
        yield podman.limits(facts, Limits(settings.memory, settings.cpus, settings.pids))
        yield from host.disk(Path(facts.root))
        yield from podman.images(self.spawner, settings)

    def _database(self) -> Iterator[Finding]:
        yield from stores.sqlite(self.engine)
        yield stores.database(self.engine, self.ini)
        yield stores.signing_key(self.engine, self.ini)

    def _volumes(self) -> Iterator[Finding]:
        sessions = sessionmaker(self.engine)
        try:
            found = take_inventory(self.settings, sessions, self.spawner)
        except (IpyltiError, SQLAlchemyError):
            yield skipped("volumes", "only Podman and the database together know")
            return
        yield from stores.volumes(found, self.ini)

    def _running(self) -> list[str]:
        try:
            servers = self.spawner.servers(self.settings.instance)
        except IpyltiError:
            return []
        return [each.workspace for each in servers if each.state is ServerState.RUNNING]

    def _platforms(self) -> Iterator[Finding]:
        seen: list[network.Seen] = []
        try:
            known = self._registrations()
        except SQLAlchemyError:
            yield skipped("platforms", "only the database knows")
            return
        yield from network.platforms(self.http, known, seen, self.ini)
        yield network.clock(seen)

    def _registrations(self) -> list[Registration]:
        with Session(self.engine) as db:
            return [as_registration(row) for row in Platforms(db).all() if row.enabled]


def _guarded(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as err:
        log.debug("a check broke", exc_info=True)
        yield failed(name, f"the check itself failed: {type(err).__name__}: {err}")
