import collections
import dataclasses
import shutil
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.geometry import Level, ReadPlan
from beamscope.transforms.slides.readers.native import patches as native_patches
from beamscope.transforms.slides.readers.native import slide as native_slide
from beamscope.transforms.slides.readers.native.slide import NativeReader, lattice
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.readers.pixels import resample
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage.byte_source import LocalSource
from tests.shared_data import shared
from tests.slides.readers.native.files import (
    APERIO,
    KINDS,
    ODD_PYRAMID,
    PYRAMID,
    TiledSlide,
    damage,
    tile_place,
    write_slide,
)

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


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_as_openslide(kind, tmp_path):
    plain, native = opened(write_slide(tmp_path / "slide.tiff", KINDS[kind]))
    x, y = places(plain)
    for level, downsample in enumerate(level.downsample for level in plain.levels):
        for read_px, patch_px in ((150, 150), (160, 80), (131, 60), (50, 64)):
            read = plan(plain, level, read_px, patch_px)
            most = difference(natively(native, x, y, read), by_openslide(plain, x, y, read)).max()
            whole = not ((x / downsample) % 1).any() and not ((y / downsample) % 1).any()
            assert most <= (0 if whole else 1), (level, read_px, most)


@pytest.mark.parametrize(
    "name",
    [
        "CMU-1-Small-Region.svs",
        "cmu1_jp2k_33005_pyr.svs",
        "cmu1_sparse_tiles.svs",
        "tcga-cr-7395-01a-01-ts1.svs",
        "tcga_generic_pyramid_mpp0.5.tiff",
    ],
)
def test_the_same_as_openslide_on_real_slides(name):
    plain, native = opened(shared(f"data/slides/{name}"))
    x, y = places(plain)
    for level in range(len(plain.levels)):
        for read_px, patch_px in ((224, 224), (448, 224), (245, 224)):
            read = plan(plain, level, read_px, patch_px)
            ours, theirs = natively(native, x, y, read), by_openslide(plain, x, y, read)
            assert difference(ours, theirs).max() <= (1 if level else 0)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("native") / "sample.svs"
    write_sample_slide(path, SampleSlide(1500, 1300, coverage=1, islands=1, level_factor=2))
    return path


@pytest.fixture(scope="module")
def odd_pyramid(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("odd") / "odd.tiff", TiledSlide(ODD_PYRAMID))


@settings(max_examples=60, deadline=None)
@given(
    x=st.integers(0, 720),
    y=st.integers(0, 620),
    level=st.integers(0, 2),
    side=st.integers(1, 300),
)
def test_the_same_at_any_place(odd_pyramid, x, y, level, side):
    plain, native = opened(odd_pyramid)
    read = plan(plain, level, side, side)
    ours, theirs = natively(native, [x], [y], read), by_openslide(plain, [x], [y], read)
    assert difference(ours, theirs).max() <= 1


@settings(max_examples=30, deadline=None)
@given(
    x=st.integers(0, 180),
    y=st.integers(0, 160),
    shrink=st.sampled_from([2, 4, 8]),
    level=st.integers(0, 1),
)
def test_tiles_are_averaged_as_patches_would_be(sample, x, y, shrink, level):
    plain, native = opened(sample)
    x, y = (np.array([value * shrink * 2**level]) for value in (x, y))
    read = plan(plain, level, 32 * shrink, 32)
    assert np.array_equal(natively(native, x, y, read), by_openslide(plain, x, y, read))


