"""What the host, on which the containers run, has left."""

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_STATM = Path("/proc/self/statm")


def free_memory() -> int | None:
    """Return the bytes that programs could still get without swapping (proc(5), ``MemAvailable``); None where
    the system does not say."""
    return _read("MemAvailable")


def total_memory() -> int | None:
    """Return the bytes of the host's memory; None where the system does not say."""
    return _read("MemTotal")


def resident_memory() -> int:
    """Return the bytes of memory of this process (proc(5), ``statm``); 0 where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _read(wanted: str) -> int | None:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, rest = line.partition(":")
        if name == wanted:
            return int(rest.split()[0]) * 1024
    return None
