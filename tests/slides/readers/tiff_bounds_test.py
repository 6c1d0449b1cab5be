import contextlib
import io
import struct

import numpy as np
import pytest

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.plan import FailedPlan, ReadyPlan
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.native.tiff import read_levels
from beamscope.transforms.slides.readers.tiff_bounds import MAX_DIRECTORIES, check_tiff
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage.byte_source import LocalSource
from tests.shared_data import shared
from tests.slides.readers.hostile_tiffs import (
    ASCII,
    BYTE,
    DESCRIPTION,
    LONG,
    LONG8,
    SHORT,
    Tag,
    level,
    write,
)
from tests.slides.readers.native.files import KINDS, write_slide

IMPOSSIBLE, TOO_LARGE = Kind.IMPOSSIBLE_HEADER, Kind.SLIDE_TOO_LARGE
# Kind, words of the message, whether it is a BigTIFF, and the levels.
HOSTILE = {
    "2e9 px square": (
        TOO_LARGE, "needs 61,035,156,250,000 tiles", False,
        [level(2_000_000_000, 2_000_000_000, tiles=100)],
    ),
    "2e9 px square, few tiles of 16 million px": (
        TOO_LARGE, "tiles of 16,777,216 x 16,777,216 px", False,
        [level(2_000_000_000, 2_000_000_000, (1 << 24, 1 << 24))],
    ),
    "tiles of 30,000 px": (
        TOO_LARGE, "tiles of 30,000 x 30,000 px", False, [level(30_000, 30_000, (30_000, 30_000))],
    ),
    "a tile that is wide": (
        TOO_LARGE, "tiles of 2,147,483,648 x 256 px", False, [level(t322=Tag(LONG, [1 << 31]))],
    ),
    "a tile of 2^50 bytes": (
        IMPOSSIBLE, "tile 99 has 1,125,899,906,842,624 bytes", True,
        [level(t325=Tag(LONG8, [3665] * 99 + [1 << 50]))],
    ),
    "a tile of 2^64 - 1 bytes": (
        IMPOSSIBLE, "tile 0 has 18,446,744,073,709,551,615 bytes", True,
        [level(t325=Tag(LONG8, [(1 << 64) - 1] + [3665] * 99))],
    ),
    "a tile of 4 GiB": (
        IMPOSSIBLE, "tile 99 has 4,294,967,295 bytes", False,
        [level(t325=Tag(LONG, [3665] * 99 + [(1 << 32) - 1]))],
    ),
    "in the second directory": (
        IMPOSSIBLE, "directory 2 of the TIFF says that tile 24", False,
        [level(), level(1280, 1280, t325=Tag(LONG, [3665] * 24 + [1 << 31]))],
    ),
    "2^50 offsets": (
        IMPOSSIBLE, "tag 324 has 1,125,899,906,842,624 values", True,
        [level(t324=Tag(LONG8, [16] * 100, count=1 << 50))],
    ),
    "a description of 11 GB": (
        IMPOSSIBLE, "tag 270 has 11,811,160,064 values", True,
        [level(t270=Tag(ASCII, DESCRIPTION, count=11 << 30))],
    ),
    "a colour profile of 11 GB": (
        IMPOSSIBLE, "tag 34675 has", True, [level(t34675=Tag(BYTE, bytes(9), count=11 << 30))],
    ),
    "JPEG tables of 3 GB": (
        IMPOSSIBLE, "tag 347 has", False, [level(t347=Tag(BYTE, bytes(9), count=3 << 30))],
    ),
    "an unknown tag of 4 G values": (
        IMPOSSIBLE, "tag 40000 has", False,
        [level(t40000=Tag(SHORT, [1, 2, 3], count=(1 << 32) - 1))],
    ),
    "lengths of tiles in the header of the file": (
        IMPOSSIBLE, "tag 325 lies at byte 0, in the header", False,
        [level(t325=Tag(LONG, [5918] * 100, offset=0))],
    ),
    "65,535 planes": (
        TOO_LARGE, "needs 6,553,500 tiles", False,
        [level(t277=Tag(SHORT, [65535]), t284=Tag(SHORT, [2]))],
    ),
    "more tiles than the file can list": (
        IMPOSSIBLE, "more than a file of", False, [level(131_072, 131_072, tiles=4)],
    ),
    "40,000 directories": (
        TOO_LARGE, "more than 16,384 directories", False, [{256: Tag(LONG, [1])}] * 40_000,
    ),
    "one tile, listed a million times": (
        IMPOSSIBLE, "they lie on the bytes of each other", False, [level(262_144, 262_144)],
    ),
}  # fmt: skip


def check(path, **how):
    source = LocalSource(path)
    try:
        check_tiff(source, **how)
    finally:
        source.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_claims_that_are_refused(name, tmp_path):
    kind, words, big, levels = HOSTILE[name]
    path = write(tmp_path / "slide.svs", *levels, big=big)
    with pytest.raises(InputError, match=words) as caught:
        check(path)
    assert caught.value.kind == kind


