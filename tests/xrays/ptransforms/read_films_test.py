import dataclasses
import functools
import random

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.sources.planning.plan import StreamToRead, plan_source
from beamscope.transforms.sources.planning.plan_file import read_plan
from beamscope.transforms.sources.reading.members import read_images
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.ptransforms.read_films import ReadFilmBlocks
from beamscope.transforms.xrays.reading.film_block import FilmSettings
from beamscope.transforms.xrays.settings import CatalogFile, XraySettings
from tests.beam_testing import counters, pipeline
from tests.sources.archive_makers import make_tar, make_zip
from tests.xrays.reading.films_test import jpegs

SETTINGS = XraySettings(FilmSettings(Preprocess(16)), block_size=4)
FILMS = {**jpegs(9), "p9/bad.jpg": b"no film"}


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / "out"), "p1", "f")


@pytest.fixture
def expected(tmp_path):
    """Block, member and sum of pixels of every film, read without Beam."""
    source = make_zip(tmp_path / "expected.zip", FILMS)
    plan = plan_source(source, SETTINGS)
    return [
        (block.key.index, row["member"], int(pixels.sum()))
        for block in plan.blocks()
        for row, pixels in rows_of(read_images(source, block.members, SETTINGS.reading()))
    ]


def rows_of(block):
    return zip(block.rows.to_pylist(), block.pixels, strict=True)


def sums(images):
    for row, pixels in rows_of(images):
        yield images.key.index, row["member"], int(pixels.sum(dtype=np.int64))


def read(elements, layout, check):
    job = pipeline()
    check(job | beam.Create(elements) | ReadFilmBlocks(SETTINGS, layout))
    result = job.run()
    result.wait_until_finish()
    return counters(result)


def test_every_block_of_a_listing_is_read_once_ahead_or_not(tmp_path, layout, expected):
    blocks = list(plan_source(make_zip(tmp_path / "x.zip", FILMS), SETTINGS).blocks())
    random.Random(0).shuffle(blocks)

    def check(images):
        assert_that(images | beam.FlatMap(sums), equal_to(expected), "films")
        said = images | beam.Map(lambda b: (b.key.item_id, b.planned, len(b.problems), b.uri))
        uri = str(tmp_path / "x.zip")
        whole = [("x.zip", 4, 0, uri), ("x.zip", 4, 0, uri), ("x.zip", 2, 1, uri)]
        assert_that(said, equal_to(whole), "blocks")

    counts = read(blocks, layout, check)
    assert (counts["rows_read"], counts["rows_unreadable"]) == (9, 1)


def test_a_stream_gives_the_same_blocks_and_its_plan(tmp_path, layout, expected):
    source = make_tar(tmp_path / "x.tgz", FILMS | {"notes.txt": b""}, "w:gz")

    def check(images):
        assert_that(images | beam.FlatMap(sums), equal_to(expected))

    counts = read([StreamToRead(source)], layout, check)
    assert (counts["rows_read"], counts["rows_unreadable"]) == (9, 1)
    plan = read_plan(layout.plan("x.tgz"))
    assert (plan.known, plan.block_sizes, plan.skipped) == (True, (4, 4, 2), {"not_an_image": 1})


@pytest.mark.parametrize("done", [{0}, {1}, {0, 2}, {0, 1, 2}])
def test_a_stream_leaves_out_what_is_done_and_plans_all_the_same(tmp_path, layout, expected, done):
    source = make_tar(tmp_path / "x.tgz", FILMS, "w:gz")

    def check(images):
        left = [film for film in expected if film[0] not in done]
        assert_that(images | beam.FlatMap(sums), equal_to(left))

    read([StreamToRead(source, frozenset(done))], layout, check)
    assert read_plan(layout.plan("x.tgz")).block_sizes == (4, 4, 2)


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_a_film_of_the_catalogue_is_taken_once_errors(tmp_path, layout, kind):
    path = tmp_path / "c.csv"
    path.write_text("file,view_position\nfilm0,PA\nfilm1,LL\n")
    settings = dataclasses.replace(
        SETTINGS,
        films=FilmSettings(Preprocess(16), views=frozenset({"PA"})),
        catalog=CatalogFile("csv", str(path), "file"),
    )
    names = ("a/film0.jpg", "a/film1.jpg", "b/film0.jpg", "b/film1.jpg")
    films = dict(zip(names, jpegs(4).values(), strict=True))
    make = make_zip if kind == "zip" else functools.partial(make_tar, mode="w:gz")
    source = make(tmp_path / f"x.{kind}", films)
    plan = plan_source(source, settings)
    elements = [StreamToRead(source)] if kind == "tgz" else list(plan.blocks())

    def check(images):
        said = images | beam.Map(
            lambda b: (
                b.rows["member"].to_pylist(),
                [(p.item_id, p.kind) for p in (*plan.problems, *b.problems)],
                b.left_out + plan.skipped.get("other_view", 0),
            )
        )
        twice = ("x." + kind + "/b/film0.jpg", "duplicate_image")
        assert_that(said, equal_to([(["a/film0.jpg"], [twice], 2)]))

    job = pipeline()
    check(job | beam.Create(elements) | ReadFilmBlocks(settings, layout))
    job.run().wait_until_finish()


def test_a_stream_that_breaks_off_says_so_in_its_plan_errors(tmp_path, layout):
    source = make_tar(tmp_path / "x.tgz", FILMS, "w:gz")
    path = tmp_path / "x.tgz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def check(images):
        found = images | beam.Map(lambda block: block.key.index)
        assert_that(found, lambda indexes: sorted(indexes) == list(range(len(indexes))))

    read([StreamToRead(source)], layout, check)
    plan = read_plan(layout.plan("x.tgz"))
    assert [problem.kind for problem in plan.archive_problems] == ["truncated_archive"]
    assert 0 < sum(plan.block_sizes) < 10


def test_an_archive_that_vanished_after_planning_is_a_problem_for_each_film_errors(
    tmp_path, layout
):
    blocks = list(plan_source(make_zip(tmp_path / "x.zip", FILMS), SETTINGS).blocks())
    (tmp_path / "x.zip").unlink()

    def check(images):
        problems = images | beam.FlatMap(lambda block: [p.kind for p in block.problems])
        assert_that(problems, equal_to(["unreadable_file"] * 10))

    read(blocks, layout, check)
