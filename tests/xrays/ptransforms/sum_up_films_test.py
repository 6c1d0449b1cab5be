import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.sources.planning.plan import plan_source
from beamscope.transforms.sources.planning.plan_file import write_plan
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.ptransforms.sum_up_films import SumUpFilms
from beamscope.transforms.xrays.reading.film_block import FilmSettings
from beamscope.transforms.xrays.settings import XraySettings
from tests.beam_testing import pipeline
from tests.sources.archive_makers import as_source, make_zip
from tests.xrays.film_parts import write_film_parts
from tests.xrays.reading.films_test import jpegs

SETTINGS = XraySettings(FilmSettings(Preprocess(16)), block_size=4)


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / "out"), "p1", "f")


@pytest.fixture
def parts(tmp_path, layout):
    """Of three archives: a good one, one with a bad film, and one that is not there."""
    found = []
    for source in (
        make_zip(tmp_path / "a.zip", jpegs(9)),
        make_zip(tmp_path / "b.zip", {**jpegs(1), "z.jpg": b""}),
        as_source(tmp_path / "gone.zip"),
    ):
        write_plan(layout, plan_source(source, SETTINGS))
        found += write_film_parts(source, layout, SETTINGS)
    return found


def sum_up(layout, parts, check):
    job = pipeline()
    sources = job | "Sources" >> beam.Create(["gone.zip", "a.zip", "b.zip"])
    done = job | "Parts" >> beam.Create(parts)
    check({"items": sources, "parts": done} | SumUpFilms(SETTINGS, layout))
    job.run().wait_until_finish()


def test_sources_and_blocks_are_an_outcome_each(layout, parts):
    def check(outcomes):
        found = outcomes | beam.Map(
            lambda o: (o.item_id, o.rows, o.table.num_rows, len(o.problems))
        )
        expected = [
            ("a.zip", 0, 0, 0),
            ("a.zip#000000", 4, 4, 0),
            ("a.zip#000001", 4, 4, 0),
            ("a.zip#000002", 1, 1, 0),
            ("b.zip", 0, 0, 0),
            ("b.zip#000000", 1, 2, 1),
            ("gone.zip", 0, 1, 1),
        ]
        assert_that(found, equal_to(expected))

    sum_up(layout, parts[::-1], check)


def test_a_part_that_is_missing_stops_the_job_errors(layout, parts):
    with pytest.raises(Exception, match="are not the blocks"):
        sum_up(layout, parts[1:], lambda outcomes: None)
