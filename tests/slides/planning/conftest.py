import openslide
import pytest

from beamscope.transforms.slides.planning.planner import plan_slide
from tests.slides.planning.fake_plans import REQUEST, SETTINGS


@pytest.fixture
def planned(monkeypatch):
    def plan(slide, settings=SETTINGS, request=REQUEST):
        monkeypatch.setattr(openslide, "OpenSlide", slide.open)
        return plan_slide(request, settings)

    return plan
