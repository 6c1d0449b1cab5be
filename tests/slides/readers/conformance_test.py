"""Every reader passes the suite that ships with the package."""

import numpy as np
import openslide
import tifffile

from beamscope.transforms.slides.readers.geometry import Region
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.readers.testing import ReaderConformance
from tests.slides.readers.native import files

TILE = 128


class JpegSlides(ReaderConformance):
    """Tiled JPEG slides, decoded for comparison by tifffile and imagecodecs."""

    def write(self, path, levels):
        files.write_levels(path, files.TiledSlide(tile=TILE), levels)
        with tifffile.TiffFile(path) as tiff:
            return [page.asarray() for page in tiff.pages]

    def damage(self, path):
        files.damage(path, 0, 8, 20, bytes(2))
        return Region(2 * TILE, TILE, TILE, TILE)


class Jpeg2000Slides(ReaderConformance):
    """Aperio's JPEG 2000, decoded for comparison by OpenSlide and Pillow."""

    suffix = ".svs"
    compression = 33005

    def write(self, path, levels):
        slide = files.TiledSlide(tile=TILE, description=files.APERIO, compression=self.compression)
        files.write_levels(path, slide, levels)
        with openslide.OpenSlide(path) as slide:
            return [
                np.asarray(slide.read_region((0, 0), level, size).convert("RGB"))
                for level, size in enumerate(slide.level_dimensions)
            ]

    def damage(self, path):
        files.damage(path, 0, 8, 8, bytes(4))  # a width of 0
        return Region(2 * TILE, TILE, TILE, TILE)


class TestOpenSlide(JpegSlides):
    reader = OpenSlideReader


class TestNative(JpegSlides):
    reader = NativeReader


class TestNativeScaled(JpegSlides):
    reader = NativeReader
    downscale = "decoder"

    def same_patches(self, ours, theirs):
        # The decoder averages before it makes colours of chroma.
        assert np.abs(ours.astype(int) - theirs).mean() <= 3


class TestNativeJpeg2000(Jpeg2000Slides):
    reader = NativeReader


class TestNativeJpeg2000OfYCbCr(Jpeg2000Slides):
    reader = NativeReader
    compression = 33003


class TestNativeJpeg2000Scaled(Jpeg2000Slides):
    reader = NativeReader
    downscale = "decoder"

    def same_patches(self, ours, theirs):
        assert np.abs(ours.astype(int) - theirs).mean() <= 5
