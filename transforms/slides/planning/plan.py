"""The plan of a slide: its patches, how they are read, and its blocks; or why there are none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.problems import Problem
from beamscope.transforms.slides.picture import Picture
from beamscope.transforms.slides.planning.grid import block_slices
from beamscope.transforms.slides.planning.resolution import SlideMpp
from beamscope.transforms.slides.readers.geometry import ReadPlan
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
    """The patches of one block, and all that a worker needs to read them: a few KB.

    Attributes:
      key: identity of the block.
      uri: of the slide.
      read: how each patch is read.
      reader: by which reader, its name in the registry.
      x_level0: int32 ``[n]``, left edges in level-0 pixels.
      y_level0: int32 ``[n]``, top edges in level-0 pixels.
      tissue: float32 ``[n]``, fraction of each patch that is tissue.
      version: of the remote slide that was planned, where it is read by ranges; else None.
      classes: of each patch, by the slide's mask; None where no mask names any.
    """

    key: BlockKey
    uri: str
    read: ReadPlan
    reader: str
    x_level0: npt.NDArray[np.int32]
    y_level0: npt.NDArray[np.int32]
    tissue: npt.NDArray[np.float32]
    version: Version | None = None
    classes: tuple[str | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.x_level0)

    def rows(self) -> pa.RecordBatch:
        """Return the rows of the dataset that these patches become, without their embeddings."""
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


@dataclasses.dataclass(frozen=True)
class SlideFacts:
    """Format and size of a slide, known as soon as it is open.

    Attributes:
      vendor: the format, as OpenSlide calls it.
      width_level0: level-0 pixels.
      height_level0: level-0 pixels.
    """

    vendor: str
    width_level0: int
    height_level0: int


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SlidePlan:
    """The plan of one slide: a `FailedPlan`, an `EmptyPlan` or a `ReadyPlan`.

    Attributes:
      slide_id: unique in the dataset.
      uri: of the slide.
    """

    slide_id: str
    uri: str

    @property
    def patches(self) -> int:
        """How many patches are planned."""
        return 0

    def block_sizes(self) -> list[int]:
        """Return how many patches each block has."""
        return []

    def blocks(self) -> Iterator[SlideBlock]:
        """Yield the blocks of the slide, in their order."""
        return iter(())


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class FailedPlan(SlidePlan):
    """A slide that cannot be planned.

    Attributes:
      problem: why.
      facts: None where the slide could not be opened.
      mpp: level-0 resolution; None where it failed before that was known.
    """

    problem: Problem
    facts: SlideFacts | None = None
    mpp: SlideMpp | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class OpenedPlan(SlidePlan):
    """A slide that could be opened and planned, with patches or without.

    Attributes:
      facts: format and size.
      mpp: level-0 resolution.
      read: how patches are read.
      reader: by which reader, its name in the registry.
      version: of a remote slide that is read by ranges; else None.
      funnel: where the candidates went, see `Choice`; empty where none fits on the slide.
      poor: how many patches are of poor quality, likewise.
    """

    facts: SlideFacts
    mpp: SlideMpp
    read: ReadPlan
    reader: str
    version: Version | None = None
    funnel: Mapping[str, int] = dataclasses.field(default_factory=dict)
    poor: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class EmptyPlan(OpenedPlan):
    """A slide without a patch.

    Attributes:
      reason: why there is none.
      picture: shows where tissue was looked for; None where the slide is smaller than a patch.
    """

    reason: str
    picture: Picture | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class OutlinedPlan(OpenedPlan):
    """A slide whose patches can be read, without their places: what the header of its plan says.

    Attributes:
      count: number of patches.
      block_size: patches in a block.
      picture: where the picture of the plan lies; its JPEG is in a file.
    """

    count: int
    block_size: int
    picture: Picture

    @property
    def patches(self) -> int:
        """How many patches are planned."""
        return self.count

    def block_sizes(self) -> list[int]:
        """Return how many patches each block has."""
        return [part.stop - part.start for part in block_slices(self.patches, self.block_size)]

    def blocks(self) -> Iterator[SlideBlock]:
        """Refuse: the places of the patches are not known.

        Raises:
          ValueError: always.
        """
        raise ValueError(f"{self.slide_id}: an outline has no blocks")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ReadyPlan(OpenedPlan):
    """A slide whose patches can be read.

    Attributes:
      x_level0: int32 ``[n]`` in the order of blocks, left edges in level-0 pixels; n is not 0.
      y_level0: int32 ``[n]``, top edges in level-0 pixels.
      tissue: float32 ``[n]``, fraction of each patch that is tissue.
      classes: of each patch, by the slide's mask; None where no mask names any.
      block_size: patches in a block.
      picture: shows tissue and patches.
    """

    x_level0: npt.NDArray[np.int32]
    y_level0: npt.NDArray[np.int32]
    tissue: npt.NDArray[np.float32]
    block_size: int
    picture: Picture
    classes: tuple[str | None, ...] | None = None

    @property
    def patches(self) -> int:
        """How many patches are planned."""
        return len(self.x_level0)

    def block_sizes(self) -> list[int]:
        """Return how many patches each block has."""
        return [part.stop - part.start for part in block_slices(self.patches, self.block_size)]

    def blocks(self) -> Iterator[SlideBlock]:
        """Yield the blocks of the slide, in their order."""
        for index, part in enumerate(block_slices(self.patches, self.block_size)):
            yield SlideBlock(
                BlockKey(self.slide_id, index),
                self.uri,
                self.read,
                self.reader,
                self.x_level0[part],
                self.y_level0[part],
                self.tissue[part],
                self.version,
                self.classes and self.classes[part],
            )
