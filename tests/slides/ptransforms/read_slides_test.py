import apache_beam as beam
import numpy as np
import openslide
import pytest
from apache_beam.testing.util import assert_that, equal_to

from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.ptransforms.read_slides import ReadSlideBlocks
from beamscope.transforms.slides.readers.pool import close_slides
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings
from tests.beam_testing import counters, pipeline


@pytest.fixture(params=["openslide", "native"])
def blocks(tmp_path, request):
    path = tmp_path / "s.svs"
    write_sample_slide(path, SampleSlide(width=1500, height=1500, mpp=0.5))
    settings = SlideSettings(
        mpp=0.5, patch_px=64, stride_px=64, block_size=16, reader=request.param
    )
    yield list(plan_slide(SlideRequest("s", str(path)), settings).blocks())
    close_slides()


def read(blocks, check):
    job = pipeline()
    check(job | beam.Create(blocks) | ReadSlideBlocks(threads=2))
    result = job.run()
    result.wait_until_finish()
    return counters(result)


def test_every_block_is_read_once_ahead_or_not(blocks):
    assert len(blocks) > 3

    def check(images):
        found = images | beam.Map(
            lambda block: (block.key.index, len(block.pixels), block.pixels.shape[1:])
        )
        expected = [(block.key.index, len(block), (64, 64, 3)) for block in blocks]
        assert_that(found, equal_to(expected))

    counts = read(blocks, check)
    assert counts["rows_read"] == sum(len(block) for block in blocks)


@pytest.mark.parametrize("reverse", [False, True])
def test_rows_stay_with_their_pixels(blocks, reverse):
    with openslide.OpenSlide(blocks[0].uri) as slide:
        expected = [
            (x, y, int(np.asarray(slide.read_region((x, y), 0, (64, 64)))[..., :3].sum()))
            for block in blocks
            for x, y in zip(block.x_level0.tolist(), block.y_level0.tolist(), strict=True)
        ]

    def check(images):
        assert_that(images | beam.FlatMap(_place_and_sum), equal_to(expected))

    read(blocks[::-1] if reverse else blocks, check)


def _place_and_sum(images):
    rows = images.rows.to_pylist()
    return [
        (row["x_level0"], row["y_level0"], int(pixels.sum()))
        for row, pixels in zip(rows, images.pixels, strict=True)
    ]


def test_a_slide_that_vanished_after_planning_is_a_problem_for_each_patch(blocks, tmp_path):
    close_slides()
    (tmp_path / "s.svs").unlink()

    def check(images):
        problems = images | beam.FlatMap(lambda block: [p.kind for p in block.problems])
        assert_that(problems, equal_to(["missing_file"] * sum(map(len, blocks))))

    read(blocks, check)
