"""The requests of an output, ``.beamscope/requests.json``, so that no later start drops them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from beamscope.transforms.output.checked_json import read_json, write_json
from beamscope.transforms.output.layout import WORK_DIRECTORY
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.storage import files

_Request = TypeVar("_Request")


def requests_path(root: str) -> str:
    """Return the path of the requests of an output."""
    return files.join(root, WORK_DIRECTORY, "requests.json")


def write_requests(root: str, requests: Sequence[Any]) -> None:
    """Write the requests: dataclasses of JSON values, and tuples of them.

    Raises:
      OSError: the file cannot be written.
    """
    rows = [dataclasses.asdict(request) for request in requests]
    write_json(requests_path(root), {"requests": rows})


def read_requests(root: str, kind: type[_Request]) -> list[_Request]:
    """Return the requests of an output's last start; an empty list if there is none.

    Args:
      root: the output directory.
      kind: the dataclass of the job's requests.

    Raises:
      DamagedError: the file is not what was written.
    """
    path = requests_path(root)
    content = read_json(path)
    if content is None:
        return []
    try:
        return [
            kind(**{name: _as_tuples(value) for name, value in row.items()})
            for row in content["requests"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedError(path, "it does not hold the requests of this job") from error


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
