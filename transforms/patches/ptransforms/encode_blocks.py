"""PTransform: encode blocks of images, in place of a model."""

from __future__ import annotations

import dataclasses

import apache_beam as beam
import numpy as np

from beamscope.transforms.block_coders import register_block_coders
from beamscope.transforms.blocks import EmbeddingBlock, ImageBlock
from beamscope.transforms.metrics import count, timed
from beamscope.transforms.patches.encoding import IMAGE, Encoding, with_images

register_block_coders()


@dataclasses.dataclass
class EncodeBlocks(beam.PTransform):
    """Encode blocks: ``PCollection[ImageBlock]`` to blocks of rows with images.

    The result are `EmbeddingBlock`s of no features. Blocks whose rows have images stay as they are.

    Attributes:
      encoding: of the images.
    """

    encoding: Encoding

    def expand(self, blocks: beam.PCollection[ImageBlock]) -> beam.PCollection[EmbeddingBlock]:
        """Encode each block as it comes."""
        return blocks | "EncodeBlock" >> beam.Map(encoded_block, self.encoding).with_output_types(
            EmbeddingBlock
        )


def encoded_block(block: ImageBlock, encoding: Encoding) -> EmbeddingBlock:
    """Return a block of rows with encoded images, and no features."""
    rows = block.rows
    if IMAGE not in rows.schema.names:
        with timed("encode_block"):
            rows = with_images(rows, block.pixels, encoding)
    passed_on = sum(rows["passed_on"].to_pylist())
    count("images_passed_on", passed_on)
    count("images_encoded", rows.num_rows - passed_on)
    nothing = np.empty((rows.num_rows, 0), np.float32)
    return EmbeddingBlock(block.key, nothing, rows, block.planned, block.problems, block.left_out)
