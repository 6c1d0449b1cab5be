"""The plan of a slide: which patches, read how, in which blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.problems import Problem
from beamscope.transforms.slides.picture import Picture
from beamscope.transforms.slides.planning.grid import block_slices
from beamscope.transforms.slides.planning.resolution import ReadPlan, SlideMpp
from beamscope.transforms.storage.store import Version

ROW_SCHEMA = pa.schema(
    [
        pa.field("slide_id", pa.string(), nullable=False),
        pa.field("x_level0", pa.int32(), nullable=False),
        pa.field("y_level0", pa.int32(), nullable=False),
        pa.field("size_level0", pa.int32(), nullable=False),
        pa.field("mpp", pa.float32(), nullable=False),
        pa.field("tissue", pa.float32(), nullable=False),
        pa.field("class", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True, eq=False)
class SlideBlock:
    """The patches of one block: what a worker needs to read them, a few KB.

    Attributes:
      key: identity of the block.
      uri: of the slide.
      read: how each patch is read.
      reader: by what: ``openslide``, ``native`` or ``native_scaled``.
      x_level0: int32 ``[n]``, left edges in level-0 pixels.
      y_level0: int32 ``[n]``, top edges in level-0 pixels.
      tissue: float32 ``[n]``, fraction of each patch that is tissue.
      generation: of the remote slide that was planned, where it is read by ranges; else None.
      classes: of each patch, by the slide's mask; None where no mask names any.
    """

    key: BlockKey
    uri: str
    read: ReadPlan
    reader: str
    x_level0: npt.NDArray[np.int32]
    y_level0: npt.NDArray[np.int32]
    tissue: npt.NDArray[np.float32]
    generation: Version | None = None
    classes: tuple[str | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.x_level0)

    def rows(self) -> pa.RecordBatch:
        """The rows of the dataset that these patches become, without their embeddings."""
        n = len(self)
        return pa.RecordBatch.from_arrays(
            [
                pa.array([self.key.item_id] * n, pa.string()),
                pa.array(self.x_level0),
                pa.array(self.y_level0),
                pa.array(np.full(n, round(self.read.size_level0), np.int32)),
                pa.array(np.full(n, self.read.mpp_effective, np.float32)),
                pa.array(self.tissue),
                pa.array(self.classes or [None] * n, pa.string()),
            ],
            schema=ROW_SCHEMA,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class SlidePlan:
    """What is to be done for one slide; also for one of which nothing can be used.

    Attributes:
      slide_id: unique in the dataset.
      uri: of the slide.
      problem: why the slide failed; None where it did not.
      empty_reason: why there is no patch; None where there are some.
      vendor: the format, as OpenSlide calls it; None where the slide could not be opened.
      width_level0: level-0 pixels; likewise.
      height_level0: level-0 pixels; likewise.
      mpp: level-0 resolution; None where it is not known.
      read: how patches are read; None where that could not be decided.
      reader: by what: ``openslide``, ``native`` or ``native_scaled``; likewise.
      x_level0: int32 ``[n]`` in the order of blocks, left edges in level-0 pixels.
      y_level0: int32 ``[n]``, top edges in level-0 pixels.
      tissue: float32 ``[n]``, fraction of each patch that is tissue.
      classes: of each patch, by the slide's mask; None where no mask names any.
      block_size: patches in a block.
      generation: of a remote slide that is read by ranges; else None.
      picture: shows tissue and patches; None where the slide could not be read.
    """

    slide_id: str
    uri: str
    problem: Problem | None = None
    empty_reason: str | None = None
    vendor: str | None = None
    width_level0: int | None = None
    height_level0: int | None = None
    mpp: SlideMpp | None = None
    read: ReadPlan | None = None
    reader: str | None = None
    x_level0: npt.NDArray[np.int32] = dataclasses.field(
        default_factory=lambda: np.empty(0, np.int32)
    )
    y_level0: npt.NDArray[np.int32] = dataclasses.field(
        default_factory=lambda: np.empty(0, np.int32)
    )
    tissue: npt.NDArray[np.float32] = dataclasses.field(
        default_factory=lambda: np.empty(0, np.float32)
    )
    classes: tuple[str | None, ...] | None = None
    block_size: int = 1
    generation: Version | None = None
    picture: Picture | None = None

    @property
    def patches(self) -> int:
        """How many patches are planned."""
        return len(self.x_level0)

    def block_sizes(self) -> list[int]:
        """How many patches each block has."""
        return [part.stop - part.start for part in block_slices(self.patches, self.block_size)]

    def blocks(self) -> Iterator[SlideBlock]:
        """The blocks of the slide, in their order."""
        if self.read is None or self.reader is None:
            return
        for index, part in enumerate(block_slices(self.patches, self.block_size)):
            yield SlideBlock(
                BlockKey(self.slide_id, index),
                self.uri,
                self.read,
                self.reader,
                self.x_level0[part],
                self.y_level0[part],
                self.tissue[part],
                self.generation,
                self.classes and self.classes[part],
            )
