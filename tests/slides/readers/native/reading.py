"""Read places of a slide natively and by OpenSlide."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.readers.pixels import resample
from beamscope.transforms.storage.byte_source import LocalSource

THREADS = ThreadPoolExecutor(3)


def plan(slide, level=0, read_px=150, patch_px=150, scaled=False) -> ReadPlan:
    downscale = "decoder" if scaled else "area"
    downsample = slide.levels[level].downsample
    return ReadPlan(level, downsample, read_px, patch_px, 0.5, 0.5, downscale)


def alone(source) -> NativeReader:
    """A reader that has nobody to ask for the tiles that it refuses."""
    slide = NativeReader.of_source(source, lambda: NotServed("nobody is there"))
    assert isinstance(slide, NativeReader)
    return slide


def opened(path: Path):
    plain = OpenSlideReader(path)
    native = NativeReader.of_source(LocalSource(path), lambda: plain)
    for name in ("vendor", "dimensions", "levels", "background"):
        assert getattr(native, name) == getattr(plain, name)
    return plain, native


def by_openslide(plain: OpenSlideReader, x, y, read: ReadPlan) -> np.ndarray:
    side = read.patch_px
    regions = [
        plain.read_area(int(left), int(top), read.level, read.read_px, read.read_px)[0]
        for left, top in zip(x, y, strict=True)
    ]
    return np.stack([resample(region, side, side) for region in regions])


def natively(native, x, y, read: ReadPlan, scaled=False, threads=THREADS) -> np.ndarray:
    read = dataclasses.replace(read, downscale="decoder" if scaled else "area")
    out = np.full((len(x), read.patch_px, read.patch_px, 3), 77, np.uint8)
    assert native.read_patches(np.array(x), np.array(y), read, out, threads) == [None] * len(x)
    return out


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(int) - b)


def places(plain: OpenSlideReader, n=12, seed=0, reach=20):
    """Top left corners, some so close to the edge that most of the patch lies outside."""
    rng = np.random.default_rng(seed)
    width, height = plain.dimensions
    return rng.integers(0, width - reach, n), rng.integers(0, height - reach, n)
