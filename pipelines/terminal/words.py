"""Numbers, times and places in the words of the terminal."""

from __future__ import annotations


def counted(number: int, plural: str) -> str:
    """Return a number with its noun, such as ``1 patch`` or ``1,200 slides``.

    Args:
      number: how many.
      plural: the plural of the noun, such as ``patches``, ``slides`` or ``shards``.
    """
    return f"{number:,} {singular(plural) if number == 1 else plural}"


def singular(plural: str) -> str:
    """Return the singular of a noun whose plural ends in s."""
    return plural.removesuffix("es") if plural.endswith("ches") else plural.removesuffix("s")


def duration(seconds: float) -> str:
    """Return a time in words, such as ``12 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def about(seconds: float) -> str:
    """Return a time to wait, rounded so that it stays calm: ``20 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"
