"""What runs inside the helper container that turns volumes into archives and back.

The spawner hands this file's text to ``python3 -I -S -c``, with the copier's before it, so it imports nothing
but the standard library and that. As with the copier, a volume's content is hostile, and in the helper there
is nothing that it could lead to. Volumes are mounted as ``/volumes/0``, ``/volumes/1`` and so on.

Standard output is a sequence of frames: one byte for the kind, the length in four bytes, most significant
first, and so many bytes.

    D    a piece of the present volume's archive
    E    the present volume is done; JSON of how it ended; the next volume follows
    B    nothing but a sign of life

An archive is a tar file (POSIX.1-2001, pax) of GNU tar's making, in the order of names, so that equal trees
make equal archives. Before it stands a global pax header whose ``IPYLTI.sockets`` is a JSON list of the
sockets, which no tar keeps: path (in hexadecimal), permissions, owner, group and time of change in ns.
"""

import hashlib
import json
import os
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

from ipylti.servers.copier import MARK, SYNC, Failed, digest, is_half, measure, walk, wipe

VOLUMES = "/volumes"
ARCHIVES = "/ipylti-archives"

SOCKETS = "IPYLTI.sockets"

#: Seconds between two signs of life.
BEAT = 5.0

#: A tree with a change as young as this many ns may change again within one tick of the file system's clock:
#: its fingerprint is not told.
YOUNG = 2_000_000_000

_KEEP = ["--xattrs", "--xattrs-include=user.*", "--acls", "--numeric-owner"]
_CREATE = [
    *("tar", "--create", "--format=posix", "--sort=name", "--sparse", *_KEEP),
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
    *("--file=-", "--directory"),
]
_EXTRACT = ["tar", "--extract", "--same-owner", "--same-permissions", *_KEEP, "--delay-directory-restore"]

#: Of what tar says, what is no loss: a file that went or changed meanwhile, and a path that is too long for
#: the system to be named by anybody.
_HARMLESS = (
    b": No such file or directory",
    b": File name too long",
    b"Exiting with failure status due to previous errors",
)
_CODES = {b": No space left on device": "volume.no_space", b": Disk quota exceeded": "volume.no_space"}

_BLOCK = 512
_PIECE = 1 << 18


