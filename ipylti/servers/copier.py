"""What runs inside the helper container that copies one volume to another.

The spawner hands this file's text to ``python3 -I -S -c``, so it imports nothing but the standard library.
It runs there and not on the host because a volume's content is hostile: a symbolic link that is swapped in
while the copy runs may lead to any path, and in the helper there is nothing at any path but the image.

It prints one line per event, in ASCII:

    progress <bytes copied so far> <bytes in all>    about twice a second
    entry <line of the manifest>                     the first ones, of a copy with a digest
    copied <bytes> <files> <SHA-256 of the manifest, or ->
    empty                                            the source holds nothing of anybody's (of a copy with a
                                                     digest, which is of finished work, that is not said)
    failed <code> <what happened>

What a tree may hold, and what becomes of it: regular files (holes stay holes), folders, symbolic links (never
followed), hard links (to each other within the tree), named pipes and sockets are copied as what they are,
with owner, permissions, times and extended attributes. Nothing but regular files is ever opened for
reading. A path of more than 4,096 bytes stops the copy (``volume.too_deep``).

Canonical manifest
------------------

A submission's receipt is the SHA-256 of its manifest; anybody who holds the files can make it again with
:func:`manifest`. Text in ASCII, one line ended by a line feed for each entry below the volume's root, in the
order of the paths' bytes; the root itself is left out. Five fields with one space between them:

1. the type: ``f`` file, ``d`` folder, ``l`` symbolic link, ``p`` named pipe, ``s`` socket;
2. the permissions, set-user-ID, set-group-ID and sticky bits included: four octal digits;
3. the size in bytes of a file, ``0`` for anything else;
4. a file's SHA-256 in hexadecimal; a link's target, percent-encoded; ``-`` for anything else;
5. the path, relative to the root, percent-encoded.

Percent-encoded: each byte but ``A-Z a-z 0-9 _ . - ~ /`` is ``%`` and two upper-case hexadecimal digits.
"""

import hashlib
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

#: Folders that Jupyter and file systems make by themselves: what is in them is nobody's work.
SCRAPS = frozenset({b".ipynb_checkpoints", b".virtual_documents", b".Trash-0", b".Trash-1000", b"lost+found"})

#: In the root of a volume that is being filled from an archive (:mod:`ipylti.servers.archiver`). It is root's
#: there, and people's programs can't make a file of root's: so what is in such a volume is nobody's work.
MARK = b".ipylti-restoring"

#: How often a copy is made anew because the source changed while it was read.
ATTEMPTS = 3

#: Seconds between two progress lines.
BEAT = 0.5

#: Seconds without any work done after which ``cp`` is taken to hang, as it does on a named pipe that somebody
#: puts in a file's place in the moment before it is opened.
STALL = 30.0

#: How many lines of the manifest are told, and how many bytes of them, to show what was copied.
TOLD = 1000
TOLD_BYTES = 1 << 18

#: Writes the target's file system to disk (syncfs(2)): for many files much quicker than fsync(2) of each.
SYNC = ["sync", "-f", "--"]

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~/")
_ENCODED = [b"%c" % byte if byte in _SAFE else b"%%%02X" % byte for byte in range(256)]
_VANISHED = b": No such file or directory"
_CODES = {
    b": File name too long": "volume.too_deep",
    b": No space left on device": "volume.no_space",
    b": Disk quota exceeded": "volume.no_space",
}


class Failed(Exception):
    """The copy can't be made; ``args`` are a code and one line of explanation."""


