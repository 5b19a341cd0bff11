"""Runs the archiving helper (:mod:`ipylti.servers.archiver`) and reads what it sends."""

import json
import tarfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, Protocol

from urllib3.exceptions import HTTPError

from ipylti.errors import DependencyDown, SpawnerError
from ipylti.servers import archiver, isolation
from ipylti.servers.containers import API, WAITS, Containers
from ipylti.servers.spawner import Archive, Archived, Content, VolumeSpec

#: Seconds without a word from the helper, which speaks every five seconds, until it counts as hanging.
_SILENCE = 60.0

#: Seconds that the engine may take to store archives, a part of which goes to it every moment.
_UPLOAD = 3600.0

_ATTACH = {"stream": "true", "stdout": "true", "stderr": "true"}

_BLOCK = 512

#: Of what the helper says beside its frames, how much is kept to be told.
_KEPT = 500


class Streams(API, Protocol):
    """Sends requests, whose bodies and answers may be streams (:class:`ipylti.servers.podman.Engine`)."""

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
    ) -> Any:
        """See :meth:`ipylti.servers.podman.Engine.ask`."""


class Archives:
    """Archives of volumes, made and read by a helper for a batch of them at a time.

    :param limit: seconds that one volume may take.
    :param controllers: the cgroup controllers at hand.
    """

    def __init__(
        self, engine: Streams, containers: Containers, limit: float, controllers: Collection[str]
    ) -> None:
        self.engine = engine
        self.containers = containers
        self.limit = limit
        self.controllers = controllers

    def export(self, volumes: Mapping[VolumeSpec, str], image: str) -> Iterator[bytes | Archived]:
        """See :class:`ipylti.servers.spawner.Spawner`, as for the others."""
        names = [volume.name for volume in volumes]
        words = [known or "-" for known in volumes.values()]
        for kind, data in self._run("export", list(volumes), words, image):
            if kind == b"D":
                yield data
                continue
            told = json.loads(data)
            yield Archived(
                names.pop(0),
                told.get("fingerprint", ""),
                told["outcome"] != "unchanged",
                told.get("code", ""),
                told.get("detail", ""),
            )

    def import_(self, archives: Sequence[Archive], image: str) -> Iterator[Content]:
        """Fill volumes, which are there."""
        volumes = [archive.volume for archive in archives]
        yield from self._contents("import", volumes, image, _bundle(archives))

    def inspect(self, volumes: Sequence[VolumeSpec], image: str) -> Iterator[Content]:
        """Look into volumes."""
        yield from self._contents("inspect", volumes, image)

    def _contents(
        self, what: str, volumes: Sequence[VolumeSpec], image: str, upload: Iterator[bytes] | None = None
    ) -> Iterator[Content]:
        names = [volume.name for volume in volumes]
        for _kind, data in self._run(what, volumes, ["-"] * len(names), image, upload):
            told = json.loads(data)
            yield Content(
                names.pop(0),
                told.get("digest", ""),
                told.get("size", 0),
                told.get("files", 0),
                told.get("code", ""),
                told.get("detail", ""),
            )

    def _run(
        self,
        what: str,
        volumes: Sequence[VolumeSpec],
        words: list[str],
        image: str,
        upload: Iterator[bytes] | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Run a helper and yield its frames, signs of life left out.

        :raises SpawnerError: it ended before the last volume was done.
        """
        if not volumes:
            return
        body = isolation.archive_body(
            what, words, volumes, image, limit=self.limit, controllers=self.controllers
        )
        helper = self._create(body)
        path = f"/containers/{helper}"
        other: list[bytes] = []
        left = len(volumes)
        try:
            if upload is not None:
                self._upload(path, upload)
            answer = self.engine.ask(
                "post", f"{path}/attach", params=_ATTACH, expect=(200,), timeout=_SILENCE, stream=True
            )
            with closing(answer):
                self.engine.ask("post", f"{path}/start", expect=(204,))
                for kind, data in frames(answer, other):
                    if kind != b"B":
                        left -= kind == b"E"
                        yield kind, data
            if left:
                # An output that ends early may be the engine's end, which this then says.
                self.engine.ask("get", "/_ping", expect=(200,))
                said = b"".join(other)[-_KEPT:].decode(errors="replace")
                raise SpawnerError(f"the helper ended early: {' '.join(said.split())}", code="archive.failed")
        finally:
            with suppress(DependencyDown, SpawnerError):
                self.containers.remove(helper)

    def _create(self, body: Mapping[str, Any]) -> str:
        """Make the helper. One that imports, and is there already, was left by a call that died: if that call
        does live, it fails."""
        for wait in WAITS:
            helper = self.containers.create(body)
            if helper is not None:
                return helper
            self.containers.remove_named(body["name"])
            time.sleep(wait)
        raise SpawnerError(f"{body['name']}: others fill volumes, too", code="volume.in_use")

    def _upload(self, path: str, upload: Iterator[bytes]) -> None:
        """Put the archives into the helper, which does not run yet."""
        self.engine.ask(
            "put", f"{path}/archive", params={"path": "/"}, body=upload, expect=(200,), timeout=_UPLOAD
        )


def _bundle(archives: Sequence[Archive]) -> Iterator[bytes]:
    """Yield a tar file of archives, as the engine takes it: none of it is opened outside the helper."""
    folder = tarfile.TarInfo(archiver.ARCHIVES.strip("/"))
    folder.type, folder.mode = tarfile.DIRTYPE, 0o700
    yield folder.tobuf(tarfile.PAX_FORMAT)
    for number, archive in enumerate(archives):
        info = tarfile.TarInfo(f"{folder.name}/{number}.tar")
        info.size, info.mode = archive.size, 0o600
        yield info.tobuf(tarfile.PAX_FORMAT)
        sent = 0
        for piece in archive.read():
            sent += len(piece)
            yield piece
        if sent != archive.size:
            raise SpawnerError(f"{archive.volume.name}: an archive of another size", code="archive.failed")
        yield bytes(-sent % _BLOCK)
    yield bytes(2 * _BLOCK)


def frames(output: Any, other: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the helper's frames out of what the engine sends: pieces of two streams, each after the number of
    its stream, three zero bytes and its length in four (libpod's API, ``ContainerAttachLibpod``).

    :param other: gets what comes on standard error.
    """
    rest = bytearray()
    try:
        while header := output.raw.read(8):
            piece = output.raw.read(int.from_bytes(header[4:], "big"))
            if header[0] != 1:
                other.append(piece)
                continue
            rest += piece
            while len(rest) >= 5 and len(rest) >= (end := 5 + int.from_bytes(rest[1:5], "big")):
                yield bytes(rest[:1]), bytes(rest[5:end])
                del rest[:end]
    except (OSError, HTTPError) as err:
        raise DependencyDown("podman", f"a stream broke: {err}") from err
