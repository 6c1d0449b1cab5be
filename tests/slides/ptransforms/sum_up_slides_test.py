import apache_beam as beam
import numpy as np
from apache_beam.testing.util import assert_that, equal_to

from beamscope.transforms.blocks import EmbeddingBlock
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.slides.planning.plan import EmptyPlan
from beamscope.transforms.slides.planning.plan_file import write_plan
from beamscope.transforms.slides.ptransforms.sum_up_slides import SumUpSlides
from beamscope.transforms.slides.requests import SlideRequest
from tests.beam_testing import pipeline
from tests.slides.plans import opened, ready


def test_slides_meet_their_parts(tmp_path):
    layout = Layout(str(tmp_path), "p1", "f")
    refs = []
    for slide_id, patches in (("a", 5), ("b", 0), ("c", 3)):
        if patches:
            plan = ready(patches, slide_id)
        else:
            plan = EmptyPlan(**opened(slide_id), reason="no tissue found")
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
