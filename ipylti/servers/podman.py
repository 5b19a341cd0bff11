"""The spawner on one machine's Podman: the only module that imports podman.

It speaks libpod's REST API (Podman 4.0 and later) through podman-py's client, which knows the transports; the
requests are made here, since each one counts while somebody waits for a notebook.
"""

import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

from podman.api.client import APIClient, APIResponse
from urllib3.exceptions import HTTPError

from ipylti.errors import DependencyDown, EmptySource, SettingsError, SpawnerError
from ipylti.servers import cgroups, containers, isolation, labels, listing, reports
from ipylti.servers.archives import Archives
from ipylti.servers.containers import Containers, labelled
from ipylti.servers.networks import Networks
from ipylti.servers.spawner import (
    Archive,
    Archived,
    Content,
    Copied,
    CopyProgress,
    EngineFacts,
    MemoryKills,
    ServerSpec,
    ServerState,
    ServerStatus,
    VolumeSpec,
)

T = TypeVar("T")

log = logging.getLogger(__name__)

#: The API that requests are written for; newer engines go on answering in its shapes. It is given so that no
#: request is spent on asking for the engine's version, which takes 0.4 s.
_API_VERSION = "4.0.0"

#: Seconds for the engine to take a connection, and to answer a ping.
_CONNECT = 5.0

#: Seconds without a word from the copying helper, which speaks twice a second, until it counts as hanging.
_SILENCE = 30.0

#: Seconds after which no other volume is measured.
_MEASURING = 15.0

#: How old a leftover is at least: younger ones are somebody's work in progress.
_LEFT = timedelta(minutes=1)

#: The most of a server's log that is handed out, in characters.
_LOG_SIZE = 1 << 17

_ATTACH = {"stream": "true", "stdout": "true", "stderr": "true"}


