"""A slide gives the same rows from a bucket as from disk, and is read by ranges if possible."""

import dataclasses
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from apache_beam.io.filesystems import FileSystems

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.slides.planning.plan import FailedPlan
from beamscope.transforms.slides.planning.plan_file import find_plan, write_plan
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.ptransforms.read_slides import _read
from beamscope.transforms.slides.read_block import read_block
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.pool import close_slides, open_planned
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage import files
from beamscope.transforms.storage.cache import FileCache
from tests.shared_data import shared
from tests.slides.readers.native.files import APERIO, ODD_PYRAMID, TiledSlide, damage, write_slide
from tests.slides.readers.native.files import tile_place as place_of_tile
from tests.slides.store import watched_store

THREADS = ThreadPoolExecutor(2)
SETTINGS = SlideSettings(tissue="none", block_size=64)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with watched_store(tmp_path_factory.mktemp("gcs")) as store:
        yield store
    close_slides()


@pytest.fixture
def upload(store):
    def upload(path):
        uri = f"{store.bucket}/{path.name}"
        with FileSystems.create(uri) as copy:
            copy.write(path.read_bytes())
        store.forget()
        return uri

    return upload


@pytest.fixture
def cache(tmp_path):
    return FileCache(tmp_path / "cache", 10**9)


def planned(uri, cache=None, settings=SETTINGS):
    return plan_slide(SlideRequest("s", str(uri), assume_mpp=0.5), settings, cache)


def same_plan(one, other):
    assert type(one) is type(other)
    for field in dataclasses.fields(one):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name == "problem":
            assert ours.message.replace(ours.uri, "") == theirs.message.replace(theirs.uri, "")
            assert ours.kind == theirs.kind
        elif field.name not in ("uri", "version"):
            assert np.array_equal(ours, theirs), field.name


def read_all(plan, cache=None):
    return [_read(block, 2, cache) for block in plan.blocks()]


def same_rows(plan, local_plan, cache=None):
    for ours, theirs in zip(read_all(plan, cache), read_all(local_plan), strict=True):
        assert np.array_equal(ours.pixels, theirs.pixels)
        assert ours.rows.equals(theirs.rows)
        same = [dataclasses.replace(problem, uri="") for problem in theirs.problems]
        assert [dataclasses.replace(problem, uri="") for problem in ours.problems] == same


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("CMU-1-Small-Region.svs", "native"),
        ("cmu1_sparse_tiles.svs", "native"),
        ("tcga_generic_pyramid_mpp0.5.tiff", "native"),
        ("cmu1_jp2k_33005_pyr.svs", "native"),
        ("test3-DAPI-2-(387).ndpi", "openslide"),
    ],
)
def test_the_same_as_on_disk(name, reader, upload, store, cache):
    local = shared(f"data/slides/{name}")
    uri = upload(local)
    plan, local_plan = planned(uri, cache), planned(local)
    same_plan(plan, local_plan)
    same_rows(plan, local_plan, cache)
    assert plan.reader == reader
    copied = list(cache.directory.glob("*/*")) if cache.directory.exists() else []
    assert len(copied) == (reader == "openslide")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "large.svs"
    write_sample_slide(path, SampleSlide(12_000, 10_000, coverage=0.8))
    return path


