"""Write the parts of films that an earlier start would leave, without a model."""

import numpy as np

from beamscope.transforms.blocks import BlockKey, EmbeddingBlock
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.xrays.planning.plan_file import read_plan
from beamscope.transforms.xrays.reading.films import FilmStream, read_films


def film_blocks(source, layout, settings):
    """Every `FilmBlock` of a source that is planned, by index."""
    catalog = settings.load_catalog()
    if source.kind == "tgz":
        return dict(FilmStream(source, settings.block_size, settings.films, catalog))
    return {
        block.key.index: read_films(block.source, block.members, settings.films, catalog)
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
                block.planned + block.other_views,
                block.problems,
                block.other_views,
            ),
        )
        for index, block in film_blocks(source, layout, settings).items()
        if indexes is None or index in indexes
    ]
