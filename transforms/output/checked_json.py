"""Small JSON files that show whether they are what was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import google_crc32c

from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.storage import files

_CHECKSUM = "crc32c"


def write_json(path: str, content: Mapping[str, Any]) -> None:
    """Create or replace a file with a JSON object and, in it, the checksum of all else.

    Raises:
      OSError: it cannot be written.
    """
    checked = {**content, _CHECKSUM: _checksum(content)}
    files.write_bytes(path, (json.dumps(checked, indent=2) + "\n").encode())


def read_json(path: str) -> dict[str, Any] | None:
    """Return the JSON object of a file without its checksum; None if there is no such file.

    An object without a checksum is returned as it is: earlier versions wrote none.

    Raises:
      DamagedError: it is not what was written.
      OSError: it cannot be read.
    """
    try:
        data = files.read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        content = json.loads(data)
    except ValueError as error:
        raise DamagedError(path, "it is no JSON") from error
    if not isinstance(content, dict):
        raise DamagedError(path, "it is no JSON object")
    expected = content.pop(_CHECKSUM, None)
    if expected not in (None, _checksum(content)):
        raise DamagedError(path, "it does not have its checksum")
    return content


def _checksum(content: Mapping[str, Any]) -> str:
    # What is the same JSON has the same checksum, however it is laid out.
    plain = json.dumps(json.loads(json.dumps(content)), sort_keys=True, separators=(",", ":"))
    return f"{google_crc32c.value(plain.encode()):08x}"
