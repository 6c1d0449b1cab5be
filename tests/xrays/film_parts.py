"""Write the parts of films that an earlier start would leave, without a model."""

import numpy as np

from beamscope.transforms.blocks import BlockKey, EmbeddingBlock
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.sources.planning.plan_file import read_plan
from beamscope.transforms.sources.reading.members import ImageStream, read_images


def film_blocks(source, layout, settings):
    """Every `MemberBlock` of a source that is planned, by index."""
    reading = settings.reading()
    if source.kind == "tgz":
        return dict(ImageStream(source, settings.block_size, reading))
    return {
        block.key.index: read_images(block.source, block.members, reading)
        for block in read_plan(layout.plan(source.id)).blocks()
    }


def write_film_parts(source, layout, settings, indexes=None):
    """Writes the parts of some blocks of a source, or of all, and returns their references."""
    return [
        write_part(
            layout,
            EmbeddingBlock(
                BlockKey(source.id, index),
                np.zeros((len(block.pixels), 2), np.float32),
                block.rows,
                block.planned + block.left_out,
                block.problems,
                block.left_out,
            ),
        )
        for index, block in film_blocks(source, layout, settings).items()
        if indexes is None or index in indexes
    ]
