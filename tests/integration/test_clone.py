"""Copies of volumes on a real Podman: the same by checksum and metadata, whatever the tree holds."""

import json
import subprocess
import threading
from functools import cache
from pathlib import Path

import pytest

from ipylti.errors import DependencyDown, EmptySource, ImageMissing, SpawnerError
from ipylti.servers import isolation
from tests.integration.conftest import podman

#: Makes a tree with everything that a volume may hold, owners included.
TREE = r"""
import os, socket, sys
root = sys.argv[1].encode()
os.chdir(root)

def write(name, content=b"text", mode=0o644, owner=1000):
    with open(name, "wb") as file:
        file.write(content)
    os.chown(name, owner, owner)
    os.chmod(name, mode)

def folder(name, mode=0o755, owner=1000):
    os.makedirs(name)
    os.chown(name, owner, owner)
    os.chmod(name, mode)

write(b"notebook.ipynb", b'{"cells": []}')
write(b".dotfile")
folder(b".config/deep/er")
write(b".config/deep/er/.rc")
folder(b"empty/also empty")
folder(b".ipynb_checkpoints")
write(b".ipynb_checkpoints/notebook-checkpoint.ipynb")
for name in ("Übung 1 – Lösung.ipynb", "课程.ipynb", "e\u0301.txt", "é.txt", "🙂", " leading and trailing "):
    write(name.encode())
for name in (
    b"line\nfeed", b"tab\tbell\a", b"\xff\xfe not UTF-8", b"-rf", b"--", b"*", b"'\"$(id)`id`\\", b"n" * 255
):
    write(name)
for mode in (0o000, 0o400, 0o444, 0o600, 0o755, 0o777, 0o4755, 0o2755, 0o1777):
    write(b"mode%o" % mode, mode=mode)
for mode in (0o000, 0o500, 0o2770, 0o1777):
    folder(b"folder%o" % mode, mode=mode)
for owner in (0, 33, 1000, 60000):
    write(b"owner%d" % owner, owner=owner)
write(b"empty file", b"")
write(b"large", os.urandom(1 << 20) * 40)
with open("sparse", "wb") as file:
    file.truncate(1 << 28)
    file.seek(1 << 27)
    file.write(b"an island")
write(b"hard1", b"linked")
os.link("hard1", "hard2")
os.link("hard1", "empty/hard3")
for name, goal in (
    ("link", "notebook.ipynb"), ("dangling", "nowhere"), ("loop", "loop"), ("up", "../../../../etc/passwd"),
    ("passwd", "/etc/passwd"), ("folder link", ".config"), ("root", "/"), ("long", "x" * 4000),
    ("line\nlink", "a\nb"),
):
    os.symlink(goal, name)
    os.chown(name, 1000, 1000, follow_symlinks=False)
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
os.setxattr("notebook.ipynb", "user.origin", b"teacher\0s")
os.setxattr(".config", "user.folder", b"yes")
for number, name in enumerate(sorted(os.listdir(b"."))):
    os.utime(name, ns=(10**18 + number, 10**18 + 7 * number + 123456789), follow_symlinks=False)
os.chown(".", 1000, 33)
os.chmod(".", 0o2751)
os.setxattr(".", "user.root", b"yes")
os.utime(".", ns=(10**18, 10**18 + 5))
"""

#: Prints everything that there is to know of a tree.
SNAPSHOT = r"""
import hashlib, json, os, stat, sys
root = sys.argv[1].encode()
seen = {}
result = {}

def look(path, name):
    status = os.lstat(path)
    entry = {
        "mode": stat.filemode(status.st_mode), "uid": status.st_uid, "gid": status.st_gid,
        "mtime": status.st_mtime_ns,
        "xattrs": {key: os.getxattr(path, key, follow_symlinks=False).hex()
                   for key in os.listxattr(path, follow_symlinks=False)},
    }
    if stat.S_ISREG(status.st_mode):
        entry["size"] = status.st_size
        entry["sha256"] = hashlib.file_digest(open(path, "rb"), "sha256").hexdigest()
        entry["sparse"] = status.st_blocks * 512 < status.st_size // 2
        entry["same as"] = seen.setdefault(status.st_ino, name)
    if stat.S_ISLNK(status.st_mode):
        entry["target"] = os.readlink(path).hex()
    result[name] = entry

look(root, ".")
for folder, folders, files in os.walk(root):
    folders.sort()
    for name in sorted(folders + files):
        path = os.path.join(folder, name)
        look(path, os.path.relpath(path, root).decode("utf-8", "surrogateescape"))
print(json.dumps(result))
"""


