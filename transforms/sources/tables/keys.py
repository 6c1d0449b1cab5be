"""Join films with rows of a catalogue: by the end of the film's path, written in one way."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from beamscope.transforms.sources.names import IMAGE_ENDINGS

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DRIVE = re.compile(r"[A-Za-z]:(?=/|$)")
# Keys without any of this are written that way already. RE2's syntax.
_TO_REWRITE = r"[\\:\s]|^[/.]|/$|//|/\.|[^\x00-\x7F]|\.[A-Za-z]*[A-Z][A-Za-z]*$"


def normal_key(text: str) -> str:
    r"""Return a path or a catalogue's key in the one form in which they are compared.

    Spaces around it, a scheme, a drive, slashes at its start, ``.`` and empty parts are left out;
    ``\`` becomes ``/``; ``..`` takes the part before it away; the ending of a film is in lower
    case; accented letters are one character each (macOS writes two: Unicode's NFC and NFD).
    """
    text = unicodedata.normalize("NFC", text.strip()).replace("\\", "/")
    text = _DRIVE.sub("", _SCHEME.sub("", text, count=1), count=1)
    parts: list[str] = []
    for part in text.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    stem, ending = posixpath.splitext("/".join(parts))
    return stem + (ending.lower() if ending.lower() in IMAGE_ENDINGS else ending)


def normal_keys(keys: pa.StringArray) -> pa.StringArray:
    """Apply `normal_key` to every key of a column without nulls."""
    rewrite = pc.match_substring_regex(keys, _TO_REWRITE)
    written = pa.array([normal_key(key) for key in keys.filter(rewrite).to_pylist()], pa.string())
    return pc.replace_with_mask(keys, rewrite, written)


def keys_of_path(path: str, most_parts: int) -> Iterator[str]:
    """Yield the keys that a film may have, the longest first.

    Each is an end of its path, with the ending of a film and without. The last number of a UID
    (1.2.840.10008.1) is no ending.

    Args:
      path: of the film: its source's uri, a slash, and the member's name.
      most_parts: how many parts the longest key has.
    """
    parts = normal_key(path).split("/")
    for start in range(max(0, len(parts) - most_parts), len(parts)):
        suffix = "/".join(parts[start:])
        yield suffix
        stem, ending = posixpath.splitext(suffix)
        if ending in IMAGE_ENDINGS:
            yield stem