def test_planning_fetches_a_few_percent_and_a_block_its_tiles(large, upload, store):
    uri = upload(large)
    size = large.stat().st_size
    settings = SlideSettings(block_size=64)
    plan = planned(uri, settings=settings)
    same_plan(plan, planned(large, settings=settings))
    assert 0 < store.fetched[large.name] < 0.04 * size

    slide = open_planned(plan.reader, uri, version=plan.version)
    blocks = list(plan.blocks())
    for block in (blocks[0], blocks[len(blocks) // 2]):
        wanted = bytes_of_tiles(large, block)
        store.forget()
        read_block(block, slide, THREADS)
        assert wanted <= store.fetched[large.name] <= 1.25 * wanted
        # A row of tiles, or so, is a request.
        assert store.requests[large.name] <= 40


def bytes_of_tiles(path, block):
    """Of level 0, whose tiles are of 256 px, those that the patches of a block lie in."""
    across = -(-12_000 // 256)
    side = block.read.read_px
    tiles = {
        row * across + column
        for x, y in zip(block.x_level0.tolist(), block.y_level0.tolist(), strict=True)
        for row in range(y // 256, (y + side - 1) // 256 + 1)
        for column in range(x // 256, (x + side - 1) // 256 + 1)
    }
    lengths = lengths_of_tiles(path)
    return sum(lengths[tile] for tile in tiles)


def lengths_of_tiles(path):
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[0].databytecounts


@pytest.fixture
def slide(tmp_path):
    return write_slide(tmp_path / "slide.tiff", TiledSlide(ODD_PYRAMID))


def test_broken_tiles_give_the_same_problems(slide, upload, cache):
    damage(slide, 0, 14, 20, bytes(2))
    damage(slide, 2, 0, 100, bytes(400))
    uri = upload(slide)
    settings = dataclasses.replace(SETTINGS, patch_px=64, stride_px=64)
    plan, local_plan = planned(uri, cache, settings), planned(slide, settings=settings)
    same_plan(plan, local_plan)
    assert plan.reader == "native"
    same_rows(plan, local_plan, cache)
    assert any(images.problems for images in read_all(plan, cache))


def test_a_slide_is_copied_when_a_tile_needs_openslide_and_not_before(slide, upload, cache):
    damage(slide, 0, 14, 700, b"\x55")  # OpenSlide does not see it
    uri = upload(slide)
    settings = dataclasses.replace(SETTINGS, patch_px=64, stride_px=64, block_size=1)
    plan, local_plan = planned(uri, settings=settings), planned(slide, settings=settings)
    assert plan.reader == local_plan.reader == "native"
    first = next(plan.blocks())  # far from the tile
    assert not _read(first, 2, cache).problems
    assert not list(cache.directory.glob("*/slide.tiff"))
    same_rows(plan, local_plan, cache)
    assert not any(images.problems for images in read_all(plan, cache))
    assert len(list(cache.directory.glob("*/slide.tiff"))) == 1
    # Without a cache its patches are lost, and say why.
    close_slides()
    lost = [problem for images in read_all(plan) for problem in images.problems]
    assert {problem.kind for problem in lost} == {"unreadable_region"}
    assert all("needs a cache" in problem.message for problem in lost)


def test_what_openslide_copies_is_the_version_that_was_planned(slide, upload, cache):
    damage(slide, 0, 14, 700, b"\x55")
    uri = upload(slide)
    settings = dataclasses.replace(SETTINGS, patch_px=64, stride_px=64)
    plan = planned(uri, settings=settings)
    native = open_planned("native", uri, cache=cache, version=plan.version)
    upload(slide)
    other = native._other()
    assert isinstance(other, NotServed)
    assert "replaced" in other.reason
    close_slides()


@pytest.mark.parametrize("at", [14, 45])
@pytest.mark.parametrize("description", [None, APERIO])
def test_a_slide_that_is_cut_off_gives_the_same_problems(at, description, tmp_path, upload, cache):
    # Its directories are at the front; OpenSlide refuses to open some, and reads others.
    slide = TiledSlide(((900, 800), (450, 400)), description=description)
    path = write_slide(tmp_path / "slide.tiff", slide)
    offset, _ = place_of_tile(path, 0, at)
    with path.open("r+b") as file:
        file.truncate(offset + 10)
    uri = upload(path)
    settings = dataclasses.replace(SETTINGS, patch_px=64, stride_px=64)
    plan, local_plan = planned(uri, cache, settings), planned(path, settings=settings)
    same_plan(plan, local_plan)
    same_rows(plan, local_plan, cache)
    failed = isinstance(plan, FailedPlan)
    assert failed or any(images.problems for images in read_all(plan, cache))


def test_what_the_native_reader_serves_in_part_is_copied_and_says_so(tmp_path, upload, cache):
    sizes = ((2100, 1800), (700, 600), (70, 60))
    slide = TiledSlide(sizes, description=APERIO, missing=((1, 3),))
    path = write_slide(tmp_path / "slide.svs", slide)
    uri = upload(path)
    settings = dataclasses.replace(SETTINGS, mpp=0.25, patch_px=64, stride_px=64)
    plan = planned(uri, cache, settings)
    same_plan(plan, planned(path, settings=settings))
    assert (plan.reader, plan.version) == ("openslide", None)
    assert len(list(cache.directory.glob("*/slide.svs"))) == 1
    refused = planned(uri, cache, dataclasses.replace(settings, reader="native"))
    assert (refused.problem.kind, refused.facts.vendor) == ("not_served", "aperio")


def test_a_slide_that_is_replaced_is_lost_and_planned_anew(slide, upload, tmp_path):
    uri = upload(slide)
    settings = dataclasses.replace(SETTINGS, patch_px=64, stride_px=64)
    plan = planned(uri, settings=settings)
    block = next(plan.blocks())
    layout, request = (
        Layout(str(tmp_path / "out"), "p1", "f"),
        SlideRequest("s", uri, assume_mpp=0.5),
    )
    write_plan(layout, request, plan)
    assert find_plan(layout, request).version == plan.version
    assert not _read(block, 2, None).problems

    upload(slide)
    # Both where it is open and where it is opened now.
    for _ in range(2):
        images = _read(block, 2, None)
        assert {problem.kind for problem in images.problems} == {"missing_file"}
        assert len(images.pixels) == 0
        assert len(images.problems) == len(block)
        close_slides()
    assert find_plan(layout, request) is None
    assert planned(uri, settings=settings).version != plan.version


@pytest.mark.parametrize("reader", ["auto", "native", "openslide"])
def test_planning_a_missing_slide_errors(store, cache, reader):
    settings = dataclasses.replace(SETTINGS, reader=reader)
    plan = planned(f"{store.bucket}/none.svs", cache, settings)
    assert plan.problem.kind == "missing_file"


def test_planning_without_a_cache_errors(upload, tmp_path):
    uri = upload(shutil.copy(shared("data/slides/test3-DAPI-2-(387).ndpi"), tmp_path / "h.ndpi"))
    assert planned(uri).problem.kind == "remote_slide"
    assert files.exists(uri)
