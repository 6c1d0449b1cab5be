import pytest

from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from tests.slides.readers.native.files import (
    ODD_PYRAMID,
    TiledSlide,
    write_slide,
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("native") / "sample.svs"
    write_sample_slide(path, SampleSlide(1500, 1300, coverage=1, islands=1, level_factor=2))
    return path


@pytest.fixture(scope="module")
def odd_pyramid(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("odd") / "odd.tiff", TiledSlide(ODD_PYRAMID))
