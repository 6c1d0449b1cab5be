"""The Beam coder of blocks of arrays.

Beam reports the mean size of the elements between any two steps, and asks an element's coder for
it. Beam's default coder pickles the element to count its bytes. For pixels that is a copy of tens
of megabytes, made only for a figure in a log.
"""

from __future__ import annotations

import pickle
from typing import Any

from apache_beam.coders import Coder, registry

from beamscope.transforms.blocks import EmbeddingBlock, ImageBlock


class BlockCoder(Coder):
    """Pickle a block to encode it, but take its size from its arrays."""

    def encode(self, value: ImageBlock | EmbeddingBlock) -> bytes:  # noqa: D102
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> Any:  # noqa: D102
        return pickle.loads(encoded)

    def estimate_size(self, value: ImageBlock | EmbeddingBlock) -> int:
        """Return the bytes of the pixels or embeddings and of their rows."""
        if isinstance(value, EmbeddingBlock):
            return value.embeddings.nbytes + value.rows.nbytes
        return sum(view.pixels.nbytes + view.rows.nbytes for view in value.views)


def register_block_coders() -> None:
    """Make Beam use this coder for every PCollection whose type is a block."""
    for kind in (ImageBlock, EmbeddingBlock):
        registry.register_coder(kind, BlockCoder)
