"""The requests of an output, ``.beamscope/requests.json``, so that no later start drops them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from beamscope.transforms.output.layout import WORK_DIRECTORY
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
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
    files.write_bytes(requests_path(root), json.dumps(rows).encode())


def read_requests(root: str, kind: type[_Request]) -> list[_Request]:
    """Return the requests of an output's last start; an empty list if there is none.

    Args:
      root: the output directory.
      kind: the dataclass of the job's requests.

    Raises:
      InputError: ``foreign_output`` if the file is damaged.
    """
    path = requests_path(root)
    if not files.exists(path):
        return []
    try:
        rows = json.loads(files.read_bytes(path))
        return [kind(**{name: _as_tuples(value) for name, value in row.items()}) for row in rows]
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            Kind.FOREIGN_OUTPUT,
            f"{root}: .beamscope/requests.json is damaged. Delete that file; the next start then "
            "writes a dataset of the requested items only",
        ) from error


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
