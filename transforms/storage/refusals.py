"""What a store or a disk refuses, as a mistake of the user."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line


@contextlib.contextmanager
def refusals(kind: Kind, prefix: str = "") -> Iterator[None]:
    """Turn an OSError of the body into an InputError of one line.

    Args:
      kind: of the InputError.
      prefix: of its message, such as ``--manifest ``.
    """
    try:
        yield
    except OSError as error:
        raise InputError(kind, f"{prefix}{one_line(error)}") from error
