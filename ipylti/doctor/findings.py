"""What the doctor finds: how it is, and the command that mends it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    :param about: the part, and where there are several of a kind, which of them.
    :param told: one sentence.
    :param mend: commands or other lines to copy; none where nothing is to be mended.
    """

    about: str
    level: Level
    told: str
    mend: tuple[str, ...] = ()


def ok(about: str, told: str) -> Finding:
    """Return that all is well."""
    return Finding(about, Level.OK, told)


def skipped(about: str, told: str) -> Finding:
    """Return that there was nothing to look at."""
    return Finding(about, Level.SKIPPED, told)


def warning(about: str, told: str, *mend: str) -> Finding:
    """Return what goes on working, but not as it should."""
    return Finding(about, Level.WARNING, told, mend)


def failed(about: str, told: str, *mend: str) -> Finding:
    """Return what does not work, or is not safe."""
    return Finding(about, Level.FAILED, told, mend)
