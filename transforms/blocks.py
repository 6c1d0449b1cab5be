"""The block: the unit of planning, reading, inference, retry, durability and resume.

A block is a few hundred neighbouring patches of one slide, or films of one archive. Each job has
its own type for planned blocks. From `ImageBlock` on, slides and X-rays share everything.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.problems import Problem


@dataclasses.dataclass(frozen=True, order=True)
class BlockKey:
    """Identity of a block: the id of the slide or archive, and the block's index from 0."""

    item_id: str
    index: int

    def __str__(self) -> str:
        return f"{self.item_id}[{self.index}]"


@dataclasses.dataclass(frozen=True, eq=False)
class ImageBlock:
    """The pixels of a block. It never crosses a stage boundary, because it has tens of megabytes.

    Attributes:
      key: identity of the block.
      pixels: uint8 RGB ``[n, height, width, 3]`` of the rows that could be read.
      rows: the n rows of these pixels, in the job's own columns.
      planned: number of planned rows.
      problems: one problem for each planned row that could not be read.
      left_out: number of planned rows that were not wanted, such as films of another view.
      uri: uri of the slide or archive.
      others: the same images as they are prepared for further models, where models see them in
        different ways; rows and problems of each are its own.
    """

    key: BlockKey
    pixels: npt.NDArray[np.uint8]
    rows: pa.RecordBatch
    planned: int
    problems: tuple[Problem, ...] = ()
    left_out: int = 0
    uri: str = ""
    others: tuple[ImageBlock, ...] = ()

    def __post_init__(self) -> None:
        _check_counts(self, len(self.pixels))

    @property
    def views(self) -> tuple[ImageBlock, ...]:
        """Return the images as each way of preparing them gives them, this one first."""
        return (self, *self.others)


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddingBlock:
    """The embeddings of a block, float32 ``[n, features]``; otherwise like `ImageBlock`."""

    key: BlockKey
    embeddings: npt.NDArray[np.float32]
    rows: pa.RecordBatch
    planned: int
    problems: tuple[Problem, ...] = ()
    left_out: int = 0

    def __post_init__(self) -> None:
        _check_counts(self, len(self.embeddings))


def _check_counts(block: ImageBlock | EmbeddingBlock, n: int) -> None:
    # Every planned row is here, is a problem, or was not wanted.
    found = n + len(block.problems) + block.left_out
    if block.rows.num_rows != n or found != block.planned:
        raise ValueError(
            f"{block.key}: {n} arrays, {block.rows.num_rows} rows, {len(block.problems)} problems "
            f"and {block.left_out} left out do not add up to the {block.planned} planned"
        )


@dataclasses.dataclass(frozen=True, order=True)
class PartRef:
    """Reference to the file of a finished block. Only references are shuffled.

    Attributes:
      key: identity of the block.
      path: of the file.
      planned: number of planned rows.
      embedded: number of rows that have an embedding.
      left_out: number of planned rows that were not wanted.
      others: of a block that several models have embedded, the files of the models after the first;
        then `embedded` counts the rows with an embedding of any model.
      lacking: likewise, for each model, how many of these rows it has no embedding of.
    """

    key: BlockKey
    path: str
    planned: int
    embedded: int
    left_out: int = 0
    others: tuple[str, ...] = ()
    lacking: tuple[int, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the files of all models, in the order of their columns."""
        return (self.path, *self.others)

    @property
    def failed(self) -> int:
        """Return the number of rows that became problems."""
        return self.planned - self.embedded - self.left_out
