"""What notebooks reach of the world outside: of stand-ins, in a network namespace that has no way out."""

from collections.abc import Iterator

import pytest

from ipylti.servers import isolation
from tests.root.apart import METADATA, WORLD, Apart, apart

NAME = "somewhere.example"
ALL = (WORLD, NAME, *METADATA)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """The namespace; everything in it answers whoever is let out."""
    with apart(tmp_path_factory.mktemp("apart")) as made:
        assert set(made.reached(WORLD, *METADATA)) == {WORLD, *METADATA}
        yield made


def test_with_egress_the_world_is_reached_and_no_clouds_metadata(world, server):
    spec = server()
    world.spawner.start(spec)
    assert world.reached_by(spec.workspace, *ALL) == sorted([WORLD, NAME])


def test_it_is_the_configuration_that_keeps_them_from_it(world, server, monkeypatch):
    """Else what stands above would show nothing."""
    monkeypatch.setattr(isolation, "_SLIRP", ())
    spec = server()
    world.spawner.start(spec)
    assert "169.254.169.254" in world.reached_by(spec.workspace, *ALL)


def test_without_egress_nothing_is_reached_and_no_name_is_told(world, server):
    spec = server(egress=False)
    world.spawner.start(spec)
    try:
        assert world.reached_by(spec.workspace, *ALL) == []
    finally:
        world.spawner.stop(spec.workspace, grace=0.0)