def walk(root: bytes, *, moving: bool = False) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield the relative path and status of every entry below a folder, links not followed, folders first.

    Without recursion, since a tree may be nested deeper than Python's stack allows.

    :param moving: pass over what can't be looked at, as it vanished or its path is too long for the system,
        instead of raising OSError.
    """
    pending = [b""]
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(os.path.join(root, folder)))
        except OSError:
            if moving:
                continue
            raise
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                if moving:
                    continue
                raise
            path = os.path.join(folder, entry.name)
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                pending.append(path)


def holds_work(root: bytes) -> bool:
    """Return whether there is anything but folders and :data:`SCRAPS` below a folder."""
    return any(
        not stat.S_ISDIR(status.st_mode) and SCRAPS.isdisjoint(path.split(b"/")[:-1])
        for path, status in walk(root, moving=True)
    )


def is_half(root: bytes) -> bool:
    """Return whether a volume is being filled from an archive, or was when whoever did so was killed."""
    try:
        found = os.lstat(os.path.join(root, MARK))
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == 0


def wipe(root: bytes, spared: bytes = b"") -> None:
    """Remove everything below a folder, whatever its depth and permissions, but one entry of this name."""
    entries = [os.path.join(root, name) for name in os.listdir(root) if name != spared]
    for start in range(0, len(entries), 1000):
        subprocess.run([b"rm", b"-rf", b"--", *entries[start : start + 1000]], check=True)  # noqa: S603


#: Told the process to watch, and None when it has ended.
Follow = Callable[[int | None], None]


def copy(source: bytes, target: bytes, follow: Follow = lambda pid: None) -> None:
    """Make the target's content, owner, permissions and times those of the source.

    The source may be a running server's. A file that is gone when its turn comes was removed in time, one
    that was replaced between two looks is not: so when ``cp`` complains, all is done again, and only if the
    last complaint is of vanished files alone, the copy stands.

    :raises Failed: it can't be done, or the source never holds still.
    """
    complaints: list[bytes] = []
    for _ in range(ATTEMPTS):
        wipe(target)
        complaints = _cp(source, target, follow)
        if not complaints:
            return
        for line in complaints:
            for ending, code in _CODES.items():
                if line.endswith(ending):
                    raise Failed(code, line.decode(errors="replace"))
    serious = [line for line in complaints if not line.endswith(_VANISHED)]
    if serious:
        raise Failed("volume.copy", serious[0].decode(errors="replace"))


def _cp(source: bytes, target: bytes, follow: Follow) -> list[bytes]:
    """Run ``cp`` once and return what it complained of, one line for each."""
    command = [b"cp", b"-a", b"--reflink=auto", b"-T", b"--", source, target]
    # In the C locale, cp quotes line feeds and the like in names: a name can't forge a line.
    environment = {**os.environ, "LC_ALL": "C"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as process:  # noqa: S603
        assert process.stderr
        follow(process.pid)
        complaints: list[bytes] = []
        for line in process.stderr:
            if len(complaints) < 1000:
                complaints.append(line.rstrip(b"\n"))
    follow(None)
    if process.returncode and not complaints:
        complaints.append(b"cp: ended with status %d" % process.returncode)
    return complaints


def manifest(root: bytes) -> Iterator[bytes]:
    """Yield the lines of the canonical manifest of a tree that nobody changes meanwhile."""
    for path, status in sorted(walk(root)):
        kind, size, content = _described(os.path.join(root, path), status)
        yield manifest_line(kind, status.st_mode, size, content, path)


def manifest_line(kind: bytes, mode: int, size: int, content: bytes, path: bytes) -> bytes:
    """Return one line of a canonical manifest."""
    return b"%s %04o %d %s %s\n" % (kind, stat.S_IMODE(mode), size, content, encoded(path))


def _described(path: bytes, status: os.stat_result) -> tuple[bytes, int, bytes]:
    """Return a manifest line's type, size and content."""
    mode = status.st_mode
    if stat.S_ISREG(mode):
        # Neither flag matters in a tree that holds still; in any other they keep a link or a pipe out.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return b"f", status.st_size, hashlib.file_digest(file, "sha256").hexdigest().encode()
    if stat.S_ISDIR(mode):
        return b"d", 0, b"-"
    if stat.S_ISLNK(mode):
        return b"l", 0, encoded(os.readlink(path))
    if stat.S_ISFIFO(mode):
        return b"p", 0, b"-"
    if stat.S_ISSOCK(mode):
        return b"s", 0, b"-"
    raise Failed("volume.copy", "a device file")


def encoded(raw: bytes) -> bytes:
    """Return bytes percent-encoded."""
    return b"".join(map(_ENCODED.__getitem__, raw))


def digest(root: bytes) -> tuple[str, list[bytes]]:
    """Return the SHA-256 of a tree's canonical manifest, in hexadecimal, and its first lines."""
    hashed = hashlib.sha256()
    told: list[bytes] = []
    room = TOLD_BYTES
    for line in manifest(root):
        hashed.update(line)
        room -= len(line)
        if room >= 0 and len(told) < TOLD:
            told.append(line)
    return hashed.hexdigest(), told


