"""How much of the disk volumes take, on a real Podman."""

from ipylti.servers import isolation
from tests.integration.conftest import podman
from tests.parts import wait_for

MIB = 1 << 20

#: What somebody may do who does not want to be measured, and what takes no room although it looks so.
FILL = """
import os
os.makedirs("closed/deep/deeper")
open("plain", "wb").write(os.urandom(3 << 20))
open("closed/deep/deeper/hidden", "wb").write(os.urandom(2 << 20))
open(".dot", "wb").write(os.urandom(1 << 20))
os.chmod("closed/deep", 0)
os.chmod("closed", 0)
os.link("plain", "the same")
os.symlink("/", "all")
os.truncate(os.open("hole", os.O_CREAT | os.O_WRONLY), 1 << 30)
os.mkfifo("pipe")
path = "d" * 100
for _ in range(60):
    os.mkdir(path)
    os.chdir(path)
open("far", "wb").write(os.urandom(1 << 20))
"""


def test_volumes_are_measured_whatever_people_do(spawner, server, image, instance):
    full, empty = server("full"), server("empty")
    spawner.start(full)
    podman("exec", isolation.server_name(full.workspace), "python3", "-c", FILL)
    names = [full.volume, "ipylti-take-gone", empty.volume]
    found = spawner.sizes(instance, names, image)
    assert set(found) == {full.volume, empty.volume}
    # Sixty folders and the sizes of blocks come on top.
    assert 7 * MIB <= found[full.volume] < 8 * MIB
    assert found[empty.volume] < MIB
    # Nothing is made by the look, and nothing of it stays.
    assert not spawner.has_volume("ipylti-take-gone")
    assert [status.workspace for status in spawner.servers(instance)] == [full.workspace]
    mine = ("--filter", f"label=io.ipylti.instance={instance}", "--format", "{{.Names}}")
    own = isolation.server_name(full.workspace)
    wait_for(lambda: podman("ps", "--all", *mine) == own, "the helper's end")
    assert spawner.sizes(instance, [], image) == {}


def test_what_a_killed_worker_left_is_no_obstacle(spawner, server, image, instance):
    spec = server()
    left = isolation.measure_body(instance, [spec.volume], image, limit=5, controllers=())
    assert spawner.containers.create(left)
    assert spawner.servers(instance) == []
    assert set(spawner.sizes(instance, [spec.volume], image)) == {spec.volume}
