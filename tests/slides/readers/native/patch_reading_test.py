import collections
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from beamscope.transforms.slides.readers.native import patch_reading
from beamscope.transforms.slides.readers.native import patches as native_patches
from beamscope.transforms.storage.byte_source import LocalSource
from tests.slides.readers.native.files import (
    TiledSlide,
    tile_place,
    write_slide,
)
from tests.slides.readers.native.reading import (
    THREADS,
    alone,
    natively,
    opened,
    places,
    plan,
)


def test_a_patch_is_the_same_in_any_block_and_with_any_threads(sample):
    plain, native = opened(sample)
    x, y = places(plain, n=40)
    for read in (plan(plain, 0, 448, 224), plan(plain, 1, 101, 64)):
        together = natively(native, x, y, read, scaled=True)
        with ThreadPoolExecutor(1) as one:
            alone = [
                natively(native, x[i : i + 1], y[i : i + 1], read, True, one) for i in range(40)
            ]
        assert np.array_equal(together, np.concatenate(alone))


class CountingSource(LocalSource):
    def __init__(self, path) -> None:
        super().__init__(path)
        self.reads: collections.Counter[tuple[int, int]] = collections.Counter()

    def read(self, offset: int, length: int) -> bytes:
        self.reads[offset, length] += 1
        return super().read(offset, length)


def test_each_tile_is_read_once(tmp_path):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    source = CountingSource(path)
    native = alone(source)
    source.reads.clear()
    # Patches overlap; tiles are 6 by 5 of 128 px; the last column is not touched.
    x, y = (values.ravel() for values in np.meshgrid(range(5, 480, 60), range(5, 420, 60)))
    natively(native, x, y, plan(native))
    tiles = {tile_place(path, 0, row * 6 + column) for row in range(5) for column in range(5)}
    assert source.reads == dict.fromkeys(tiles, 1)


class RequestedSource(LocalSource):
    def __init__(self, path) -> None:
        super().__init__(path)
        self.requested: list[int] = []

    def request(self, ranges):
        self.requested.append(sum(length for _, length in ranges))
        return super().request(ranges)


def test_tiles_are_asked_for_window_by_window(tmp_path, monkeypatch):
    source = RequestedSource(write_slide(tmp_path / "slide.tiff", TiledSlide()))
    native = alone(source)
    x, y = (values.ravel() for values in np.meshgrid(range(0, 500, 50), range(0, 400, 50)))
    source.requested.clear()
    at_once = natively(native, x, y, plan(native))
    (total,) = source.requested
    source.requested.clear()
    monkeypatch.setattr(patch_reading, "_WINDOW_BYTES", total // 3)
    assert np.array_equal(natively(native, x, y, plan(native)), at_once)
    assert sum(source.requested) == total
    assert max(source.requested) <= total // 3


def test_memory_is_bounded_however_much_patches_overlap(tmp_path, monkeypatch):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    native = alone(LocalSource(path))
    x, y = (values.ravel() for values in np.meshgrid(range(0, 400, 20), range(0, 300, 20)))
    read = plan(native, 0, 283, 64)
    freely = natively(native, x, y, read)
    out = np.empty_like(freely)
    monkeypatch.setattr(native_patches, "_MOST_UNDER_WAY_BYTES", 5_000_000)
    tracemalloc.start()
    try:
        native.read_patches(x, y, read, out, THREADS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.array_equal(out, freely)
    assert peak < 7e6 < 283 * 283 * 3 * len(x)
