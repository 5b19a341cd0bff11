"""Containers, looked up, made, started and removed while others may be doing the same."""

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ipylti.errors import ImageMissing, SpawnerError
from ipylti.servers import isolation, labels, listing
from ipylti.servers.spawner import ServerStatus

#: Seconds to wait before looking again at what others change at the same time.
WAITS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)

_REMOVE = {"force": "true", "v": "true", "timeout": "0"}


@dataclass(frozen=True)
class Found:
    """A container as it was a moment ago.

    :param id: names this very container; its name may be another's by now.
    :param state: libpod's word.
    :param fingerprint: of the specification that it was made from.
    """

    id: str
    state: str
    fingerprint: str
    status: ServerStatus


class API(Protocol):
    """Sends a request and returns the answer, whose status is an expected one."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        expect: Collection[int],
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """See :meth:`ipylti.servers.podman.Engine.ask`."""


class Containers:
    """Of two that make or remove the same container, the engine lets one win; the other is told, and goes on.

    :param engine: where they are.
    """

    def __init__(self, engine: API) -> None:
        self.engine = engine

    def find(self, name: str) -> Found | None:
        """Look a container up by name or id."""
        answer = self.engine.ask("get", f"/containers/{name}/json", expect=(200, 404, 500))
        if answer.status_code == 404:
            return None
        if answer.status_code == 500:
            words = listing.message(answer)
            # One that is being removed is found by its name, and then is not there.
            if "no such container" in words:
                return None
            raise SpawnerError(f"{name} can't be looked at: {words}")
        entry = answer.json()
        return Found(
            id=entry["Id"],
            state=entry["State"]["Status"],
            fingerprint=entry["Config"]["Labels"].get(isolation.FINGERPRINT, ""),
            status=listing.inspected(entry),
        )

    def create(self, body: Mapping[str, Any]) -> str | None:
        """Make a container and return its id, or None if there is one of that name.

        :raises ImageMissing: the image is not there.
        """
        answer = self.engine.ask("post", "/containers/create", body=body, expect=(201, 404, 409, 500))
        if answer.status_code == 201:
            return str(answer.json()["Id"])
        words = listing.message(answer)
        if "already in use" in words:
            return None
        if "image not known" in words or "no such image" in words:
            raise ImageMissing(words)
        raise SpawnerError(f"{body['name']} can't be made: {words}")

    def run(self, container: str) -> bool:
        """Start a container and return whether it was still there, and free to start."""
        path = f"/containers/{container}"
        answer = self.engine.ask("post", f"{path}/start", expect=(204, 304, 404, 409, 500))
        if answer.status_code in (204, 304):
            return True
        if answer.status_code == 404 or self.find(container) is None:
            return False
        self.remove(container)
        words = listing.message(answer)
        # The engine chooses the port when it makes the container, and opens it only now.
        if "address already in use" in words:
            return False
        raise SpawnerError(f"a server can't be started: {words}")

    def remove(self, container: str) -> None:
        """Remove a container by id, running or not, and wait until it is gone."""
        for wait in WAITS:
            answer = self.engine.ask(
                "delete", f"/containers/{container}", params=_REMOVE, expect=(200, 204, 404, 409, 500)
            )
            if answer.status_code in (200, 204, 404):
                return
            # Somebody else, the engine itself perhaps, is about to remove it.
            time.sleep(wait)
        raise SpawnerError(f"container {container} can't be removed: {listing.message(answer)}")

    def remove_named(self, name: str) -> None:
        """Remove whichever container has a name now."""
        found = self.find(name)
        if found:
            self.remove(found.id)

    def belonging_to(self, instance: str) -> list[Any]:
        """Return what the engine lists of an instance's containers."""
        params = {"all": "true", **labelled(instance)}
        answer = self.engine.ask("get", "/containers/json", params=params, expect=(200,))
        return list(answer.json() or ())


def labelled(instance: str) -> dict[str, str]:
    """Return the query that keeps a list to what carries the instance's label."""
    return {"filters": json.dumps({"label": [f"{labels.INSTANCE}={labels.name('instance', instance)}"]})}
