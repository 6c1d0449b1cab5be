"""The tests that every reader of slides must pass; the author of a reader inherits them.

    from beamscope.transforms.slides.readers.testing import ReaderConformance

    class TestMyReader(ReaderConformance):
        reader = MyReader

        def write(self, path, levels): ...
        def damage(self, path): ...

pytest must be installed. It collects the class by its name.
"""

# ruff: noqa: D102, the name of a test is its sentence

from __future__ import annotations

import abc
import gc
import json
import os
import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.base import NotServed, SlideReader
from beamscope.transforms.slides.readers.geometry import Level, ReadPlan, Region
from beamscope.transforms.slides.readers.pixels import resample

Image = npt.NDArray[np.uint8]

# Width and height of the levels that are written.
SIZES = ((700, 600), (350, 300), (175, 150))
# Rectangles inside the smallest level: x, y, width and height in pixels of a level.
_AREAS = ((0, 0, 175, 150), (3, 5, 64, 48), (100, 120, 75, 30), (174, 149, 1, 1))
# Rectangles of a level that begin or end beyond it, for each of its edges; and some outside.
_AROUND = ((-20, 10), (10, -20), (-7, -9), (SIZES[-1][0] - 9, 12), (12, SIZES[-1][1] - 9))
_OUTSIDE = ((-100, 10), (10, -100), (SIZES[-1][0], 0), (0, SIZES[-1][1]), (5000, 5000))


