import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.coders import registry

from beamscope.transforms.block_coders import BlockCoder, register_block_coders
from beamscope.transforms.blocks import BlockKey, EmbeddingBlock, ImageBlock
from beamscope.transforms.read_ahead import ReadAheadFn
from tests.beam_testing import pipeline

ROWS = pa.RecordBatch.from_pylist([{"row": 0}, {"row": 1}])
IMAGES = ImageBlock(BlockKey("a", 3), np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3), ROWS, 2)
EMBEDDINGS = EmbeddingBlock(BlockKey("a", 3), np.ones((2, 5), np.float32), ROWS, 2)


@pytest.mark.parametrize(
    ("block", "array", "size"),
    [(IMAGES, "pixels", 24 + 16), (EMBEDDINGS, "embeddings", 40 + 16)],
)
def test_a_block_comes_back_and_weighs_what_its_arrays_do(
    block: ImageBlock | EmbeddingBlock, array: str, size: int
) -> None:
    coder = BlockCoder()
    again = coder.decode(coder.encode(block))
    assert (again.key, again.rows, again.planned) == (block.key, block.rows, block.planned)
    np.testing.assert_array_equal(getattr(again, array), getattr(block, array))
    assert coder.estimate_size(block) == size


@pytest.mark.parametrize("kind", [ImageBlock, EmbeddingBlock])
def test_beam_takes_it_for_blocks(kind: type) -> None:
    register_block_coders()
    assert isinstance(registry.get_coder(kind), BlockCoder)


class _Heavy(ImageBlock):
    def __reduce__(self) -> str:
        raise AssertionError("was pickled")


def test_a_block_is_not_pickled_between_steps() -> None:
    with pipeline() as p:
        read = beam.ParDo(ReadAheadFn(_heavy))
        p | beam.Create([0, 1, 2]) | read | beam.Map(lambda block: block.key.index)


def _heavy(index: int) -> ImageBlock:
    return _Heavy(BlockKey("a", index), IMAGES.pixels, ROWS, 2)
