"""DICOM slides pass the suite of every reader, decoded for comparison by OpenSlide."""

import numpy as np
import openslide

from beamscope.transforms.slides.readers.geometry import Region
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.readers.testing import ReaderConformance
from tests.slides.readers.native.dicom_slides import KINDS, damage, write_dicom

TILE = 128


class DicomSlides(ReaderConformance):
    reader = NativeReader
    suffix = ".dcm"
    kind = "JPEG"
    broken = (20, bytes(2))

    def write(self, path, levels):
        write_dicom(path, levels, KINDS[self.kind])
        with openslide.OpenSlide(path) as slide:
            return [
                np.asarray(slide.read_region((0, 0), level, size).convert("RGB"))
                for level, size in enumerate(slide.level_dimensions)
            ]

    def damage(self, path):
        damage(path, 8, *self.broken)
        return Region(2 * TILE, TILE, TILE, TILE)


class TestOpenSlide(DicomSlides):
    reader = OpenSlideReader


class TestJpeg(DicomSlides):
    pass


class TestJpegScaled(DicomSlides):
    downscale = "decoder"

    def same_patches(self, ours, theirs):
        # The decoder averages before it makes colours of chroma, which is halved across here.
        assert np.abs(ours.astype(int) - theirs).mean() <= 4


class TestJpeg2000WithoutOffsets(DicomSlides):
    kind = "JPEG 2000, no offsets"
    broken = (8, bytes(4))  # a width of 0