def measure(root: bytes) -> tuple[int, int]:
    """Return the bytes in regular files, hard links counted once, and the number of files and links."""
    size = files = 0
    seen = set()
    for _, status in walk(root, moving=True):
        if stat.S_ISREG(status.st_mode):
            files += 1
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            size += status.st_size
        elif stat.S_ISLNK(status.st_mode):
            files += 1
    return size, files


class Watch(threading.Thread):
    """Prints progress, and ends the whole process when time is up or ``cp`` hangs.

    As the helper's first process: when it ends, the kernel ends whatever else runs in the container.
    """

    def __init__(self, source: bytes, limit: float) -> None:
        super().__init__(daemon=True)
        self.source = source
        self.deadline = time.monotonic() + limit
        self.total: int | None = None
        self.done = 0
        self.pid: int | None = None
        self.last = b""
        self.since = 0.0

    def follow(self, pid: int | None) -> None:
        """Take the progress from this process from now on; None when it ended and all is copied."""
        self.pid = pid
        if pid is None:
            self.done = sys.maxsize

    def run(self) -> None:
        while True:
            time.sleep(BEAT)
            self.look()

    def look(self) -> None:
        """Print the progress, or end it all."""
        now = time.monotonic()
        if now > self.deadline:
            give_up("volume.timeout", "the copy took too long")
        activity = self.activity()
        if activity != self.last or not activity:
            self.last, self.since = activity, now
        elif now - self.since > STALL:
            give_up("volume.stuck", "the copy does not get on")
        if self.total is None:
            # Counted only when a copy lasts, and then beside it.
            self.total = sum(
                min(status.st_size, status.st_blocks * 512)
                for _, status in walk(self.source, moving=True)
                if stat.S_ISREG(status.st_mode)
            )
        say("progress", min(self.done, self.total), self.total)

    def activity(self) -> bytes:
        """Return what changes as long as ``cp`` works, and note how much it wrote (proc(5)).

        A file that is copied within the kernel by one call counts as written (``wchar``) only when the
        call returns; its pages count as made dirty (``write_bytes``) one by one.
        """
        try:
            with open(f"/proc/{self.pid}/io", "rb") as file:
                counters = file.read()
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                times = file.read().rpartition(b")")[2].split()[11:13]
        except OSError:
            return b""
        for counter in (b"\nwchar:", b"\nwrite_bytes:"):
            self.done = max(self.done, int(counters.partition(counter)[2].split()[0]))
        return b" ".join([counters, *times])


def say(*words: object) -> None:
    """Print one line at once, and by one call: two threads do."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def give_up(code: str, reason: str) -> NoReturn:
    """Say why and end at once, from whichever thread."""
    say("failed", code, reason.encode("ascii", "backslashreplace").decode().replace("\n", " "))
    os._exit(1)


def main(source: str, target: str, with_digest: str, limit: str) -> None:
    """Copy the folder ``source`` to the folder ``target``.

    The copy is on disk before anybody hears of it: what counts as copied once is never copied again.

    :param with_digest: ``digest`` or ``plain``.
    :param limit: seconds that all of it may take.
    """
    here, there = os.fsencode(source), os.fsencode(target)
    watch = Watch(here, float(limit))
    watch.start()
    try:
        if is_half(here):
            raise Failed("archive.half", "it is being restored")
        if with_digest != "digest" and not holds_work(here):
            say("empty")
            return
        copy(here, there, watch.follow)
        with subprocess.Popen([*SYNC, target]) as sync:  # noqa: S603
            # The data go to disk while they are hashed and counted.
            hashed, told = digest(there) if with_digest == "digest" else ("-", [])
            size, files = measure(there)
        if sync.returncode:
            raise Failed("volume.copy", "sync failed")
        for line in told:
            say("entry", line.decode().rstrip("\n"))
        say("copied", size, files, hashed)
    except Failed as err:
        give_up(*err.args)
    except (OSError, subprocess.SubprocessError) as err:
        give_up("volume.copy", str(err))


if __name__ == "__main__":
    main(*sys.argv[1:])
