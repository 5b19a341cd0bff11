"""What the doctor says of Podman."""

from dataclasses import replace
from unittest.mock import create_autospec

import pytest

from ipylti.doctor import podman
from ipylti.doctor.findings import Level
from ipylti.servers import listing
from ipylti.servers.spawner import EngineFacts, Limits, Spawner
from tests.unit.doctor.test_host import config

GOOD = EngineFacts("4.3.1", True, "overlay", "/home/x/storage", frozenset({"cpu", "memory", "pids"}))


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("4.3.1", Level.OK),
        ("5.4.0-dev", Level.OK),
        ("10.0.0", Level.OK),
        ("4.2.0", Level.WARNING),
        ("3.4.4", Level.FAILED),
    ],
)
def test_versions(version: str, level: Level) -> None:
    found = podman.version(replace(GOOD, version=version))
    assert found.level is level
    assert version in found.told


def test_rootless() -> None:
    assert podman.rootless(GOOD).level is Level.OK
    assert podman.rootless(replace(GOOD, rootless=False)).level is Level.FAILED


@pytest.mark.parametrize(
    ("driver", "level"), [("overlay", Level.OK), ("vfs", Level.FAILED), ("btrfs", Level.WARNING)]
)
def test_storage_drivers(driver: str, level: Level) -> None:
    found = podman.storage(replace(GOOD, storage=driver))
    assert found.level is level
    assert (level is Level.FAILED) is any("storage.conf" in line for line in found.mend)


def test_limits_that_can_not_be_held() -> None:
    wanted = Limits(1 << 30, 1.0, 512)
    assert podman.limits(GOOD, wanted).level is Level.OK
    found = podman.limits(replace(GOOD, controllers=frozenset({"memory"})), wanted)
    assert (found.level, "cpu, pids" in found.told) == (Level.WARNING, True)
    assert podman.limits(replace(GOOD, controllers=frozenset()), Limits()).level is Level.OK


def test_images() -> None:
    known = {"localhost/good:1": True, "localhost/plain:1": False}
    spawner = create_autospec(Spawner, instance=True)
    spawner.image_extension.side_effect = known.get
    listed = "localhost/plain:1  Plain\nlocalhost/gone:1  Gone\nregistry.example/far:1  Far"
    settings = config(ipylti__image="localhost/good:1", ipylti__images=listed)
    good, plain, gone, far = podman.images(spawner, settings)
    assert (good.level, plain.level, gone.level) == (Level.OK, Level.WARNING, Level.FAILED)
    assert gone.mend == ("podman build --tag localhost/gone:1 containers/notebook",)
    assert far.mend == ("podman pull registry.example/far:1",)


def test_what_podman_says_is_read() -> None:
    told = {
        "host": {"security": {"rootless": True}, "cgroupControllers": ["memory", "pids"]},
        "store": {"graphDriverName": "vfs", "graphRoot": "/x"},
        "version": {"Version": "4.9.3"},
    }
    assert listing.engine(told) == EngineFacts("4.9.3", True, "vfs", "/x", frozenset({"memory", "pids"}))
    told["host"]["cgroupControllers"] = None
    assert listing.engine(told).controllers == frozenset()
    assert listing.has_extension({"Labels": {"io.ipylti.extension": "1"}})
    assert not listing.has_extension({"Labels": None})
