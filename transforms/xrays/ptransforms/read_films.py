"""PTransform: read the films of blocks and streams, one block ahead of who uses them."""

from __future__ import annotations

import dataclasses

from beamscope.transforms.sources.ptransforms.read_members import ReadImageBlocks
from beamscope.transforms.xrays.settings import XraySettings


@dataclasses.dataclass
class ReadFilmBlocks(ReadImageBlocks):
    """Read films: ``PCollection[ImagesToRead | StreamToRead]`` to ``PCollection[ImageBlock]``.

    Attributes:
      settings: how films become images.
      layout: of the dataset; the plan of a stream is written there when it has been read.
      guard: of the job.
    """

    settings: XraySettings
