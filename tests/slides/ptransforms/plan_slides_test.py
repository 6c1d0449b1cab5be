import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to

from beamscope.transforms.blocks import BlockKey, EmbeddingBlock
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.slides.planning.plan_file import read_plan
from beamscope.transforms.slides.ptransforms.plan_slides import PlanSlides
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage import files
from tests.beam_testing import counters, pipeline

SETTINGS = SlideSettings(mpp=0.5, patch_px=64, stride_px=64, block_size=32)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slides") / "good.svs"
    write_sample_slide(path, SampleSlide(width=1500, height=1500, mpp=0.5))
    return str(path)


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / "out"), "p1", "f")


def plan(requests, layout, settings=SETTINGS, check=lambda planned: None):
    job = pipeline()
    planned = job | beam.Create(requests) | PlanSlides(settings, layout)
    check(planned)
    result = job.run()
    result.wait_until_finish()
    return counters(result)


def embed_some(layout, slide_id, indexes):
    """Writes the parts of some blocks, as an earlier start would have left them."""
    for block in read_plan(layout.plan(slide_id)).blocks():
        if block.key.index in indexes:
            embeddings = np.zeros((len(block), 2), np.float32)
            write_part(layout, EmbeddingBlock(block.key, embeddings, block.rows(), len(block)))


def test_every_slide_comes_out_and_every_patch_is_in_a_block(slide, layout):
    requests = [SlideRequest("good", slide), SlideRequest("gone", "/nowhere.svs")]

    def check(planned):
        assert_that(planned.items, equal_to(["good", "gone"]), "slides")
        assert_that(planned.parts, equal_to([]), "parts")
        sizes = planned.blocks | beam.Map(lambda block: (block.key, len(block)))

        def whole(found):
            expected = read_plan(layout.plan("good")).block_sizes()
            assert sorted(found) == [(BlockKey("good", i), size) for i, size in enumerate(expected)]

        assert_that(sizes, whole, "blocks")

    counts = plan(requests, layout, check=check)
    assert counts["slides_planned"] == 2
    assert files.exists(layout.picture("good"))
    assert read_plan(layout.plan("gone")).problem.kind == "missing_file"


def test_what_is_done_is_dropped(slide, layout):
    requests = [SlideRequest("good", slide)]
    plan(requests, layout)
    embed_some(layout, "good", {0, 2})
    total = len(read_plan(layout.plan("good")).block_sizes())
    assert total > 3

    def check(planned):
        done = planned.parts | "Done" >> beam.Map(lambda part: part.key.index)
        left = planned.blocks | "Left" >> beam.Map(lambda block: block.key.index)
        assert_that(done, equal_to([0, 2]), "done")
        assert_that(left, equal_to([i for i in range(total) if i not in (0, 2)]), "left")

    counts = plan(requests, layout, check=check)
    assert counts["slides_planned_before"] == 1
    assert counts["blocks_embedded_before"] == 2
    assert "slides_planned" not in counts


def test_another_resolution_for_a_slide_discards_its_parts(slide, layout):
    plan([SlideRequest("good", slide)], layout)
    embed_some(layout, "good", {0, 1})

    def check(planned):
        assert_that(planned.parts, equal_to([]), "parts")

    counts = plan([SlideRequest("good", slide, mpp=0.4)], layout, check=check)
    assert counts["slides_planned"] == 1
    assert files.list_files(layout.parts) == []
