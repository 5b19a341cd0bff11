"""What an archive holds, by the canonical manifest (:mod:`ipylti.servers.copier`), without unpacking it.

Pure: pieces of an archive in, a digest out. What is read was written by people's programs; nothing of it is
made anywhere.
"""

import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from typing import IO, cast

from ipylti.servers.archiver import SOCKETS
from ipylti.servers.copier import encoded, manifest_line

#: Bytes of holes in one file beyond which no digest is made: a file of nothing but a hole may be of any size,
#: and hashing it takes hours.
_MOST_HOLES = 1 << 34

_PIECE = 1 << 20

_KINDS = {tarfile.DIRTYPE: b"d", tarfile.SYMTYPE: b"l", tarfile.FIFOTYPE: b"p"}


class _Pieces:
    """Pieces of bytes as a file that can be read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces
        self.rest = bytearray()

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        while len(self.rest) < size:
            piece = next(self.pieces, b"")
            if not piece:
                break
            self.rest += piece
        found = bytes(self.rest[:size])
        del self.rest[:size]
        return found


def digest(pieces: Iterator[bytes]) -> str:
    """Return the SHA-256 of the canonical manifest of the tree in an archive; "" where it can't be told.

    All pieces are read, whatever is in them.
    """
    try:
        lines = _lines(_Pieces(pieces))
        found = hashlib.sha256(b"".join(line for _path, line in sorted(lines.items()))).hexdigest()
    except (tarfile.TarError, ValueError, OSError, ArithmeticError, LookupError):
        found = ""
    for _piece in pieces:
        pass
    return found


def _lines(source: _Pieces) -> dict[bytes, bytes]:
    """Return the manifest's lines by path."""
    lines: dict[bytes, bytes] = {}
    content: dict[bytes, tuple[int, int, bytes]] = {}
    names = {"encoding": "utf-8", "errors": "surrogateescape"}
    with tarfile.open(fileobj=cast(IO[bytes], source), mode="r|", **names) as archive:  # type: ignore[call-overload]
        for member in archive:
            archive.members = []
            # A file with holes has another name for programs that don't know of holes.
            path = _path(member.pax_headers.get("GNU.sparse.name", member.name))
            if path == b".":
                continue
            if member.islnk():
                content[path] = content[_path(member.linkname)]
            elif member.isreg():
                content[path] = (member.mode, member.size, _hashed(archive, member))
            if path in content:
                mode, size, hashed = content[path]
                lines[path] = manifest_line(b"f", mode, size, hashed, path)
                continue
            told = encoded(os.fsencode(member.linkname)) if member.issym() else b"-"
            lines[path] = manifest_line(_KINDS[member.type], member.mode, 0, told, path)
        for name, mode, *_rest in json.loads(archive.pax_headers[SOCKETS]):
            path = bytes.fromhex(name)
            lines[path] = manifest_line(b"s", stat.S_IMODE(mode), 0, b"-", path)
    return lines


def _path(name: str) -> bytes:
    return os.fsencode(name.removeprefix("./"))


def _hashed(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return a file's SHA-256 in hexadecimal."""
    # (offset, size) of each part that is no hole; tarfile documents only whether there are such.
    parts: list[tuple[int, int]] = getattr(member, "sparse", None) or []
    if parts and member.size - sum(size for _offset, size in parts) > _MOST_HOLES:
        raise ValueError("a hole without end")
    file = archive.extractfile(member)
    assert file is not None
    hashed = hashlib.sha256()
    while piece := file.read(_PIECE):
        hashed.update(piece)
    return hashed.hexdigest().encode()
