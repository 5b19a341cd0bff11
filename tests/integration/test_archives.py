"""Volumes made into archives and back, on a real Podman: the same in every respect, whatever a tree holds."""

import hashlib
import subprocess
import time

import pytest

from ipylti.errors import DependencyDown, SpawnerError
from ipylti.servers import archived, isolation
from ipylti.servers.spawner import Archive, Archived
from tests.integration.conftest import PodmanService
from tests.integration.test_clone import TREE, folder, helpers, inside, snapshot, write


def exported(spawner, image, known):
    """Export volumes; returns for each its archive and how it ended."""
    made = {}
    pieces = []
    for found in spawner.export(known, image):
        if isinstance(found, Archived):
            made[found.volume] = (b"".join(pieces), found)
            pieces = []
        else:
            pieces.append(found)
    assert pieces == []
    return made


def archive(spec, content):
    return Archive(spec, len(content), lambda: iter([content[:1000], content[1000:]]))


def settled():
    """Wait until no change is so young that the next one could be taken for it."""
    time.sleep(2.1)


@pytest.fixture
def base(spawner, volume):
    """A base with all that a volume may hold."""
    spec = volume("base")
    spawner.ensure_volume(spec)
    inside(spec.name, TREE)
    return spec


def test_what_comes_back_is_the_same_in_every_respect(spawner, volume, image, base, instance):
    before = snapshot(base.name)
    [(content, told)] = exported(spawner, image, {base: ""}).values()
    assert (told.error, told.changed) == ("", True)
    assert len(content) < 60 << 20, "holes stay holes"
    take = volume("take")
    spawner.ensure_volume(take)
    inside(take.name, "import os, sys; os.makedirs(sys.argv[1] + '/notebook.ipynb/left over', 0o000)")
    [back] = spawner.import_([archive(take, content)], image)
    after = snapshot(take.name)
    assert {name: (before[name], after.get(name)) for name in before if before[name] != after.get(name)} == {}
    assert after.keys() == before.keys()
    assert back.digest == archived.digest(iter([content]))
    assert [each.digest for each in spawner.inspect([base, take], image)] == [back.digest] * 2
    assert snapshot(base.name) == before
    assert helpers(instance) == ""


def test_only_what_changed_is_read_again(spawner, volume, image, base, monkeypatch):
    take = volume("take")
    spawner.ensure_volume(take)
    write(take.name, text="one")
    settled()
    first = exported(spawner, image, {base: "", take: ""})
    known = {base: first[base.name][1].fingerprint, take: first[take.name][1].fingerprint}
    assert all(known.values())
    again = exported(spawner, image, known)
    assert [(content, told.changed) for content, told in again.values()] == [(b"", False)] * 2
    # The same size and the same time, which a program may set: the time of change tells.
    change = "import os, sys; path = sys.argv[1] + '/notebook.ipynb'; found = os.stat(path); " + (
        "open(path, 'w').write('two'); os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))"
    )
    inside(take.name, change)
    changed = exported(spawner, image, known)
    assert [told.changed for _content, told in changed.values()] == [False, True]
    assert b"two" in changed[take.name][0]
    # However long the helper took to start, the change counts as young here.
    program = isolation._archiver()
    patient = program.replace("YOUNG = 2_000_000_000", "YOUNG = 600_000_000_000")
    assert patient != program
    monkeypatch.setattr(isolation, "_archiver", lambda: patient)
    [(content, told)] = exported(spawner, image, {take: known[take]}).values()
    assert (told.changed, told.fingerprint) == (True, ""), "another change might come in the same moment"
    assert b"two" in content


def test_equal_trees_make_equal_archives(spawner, volume, image):
    base = volume("base")
    spawner.ensure_volume(base)
    for name in ("b", "a", "c"):
        write(base.name, name, name * 10_000)
    links = "import os, sys; os.chdir(sys.argv[1]); os.makedirs('d/e'); os.link('a', 'd/a')"
    inside(base.name, links)
    spawner.copy(base.name, volume("take"), image, lambda _done, _total: None)
    made = exported(spawner, image, {base: "", volume("take"): ""})
    assert len({hashlib.sha256(content).digest() for content, _told in made.values()}) == 1


