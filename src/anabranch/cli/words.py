"""Numbers as people read them: lengths, rates, times, shares."""

from __future__ import annotations

from math import inf

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float) -> str:
    """A number of bytes: "0 B", "16.0 KiB", "1.5 GiB". At most 10 characters."""
    if count < 1024:
        return f"{count:.0f} B"
    unit = 0
    while count >= 1023.95 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:.1f} {_UNITS[unit]}"


def rate(bytes_per_second: float) -> str:
    """A rate: "0 B/s", "1.2 MiB/s"."""
    return f"{size(bytes_per_second)}/s"


def span(seconds: float) -> str:
    """A time, in its two largest units: "8s", "3m07s", "2h05m", "4d03h"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def percent(done: float, total: float) -> str:
    """A share, rounded down: 100% is said only of what is whole."""
    if done >= total:
        return "100%"
    return f"{int(100 * done / total)}%"


def counted(count: int, one: str, several: str = "") -> str:
    """ "1 file", "2 files"."""
    return f"{count} {one if count == 1 else several or one + 's'}"


def pause(seconds: float) -> str:
    """That something is not asked for so long, infinity being for ever; nothing where it is asked on."""
    if seconds == inf:
        return "never asked"
    return f"left alone for {span(seconds)}" if seconds >= 0.5 else ""
