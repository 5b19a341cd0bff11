"""Reads what the copying helper prints (:mod:`ipylti.servers.copier`). Pure: lines in, outcome out."""

from collections.abc import Iterable
from typing import NoReturn

from ipylti.errors import EmptySource, SpawnerError
from ipylti.servers.spawner import Copied, CopyProgress

#: Lines of what the helper should not have said that are kept for the log.
_KEPT = 5


def follow(lines: Iterable[bytes], progress: CopyProgress) -> Copied:
    """Hand progress on until the helper says how it ended.

    :raises EmptySource: there was nothing to copy.
    :raises SpawnerError: the helper failed, with its own code, or ended without a word.
    """
    other: list[str] = []
    entries: list[str] = []
    for line in lines:
        match line.decode(errors="replace").split(" "):
            case ["progress", done, total]:
                progress(int(done), int(total))
            case ["entry", *fields]:
                entries.append(" ".join(fields))
            case ["copied", size, files, digest]:
                return Copied(int(size), int(files), "" if digest == "-" else digest, tuple(entries))
            case ["empty"]:
                raise EmptySource("the source volume holds nothing of anybody's")
            case ["failed", code, *words]:
                raise SpawnerError(f"copy: {' '.join(words)}", code=code)
            case words:
                other = [*other[1 - _KEPT :], " ".join(words)[:500]]
    _silent(other)


def _silent(other: list[str]) -> NoReturn:
    raise SpawnerError(f"copy: the helper ended early: {' | '.join(other)}", code="volume.copy")