#: Writes, renames, shortens and removes, as fast as can be, until its standard input ends.
BUSY = """
import os, sys, threading
os.chdir(sys.argv[1])
open("still", "w").write("still")
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()
print("ready", flush=True)
while True:
    for n in range(50):
        os.makedirs(f"{n}/d", exist_ok=True)
        with open(f"{n}/d/f", "wb") as file:
            file.write(b"x" * 300_000)
            file.truncate(10)
        os.rename(f"{n}/d/f", f"{n}/g")
        os.rmdir(f"{n}/d")
        os.mkfifo(f"{n}/d")
        os.unlink(f"{n}/d")
        os.symlink("/etc", f"{n}/d")
        os.unlink(f"{n}/d")
"""


def test_what_changes_while_it_is_read_breaks_no_archive(spawner, volume, image, instance):
    base, take = volume("base"), volume("take")
    spawner.ensure_volume(base)
    command = ["podman", "unshare", "/usr/bin/python3", "-c", BUSY, folder(base.name)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd="/", **pipes) as busy:
        assert busy.stdout.readline() == b"ready\n"
        made = [exported(spawner, image, {base: ""})[base.name] for _ in range(3)]
    for content, told in made:
        assert (told.error, told.fingerprint) == ("", "")
        [back] = spawner.import_([archive(take, content)], image)
        assert back.error == ""
        assert back.digest == archived.digest(iter([content]))
        assert snapshot(take.name)["still"]["size"] == 5


def test_a_volume_that_is_half_filled_is_known_as_such_and_filled_anew(spawner, volume, image, base):
    [(content, _told)] = exported(spawner, image, {base: ""}).values()
    take = volume("take")
    broken = content[: len(content) // 2]
    [half] = spawner.import_([archive(take, broken)], image)
    assert half.error == "archive.failed"
    [found] = spawner.inspect([take], image)
    assert (found.digest, found.error) == ("", "")
    [(_nothing, told)] = exported(spawner, image, {take: ""}).values()
    assert told.error == "archive.half"
    with pytest.raises(SpawnerError) as caught:
        spawner.copy(take.name, volume("submission"), image, lambda _done, _total: None, digest=True)
    assert caught.value.code == "archive.half"
    [back] = spawner.import_([archive(take, content)], image)
    before, after = snapshot(base.name), snapshot(take.name)
    assert {name: (before[name], after.get(name)) for name in before if before[name] != after.get(name)} == {}
    assert after.keys() == before.keys()
    assert back.digest == archived.digest(iter([content]))


def test_nobody_but_root_can_have_a_volume_taken_for_half_filled(spawner, volume, image):
    take = volume("take")
    spawner.ensure_volume(take)
    write(take.name, ".ipylti-restoring", "work")
    inside(take.name, "import os, sys; os.chown(sys.argv[1] + '/.ipylti-restoring', 1000, 1000)")
    [found] = spawner.inspect([take], image)
    assert found.digest
    assert exported(spawner, image, {take: ""})[take.name][1].error == ""


def test_an_archive_that_is_not_what_it_was_changes_nothing(spawner, volume, image):
    take = volume("take")
    spawner.ensure_volume(take)
    write(take.name)

    def read():
        yield b"x" * 100
        raise SpawnerError("it has another digest", code="backup.broken")

    with pytest.raises(SpawnerError) as caught:
        list(spawner.import_([Archive(take, 200, read)], image))
    assert caught.value.code == "backup.broken"
    assert "notebook.ipynb" in snapshot(take.name)


def test_podman_that_goes_away_is_told_as_such(image, instance, tmp_path_factory, volume, spawner):
    base = volume("base")
    spawner.ensure_volume(base)
    inside(base.name, "import os, sys; open(sys.argv[1] + '/large', 'wb').write(os.urandom(200 << 20))")
    service = PodmanService(tmp_path_factory.mktemp("own"))
    service.start()
    other = type(spawner)(service.url)
    try:
        stream = other.export({base: ""}, image)
        next(stream)
        service.stop()
        with pytest.raises(DependencyDown) as caught:
            list(stream)
        assert caught.value.code == "podman.down"
    finally:
        service.stop()