class Output:
    """Standard output, in frames; two threads write."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.lock = threading.Lock()

    def send(self, kind: bytes, data: bytes = b"") -> None:
        """Write one frame."""
        with self.lock:
            self.file.write(kind + len(data).to_bytes(4, "big") + data)
            self.file.flush()

    def end(self, **how: Any) -> None:
        """Say how the present volume ended."""
        self.send(b"E", json.dumps(how).encode())


class Watch(threading.Thread):
    """Gives signs of life, and ends a ``tar`` that takes too long.

    :param limit: seconds for one volume.
    """

    def __init__(self, output: Output, limit: float) -> None:
        super().__init__(daemon=True)
        self.output = output
        self.limit = limit
        self.since = time.monotonic()
        self.process: subprocess.Popen[bytes] | None = None
        self.late = False

    def follow(self, process: "subprocess.Popen[bytes] | None") -> None:
        """Watch this process from now on."""
        self.since, self.process, self.late = time.monotonic(), process, False

    def run(self) -> None:
        while True:
            time.sleep(BEAT)
            self.output.send(b"B")
            if self.process is not None and time.monotonic() - self.since > self.limit:
                self.late = True
                self.process.kill()


def fingerprint(root: bytes, now_ns: int) -> str:
    """Return a hash of what every change of a tree changes, or "" where it changed just now.

    No content is read: the kernel sets a file's time of status change (``ctime``), whatever changes. What a
    program writes through a memory map does so only when the page was clean before: the tree has to be
    synced first.
    """
    hashed = hashlib.sha256()
    entries = [(b"", os.lstat(root)), *sorted(walk(root, moving=True))]
    for path, found in entries:
        if found.st_ctime_ns > now_ns - YOUNG:
            return ""
        told = (found.st_mode, found.st_uid, found.st_gid, found.st_size, found.st_ino, found.st_nlink)
        hashed.update(b"%d %d:%s\n" % (found.st_dev, len(path), path))
        hashed.update(repr((*told, found.st_mtime_ns, found.st_ctime_ns)).encode())
    return hashed.hexdigest()


def sockets(root: bytes) -> list[list[Any]]:
    """Return a tree's sockets as they stand in an archive's header."""
    return [
        [path.hex(), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns]
        for path, found in sorted(walk(root, moving=True))
        if stat.S_ISSOCK(found.st_mode)
    ]


def archive(root: bytes, watch: Watch) -> Iterator[bytes]:
    """Yield a tree's archive. The tree may change meanwhile: a file goes in with the size that it had first.

    :raises Failed: there is a loss.
    """
    if is_half(root):
        raise Failed("archive.half", "a restore did not come to its end")
    yield tarfile.TarInfo.create_pax_global_header({SOCKETS: json.dumps(sockets(root))})
    with _tar([*map(os.fsencode, _CREATE), root, b"."], watch, stdin=subprocess.DEVNULL) as process:
        assert process.stdout and process.stderr
        complaints: list[bytes] = []
        reading = threading.Thread(target=_collect, args=(process.stderr, complaints), daemon=True)
        reading.start()
        while piece := process.stdout.read(_PIECE):
            yield piece
        reading.join()
    _judge(process, complaints, watch)


def extract(file: BinaryIO, root: bytes, watch: Watch) -> None:
    """Fill a folder, which loses all that it held, from an archive.

    :raises Failed: there is a loss.
    """
    mark = os.path.join(root, MARK)
    if not is_half(root):
        subprocess.run([b"rm", b"-rf", b"--", mark], check=True)  # noqa: S603
        os.mknod(mark, stat.S_IFREG | 0o600)
    wipe(root, spared=MARK)
    # Or what is made in the folder takes over its group and access control list.
    os.chmod(root, 0o700)
    for name in os.listxattr(root):
        os.removexattr(root, name)
    told = _header(file)
    complaints: list[bytes] = []
    command = [*map(os.fsencode, _EXTRACT), b"--file=-", b"--directory", root]
    with _tar(command, watch, stdin=subprocess.PIPE) as process:
        assert process.stdin and process.stderr
        reading = threading.Thread(target=_collect, args=(process.stderr, complaints), daemon=True)
        reading.start()
        try:
            while piece := file.read(_PIECE):
                process.stdin.write(piece)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it says why
        reading.join()
    _judge(process, complaints, watch)
    _make_sockets(root, told)
    # The mark goes last: the folder itself is then as the archive says, but for the time.
    found = os.lstat(root)
    subprocess.run([*SYNC, root], check=True)  # noqa: S603
    os.unlink(mark)
    os.utime(root, ns=(found.st_atime_ns, found.st_mtime_ns))
    subprocess.run([*SYNC, root], check=True)  # noqa: S603


def _make_sockets(root: bytes, told: list[list[Any]]) -> None:
    for path, mode, uid, gid, changed in told:
        place = os.path.join(root, bytes.fromhex(path))
        parent = os.path.dirname(place)
        before = os.lstat(parent)
        os.mknod(place, stat.S_IFSOCK | 0o600)
        os.lchown(place, uid, gid)
        os.chmod(place, mode)
        os.utime(place, ns=(changed, changed))
        os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))


def _header(file: BinaryIO) -> list[list[Any]]:
    """Read the global header; return the sockets."""
    first = file.read(_BLOCK)
    info = tarfile.TarInfo.frombuf(first, "utf-8", "surrogateescape")
    if info.type != tarfile.XGLTYPE:
        raise Failed("archive.failed", "not an archive of ipylti's")
    record = file.read(-(-info.size // _BLOCK) * _BLOCK)[: info.size]
    name, found, value = record.partition(b" ")[2].rstrip(b"\n").partition(b"=")
    if not found or name.decode() != SOCKETS:
        raise Failed("archive.failed", "not an archive of ipylti's")
    return list(json.loads(value))


def _tar(command: list[bytes], watch: Watch, stdin: int) -> "subprocess.Popen[bytes]":
    # In the C locale, tar quotes line feeds and the like in names: a name can't forge a line.
    process = subprocess.Popen(  # noqa: S603
        command,
        stdin=stdin,
        stdout=subprocess.PIPE if stdin == subprocess.DEVNULL else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
    )
    watch.follow(process)
    return process


def _collect(file: Any, lines: list[bytes]) -> None:
    for line in file:
        if len(lines) < 1000:
            lines.append(line.rstrip(b"\n"))


def _judge(process: "subprocess.Popen[bytes]", complaints: list[bytes], watch: Watch) -> None:
    """Raise Failed where tar lost something (GNU tar, "Return Values"; 1 is a file that changed)."""
    late = watch.late
    watch.follow(None)
    if late:
        raise Failed("volume.timeout", "tar took too long")
    if process.returncode in (0, 1):
        return
    serious = [line for line in complaints if not line.endswith(_HARMLESS)] if process.returncode == 2 else []
    # Warnings stand among the errors, and are no reason.
    serious = [line for line in serious if not line.endswith((b"socket ignored", b"as we read it"))]
    if serious or process.returncode != 2:
        last = serious[0] if serious else b"tar ended with status %d" % process.returncode
        code = next((code for ending, code in _CODES.items() if last.endswith(ending)), "archive.failed")
        raise Failed(code, last.decode(errors="replace"))


def export(output: Output, watch: Watch, known: list[str]) -> None:
    """Send the archive of each volume whose fingerprint is not the one that is known."""
    subprocess.run([*SYNC, f"{VOLUMES}/0"], check=True)  # noqa: S603
    for number, before in enumerate(known):
        root = os.fsencode(f"{VOLUMES}/{number}")
        try:
            found = fingerprint(root, time.time_ns())
            changed = not found or found != before
            for piece in archive(root, watch) if changed else ():
                output.send(b"D", piece)
            output.end(outcome="exported" if changed else "unchanged", fingerprint=found)
        except Failed as err:
            output.end(outcome="failed", code=err.args[0], detail=err.args[1])
        except OSError as err:
            output.end(outcome="failed", code="archive.failed", detail=str(err))


def import_(output: Output, watch: Watch, count: int) -> None:
    """Fill each volume from its archive, and say what is in it then."""
    for number in range(count):
        root = os.fsencode(f"{VOLUMES}/{number}")
        try:
            with open(f"{ARCHIVES}/{number}.tar", "rb", buffering=0) as file:
                extract(file, root, watch)
            output.end(outcome="imported", digest=digest(root)[0])
        except Failed as err:
            output.end(outcome="failed", code=err.args[0], detail=err.args[1])
        except (OSError, subprocess.SubprocessError) as err:
            output.end(outcome="failed", code="archive.failed", detail=str(err))


def inspect(output: Output, count: int) -> None:
    """Say what is in each volume."""
    for number in range(count):
        root = os.fsencode(f"{VOLUMES}/{number}")
        try:
            half = is_half(root)
            size, files = measure(root)
            output.end(outcome="inspected", digest="" if half else digest(root)[0], size=size, files=files)
        except Failed as err:
            output.end(outcome="failed", code=err.args[0], detail=err.args[1])
        except OSError as err:
            output.end(outcome="failed", code="archive.failed", detail=str(err))


def main(what: str, limit: str, *words: str) -> None:
    """Do one thing with all volumes.

    :param what: ``export``, ``import`` or ``inspect``.
    :param limit: seconds that one volume may take.
    :param words: one for each volume: for an export its last known fingerprint, or ``-``.
    """
    output = Output(sys.stdout.buffer)
    watch = Watch(output, float(limit))
    watch.start()
    if what == "export":
        export(output, watch, list(words))
    elif what == "import":
        import_(output, watch, len(words))
    else:
        inspect(output, len(words))


if __name__ == "__main__":
    main(*sys.argv[1:])
