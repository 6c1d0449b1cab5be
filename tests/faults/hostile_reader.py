"""A reader of slides that aborts, hangs or is killed in the middle of a slide with such a name.

Child processes find it by an entry point.
"""

from __future__ import annotations

from pathlib import Path

from tests.faults import hostile
from tests.slides.readers.third_reader_test import StripReader

ENTRY_POINTS = f"""{hostile.ENTRY_POINTS}
[beamscope.readers]
hostile = tests.faults.hostile_reader:HostileReader
"""
PATCH = 64
# The patch that does what the slide's name says.
PLACE = 2 * PATCH, 1 * PATCH


class HostileReader(StripReader):
    """Strips of TIFF, but for one patch."""

    @classmethod
    def open(cls, uri, *, cache=None, version=None):
        slide = super().open(uri, cache=cache, version=version)
        if isinstance(slide, cls):
            slide._name = Path(uri).stem
        return slide

    def read_area(self, x_level0, y_level0, level, width, height):
        # The thumbnail and the checks of a plan are larger, or begin elsewhere.
        if (width, height) == (PATCH, PATCH) and (x_level0, y_level0) == PLACE:
            hostile.misbehave(self._name)
        return super().read_area(x_level0, y_level0, level, width, height)
