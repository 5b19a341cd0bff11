"""The copy itself, on plain folders: what counts as work, what is copied, what the manifest says."""

import hashlib
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ipylti.servers import copier


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    yield folder
    remove(folder)


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    yield folder
    remove(folder)


def remove(folder):
    """Remove a tree that may be too deep for pytest's own way of tidying up."""
    subprocess.run(["rm", "-rf", folder], check=True)


def raw(path):
    return os.fsencode(path)


def deep(root, levels, name="d"):
    """Nest folders without ever naming a long path, as ``cd`` and ``mkdir`` in a loop do."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    return descriptor


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], False),
        (["data/"], False),
        ([".ipynb_checkpoints/a-checkpoint.ipynb"], False),
        (["week1/.ipynb_checkpoints/a-checkpoint.ipynb", ".virtual_documents/a.py", "lost+found/"], False),
        ([".Trash-1000/files/a.ipynb"], False),
        (["a.ipynb"], True),
        (["data/deep/er/a.csv"], True),
        ([".hidden"], True),
        (["lost+found"], True),
        ([".ipynb_checkpoints/a", "b"], True),
    ],
)
def test_folders_and_editors_scraps_are_nobodys_work(source, paths, expected):
    for path in paths:
        place = source / path
        if path.endswith("/"):
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("x")
    assert copier.holds_work(raw(source)) is expected


def test_a_link_alone_is_work_and_is_not_followed(source):
    (source / "link").symlink_to("/nonexistent")
    assert copier.holds_work(raw(source))


def test_what_the_target_held_is_gone_afterwards(source, target):
    (source / "new").write_text("new")
    (target / "old").write_text("old")
    (target / ".old").mkdir()
    (target / ".old" / "file").write_text("old")
    (target / "new").mkdir()
    copier.copy(raw(source), raw(target))
    assert sorted(os.listdir(target)) == ["new"]
    assert (target / "new").read_text() == "new"


def test_the_root_folders_own_permissions_and_times_are_copied(source, target):
    (source / "a").write_text("a")
    source.chmod(0o2750)
    os.utime(source, ns=(1_000_000_007, 2_000_000_003))
    copier.copy(raw(source), raw(target))
    assert stat.S_IMODE(target.stat().st_mode) == 0o2750
    assert target.stat().st_mtime_ns == 2_000_000_003


def test_pipes_and_sockets_are_copied_without_being_opened(source, target):
    (source / "a").write_text("a")
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(source / "socket"))
        copier.copy(raw(source), raw(target))
    assert stat.S_ISFIFO((target / "pipe").lstat().st_mode)
    assert stat.S_ISSOCK((target / "socket").lstat().st_mode)
    assert b"p 0644 0 - pipe\n" in list(copier.manifest(raw(target)))


def test_a_tree_deeper_than_pythons_stack_is_copied_and_hashed(source, target):
    deepest = deep(source, 1100)
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=deepest))
    os.close(deepest)
    copier.copy(raw(source), raw(target))
    assert len(list(copier.manifest(raw(target)))) == 1101


def test_a_tree_too_deep_for_any_path_is_refused_by_name_and_can_be_wiped(source, target):
    os.close(deep(source, 60, "n" * 100))
    (source / "a").write_text("a")
    with pytest.raises(copier.Failed) as caught:
        copier.copy(raw(source), raw(target))
    assert caught.value.args[0] == "volume.too_deep"
    copier.wipe(raw(source))
    assert os.listdir(source) == []


def test_a_source_that_is_being_worked_in_is_copied_all_the_same(source, target):
    (source / "kept").write_text("kept")
    for number in range(300):
        (source / f"file{number}").write_text("x")
    done = threading.Event()

    def work():
        number = 0
        while not done.is_set():
            (source / f"file{number % 300}").unlink()
            (source / f"file{number % 300}").write_text("y")
            number += 1

    worker = threading.Thread(target=work)
    worker.start()
    try:
        copier.copy(raw(source), raw(target))
    finally:
        done.set()
        worker.join()
    assert (target / "kept").read_text() == "kept"


def complaining(monkeypatch, *rounds):
    """Have cp complain like this, one list for each time it runs."""
    left = list(rounds)
    monkeypatch.setattr(copier, "_cp", lambda source, target, follow: left.pop(0))
    return left


def test_a_copy_with_complaints_is_made_again(source, target, monkeypatch):
    left = complaining(monkeypatch, [b"cp: skipping file 'a', as it was replaced while being copied"], [])
    copier.copy(raw(source), raw(target))
    assert left == []


def test_a_copy_that_still_lacks_only_vanished_files_stands(source, target, monkeypatch):
    complaining(monkeypatch, *[[b"cp: cannot stat 'a': No such file or directory"]] * 3)
    copier.copy(raw(source), raw(target))


@pytest.mark.parametrize(
    ("complaint", "code"),
    [
        (b"cp: skipping file 'a', as it was replaced while being copied", "volume.copy"),
        (b"cp: error reading 'a': Input/output error", "volume.copy"),
        (b"cp: error writing 'a': No space left on device", "volume.no_space"),
        (b"cp: error writing 'a': Disk quota exceeded", "volume.no_space"),
    ],
)
def test_a_copy_that_lacks_more_fails_with_a_code(source, target, monkeypatch, complaint, code):
    vanished = b"cp: cannot stat 'b': No such file or directory"
    complaining(monkeypatch, *[[vanished, complaint]] * 3)
    with pytest.raises(copier.Failed) as caught:
        copier.copy(raw(source), raw(target))
    assert caught.value.args[0] == code


def test_the_manifest_is_what_its_description_says(source):
    (source / "b c").write_bytes(b"hello")
    (source / "b c").chmod(0o4750)
    (source / "a").mkdir(mode=0o700)
    (source / "a" / "z\n%").write_bytes(b"")
    (source / "a" / "z\n%").chmod(0o644)
    (source / "a.b").symlink_to("../é")
    os.mkdir(raw(source) + b"/\xff", 0o755)
    (source / "a").chmod(0o700)
    os.chmod(raw(source) + b"/\xff", 0o755)
    hello, nothing = (hashlib.sha256(text).hexdigest().encode() for text in (b"hello", b""))
    lines = [
        b"d 0700 0 - a\n",
        b"l 0777 0 ../%C3%A9 a.b\n",
        b"f 0644 0 " + nothing + b" a/z%0A%25\n",
        b"f 4750 5 " + hello + b" b%20c\n",
        b"d 0755 0 - %FF\n",
    ]
    assert list(copier.manifest(raw(source))) == lines
    assert copier.digest(raw(source)) == (hashlib.sha256(b"".join(lines)).hexdigest(), lines)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "file").write_text("texT"),
        lambda root: (root / "file").chmod(0o600),
        lambda root: (root / "file").rename(root / "File"),
        lambda root: (root / "more").mkdir(),
        lambda root: ((root / "link").unlink(), (root / "link").symlink_to("elsewhere")),
    ],
)
def test_every_change_changes_the_digest(source, change):
    (source / "file").write_text("text")
    (source / "link").symlink_to("file")
    before = copier.digest(raw(source))
    assert copier.digest(raw(source)) == before
    change(source)
    assert copier.digest(raw(source)) != before


def test_hard_links_count_once_and_links_as_files(source):
    (source / "a").write_bytes(b"x" * 100)
    os.link(source / "a", source / "b")
    (source / "c").symlink_to("a")
    (source / "d").mkdir()
    assert copier.measure(raw(source)) == (100, 3)


def run(*words, BEAT="0.5"):
    """Run the helper's program as the container does, and return its lines."""
    program = Path(copier.__file__).read_text().replace("BEAT = 0.5", f"BEAT = {BEAT}")
    # Not the whole of the machine's disk for each test.
    program = program.replace('SYNC = ["sync", "-f", "--"]', 'SYNC = ["true"]')
    command = [sys.executable, "-I", "-S", "-c", program, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.splitlines()


def test_the_program_says_what_it_copied(source, target):
    (source / "a").write_bytes(b"x" * 100)
    assert run(source, target, "plain", 60)[-1] == "copied 100 1 -"
    assert run(source, target, "digest", 60)[-1] == f"copied 100 1 {copier.digest(raw(source))[0]}"


def test_the_program_tells_the_manifests_first_lines(source, target):
    """Each in one line of ASCII, whatever a name is made of."""
    (source / "a b\nentry f 0600 0 - c").write_bytes(b"x" * 100)
    (source / "d").mkdir()
    lines = [line for line in run(source, target, "digest", 60) if line.startswith("entry ")]
    assert lines == [f"entry {line.decode().strip()}" for line in copier.manifest(raw(source))]
    assert lines[0].endswith(" a%20b%0Aentry%20f%200600%200%20-%20c")


@pytest.mark.parametrize(("limit", "told"), [("TOLD", 3), ("TOLD_BYTES", 3 * 85)])
def test_not_more_than_so_much_is_told(source, monkeypatch, limit, told):
    for number in range(7):
        (source / f"file{number}").write_text("x")
    monkeypatch.setattr(copier, limit, told)
    assert len(copier.digest(raw(source))[1]) == 3


def test_the_program_says_that_there_is_nothing(source, target):
    (target / "left").write_text("as it was")
    assert run(source, target, "plain", 60) == ["empty"]
    assert (target / "left").exists()


def test_of_finished_work_nothing_at_all_is_a_copy_too(source, target):
    (target / "left").write_text("of an earlier copy")
    assert run(source, target, "digest", 60)[-1] == f"copied 0 0 {hashlib.sha256().hexdigest()}"
    assert not list(target.iterdir())


def test_the_program_says_why_it_failed_in_one_plain_line(source, tmp_path):
    (source / "a").write_text("a")
    [line] = run(source, tmp_path / "näher\nda", "plain", 60)
    assert line.startswith("failed volume.copy ")
    assert line.isascii()


def test_the_program_ends_when_its_time_is_up(source, target):
    (source / "a").write_text("a")
    with open(source / "sparse", "wb") as file:
        file.truncate(1 << 40)
    lines = run(source, target, "digest", 1)
    assert lines[-1] == "failed volume.timeout the copy took too long"


def test_a_copy_that_hangs_is_given_up(source, monkeypatch):
    """As one does whose file became a named pipe in the moment before cp opened it."""

    def give_up(code, reason):
        raise copier.Failed(code, reason)

    monkeypatch.setattr(copier, "give_up", give_up)
    monkeypatch.setattr(copier, "STALL", 0.05)
    os.mkfifo(source / "pipe")
    watch = copier.Watch(raw(source), 60.0)
    with subprocess.Popen(["cat", source / "pipe"]) as hanging:
        watch.follow(hanging.pid)
        with pytest.raises(copier.Failed) as caught:
            for _ in range(100):
                watch.look()
                time.sleep(0.06)
        hanging.kill()
    assert caught.value.args[0] == "volume.stuck"


def test_progress_goes_up_to_the_whole(source, target):
    with open(source / "big", "wb") as file:
        for _ in range(128):
            file.write(os.urandom(1 << 20))
    *lines, last = run(source, target, "digest", 60, BEAT="0.01")
    # Progress goes on being told while the copy is hashed and its entries are.
    (entry,) = [line for line in lines if line.startswith("entry ")]
    progress = [line for line in lines if line != entry]
    assert entry.startswith("entry f 0")
    assert last.startswith(f"copied {128 << 20} 1 ")
    seen = [tuple(map(int, line.removeprefix("progress ").split())) for line in progress]
    assert {total for _, total in seen} == {128 << 20}
    assert seen == sorted(seen)
    assert seen[-1] == (128 << 20, 128 << 20)