#: 64 MB in 1,000 files.
FILL = """
import os, sys
for n in range(1000):
    open(f"{sys.argv[1]}/{n}", "wb").write(os.urandom(1 << 16))
"""

#: Prints what the helper may do.
LOOK = r"""
import os
status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
print(status["CapEff"], status["NoNewPrivs"], status["Seccomp"], os.listdir("/sys/class/net"))
print([os.access(path, os.W_OK) for path in ("/", "/source", "/target")])
"""


@cache
def volumes_folder():
    """Where Podman keeps the user's volumes."""
    return podman("info", "--format", "{{.Store.VolumePath}}")


def folder(volume):
    """Return a volume's folder, which only the user namespace may enter."""
    return f"{volumes_folder()}/{volume}/_data"


def inside(volume, program, *words):
    """Run a Python program on a volume's folder in Podman's user namespace, as root there."""
    command = ["podman", "unshare", "/usr/bin/python3", "-c", program, folder(volume), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def snapshot(volume):
    return json.loads(inside(volume, SNAPSHOT))


def write(volume, name="notebook.ipynb", text="text"):
    inside(volume, "import sys; open(sys.argv[1] + '/' + sys.argv[2], 'w').write(sys.argv[3])", name, text)


def nothing(done, total):
    """Take no interest in the progress."""


@pytest.fixture
def base(spawner, volume):
    """A base with one notebook in it."""
    spec = volume("base")
    spawner.ensure_volume(spec)
    write(spec.name)
    return spec


def helpers(instance):
    return podman("ps", "--all", "--quiet", "--filter", f"label=io.ipylti.instance={instance}")


def test_a_copy_is_the_same_in_every_respect(spawner, volume, image):
    base, take = volume("base"), volume("take")
    spawner.ensure_volume(base)
    inside(base.name, TREE)
    before = snapshot(base.name)
    copied = spawner.copy(base.name, take, image, nothing)
    after = snapshot(take.name)
    assert {name: (before[name], after.get(name)) for name in before if before[name] != after.get(name)} == {}
    assert after.keys() == before.keys()
    assert snapshot(base.name) == before
    files = [entry for entry in after.values() if entry["mode"][0] in "-l"]
    once = {entry["same as"]: entry["size"] for entry in files if entry["mode"][0] == "-"}
    assert (copied.size, copied.files, copied.digest) == (sum(once.values()), len(files), "")


@pytest.fixture
def large(spawner, volume, talkative):
    """A base of 64 MB in 1,000 files."""
    spec = volume("base")
    spawner.ensure_volume(spec)
    inside(spec.name, FILL)
    return spec


def test_a_large_copy_reports_its_progress(spawner, volume, image, large):
    seen = []
    copied = spawner.copy(large.name, volume("take"), image, lambda done, total: seen.append((done, total)))
    assert (copied.size, copied.files) == (1000 << 16, 1000)
    assert seen
    assert seen == sorted(seen)
    assert all(0 <= done <= total == 1000 << 16 for done, total in seen)


def test_a_digest_can_be_verified_by_anybody_who_holds_the_files(spawner, volume, image, base):
    inside(base.name, "import os, sys; os.makedirs(sys.argv[1] + '/a/b c')")
    copied = spawner.copy(base.name, volume("submission"), image, nothing, digest=True)
    program = (
        Path(isolation.__file__).with_name("copier.py").read_text().partition('if __name__ == "__main__"')[0]
    )
    again = inside(volume("submission").name, program + "\nprint(digest(os.fsencode(sys.argv[1]))[0])")
    assert copied.digest == again.strip()
    assert spawner.copy(base.name, volume("submission"), image, nothing, digest=True) == copied
    write(base.name, text="texT")
    assert spawner.copy(base.name, volume("submission"), image, nothing, digest=True).digest != copied.digest


def test_what_a_half_made_copy_left_is_gone(spawner, volume, image, base):
    take = volume("take")
    spawner.ensure_volume(take)
    write(take.name, ".left over", "half")
    inside(take.name, "import os, sys; os.makedirs(sys.argv[1] + '/notebook.ipynb/folder', 0o000)")
    spawner.copy(base.name, take, image, nothing)
    assert snapshot(take.name) == snapshot(base.name)


def test_a_copy_leaves_no_container_behind(spawner, volume, image, base, instance):
    spawner.copy(base.name, volume("take"), image, nothing, digest=True)
    spawner.remove_volume(volume("take").name)
    assert helpers(instance) == ""


def test_a_source_that_is_not_there_is_empty(spawner, volume, image, instance):
    with pytest.raises(EmptySource):
        spawner.copy(volume("base").name, volume("take"), image, nothing)
    assert spawner.volumes(instance) == []


@pytest.mark.parametrize(
    "content", ["", "import os, sys; os.makedirs(sys.argv[1] + '/data/.ipynb_checkpoints')"]
)
def test_an_empty_source_leaves_no_target_behind(spawner, volume, image, instance, content):
    base = volume("base")
    spawner.ensure_volume(base)
    inside(base.name, content)
    with pytest.raises(EmptySource):
        spawner.copy(base.name, volume("take"), image, nothing)
    assert spawner.volumes(instance) == [base]
    assert helpers(instance) == ""


def test_an_empty_source_leaves_a_target_alone_that_was_there(spawner, volume, image, instance):
    spawner.ensure_volume(volume("base"))
    spawner.ensure_volume(volume("take"))
    write(volume("take").name, "mine")
    with pytest.raises(EmptySource):
        spawner.copy(volume("base").name, volume("take"), image, nothing)
    assert "mine" in snapshot(volume("take").name)


def test_looking_into_a_fresh_base_does_not_take_it_from_the_teacher(spawner, volume, image):
    base = volume("base")
    spawner.ensure_volume(base)
    with pytest.raises(EmptySource):
        spawner.copy(base.name, volume("take"), image, nothing)
    assert snapshot(base.name)["."]["uid"] == isolation.NOTEBOOK_UID


def test_without_the_image_there_is_a_clear_error(spawner, volume, base):
    with pytest.raises(ImageMissing):
        spawner.copy(base.name, volume("take"), "localhost/no-such-image:1", nothing)


def test_an_image_without_python_is_a_clear_error(spawner, volume, base, image, monkeypatch):
    make = isolation.copy_body
    monkeypatch.setattr(
        isolation, "copy_body", lambda *a, **k: make(*a, **k) | {"entrypoint": ["/no/python3"]}
    )
    with pytest.raises(SpawnerError):
        spawner.copy(base.name, volume("take"), image, nothing)


def test_a_path_that_is_too_long_is_refused_by_name(spawner, volume, image, base):
    deep = (
        "import os, sys\nos.chdir(sys.argv[1])\nfor _ in range(60): os.mkdir('n' * 100); os.chdir('n' * 100)"
    )
    inside(base.name, deep)
    with pytest.raises(SpawnerError) as caught:
        spawner.copy(base.name, volume("take"), image, nothing)
    assert caught.value.code == "volume.too_deep"


#: Turns folders into links to /etc and back, as fast as can be, until its standard input ends.
SWAP = """
import os, sys, threading
os.chdir(sys.argv[1])
for n in range(300):
    os.makedirs(f"{n}/f")
    open(f"{n}/f/own", "w").write("own")
    os.symlink("/etc", f"{n}/link")
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()
print("ready", flush=True)
while True:
    for n in range(300):
        os.rename(f"{n}/f", f"{n}/x")
        os.rename(f"{n}/link", f"{n}/f")
        os.rename(f"{n}/f", f"{n}/link")
        os.rename(f"{n}/x", f"{n}/f")
"""


def test_links_that_are_swapped_while_the_copy_runs_lead_nowhere(spawner, volume, image, base):
    command = ["podman", "unshare", "/usr/bin/python3", "-c", SWAP, folder(base.name)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd="/", **pipes) as swapping:
        assert swapping.stdout.readline() == b"ready\n"
        try:
            spawner.copy(base.name, volume("take"), image, nothing)
        except SpawnerError as err:
            assert err.code == "volume.copy"  # it never held still
    names = {Path(name).name for name in snapshot(volume("take").name)}
    assert names <= {"", "f", "x", "link", "own", "notebook.ipynb"} | {str(n) for n in range(300)}


def test_the_helper_has_nothing_but_the_two_volumes(spawner, volume, image, base, monkeypatch):
    make = isolation.copy_body
    bodies = []
    monkeypatch.setattr(isolation, "copy_body", lambda *a, **k: bodies.append(make(*a, **k)) or bodies[-1])
    spawner.copy(base.name, volume("take"), image, nothing)
    [body] = bodies
    body |= {
        "name": f"{body['name']}-look",
        "command": [],
        "entrypoint": ["python3", "-c", LOOK],
        "remove": False,
        "log_configuration": {"driver": "k8s-file"},
    }
    container = spawner.containers.create(body)
    spawner.engine.ask("post", f"/containers/{container}/start", expect=(204,))
    podman("wait", container)
    chown, dac_override, fowner, fsetid = (1 << number for number in (0, 1, 3, 4))
    expected = f"{chown | dac_override | fowner | fsetid:016x}"
    assert podman("logs", container) == f"{expected} 1 2 ['lo']\n[False, False, True]"


def test_a_helper_that_a_crash_left_is_replaced(spawner, volume, image, base):
    take = volume("take")
    spawner.ensure_volume(take)
    body = isolation.copy_body(base.name, take, image, digest=False, limit=60, controllers=())
    left = spawner.containers.create(body | {"entrypoint": ["sleep"], "command": ["60"]})
    spawner.engine.ask("post", f"/containers/{left}/start", expect=(204,))
    assert spawner.copy(base.name, take, image, nothing).files == 1


def test_of_two_copies_to_one_volume_one_is_whole_and_nothing_is_mixed(spawner, volume, image, base):
    outcomes = []

    def copy():
        try:
            outcomes.append(spawner.copy(base.name, volume("take"), image, nothing))
        except (SpawnerError, DependencyDown) as err:
            outcomes.append(err)

    threads = [threading.Thread(target=copy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any(not isinstance(outcome, Exception) for outcome in outcomes), outcomes
    assert snapshot(volume("take").name) == snapshot(base.name)


def test_a_caller_that_gives_up_ends_the_helper(spawner, volume, image, instance, large):
    def give_up(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spawner.copy(large.name, volume("take"), image, give_up)
    assert helpers(instance) == ""


def test_a_server_may_start_while_its_volume_is_filled(spawner, volume, image, base, server):
    spec = server()
    take = next(each for each in spawner.volumes(spec.instance) if each.name == spec.volume)
    starting = threading.Thread(target=spawner.start, args=(spec,))
    starting.start()
    spawner.copy(base.name, take, image, nothing)
    starting.join()
    assert spawner.status(spec.workspace).state == "running"
    assert snapshot(take.name)["notebook.ipynb"] == snapshot(base.name)["notebook.ipynb"]
    assert snapshot(take.name)["."]["uid"] == isolation.NOTEBOOK_UID
