"""The requests of an output, ``.beamscope/requests.json``: a later start must not drop them."""

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
    """Return where the requests of an output lie."""
    return files.join(root, WORK_DIRECTORY, "requests.json")


def write_requests(root: str, requests: Sequence[Any]) -> None:
    """Write what is asked for: dataclasses of JSON values, and tuples of them.

    Raises:
      OSError: it cannot be written.
    """
    rows = [dataclasses.asdict(request) for request in requests]
    files.write_bytes(requests_path(root), json.dumps(rows).encode())


def read_requests(root: str, kind: type[_Request]) -> list[_Request]:
    """Return what an output was asked to hold at its last start; nothing where nobody has.

    Args:
      root: the output directory.
      kind: the dataclass of the job's requests.

    Raises:
      InputError: ``foreign_output`` where the file is damaged.
    """
    path = requests_path(root)
    if not files.exists(path):
        return []
    try:
        rows = json.loads(files.read_bytes(path))
        return [
            kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})
            for row in rows
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            Kind.FOREIGN_OUTPUT,
            f"{root}: .beamscope/requests.json is damaged. Delete that file: the next start then "
            "writes a dataset of just what it is asked for",
        ) from error