class Engine:
    """The API: requests with time-outs, and failures told apart. Threads may share one.

    :param url: ``unix:///path/to/podman.sock`` and the like.
    :param timeout: seconds that an answer may take.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        try:
            self.client = APIClient(base_url=url, version=_API_VERSION, max_pool_size=64)
        except ValueError as err:
            raise SettingsError(f"ipylti.podman_url: {err}") from err
        self.timeout = timeout

    def ask(
        self,
        method: str,
        path: str,
        *,
        expect: Collection[int],
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | Iterator[bytes] | None = None,
        timeout: float | None = None,
        stream: bool = False,
    ) -> APIResponse:
        """Send one request and return the answer if its status is an expected one.

        :param body: sent as JSON; or a tar file, in pieces.
        :param timeout: seconds that the answer may take, if not as usual; and a piece of the body.
        :param stream: leave the answer's body to be read by and by.
        :raises DependencyDown: there is no answer.
        :raises SpawnerError: any other status; ``detail`` has the engine's own words.
        """
        connect = min(_CONNECT, timeout or _CONNECT)
        kind, data = "application/json", json.dumps(body) if isinstance(body, Mapping) else body
        if isinstance(data, Iterator):
            # The time to connect also holds for each piece.
            kind, connect = "application/x-tar", timeout or self.timeout
        try:
            response = getattr(self.client, method)(
                path,
                params=params,
                data=data,
                headers=None if body is None else {"Content-Type": kind},
                timeout=(connect, timeout or self.timeout),
                stream=stream,
            )
        except (OSError, HTTPError) as err:  # podman's and requests' errors are OSErrors
            raise DependencyDown("podman", f"{method} {path}: {err.__cause__ or err}") from err
        if response.status_code not in expect:
            raise SpawnerError(f"{method} {path}: {response.status_code} {listing.message(response)}")
        return response


def printed(output: APIResponse) -> Iterator[bytes]:
    """Yield the lines of a stream in which frames of standard output and error alternate.

    Each frame is preceded by the number of the stream, three zero bytes and its length in four bytes, most
    significant first (libpod's API, ``ContainerAttachLibpod``).
    """
    rest = b""
    try:
        while header := output.raw.read(8):
            *complete, rest = (rest + output.raw.read(int.from_bytes(header[4:], "big"))).split(b"\n")
            yield from complete
    except (OSError, HTTPError) as err:
        raise DependencyDown("podman", f"a stream broke: {err}") from err
    if rest:
        yield rest


class PodmanSpawner:
    """Volumes and servers on a Podman (:class:`ipylti.servers.spawner.Spawner`). Threads may share one.

    No lock of its own stands behind it: of two processes that make the same thing, the engine lets one win,
    and the other looks again. Containers are removed by id, since their name may be another's by then.

    :param url: the engine's API, ``unix:///path/to/podman.sock`` and the like.
    :param entrypoint: the name of Traefik's entry point for notebook hosts.
    :param tls: whether that entry point speaks TLS.
    :param timeout: seconds that the engine may take for an answer.
    :param copy_limit: seconds that copying a volume may take.
    """

    def __init__(
        self,
        url: str,
        *,
        entrypoint: str = "web",
        tls: bool = False,
        timeout: float = 30.0,
        copy_limit: float = 1800.0,
    ) -> None:
        self.engine = Engine(url, timeout=timeout)
        self.containers = Containers(self.engine)
        self.networks = Networks(self.engine)
        self.entrypoint = labels.name("entrypoint", entrypoint)
        self.tls = tls
        self.copy_limit = copy_limit
        self._controllers: frozenset[str] | None = None
        self._slirp = False
        self._warned = False

    def ping(self) -> None:
        """Return if the engine answers; the first time, also ask what the first start would have to ask."""
        self.engine.ask("get", "/_ping", expect=(200,), timeout=_CONNECT)
        self._known_controllers()

    def describe(self) -> EngineFacts:
        return listing.engine(self.engine.ask("get", "/info", expect=(200,)).json())

    def image_extension(self, reference: str) -> bool | None:
        path = f"/images/{quote(reference, safe='')}/json"
        answer = self.engine.ask("get", path, expect=(200, 404))
        return listing.has_extension(answer.json()) if answer.status_code == 200 else None

    # Volumes

    def ensure_volume(self, spec: VolumeSpec) -> bool:
        body = isolation.volume_body(spec)
        answer = self.engine.ask("post", "/volumes/create", body=body, expect=(201, 409, 500))
        if answer.status_code == 201:
            return True
        if not self.has_volume(spec.name):
            raise SpawnerError(f"no volume {spec.name}: {listing.message(answer)}")
        return False

    def volumes(self, instance: str) -> list[VolumeSpec]:
        answer = self.engine.ask("get", "/volumes/json", params=labelled(instance), expect=(200,))
        return [listing.volume(entry) for entry in answer.json() or ()]

    def remove_volume(self, name: str) -> None:
        path = f"/volumes/{labels.name('volume', name)}"
        for wait in containers.WAITS:
            answer = self.engine.ask("delete", path, expect=(204, 404, 409, 500))
            if answer.status_code in (204, 404):
                return
            # The helper that filled it may still be writing it to disk.
            self.containers.remove_named(isolation.copy_name(name))
            time.sleep(wait)
        raise SpawnerError(f"volume {name} is in use: {listing.message(answer)}", code="volume.in_use")

    def copy(
        self, source: str, target: VolumeSpec, image: str, progress: CopyProgress, *, digest: bool = False
    ) -> Copied:
        if not self.has_volume(source):
            raise EmptySource(f"no volume {source}")
        made = self.ensure_volume(target)
        body = isolation.copy_body(
            source,
            target,
            image,
            digest=digest,
            limit=self.copy_limit,
            controllers=self._known_controllers(),
        )
        try:
            return self._run_helper(body, lambda lines: reports.follow(lines, progress))
        except EmptySource:
            if made:
                self.remove_volume(target.name)
            raise

    def sizes(self, instance: str, volumes: Sequence[str], image: str) -> dict[str, int]:
        # A helper that mounts a volume which is gone would make it anew.
        present = {spec.name for spec in self.volumes(instance)}
        wanted = [name for name in volumes if name in present]
        if not wanted:
            return {}
        body = isolation.measure_body(
            instance, wanted, image, limit=_MEASURING, controllers=self._known_controllers()
        )
        return self._run_helper(body, lambda lines: isolation.measured(wanted, lines))

    def export(self, volumes: Mapping[VolumeSpec, str], image: str) -> Iterator[bytes | Archived]:
        return self._archives().export(volumes, image)

    def import_(self, archives: Sequence[Archive], image: str) -> Iterator[Content]:
        for archive in archives:
            self.ensure_volume(archive.volume)
        return self._archives().import_(archives, image)

    def inspect(self, volumes: Sequence[VolumeSpec], image: str) -> Iterator[Content]:
        return self._archives().inspect(volumes, image)

    def _archives(self) -> Archives:
        return Archives(self.engine, self.containers, self.copy_limit, self._known_controllers())

    def _run_helper(self, body: Mapping[str, Any], read: Callable[[Iterator[bytes]], T]) -> T:
        """Run a helper and read what it says; the engine removes it when it has gone."""
        helper = self.containers.create(body)
        for wait in containers.WAITS:
            if helper is not None:
                break
            # One that is at the same volume was left by a call that died. If that call does live, it fails,
            # and only this one reports a copy: better than to wipe what the other has reported.
            self.containers.remove_named(body["name"])
            time.sleep(wait)
            helper = self.containers.create(body)
        else:
            raise SpawnerError(f"{body['name']}: others copy to the same volume", code="volume.in_use")
        path = f"/containers/{helper}"
        try:
            # Attached before the start, no line is missed, and no log is needed.
            with closing(
                self.engine.ask(
                    "post",
                    f"{path}/attach",
                    params=_ATTACH,
                    expect=(200,),
                    timeout=_SILENCE,
                    stream=True,
                )
            ) as output:
                self.engine.ask("post", f"{path}/start", expect=(204,))
                return read(printed(output))
        except SpawnerError:
            # An output that ends early may be the engine's end, which this then says.
            self.containers.remove(helper)
            raise
        except BaseException:
            with suppress(DependencyDown, SpawnerError):
                self.containers.remove(helper)
            raise

    def has_volume(self, name: str) -> bool:
        path = f"/volumes/{labels.name('volume', name)}/exists"
        return bool(self.engine.ask("get", path, expect=(204, 404)).status_code == 204)

    # Servers

    def start(self, spec: ServerSpec) -> ServerStatus:
        controllers = self._known_controllers()
        self._warn(isolation.missing_limits(spec.limits, controllers))
        body = isolation.server_body(
            spec, entrypoint=self.entrypoint, tls=self.tls, controllers=controllers, slirp=self._slirp
        )
        for wait in containers.WAITS:
            found = self.containers.find(body["name"])
            if found and found.state == "running":
                return found.status
            if found and not (
                found.state in listing.NEW and found.fingerprint == body["labels"][isolation.FINGERPRINT]
            ):
                # It has ended, or was made from another specification and never started.
                self.containers.remove(found.id)
                found = None
            container = found.id if found else self._make(spec, body)
            if container and self.containers.run(container):
                found = self.containers.find(body["name"])
                if found:
                    return found.status
            time.sleep(wait)
        raise SpawnerError(f"others keep removing {body['name']}", code="server.contested")

    def status(self, workspace: str) -> ServerStatus:
        found = self.containers.find(isolation.server_name(workspace))
        return found.status if found else ServerStatus(workspace, ServerState.ABSENT)

    def servers(self, instance: str) -> list[ServerStatus]:
        found = []
        for entry in self.containers.belonging_to(instance):
            if entry["Labels"].get(labels.KIND) in labels.HELPERS:
                continue
            status = listing.listed(entry)
            if status.exit_code == listing.KILLED and (again := self.containers.find(entry["Id"])):
                # By whom is not in the list.
                status = replace(status, out_of_memory=again.status.out_of_memory, memory=again.status.memory)
            found.append(status)
        return found

    def memory_kills(self, instance: str) -> dict[str, MemoryKills]:
        found: dict[str, MemoryKills] = {}
        for entry in self.containers.belonging_to(instance):
            if entry["State"] != "running" or entry["Labels"].get(labels.KIND) in labels.HELPERS:
                continue
            counted = cgroups.memory(entry.get("Pid") or 0, entry["Id"])
            if counted is not None:
                workspace = entry["Labels"].get(labels.WORKSPACE, "")
                found[workspace] = MemoryKills(entry["Id"], counted.kills, counted.limit)
        return found

    def stop(self, workspace: str, grace: float = 10.0) -> None:
        found = self.containers.find(isolation.server_name(workspace))
        if found:
            self.engine.ask(
                "post",
                f"/containers/{found.id}/stop",
                params={"timeout": round(grace)},
                # One that does not run can't be stopped, and one that is gone need not be.
                expect=(204, 304, 404, 409, 500),
                timeout=grace + self.engine.timeout,
            )
            self.containers.remove(found.id)
        self.networks.remove(isolation.network_name(workspace))

    def logs(self, workspace: str, lines: int = 50) -> str:
        path = f"/containers/{isolation.server_name(workspace)}/logs"
        params = {"stdout": "true", "stderr": "true", "tail": str(lines)}
        answer = self.engine.ask("get", path, params=params, expect=(200, 404), stream=True)
        with closing(answer):
            if answer.status_code == 404:
                return ""
            text = b"\n".join(printed(answer)).decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])[-_LOG_SIZE:]

    def announce(self, instance: str, image: str) -> None:
        # Traefik reads all containers again whenever one starts or ends.
        container = self.containers.create(isolation.announcement_body(instance, image))
        if container is not None:
            self.containers.run(container)

    def tidy(self, instance: str) -> None:
        old = datetime.now(UTC) - _LEFT
        served = set()
        for entry in self.containers.belonging_to(instance):
            if entry["Labels"].get(labels.KIND) not in labels.HELPERS:
                served.add(entry["Labels"].get(labels.WORKSPACE))
            elif entry["State"] != "running" and listing.moment(entry["Created"]) < old:
                self.containers.remove(entry["Id"])
        self.networks.tidy(instance, served, old)

    def _make(self, spec: ServerSpec, body: Mapping[str, Any]) -> str | None:
        """Make a server's container, and before it the network that it is in, if it has no other."""
        if not spec.egress:
            self.networks.make(spec)
        return self.containers.create(body)

    def _known_controllers(self) -> frozenset[str]:
        """Return the cgroup controllers that containers can be limited with, asked for once (0.4 s), together
        with whether there is slirp4netns."""
        if self._controllers is None:
            host = self.engine.ask("get", "/info", expect=(200,)).json()["host"]
            if not host["security"]["rootless"]:
                # Its private network is one bridge for all, on which servers reach each other.
                raise SpawnerError("Podman runs as root; ipylti needs it rootless", code="server.rootful")
            self._slirp = bool((host.get("slirp4netns") or {}).get("executable"))
            if not self._slirp:
                log.warning("without slirp4netns, a firewall has to keep notebooks from a cloud's metadata")
            self._controllers = frozenset(host.get("cgroupControllers") or ())
        return self._controllers

    def _warn(self, limits: list[str]) -> None:
        """Log once that limits can't be held: rootless containers have none without cgroup v2."""
        if limits and not self._warned:
            self._warned = True
            log.warning("servers run without limits that this host can't enforce", extra={"limits": limits})
