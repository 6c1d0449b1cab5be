"""How Beam weighs and encodes blocks of arrays.

Beam reports the mean size of the elements between any two steps, and asks an element's coder for
it. The coder that it would choose pickles the element to count the bytes: another copy of tens of
megabytes of pixels, made for a figure in a log.
"""

from __future__ import annotations

import pickle
from typing import Any

from apache_beam.coders import Coder, registry

from beamscope.transforms.blocks import EmbeddingBlock, ImageBlock


class BlockCoder(Coder):
    """Pickles a block where it has to travel, and weighs it by its arrays."""

    def encode(self, value: ImageBlock | EmbeddingBlock) -> bytes:  # noqa: D102
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> Any:  # noqa: D102
        return pickle.loads(encoded)

    def estimate_size(self, value: ImageBlock | EmbeddingBlock) -> int:
        """Bytes of the pixels or embeddings and of the rows that go with them."""
        array = value.pixels if isinstance(value, ImageBlock) else value.embeddings
        return array.nbytes + value.rows.nbytes


def register_block_coders() -> None:
    """Makes Beam take this coder wherever a PCollection is typed as one of blocks."""
    for kind in (ImageBlock, EmbeddingBlock):
        registry.register_coder(kind, BlockCoder)
