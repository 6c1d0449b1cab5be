"""CRC-32C of whole files: what a dataset records, and stores count themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import google_crc32c

from beamscope.transforms.storage import files

_PIECE_BYTES = 4 << 20


def local_crc32c(path: Path) -> int:
    """Return the CRC-32C of a local file."""
    with path.open("rb") as file:
        return _crc32c(file)


def crc32c(file: files.FileInfo) -> int:
    """Return the CRC-32C of a file: as its store has counted it, or else from its content.

    Raises:
      OSError: it cannot be read.
      InputError: ``missing_file`` where a remote file has been replaced.
    """
    if file.crc32c is not None:
        return file.crc32c
    with files.open_read(file.path) as opened:
        return _crc32c(opened)


def _crc32c(file: IO[bytes]) -> int:
    total = 0
    for piece in _pieces(file):
        total = google_crc32c.extend(total, piece)
    return total


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        yield piece
