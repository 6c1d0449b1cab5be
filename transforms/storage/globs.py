"""Globs over the names of objects, by the rules of local globs."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[*?\[]")


def has_wildcard(pattern: str) -> bool:
    """Whether a pattern may match any other name than itself."""
    return _SPECIAL.search(pattern) is not None


def fixed_part(pattern: str) -> str:
    """Return what every name that a pattern matches begins with."""
    return _SPECIAL.split(pattern, maxsplit=1)[0]


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a glob.

    ``*`` and ``?`` stop at a slash, ``**`` does not, and ``**/`` also matches no folder at all.
    ``[abc]``, ``[a-z]`` and ``[!a]`` are one character; a bracket that is never closed is itself.
    """
    out = []
    place = 0
    while place < len(pattern):
        character = pattern[place]
        place += 1
        if character == "*":
            begins_a_part = place == 1 or pattern[place - 2] == "/"
            if begins_a_part and pattern.startswith("*/", place):
                out.append("(?:.*/)?")
                place += 2
            elif pattern.startswith("*", place):
                out.append(".*")
                place += 1
            else:
                out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[" and (end := _closing_bracket(pattern, place)) > 0:
            out.append(_character_class(pattern[place:end]))
            place = end + 1
        else:
            out.append(re.escape(character))
    return re.compile("".join(out), re.DOTALL)


def _closing_bracket(pattern: str, start: int) -> int:
    # A bracket that comes first in a class is one of its characters.
    first = start + 1 if pattern[start : start + 1] == "!" else start
    return pattern.find("]", first + 1)


def _character_class(inside: str) -> str:
    negated = inside.startswith("!")
    inside = inside.removeprefix("!")
    ranges = []
    place = 0
    while place < len(inside):
        if inside[place + 1 : place + 2] == "-" and place + 2 < len(inside):
            low, high = inside[place], inside[place + 2]
            if low <= high:  # A range that is the wrong way round holds nothing.
                ranges.append(f"{re.escape(low)}-{re.escape(high)}")
            place += 3
        else:
            ranges.append(re.escape(inside[place]))
            place += 1
    characters = "".join(ranges)
    if negated:
        return f"[^/{characters}]"
    return f"(?!/)[{characters}]" if characters else "(?!)"