@pytest.mark.parametrize("shrink", [2, 4, 8])
@pytest.mark.parametrize(
    "name", ["sample", "CMU-1-Small-Region.svs", "tcga_generic_pyramid_mpp0.5.tiff"]
)
def test_the_decoder_shrinks_as_averaging_does(name, shrink, sample):
    plain, native = opened(sample if name == "sample" else shared(f"data/slides/{name}"))
    read = plan(plain, 0, 128 * shrink, 128)
    x, y = (shrink * (v // shrink) for v in places(plain, n=16, reach=read.read_px))
    shrunk, averaged = (natively(native, x, y, read, scaled=scaled) for scaled in (True, False))
    assert 0 < difference(shrunk, averaged).mean() <= 0.75


def test_only_on_the_lattice_does_the_decoder_shrink(sample):
    plain, native = opened(sample)
    read = plan(plain, 0, 448, 224)
    x, y = np.array([86, 87, 86, 1400]), np.array([40, 40, 41, 40])
    shrunk, averaged = (natively(native, x, y, read, scaled=scaled) for scaled in (True, False))
    same = [np.array_equal(a, b) for a, b in zip(shrunk, averaged, strict=True)]
    # The last sticks out of the slide, where there is nothing to shrink.
    assert same == [False, True, True, True]


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "tcga_generic_pyramid_mpp0.5.tiff"])
def test_the_same_embeddings(name):
    import tensorflow as tf

    model = tf.saved_model.load(str(shared("models/squeezenet11-imagenet")))
    plain, native = opened(shared(f"data/slides/{name}"))
    x, y = (2 * (values // 2) for values in places(plain, reach=450))
    read = plan(plain, 0, 448, 224)
    ours, theirs = (
        np.asarray(model(tf.constant(patches, tf.float32) / 255)).reshape(len(x), -1)
        for patches in (natively(native, x, y, read, scaled=True), by_openslide(plain, x, y, read))
    )
    cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosine.min() >= 0.999


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
    monkeypatch.setattr(native_slide, "_WINDOW_BYTES", total // 3)
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


@pytest.mark.parametrize(
    ("read_px", "patch_px", "expected"),
    [
        (448, 224, 2),
        (896, 224, 4),
        (1792, 224, 8),
        (3584, 224, 8),
        (1344, 224, 2),
        (672, 224, 1),
        (224, 224, 1),
        (491, 224, 1),
        (112, 224, 1),
    ],
)
def test_lattice(read_px, patch_px, expected):
    assert lattice(ReadPlan(0, 1.0, read_px, patch_px, 0.5, 0.25)) == expected


DAMAGES = {
    "zeros in the data": (1500, bytes(400)),
    "other bits": (700, b"\x55"),
    "a marker that does not belong there": (400, b"\xff\xae\xff"),
    "an end of image too early": (700, b"\xff\xd9"),
    "a broken header": (20, bytes(2)),
    "not JPEG at all": (0, b"PNG!"),
}


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", DAMAGES)
def test_damage_errors(name, scaled, tmp_path):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    plain, native = opened(path)
    x, y = (2 * (values // 2) for values in places(plain, n=40, reach=130))
    read = plan(plain, 0, 128, 64, scaled)
    whole = natively(native, x, y, read, scaled)
    damage(path, 0, 8, *DAMAGES[name])  # column 2, row 1
    plain, native = opened(path)
    problems, out = read_all(native, x, y, read)
    alone_problems, _ = read_all(alone(LocalSource(path)), x, y, read)
    for index, problem in enumerate(problems):
        if not (128 < x[index] < 384 and 0 < y[index] < 256):
            assert problem is None
            assert np.array_equal(out[index], whole[index])
            continue
        there = f"tile (2, 1) of level 0: {alone_problems[index].message.partition(': ')[2]}"
        assert there.endswith("; OpenSlide was not asked: nobody is there")
        # OpenSlide does not look at what follows the last row of pixels, such as left-over data.
        if name == "other bits":
            expected = by_openslide(plain, x[[index]], y[[index]], read)
            assert problem is None
            assert np.array_equal(out[[index]], expected)
            continue
        assert problem.kind == "unreadable_region"
        assert problem.message == there.partition(";")[0]
        with pytest.raises(InputError) as error:
            by_openslide(plain, x[[index]], y[[index]], read)
        assert error.value.kind == problem.kind
    lost = 0 if name == "other bits" else sum(problem is not None for problem in alone_problems)
    assert sum(problem is not None for problem in problems) == lost < 40


def read_all(slide, x, y, read):
    out = np.zeros((len(x), read.patch_px, read.patch_px, 3), np.uint8)
    return slide.read_patches(x, y, read, out, THREADS), out


class DamagedDisk(LocalSource):
    bad = -1

    def read(self, offset: int, length: int) -> bytes:
        if offset == self.bad:
            raise InputError(Kind.UNREADABLE_BYTES, f"{length} bytes at {offset}: I/O error")
        return super().read(offset, length)


def test_damaged_disk_errors(tmp_path):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    source = DamagedDisk(path)
    native = alone(source)
    source.bad = tile_place(path, 0, 8)[0]
    x, y = np.array([0, 250, 380, 400]), np.array([0, 120, 120, 300])
    out = np.empty((4, 60, 60, 3), np.uint8)
    first, second, third, last = native.read_patches(x, y, plan(native, 0, 60, 60), out, THREADS)
    assert (first, last) == (None, None)
    assert second.message.startswith("tile (2, 1) of level 0: ")
    assert third.kind == "unreadable_region"


class FaultyNetwork(LocalSource):
    works = True

    def read(self, offset: int, length: int) -> bytes:
        if not self.works:
            raise ConnectionError("gone")
        return super().read(offset, length)


def test_a_fault_that_may_pass_is_no_damage_errors(tmp_path):
    source = FaultyNetwork(write_slide(tmp_path / "slide.tiff", TiledSlide()))
    native = alone(source)
    source.works = False
    with pytest.raises(ConnectionError):
        natively(native, [0], [0], plan(native))


def test_data_that_is_always_odd_is_not_served(tmp_path):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    damage(path, 0, 0, *DAMAGES["a broken header"])
    answer = NativeReader.open(str(path))
    assert isinstance(answer, NotServed)
    assert answer.reason.startswith("tile (0, 0) of level 0: a broken")


def test_the_largest_tile_is_tried_too(tmp_path):
    slide = TiledSlide(tables=False)
    path = write_slide(tmp_path / "slide.tiff", slide)
    with tifffile.TiffFile(path) as tiff:
        largest = int(np.argmax(tiff.pages[0].databytecounts))
    assert largest > 0
    damage(path, 0, largest, *DAMAGES["a broken header"])
    answer = NativeReader.open(str(path))
    assert isinstance(answer, NotServed)
    assert answer.reason.startswith(f"tile ({largest % 6}, {largest // 6}) of level 0: ")


def test_cut_off_file_errors(sample, tmp_path):
    # Its directories are at the front, so that it opens; a good part of its pixels is gone.
    path = shutil.copy(sample, tmp_path / "cut.svs")
    offset, _ = tile_place(path, 0, 15)
    native = alone(LocalSource(path))
    with path.open("r+b") as file:
        file.truncate(offset + 10)
    problems = native.read_patches(
        np.array([0, 700]),
        np.array([0, 700]),
        plan(native),
        np.empty((2, 150, 150, 3), np.uint8),
        THREADS,
    )
    assert problems[0] is None
    assert problems[1].kind == "unreadable_region"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("data/slides_broken/CMU-1-Small-Region.jp2.tiff", "level 0: compression 34712"),
        ("data/slides/test3-DAPI-2-(387).ndpi", "a slide of hamamatsu"),
    ],
)
def test_other_slides_are_not_served(name, reason):
    answer = NativeReader.open(str(shared(name)))
    assert isinstance(answer, NotServed)
    assert reason in answer.reason


def test_check_plan_errors(tmp_path):
    slide = TiledSlide(PYRAMID, description=APERIO, missing=((1, 3),))
    plain, native = opened(write_slide(tmp_path / "slide.svs", slide))
    assert native.serves_level(0) is None
    native.check_plan(plan(plain, 0))
    # OpenSlide draws such tiles from finer levels.
    drawn = "level {}: missing tiles, drawn from a finer level"
    for level in (1, 2):
        assert native.serves_level(level).reason == drawn.format(level)
    for read, reason in (
        (plan(plain, 1), drawn.format(1)),
        (ReadPlan(3, 8.0, 9, 9, 1, 1), "no level 3"),
        (ReadPlan(1, 2.1, 9, 9, 1, 1), "no level 1 of downsample 2.1"),
    ):
        with pytest.raises(InputError, match=reason) as error:
            native.read_patches(*np.zeros((2, 1), int), read, np.empty((1, 9, 9, 3)), THREADS)
        assert error.value.kind == "not_served"


def test_a_slide_that_openslide_sees_otherwise_is_not_asked(tmp_path):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    damage(path, 0, 8, *DAMAGES["other bits"])
    other = OpenSlideReader(write_slide(tmp_path / "other.tiff", TiledSlide(((700, 500),))))
    native = NativeReader.of_source(LocalSource(path), lambda: other)
    problems, _ = read_all(native, np.array([260]), np.array([130]), plan(native, 0, 50, 50))
    assert problems[0].message.endswith(
        "OpenSlide was not asked: levels 700 x 600, in OpenSlide 700 x 500"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"levels": (Level(0, 700, 601, 1.0),)}, "levels 700 x 600, in OpenSlide 700 x 601"),
        ({"properties": {"openslide.vendor": "trestle"}}, "vendor generic-tiff, in OpenSlide"),
        ({"properties": {"openslide.vendor": "generic-tiff", "openslide.mpp-x": "3"}}, "mpp-x"),
    ],
)
def test_a_local_slide_that_openslide_sees_otherwise_is_not_served(
    change, reason, tmp_path, monkeypatch
):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    assert isinstance(NativeReader.open_to_plan(str(path)), NativeReader)
    whole = OpenSlideReader.open

    def otherwise(uri):
        slide = whole(uri)
        vars(slide).update(change)
        return slide

    monkeypatch.setattr(OpenSlideReader, "open", otherwise)
    answer = NativeReader.open_to_plan(str(path))
    assert isinstance(answer, NotServed)
    assert reason in answer.reason
    # Under auto OpenSlide then serves the slide.
    asked = SlideSettings(patch_px=64, stride_px=64, tissue="none")
    monkeypatch.undo()
    monkeypatch.setattr(NativeReader, "open_to_plan", lambda uri, cache: answer)
    request = SlideRequest("s", str(path), assume_mpp=0.5)
    assert plan_slide(request, asked).reader == "openslide"
    refused = plan_slide(request, dataclasses.replace(asked, reader="native"))
    assert (refused.problem.kind, refused.problem.message) == ("not_served", answer.reason)


def test_an_unknown_store_errors():
    with pytest.raises(InputError) as error:
        NativeReader.open("ftp://host/s.svs")
    assert error.value.kind == "unknown_scheme"
