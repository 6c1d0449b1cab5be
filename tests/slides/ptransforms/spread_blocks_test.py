import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.slides.planning.plan import SlideBlock
from beamscope.transforms.slides.planning.resolution import ReadPlan
from beamscope.transforms.slides.ptransforms.spread_blocks import SpreadBlocks, _keyed
from tests.beam_testing import pipeline


def block(uri, index):
    zeros = np.zeros(1, np.int32)
    read = ReadPlan(0, 1.0, 8, 8, 0.5, 0.5)
    return SlideBlock(
        BlockKey(uri, index), uri, read, "openslide", zeros, zeros, np.ones(1, np.float32)
    )


@pytest.mark.parametrize(
    ("uri", "runs"), [("a.svs", [0, 1, 2, 3, 4]), ("gs://b/a.svs", [0, 0, 1, 1, 2])]
)
def test_blocks_of_a_remote_slide_stay_together(uri, runs):
    assert [_keyed(block(uri, i), 2)[0] for i in range(5)] == [(uri, run) for run in runs]


def test_every_block_comes_out_once():
    blocks = [block(uri, i) for uri in ("a.svs", "gs://b/a.svs") for i in range(5)]
    job = pipeline()
    spread = job | beam.Create(blocks) | SpreadBlocks(blocks_per_fetch=2)
    keys = spread | beam.Map(lambda found: found.key)
    assert_that(keys, equal_to([found.key for found in blocks]))
    job.run().wait_until_finish()
