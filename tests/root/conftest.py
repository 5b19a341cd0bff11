"""A rootful Podman for what rootless Podman can't do on every host: enforce limits, and run systemd.

``bin/test root`` has set it up: its storage and runtime files are of the tests alone.
"""

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipylti.servers import isolation, labels
from ipylti.servers.podman import Engine, PodmanSpawner
from tests.integration.conftest import PodmanService, image, server
from tests.parts import accepts, wait_for

__all__ = ["image", "server"]


@pytest.fixture(scope="session")
def podman_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodmanService]:
    """Root's Podman, on a socket of our own."""
    assert os.getuid() == 0 and "CONTAINERS_STORAGE_CONF" in os.environ, "bin/test root runs these tests"
    service = PodmanService(tmp_path_factory.mktemp("podman"))
    service.process.start()
    wait_for(lambda: accepts(service.socket), "Podman's service")
    yield service
    service.stop()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test's own: where memory runs out, ``podman exec`` leaves a file there."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def spawner(podman_service: PodmanService) -> PodmanSpawner:
    """A spawner on root's Podman, which it otherwise refuses to work with."""
    made = PodmanSpawner(podman_service.url)
    made._controllers = frozenset(isolation.CONTROLLERS.values())
    made._slirp = True
    return made


@pytest.fixture
def instance(podman_service: PodmanService) -> Iterator[str]:
    """An instance of our own; what carries its label is removed afterwards."""
    name = f"test{secrets.token_hex(4)}"
    yield name
    engine = Engine(podman_service.url, timeout=60.0)
    mine = {"filters": json.dumps({"label": [f"{labels.INSTANCE}={name}"]}), "all": "true"}
    for kind, key in (("containers", "Id"), ("volumes", "Name")):
        for entry in engine.ask("get", f"/{kind}/json", params=mine, expect=(200,)).json() or ():
            force = {"force": "true", "timeout": "0"}
            engine.ask("delete", f"/{kind}/{entry[key]}", params=force, expect=range(200, 600))
