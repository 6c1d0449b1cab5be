"""How long reading a patch may hold Python's lock, and so what one process reads at most.

    python -m benchmarks.interpreter_lock [--pixels SLIDE] [--repeats N]

The slides and patches are those of `benchmarks.reading`, read by one thread. Of the processor time
of a patch, what passes inside the calls that release the lock is taken off: OpenSlide's own, those
of OpenCV and simplejpeg. What is left over is held at most; loops of NumPy, which release it too,
are in it. It is processor time, so that other load on the machine matters little. Ways take turns,
and medians of the rounds are printed.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import openslide
import simplejpeg

from beamscope.transforms.slides.planning.plan import SlideBlock
from beamscope.transforms.slides.read_block import read_block
from beamscope.transforms.slides.readers import openslide_surface
from beamscope.transforms.slides.readers.base import SlideReader
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.readers.pixels import composite, resample
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from benchmarks.reading import PATCH_PX, QUALITY, READ_PX, SLIDE_PX, blocks_of, write_mosaic

PATCHES = 64

Way = Callable[[SlideBlock, Executor], object]


def through_pillow(slide: openslide.OpenSlide) -> Way:
    """Return the way of versions up to 0.2: Pillow's image becomes an array, then its RGB."""

    def way(block: SlideBlock, threads: Executor) -> object:
        def read_one(place: tuple[int, int]) -> np.ndarray:
            rgba = np.asarray(slide.read_region(place, 0, (READ_PX, READ_PX)))
            rgb = composite(rgba, (255, 255, 255))
            return resample(rgb, PATCH_PX, PATCH_PX)

        places = zip(block.x_level0.tolist(), block.y_level0.tolist(), strict=True)
        return list(threads.map(read_one, places))

    return way


def by_reader(slide: SlideReader) -> Way:
    return lambda block, threads: read_block(block, slide, threads).pixels


class Released:
    """Times the calls that release the lock, of the thread that makes them.

    Args:
      names: objects and the names of their functions.
    """

    def __init__(self, *names: tuple[object, str]) -> None:
        self.seconds = 0.0
        self._names = names

    def __enter__(self) -> Released:
        self._functions = [getattr(owner, name) for owner, name in self._names]
        for (owner, name), function in zip(self._names, self._functions, strict=True):
            setattr(owner, name, self._timed(function))
        return self

    def __exit__(self, *_: object) -> None:
        for (owner, name), function in zip(self._names, self._functions, strict=True):
            setattr(owner, name, function)

    def _timed(self, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            start = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds += time.thread_time() - start

        return call


def cost(way: Way, block: SlideBlock, threads: Executor) -> tuple[float, float]:
    """Return milliseconds a patch: of the processor, and of it outside of calls that release."""
    with Released(
        (openslide.lowlevel, "_read_region"),
        (openslide_surface, "_read_region"),
        (cv2, "cvtColor"),
        (cv2, "resize"),
        (simplejpeg, "decode_jpeg"),
    ) as released:
        start = time.process_time()
        way(block, threads)
        total = time.process_time() - start
    return total * 1000 / len(block), (total - released.seconds) * 1000 / len(block)


def first(block: SlideBlock, patches: int) -> SlideBlock:
    return dataclasses.replace(
        block,
        x_level0=block.x_level0[:patches],
        y_level0=block.y_level0[:patches],
        tissue=block.tissue[:patches],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", type=Path, help="a slide whose pixels the made one uses")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "slide.svs"
        if options.pixels:
            write_mosaic(path, options.pixels)
        else:
            write_sample_slide(
                path, SampleSlide(SLIDE_PX, SLIDE_PX, quality=QUALITY, islands=1, coverage=1)
            )
        native = NativeReader.open(str(path))
        assert isinstance(native, NativeReader), native
        ways = {
            "OpenSlide through Pillow, as before": through_pillow(openslide.OpenSlide(path)),
            "OpenSlide": by_reader(OpenSlideReader(path)),
            "native": by_reader(native),
        }
        read = ReadPlan(0, 1.0, READ_PX, PATCH_PX, 0.5, 0.25)
        block = first(blocks_of(SLIDE_PX, SLIDE_PX, read)[0], PATCHES)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        with ThreadPoolExecutor(1) as one:
            for _ in range(options.repeats):
                for name, way in ways.items():
                    found[name].append(cost(way, block, one))
    print("| way | ms a patch | of it with the lock | patches/s of a process, at most |")
    print("|---|--:|--:|--:|")
    for name, rows in found.items():
        total, held = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"| {name} | {total:.2f} | {held:.3f} | {1000 / held:,.0f} |")


if __name__ == "__main__":
    main()
