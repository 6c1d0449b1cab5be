"""The readers of slides, in the order in which they are asked.

`--reader auto` takes the first one that serves a slide for all that its plan needs. So a reader
comes before another one when it is faster and gives the same pixels where both serve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from beamscope.transforms.registry import Registry

if TYPE_CHECKING:
    # The names alone are wanted for a command line, which is not to load OpenSlide or OpenCV.
    from beamscope.transforms.slides.readers.base import SlideReader

READERS: Registry[type[SlideReader]] = Registry("reader", "beamscope.readers")

_ROOM = "beamscope.transforms.slides.readers"
# JPEG and JPEG 2000 tiles of TIFF slides, decoded once each and by byte ranges from a store:
# faster than OpenSlide, with its pixels, but of three formats only. It refuses what may differ.
READERS.register("native", f"{_ROOM}.native.slide:NativeReader")
# Every format of OpenSlide, tile by tile a patch; a remote slide is copied first.
READERS.register("openslide", f"{_ROOM}.openslide_reader:OpenSlideReader")
