"""Tell kinds of files by their first bytes, for archives whose name says something else."""

from __future__ import annotations

from typing import BinaryIO

_GZIP = b"\x1f\x8b"
# The first bytes of a file, what it is, and what to do about it.
_KINDS = (
    (_GZIP, "gzip data", "rename it to .tar.gz if it holds a tar archive"),
    (b"PK\x03\x04", "a zip archive", "rename it to .zip"),
    (b"PK\x07\x08", "a volume of a split zip archive", "join the volumes first"),
    (b"\xfd7zXZ\x00", "xz data", "unpack it"),
    (b"BZh", "bzip2 data", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data", "unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"<", "a page of HTML or XML", "fetch the archive again"),
)
_TAR_MAGIC, _TAR_MAGIC_OFFSET = b"ustar", 257


def is_gzip(start: bytes) -> bool:
    """Return whether a file that begins with these bytes is gzip data."""
    return start.startswith(_GZIP)


def what_it_is(file: BinaryIO) -> str:
    """Return a clause for a message, such as "it is xz data: unpack it"; it looks at the file.

    Returns:
      an empty string where the first bytes are of no kind that is known here.
    """
    file.seek(0)
    start = file.read(_TAR_MAGIC_OFFSET + len(_TAR_MAGIC))
    if start[_TAR_MAGIC_OFFSET:] == _TAR_MAGIC:
        return "it is a tar archive: rename it to .tar"
    for magic, kind, remedy in _KINDS:
        if start.startswith(magic):
            return f"it is {kind}: {remedy}"
    return "" if start else "it is empty"
