"""OpenSlide stand-ins whose content and faults are known exactly."""

from __future__ import annotations

import threading

import numpy as np
import openslide
from PIL import Image


class FakeSlide:
    """An `openslide.OpenSlide` over an RGBA array, with rectangles that cannot be read.

    As the real one, a handle that met an unreadable rectangle fails ever after.
    """

    def __init__(self, rgba, *, downsamples=(1.0,), bad=(), properties=None, mpp="0.25"):
        self.rgba = rgba
        self.bad = list(bad)
        self.level_downsamples = tuple(downsamples)
        height, width = rgba.shape[:2]
        self.dimensions = (width, height)
        self.level_dimensions = tuple((round(width / d), round(height / d)) for d in downsamples)
        self.properties = {"openslide.vendor": "fake"} | dict(properties or {})
        if mpp is not None:
            self.properties |= {"openslide.mpp-x": mpp, "openslide.mpp-y": mpp}
        self.opened = 0
        self._lock = threading.Lock()

    def open(self, path):
        with self._lock:
            self.opened += 1
        return _Handle(self)


class _Handle:
    def __init__(self, slide):
        self._slide = slide
        self._failed = False
        self.properties = slide.properties
        self.dimensions = slide.dimensions
        self.level_dimensions = slide.level_dimensions
        self.level_downsamples = slide.level_downsamples

    def read_region(self, location, level, size):
        x, y = location
        downsample = self._slide.level_downsamples[level]
        width, height = (round(n * downsample) for n in size)
        for left, top, right, bottom in self._slide.bad:
            if x < right and left < x + width and y < bottom and top < y + height:
                self._failed = True
        if self._failed:
            raise openslide.OpenSlideError("JPEG datastream contains no image")
        region = np.zeros((height, width, 4), np.uint8)
        part = self._slide.rgba[max(y, 0) : y + height, max(x, 0) : x + width]
        region[: part.shape[0], : part.shape[1]] = part
        step = round(downsample)
        return Image.fromarray(np.ascontiguousarray(region[::step, ::step][: size[1], : size[0]]))
