import numpy as np
import pytest

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.storage.byte_source import LocalSource
from tests.slides.readers.native.files import (
    DAMAGES,
    TiledSlide,
    damage,
    tile_place,
    write_slide,
)
from tests.slides.readers.native.reading import (
    THREADS,
    alone,
    by_openslide,
    natively,
    opened,
    places,
    plan,
)


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


def test_a_slide_that_openslide_sees_otherwise_is_not_asked(tmp_path):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    damage(path, 0, 8, *DAMAGES["other bits"])
    other = OpenSlideReader(write_slide(tmp_path / "other.tiff", TiledSlide(((700, 500),))))
    native = NativeReader.of_source(LocalSource(path), lambda: other)
    problems, _ = read_all(native, np.array([260]), np.array([130]), plan(native, 0, 50, 50))
    assert problems[0].message.endswith(
        "OpenSlide was not asked: levels 700 x 600, in OpenSlide 700 x 500"
    )