@pytest.mark.parametrize("reader", ["auto", "openslide", "native"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_slide_is_one_row(name, reader, tmp_path):
    kind, _, big, levels = HOSTILE[name]
    path = write(tmp_path / "slide.svs", *levels, big=big)
    plan = plan_slide(SlideRequest("slide", str(path)), SlideSettings(reader=reader))
    assert isinstance(plan, FailedPlan)
    assert plan.problem.kind == kind
    assert "\n" not in plan.problem.message


@pytest.mark.parametrize("name", ["bigcount.svs", "huge_bigtile.svs"])
@pytest.mark.parametrize("reader", ["auto", "openslide", "native"])
def test_the_hostile_cases(name, reader):
    path = str(shared(f"cases/hostile/{name}"))
    plan = plan_slide(SlideRequest("slide", path), SlideSettings(reader=reader))
    assert isinstance(plan, FailedPlan)
    assert plan.problem.kind == {"bigcount.svs": IMPOSSIBLE, "huge_bigtile.svs": TOO_LARGE}[name]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_remote_slide_is_refused_by_its_directories(name, tmp_path):
    # Without OpenSlide, which is not asked about what is read by ranges.
    kind, _, big, levels = HOSTILE[name]
    source = LocalSource(write(tmp_path / "slide.svs", *levels, big=big))
    if name.startswith("a tile of") or name == "in the second directory":
        # As before, when the lengths of tiles are known.
        assert isinstance(read_levels(source), NotServed)
        return
    with pytest.raises(InputError) as caught:
        read_levels(source)
    assert caught.value.kind == kind


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_sound_slide_passes(big, order, tmp_path):
    path = write(tmp_path / "slide.svs", level(), level(1280, 1280), big=big, order=order)
    check(path)
    if order == ">" and not big:
        return  # OpenSlide does not take it for a slide of Aperio
    plan = plan_slide(SlideRequest("slide", str(path)), SlideSettings())
    assert isinstance(plan, ReadyPlan)
    assert len(plan.x_level0) == 121


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_slide_passes(kind, tmp_path):
    check(write_slide(tmp_path / "slide.tiff", KINDS[kind]))


@pytest.mark.parametrize(
    "name",
    [
        "CMU-1-Small-Region.svs", "cmu1_jp2k_33005_pyr.svs", "cmu1_sparse_tiles.svs",
        "tcga-cr-7395-01a-01-ts1.svs", "tcga_generic_pyramid_mpp0.5.tiff",
        "test3-DAPI-2-(387).ndpi",
    ],
)  # fmt: skip
def test_real_slides_pass(name):
    check(shared(f"data/slides/{name}"))


@pytest.mark.parametrize("length", [6000, 1 << 20, 1 << 28])
def test_a_false_length_costs_its_tile(length, tmp_path):
    # Of the smallest level OpenSlide reads all tiles when it opens a file.
    lengths = Tag(LONG, [5918] * 99 + [length])
    path = write(tmp_path / "slide.svs", level(t325=lengths), level(1280, 1280))
    for reader in ("auto", "openslide"):
        plan = plan_slide(SlideRequest("slide", str(path)), SlideSettings(reader=reader))
        assert isinstance(plan, ReadyPlan)
        assert len(plan.x_level0) >= 120


def test_a_cut_slide_is_left_to_its_reader(tmp_path):
    whole = write(tmp_path / "whole.svs", level(), level(1280, 1280)).read_bytes()
    cut = tmp_path / "cut.svs"
    for length in range(0, len(whole), 97):
        cut.write_bytes(whole[:length])
        # A table of offsets may be longer than what is left.
        with contextlib.suppress(InputError):
            check(cut)


@pytest.mark.parametrize("to", [0, -1])
def test_directories_in_a_circle_end(to, tmp_path):
    path = write(tmp_path / "slide.svs", level(), level(), following=lambda places: places[to])
    check(path)


def test_other_files_pass(tmp_path):
    path = tmp_path / "other"
    for data in (b"", b"II", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0+", b"\x89PNG" * 9):
        path.write_bytes(data)
        check(path)


class NdpiSource:
    """A Hamamatsu slide of 5 GiB with one directory, of which hardly anything is there."""

    generation = None
    size = 5 << 30

    def __init__(self, tags):
        self._at = (4 << 30) + 4096
        entries = b"".join(struct.pack("<HHLL", *tag[:3], tag[3] & 0xFFFFFFFF) for tag in tags)
        high = b"".join(struct.pack("<L", tag[3] >> 32) for tag in tags)
        self._directory = struct.pack("<H", len(tags)) + entries + bytes(8) + high
        self._head = b"II*\0" + struct.pack("<Q", self._at)

    def read(self, offset, length):
        file = io.BytesIO(self._head)
        if offset >= 4 << 30:
            file = io.BytesIO(bytes(4096) + self._directory)
            offset -= 4 << 30
        file.seek(offset)
        return file.read(length).ljust(length, b"\0")


def test_offsets_of_large_hamamatsu_slides():
    places = [(256, LONG, 1, 200_000), (257, LONG, 1, 100_000), (65420, LONG, 1, 1)]
    check_tiff(NdpiSource([*places, (65426, LONG, 1000, (4 << 30) + 64)]))
    with pytest.raises(InputError, match="tag 65426 has 2,000,000,000 values"):
        check_tiff(NdpiSource([*places, (65426, LONG, 2_000_000_000, (4 << 30) + 64)]))


def test_the_check_reads_little(tmp_path):
    class Counted(LocalSource):
        read_bytes = 0

        def read(self, offset, length):
            data = super().read(offset, length)
            self.read_bytes += len(data)
            return data

    noise = np.random.default_rng(0).bytes(900_000)
    source = Counted(write(tmp_path / "slide.svs", level(), data=noise))
    check_tiff(source)
    assert source.read_bytes <= 4 << 16
    assert MAX_DIRECTORIES < 40_000
