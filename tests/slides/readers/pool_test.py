import dataclasses

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.readers import pool as open_slides
from beamscope.transforms.slides.readers.pool import close_slides, open_patches, open_to_plan
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("slides") / "s.svs"
    write_sample_slide(path, SampleSlide(width=700, height=600, mpp=0.5, levels=1, coverage=1))
    return str(path)


CHANGES = {
    "level_dimensions": ((700, 601),),
    "properties": {"openslide.vendor": "aperio", "openslide.mpp-x": "0.25"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_local_slide_that_openslide_sees_otherwise_errors(path, name, monkeypatch):
    whole = open_slides.open_native

    def opened(source):
        slide = whole(source)
        setattr(slide, name, CHANGES[name])
        return slide

    monkeypatch.setattr(open_slides, "open_native", opened)
    with pytest.raises(InputError, match="in OpenSlide") as error:
        open_to_plan(path, "native")
    assert error.value.kind == "not_served"
    settings = SlideSettings(patch_px=64, stride_px=64)
    assert plan_slide(SlideRequest("s", path), settings).reader == "openslide"
    refused = plan_slide(SlideRequest("s", path), dataclasses.replace(settings, reader="native"))
    assert refused.problem.kind == "not_served"


@pytest.mark.parametrize("reader", ["openslide", "native"])
def test_a_missing_slide_errors(reader):
    for open_it in (open_to_plan, open_patches):
        with pytest.raises(InputError) as error:
            open_it("/nowhere/s.svs", reader)
        assert error.value.kind == "missing_file"


def test_a_store_without_ranges_errors():
    with pytest.raises(InputError, match="is not read by ranges") as error:
        open_to_plan("s3://bucket/s.svs", "native")
    assert error.value.kind == "not_served"


def test_a_slide_is_opened_once(path, monkeypatch):
    opened = []
    whole = open_slides.open_native
    monkeypatch.setattr(
        open_slides, "open_native", lambda source: opened.append(source) or whole(source)
    )
    for _ in range(3):
        open_patches(path, "native")
    assert len(opened) == 1
    close_slides()
    open_patches(path, "native_scaled")
    assert len(opened) == 2
    close_slides()
