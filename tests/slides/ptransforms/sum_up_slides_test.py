import apache_beam as beam
import numpy as np
from apache_beam.testing.util import assert_that, equal_to

from beamscope.transforms.blocks import EmbeddingBlock
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.slides.planning.plan import SlidePlan
from beamscope.transforms.slides.planning.plan_file import write_plan
from beamscope.transforms.slides.planning.resolution import ReadPlan, SlideMpp
from beamscope.transforms.slides.ptransforms.sum_up_slides import SumUpSlides
from beamscope.transforms.slides.requests import SlideRequest
from tests.beam_testing import pipeline


def test_slides_meet_their_parts(tmp_path):
    layout = Layout(str(tmp_path), "p1", "f")
    refs = []
    for slide_id, patches in (("a", 5), ("b", 0), ("c", 3)):
        plan = SlidePlan(
            slide_id,
            f"{slide_id}.svs",
            mpp=SlideMpp(0.5, 0.5, "slide"),
            read=ReadPlan(0, 1.0, 10, 10, 0.5, 0.5),
            reader="openslide",
            empty_reason=None if patches else "no tissue found",
            x_level0=np.arange(patches, dtype=np.int32),
            y_level0=np.zeros(patches, np.int32),
            tissue=np.ones(patches, np.float32),
            block_size=2,
        )
        write_plan(layout, SlideRequest(slide_id, plan.uri), plan)
        for block in plan.blocks():
            embeddings = np.zeros((len(block), 2), np.float32)
            embedded = EmbeddingBlock(block.key, embeddings, block.rows(), len(block))
            refs.append(write_part(layout, embedded))

    job = pipeline()
    slides = job | "Slides" >> beam.Create(["c", "a", "b"])
    parts = job | "Parts" >> beam.Create(refs[::-1])
    outcomes = {"items": slides, "parts": parts} | SumUpSlides(layout)
    found = outcomes | beam.Map(
        lambda o: (o.item_id, o.table["status"][0].as_py(), o.rows, len(o.parts))
    )
    assert_that(found, equal_to([("a", "done", 5, 3), ("b", "empty", 0, 0), ("c", "done", 3, 2)]))
    job.run().wait_until_finish()
