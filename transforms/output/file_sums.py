"""Lengths and checksums of the files of a dataset, which its description records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import google_crc32c

from beamscope.transforms.storage.checksums import local_crc32c


@dataclasses.dataclass(frozen=True, order=True)
class FileSum:
    """A file of a dataset as it was written.

    Attributes:
      name: its path in the output directory.
      size: bytes.
      crc32c: of its content.
    """

    name: str
    size: int
    crc32c: int


def sum_of_file(name: str, path: Path) -> FileSum:
    """Return the sum of a file from its local copy, before it appears under its name."""
    return FileSum(name, path.stat().st_size, local_crc32c(path))


def sum_of_bytes(name: str, content: bytes) -> FileSum:
    """Return the sum of a file from its content."""
    return FileSum(name, len(content), google_crc32c.value(content))


def sums_to_json(sums: Iterable[FileSum]) -> dict[str, dict[str, Any]]:
    """Return sums as the description of a dataset has them: by name."""
    return {
        one.name: {"bytes": one.size, "crc32c": f"{one.crc32c:08x}"} for one in sorted(set(sums))
    }


def sums_from_json(content: Mapping[str, Mapping[str, Any]]) -> list[FileSum]:
    """Return the sums of a description."""
    return [
        FileSum(name, values["bytes"], int(values["crc32c"], 16))
        for name, values in content.items()
    ]