class ReaderConformance(abc.ABC):
    """Inherit, set `reader`, and write `write` and `damage`.

    Attributes:
      reader: the class under test.
      suffix: of its files.
      downscale: of the plans by which patches are read, see `ReadPlan`.
      tolerance: largest difference of a pixel from its decoding by another program, grey levels.
    """

    reader: type[SlideReader]
    suffix = ".tif"
    downscale = "area"
    tolerance = 0

    @abc.abstractmethod
    def write(self, path: Path, levels: Sequence[Image]) -> list[Image]:
        """Write a slide.

        Args:
          path: of the new file.
          levels: uint8 RGB ``[h, w, 3]`` each, level 0 first.

        Returns:
          the pixels of each level, decoded by another program than the reader.
        """

    @abc.abstractmethod
    def damage(self, path: Path) -> Region:
        """Make a part of level 0 unreadable, not all of it, and return where it lies."""

    def same_patches(self, ours: Image, theirs: Image) -> None:
        """Check patches ``[n, h, w, 3]`` against the area averages of decoded pixels."""
        assert _difference(ours, theirs) <= self.tolerance

    # -- what a slide is

    def test_it_serves_its_slide(self, slide: SlideReader) -> None:
        assert isinstance(slide, self.reader)
        assert slide.vendor
        assert all(slide.serves_level(level.number) is None for level in slide.levels)

    def test_geometry(self, slide: SlideReader) -> None:
        assert slide.dimensions == SIZES[0]
        assert [(level.width, level.height) for level in slide.levels] == list(SIZES)
        assert [level.number for level in slide.levels] == [0, 1, 2]
        assert [level.downsample for level in slide.levels] == pytest.approx([1.0, 2.0, 4.0])

    def test_the_background_is_a_colour(self, slide: SlideReader) -> None:
        assert len(slide.background) == 3
        assert all(0 <= value <= 255 for value in slide.background)

    def test_another_file_is_not_served(self, tmp_path: Path) -> None:
        for content in (b"", b"<html>404</html>", b"II*\0\0\0\0\0", os.urandom(10_000)):
            path = tmp_path / f"other{self.suffix}"
            path.write_bytes(content)
            answer = self.reader.open(str(path))
            assert isinstance(answer, NotServed)
            assert answer.reason
            assert "\n" not in answer.reason

    def test_a_missing_file_errors(self, tmp_path: Path) -> None:
        with pytest.raises(InputError) as error:
            self.reader.open(str(tmp_path / f"none{self.suffix}"))
        assert error.value.kind == "missing_file"

    # -- areas

    def test_areas_show_their_level(self, slide: SlideReader, decoded: list[Image]) -> None:
        for level, image in zip(slide.levels, decoded, strict=True):
            for x, y, width, height in _AREAS:
                rgb, scanned = _area(slide, level, x, y, width, height)
                assert rgb.dtype == np.uint8
                assert _difference(rgb, image[y : y + height, x : x + width]) <= self.tolerance
                assert scanned is None or scanned.all()

    def test_edges_lie_on_the_background(self, slide: SlideReader, decoded: list[Image]) -> None:
        width, height = 40, 30
        for level, image in zip(slide.levels, decoded, strict=True):
            right, bottom = level.width - SIZES[-1][0], level.height - SIZES[-1][1]
            for x, y in (*_AROUND, *_OUTSIDE):
                # The same distance from the edges of every level.
                x, y = x + right * (x > 100), y + bottom * (y > 100)
                rgb, scanned = _area(slide, level, x, y, width, height)
                expected, inside = _cut(image, x, y, width, height, slide.background)
                assert scanned is not None
                np.testing.assert_array_equal(scanned, inside)
                assert _difference(rgb, expected) <= self.tolerance

    # -- patches

    @pytest.mark.parametrize(("read_px", "patch_px"), [(64, 64), (128, 64), (101, 50), (40, 64)])
    def test_patches_are_areas_at_their_size(
        self, read_px: int, patch_px: int, slide: SlideReader, decoded: list[Image]
    ) -> None:
        for level, image in zip(slide.levels, decoded, strict=True):
            step = round(level.downsample)
            columns, rows = np.arange(0, level.width, 38), np.arange(0, level.height, 46)
            x, y = (axis.ravel() for axis in np.meshgrid(columns, rows))
            read = self.plan(level, read_px, patch_px)
            ours, problems = read_patches(slide, x * step, y * step, read)
            theirs = [
                resample(_cut(image, i, j, read_px, read_px, slide.background)[0], *2 * (patch_px,))
                for i, j in zip(x.tolist(), y.tolist(), strict=True)
            ]
            assert problems == [None] * len(x)
            self.same_patches(ours, np.stack(theirs))

    def test_a_patch_is_the_same_in_any_block_and_with_any_threads(
        self, slide: SlideReader
    ) -> None:
        x, y = (axis.ravel() for axis in np.meshgrid(range(0, 660, 37), range(0, 560, 41)))
        read = self.plan(slide.levels[0], 96, 48)
        together, _ = read_patches(slide, x, y, read)
        for part in (slice(0, 1), slice(7, 60, 3), slice(None, None, -1)):
            alone, _ = read_patches(slide, x[part], y[part], read, threads=1)
            np.testing.assert_array_equal(alone, together[part])

    def test_a_plan_for_another_slide_errors(self, slide: SlideReader) -> None:
        (level, *_) = slide.levels
        for other in (Level(7, 5, 5, 128.0), Level(0, level.width, level.height, 1.5)):
            with pytest.raises(InputError) as error:
                read_patches(slide, np.zeros(1, int), np.zeros(1, int), self.plan(other, 8, 8))
            assert error.value.kind == "not_served"

    # -- damage

    def test_an_unreadable_place_costs_just_its_patches(
        self, slide: SlideReader, path: Path
    ) -> None:
        x, y = (axis.ravel() for axis in np.meshgrid(range(0, 660, 30), range(0, 560, 30)))
        read = self.plan(slide.levels[0], 40, 40)
        whole, _ = read_patches(slide, x, y, read)
        lost = self.damage(path)
        damaged = self.open(path)
        for _ in range(2):  # an error spoils no later call
            ours, problems = read_patches(damaged, x, y, read)
            kinds = {problem.kind for problem in problems if problem}
            assert kinds == {"unreadable_region"}
            for row, problem in enumerate(problems):
                touched = (
                    lost.x - 40 < x[row] < lost.x + lost.width
                    and lost.y - 40 < y[row] < lost.y + lost.height
                )
                if not touched:
                    assert problem is None
                if problem is None:
                    np.testing.assert_array_equal(ours[row], whole[row])
                else:
                    assert "\n" not in problem.message

    def test_an_area_with_an_unreadable_place_errors(self, slide: SlideReader, path: Path) -> None:
        where = [(x, y) for x in range(0, 700, 50) for y in range(0, 600, 50)]
        whole = [slide.read_area(x, y, 0, 50, 50)[0] for x, y in where]
        self.damage(path)
        damaged = self.open(path)
        kinds = []
        for (x, y), expected in zip(where, whole, strict=True):
            try:
                rgb, _ = damaged.read_area(x, y, 0, 50, 50)
            except InputError as error:
                kinds.append(error.kind)
            else:
                np.testing.assert_array_equal(rgb, expected)
        assert set(kinds) == {"unreadable_region"}
        assert len(kinds) < len(where)

    def test_threads_do_not_spoil_each_others_areas(self, slide: SlideReader, path: Path) -> None:
        where = [(x, y) for x in range(0, 700, 70) for y in range(0, 600, 60)] * 3
        expected = dict(
            zip(where, (slide.read_area(*at, 0, 70, 60)[0] for at in where), strict=True)
        )
        self.damage(path)
        damaged = self.open(path)

        def read(at: tuple[int, int]) -> Image | None:
            try:
                return damaged.read_area(*at, 0, 70, 60)[0]
            except InputError:
                return None

        alone = [read(at) is None for at in where]
        with ThreadPoolExecutor(8) as threads:
            together = list(threads.map(read, where))
        assert [rgb is None for rgb in together] == alone
        for at, rgb in zip(where, together, strict=True):
            assert rgb is None or np.array_equal(rgb, expected[at])

    # -- files and processes

    def test_two_handles_do_not_know_of_each_other(self, path: Path, decoded: list[Image]) -> None:
        one, other = self.open(path), self.open(path)
        one.read_area(0, 0, 0, 50, 50)
        one.close()
        rgb, _ = other.read_area(0, 0, 0, 700, 600)
        assert _difference(rgb, decoded[0]) <= self.tolerance

    @pytest.mark.usefixtures("decoded")
    def test_a_replaced_file_is_another_slide(self, path: Path, tmp_path: Path) -> None:
        before = self.open(path)
        old, _ = before.read_area(0, 0, 0, 700, 600)
        key = self.reader.key(str(path))
        assert key == self.reader.key(str(path))
        new = tmp_path / f"new{self.suffix}"
        (decoded, *_) = self.write(new, _pictures(seed=1))
        new.replace(path)
        assert self.reader.key(str(path)) != key
        rgb, _ = self.open(path).read_area(0, 0, 0, 700, 600)
        assert _difference(rgb, decoded) <= self.tolerance
        # The one that was open shows the old file or nothing; a mix of both would be made up.
        try:
            rgb, _ = before.read_area(0, 0, 0, 700, 600)
        except InputError:
            return
        np.testing.assert_array_equal(rgb, old)

    @pytest.mark.usefixtures("decoded")
    def test_a_slide_that_nobody_uses_closes_itself(self, path: Path) -> None:
        if not Path("/proc/self/fd").exists():
            pytest.skip("open files are counted in /proc")
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        for _ in range(20):
            self.open(path).read_area(0, 0, 0, 9, 9)
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208

    def test_what_crosses_processes_can_be_pickled(self, slide: SlideReader, path: Path) -> None:
        # Workers open slides for themselves, by the reader's name and the version of the plan.
        assert pickle.loads(pickle.dumps(self.reader)) is self.reader
        assert json.loads(json.dumps(slide.version)) == slide.version
        read = self.plan(slide.levels[0], 64, 64)
        assert pickle.loads(pickle.dumps(read)) == read
        path.write_text("<html>404</html>")
        answer = self.reader.open(str(path))
        assert pickle.loads(pickle.dumps(answer)) == answer

    # -- helpers

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Return the path of the slide."""
        return tmp_path / f"slide{self.suffix}"

    @pytest.fixture
    def decoded(self, path: Path) -> list[Image]:
        """Write the slide, and return its levels as another program decodes them."""
        return self.write(path, _pictures(seed=0))

    @pytest.fixture
    def slide(self, path: Path, decoded: list[Image]) -> SlideReader:  # noqa: ARG002
        """Open the slide that was written."""
        return self.open(path)

    def open(self, path: Path) -> SlideReader:
        """Open a slide that the reader has to serve."""
        answer = self.reader.open(str(path))
        assert isinstance(answer, SlideReader), answer
        return answer

    def plan(self, level: Level, read_px: int, patch_px: int) -> ReadPlan:
        """Return a plan of the downscale under test."""
        return ReadPlan(level.number, level.downsample, read_px, patch_px, 0.5, 0.5, self.downscale)


def read_patches(
    slide: SlideReader,
    x: npt.NDArray[np.integer],
    y: npt.NDArray[np.integer],
    read: ReadPlan,
    threads: int = 4,
) -> tuple[Image, list[InputError | None]]:
    """Read patches into a new array: uint8 ``[n, patch_px, patch_px, 3]``, and their problems."""
    out = np.zeros((len(x), read.patch_px, read.patch_px, 3), np.uint8)
    with ThreadPoolExecutor(threads) as pool:
        problems = slide.read_patches(x, y, read, out, pool)
    return out, problems


def _pictures(seed: int) -> list[Image]:
    """Return coloured blobs at the sizes of the levels."""
    width, height = SIZES[0]
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5).astype(np.float64)
    full = np.clip((smooth - 127) * 6 + 127, 0, 255).astype(np.uint8)
    return [np.asarray(cv2.resize(full, s, interpolation=cv2.INTER_AREA), np.uint8) for s in SIZES]


def _area(
    slide: SlideReader, level: Level, x: int, y: int, width: int, height: int
) -> tuple[Image, npt.NDArray[np.bool_] | None]:
    """Read a rectangle that is given in pixels of its level."""
    corner = round(x * level.downsample), round(y * level.downsample)
    rgb, scanned = slide.read_area(*corner, level.number, width, height)
    assert rgb.shape == (height, width, 3)
    assert scanned is None or scanned.shape == (height, width)
    return rgb, scanned


def _cut(
    image: Image, x: int, y: int, width: int, height: int, background: tuple[int, int, int]
) -> tuple[Image, npt.NDArray[np.bool_]]:
    """Cut a rectangle out of an image, laid on the background; and return where the image is."""
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = background
    inside = np.zeros((height, width), np.bool_)
    rows = slice(max(0, -y), max(0, min(height, image.shape[0] - y)))
    columns = slice(max(0, -x), max(0, min(width, image.shape[1] - x)))
    part = image[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
    if part.size:
        rgb[rows, columns] = part
        inside[rows, columns] = True
    return rgb, inside


def _difference(one: Image, other: Image) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(np.int16) - other).max(initial=0))
