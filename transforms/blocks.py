"""The block: the unit of planning, reading, inference, retry, durability and resume.

A block is a few hundred neighbouring patches of one slide, or films of one archive. What each job
plans has a type of its own; from `ImageBlock` on, slides and X-rays share everything.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.problems import Problem


@dataclasses.dataclass(frozen=True, order=True)
class BlockKey:
    """Identity of a block: which slide or archive, and which of its blocks, counted from 0."""

    item_id: str
    index: int

    def __str__(self) -> str:
        return f"{self.item_id}[{self.index}]"


@dataclasses.dataclass(frozen=True, eq=False)
class ImageBlock:
    """The pixels of a block. Never crosses a stage boundary: it is tens of megabytes.

    Attributes:
      key: identity of the block.
      pixels: uint8 RGB ``[n, height, width, 3]``, of the rows that could be read.
      rows: the n rows that go with them, in the job's own columns.
      planned: how many rows the block was to have; ``planned - n`` of them are in `problems`.
      problems: one for each row that could not be read.
      uri: of the slide or archive.
    """

    key: BlockKey
    pixels: npt.NDArray[np.uint8]
    rows: pa.RecordBatch
    planned: int
    problems: tuple[Problem, ...] = ()
    uri: str = ""

    def __post_init__(self) -> None:
        _check_counts(self.key, len(self.pixels), self.rows, self.planned, self.problems)


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddingBlock:
    """The embeddings of a block, float32 ``[n, features]``; otherwise like `ImageBlock`."""

    key: BlockKey
    embeddings: npt.NDArray[np.float32]
    rows: pa.RecordBatch
    planned: int
    problems: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        _check_counts(self.key, len(self.embeddings), self.rows, self.planned, self.problems)


def _check_counts(
    key: BlockKey, n: int, rows: pa.RecordBatch, planned: int, problems: tuple[Problem, ...]
) -> None:
    # Nothing lost, nothing made up: every planned row is either here or a problem.
    if rows.num_rows != n or n + len(problems) != planned:
        raise ValueError(
            f"{key}: {n} arrays, {rows.num_rows} rows and {len(problems)} problems "
            f"do not make up the {planned} rows that were planned"
        )


@dataclasses.dataclass(frozen=True, order=True)
class PartRef:
    """Reference to the file that holds a finished block; all that is ever shuffled of it."""

    key: BlockKey
    path: str
    planned: int
    embedded: int

    @property
    def failed(self) -> int:
        """Rows of the block that ended as problems."""
        return self.planned - self.embedded
