"""The internal networks of servers without egress."""

from collections.abc import Collection
from datetime import datetime

from ipylti.errors import SpawnerError
from ipylti.servers import isolation, labels, listing
from ipylti.servers.containers import API, labelled
from ipylti.servers.spawner import ServerSpec

#: How often other addresses are tried for a network.
_TRIES = 16


class Networks:
    """Each holds one server, and is named after its workspace.

    :param engine: where they are.
    """

    def __init__(self, engine: API) -> None:
        self.engine = engine

    def make(self, spec: ServerSpec) -> None:
        """Make a server's network, if it is not there, of addresses that nobody has."""
        for attempt in range(_TRIES):
            network = isolation.network_body(spec, attempt)
            answer = self.engine.ask("post", "/networks/create", body=network, expect=(200, 201, 409, 500))
            if answer.status_code != 500:
                return
            if "already used" not in listing.message(answer):
                break
        raise SpawnerError(f"no internal network: {listing.message(answer)}")

    def remove(self, name: str) -> None:
        """Remove a network unless it is gone, or in use by a server that was started anew meanwhile."""
        self.engine.ask("delete", f"/networks/{name}", expect=(200, 204, 404, 409, 500))

    def tidy(self, instance: str, served: Collection[str | None], old: datetime) -> None:
        """Remove the networks that were made before a moment, of workspaces without a server."""
        answer = self.engine.ask("get", "/networks/json", params=labelled(instance), expect=(200,))
        for entry in answer.json() or ():
            if entry["labels"].get(labels.WORKSPACE) not in served and listing.moment(entry["created"]) < old:
                self.remove(entry["name"])
