"""Amounts of memory, files and processor, in words."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def size(count: int) -> str:
    """Return bytes as people write them: ``1 GiB``, ``1.5 GiB``, ``300 MiB``."""
    number, unit = float(count), 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{_short(number)} {_UNITS[unit]}"


def cores(count: float) -> str:
    """Return a number of cores as people write it."""
    return f"{_short(count)} {'core' if count == 1 else 'cores'}"


def _short(number: float) -> str:
    """Return a number with one digit after the point, if that is not zero and the number is small."""
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}".removesuffix(".0")
