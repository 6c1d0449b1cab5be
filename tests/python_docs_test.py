"""The example of docs/python.md, run as it stands there."""

import re
from pathlib import Path

import numpy as np
import openslide
from apache_beam.testing.util import assert_that

from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from tests.beam_testing import pipeline

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"


def test_the_example_runs(tmp_path):
    path = tmp_path / "s.svs"
    write_sample_slide(path, SampleSlide(width=1500, height=1500, mpp=1.0, coverage=1.0))
    names = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)[0], names)
    job = pipeline()
    colours = names["build"](job, [str(tmp_path / "*.svs")], str(tmp_path / "out"))
    with openslide.OpenSlide(path) as slide:
        corner = np.asarray(slide.read_region((224, 224), 0, (224, 224)))[..., :3]
    expected = corner.mean(axis=(0, 1))

    def check(found):
        assert len(found) == 36
        (colour,) = [rgb for slide, x, y, rgb in found if (slide, x, y) == ("s", 224, 224)]
        np.testing.assert_allclose(colour, expected)

    assert_that(colours, check)
    job.run().wait_until_finish()
