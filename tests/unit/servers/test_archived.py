"""What is in an archive, told without unpacking it: the same as of the tree itself; hostile trees, too."""

import os
import random
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from ipylti.servers import archived, archiver, copier


def archive(root: Path) -> list[bytes]:
    """Make a folder's archive, as the helper does."""
    watch = create_autospec(archiver.Watch, instance=True, late=False)
    return list(archiver.archive(os.fsencode(root), watch))


def populate(root: Path, seed: int) -> None:
    """Fill a folder with whatever may be in one."""
    chance = random.Random(seed)
    top = os.fsencode(root)
    folders = [top]
    for number in range(chance.randrange(40)):
        word = bytes(chance.choice(b"ab \n\xff\"'*\\$-=\xc3\xbc\t") for _ in range(chance.randrange(1, 200)))
        path = os.path.join(chance.choice(folders), word + b"%d" % number)
        kind = chance.randrange(7)
        if kind == 0:
            os.mkdir(path, 0o700)
            folders.append(path)
        elif kind == 1:
            os.symlink(b"../" * chance.randrange(9) + word, path)
        elif kind == 2:
            os.mkfifo(path)
        else:
            with open(path, "wb") as file:
                file.truncate(chance.choice([0, 1 << 20, 5 << 20]))
                file.seek(chance.randrange(1 << 20))
                file.write(chance.randbytes(chance.randrange(100_000)))
            os.chmod(path, chance.choice([0o600, 0o644, 0o4755]))
            if kind == 3:
                os.link(path, path + b" linked")
            elif kind == 4:
                os.setxattr(path, b"user." + b"chance=1", b"21 hdrcharset=BINARY\n" + chance.randbytes(9))


@pytest.mark.parametrize("seed", range(12))
def test_an_archives_digest_is_its_trees(tmp_path: Path, seed: int) -> None:
    populate(tmp_path, seed)
    found = archived.digest(iter(archive(tmp_path)))
    assert found == copier.digest(os.fsencode(tmp_path))[0]


def test_a_socket_is_in_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    socket.socket(socket.AF_UNIX).bind("socket")
    assert archived.digest(iter(archive(tmp_path))) == copier.digest(os.fsencode(tmp_path))[0]


def test_a_hole_without_end_is_not_hashed(tmp_path: Path) -> None:
    with open(tmp_path / "hole", "wb") as file:
        file.truncate(1 << 42)
    pieces = archive(tmp_path)
    assert sum(map(len, pieces)) < 100_000
    assert archived.digest(iter(pieces)) == ""


@pytest.mark.parametrize("kept", [0, 100, 700, 5000, 20_000])
def test_of_a_broken_archive_nothing_is_told_and_all_is_read(tmp_path: Path, kept: int) -> None:
    (tmp_path / "file").write_bytes(os.urandom(50_000))
    content = b"".join(archive(tmp_path))
    left: list[bytes] = [content[:kept], os.urandom(30_000), b"the last"]

    def pieces() -> Iterator[bytes]:
        while left:
            yield left.pop(0)

    whole = copier.digest(os.fsencode(tmp_path))[0]
    assert archived.digest(pieces()) != whole
    assert left == []


def test_what_is_no_archive_of_ours_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with tarfile.open(tmp_path / "other.tar", "w") as other:
        other.add(tmp_path / "file", "file")
    assert archived.digest(iter([(tmp_path / "other.tar").read_bytes()])) == ""


def test_a_fingerprint_tells_every_change(tmp_path: Path) -> None:
    root, later = os.fsencode(tmp_path), 1 << 62
    (tmp_path / "a").write_text("a")
    seen = [archiver.fingerprint(root, later)]
    changes = [
        lambda: (tmp_path / "a").write_text("b"),
        lambda: (tmp_path / "a").chmod(0o600),
        lambda: (tmp_path / "b").symlink_to("a"),
        lambda: (tmp_path / "a").rename(tmp_path / "c"),
        lambda: os.setxattr(tmp_path / "c", "user.x", b"y"),
        lambda: (tmp_path / "b").unlink(),
        lambda: tmp_path.chmod(0o701),
    ]
    for change in changes:
        change()
        seen.append(archiver.fingerprint(root, later))
    assert len(set(seen)) == len(seen)
    assert archiver.fingerprint(root, later) == seen[-1]


def test_of_a_tree_that_has_just_changed_there_is_no_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    changed = (tmp_path / "a").stat().st_ctime_ns
    assert archiver.fingerprint(os.fsencode(tmp_path), changed) == ""
    assert archiver.fingerprint(os.fsencode(tmp_path), changed + archiver.YOUNG + 10**9) != ""
