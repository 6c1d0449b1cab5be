"""Films and streams whose decoder or reader fails as nobody expected, and slides likewise."""

import json
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from beamscope.transforms.faults import tries
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.faults.steps import Step
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.planning.slide_planner import SlidePlanner
from beamscope.transforms.slides.ptransforms import read_slides
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.sources.planning.plan import StreamToRead, plan_source
from beamscope.transforms.sources.planning.plan_file import read_plan
from beamscope.transforms.sources.planning.source_planner import SourcePlanner
from beamscope.transforms.sources.reading import members as reading_members
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.ptransforms.read_films import ReadFilmBlocks
from beamscope.transforms.xrays.reading import film_block
from beamscope.transforms.xrays.reading.film_block import FilmSettings
from beamscope.transforms.xrays.settings import XraySettings
from tests.beam_testing import pipeline
from tests.sources.archive_makers import make_tar, make_zip
from tests.xrays.reading.films_test import jpegs

SETTINGS = XraySettings(FilmSettings(Preprocess(16)), block_size=4)
FILMS = {**jpegs(9), "p9/bad.jpg": b"a film that no decoder survives"}
GOOD = {name for name in FILMS if name != "p9/bad.jpg"}


@pytest.fixture
def guard(tmp_path):
    return Guard(Layout(str(tmp_path / "out"), "p1", "f"), "run-1", items=3)


@pytest.fixture
def _bad_decoder(monkeypatch):
    decode = film_block.decode_film

    def decode_film(data, settings):
        if data == FILMS["p9/bad.jpg"]:
            raise MemoryError
        return decode(data, settings)

    monkeypatch.setattr(film_block, "decode_film", decode_film)


def read(elements, guard):
    """(member, kind) of every film, kind None where it was read."""
    log = Path(f"{guard.layout.root}.films")
    job = pipeline()
    images = job | beam.Create(elements) | ReadFilmBlocks(SETTINGS, guard.layout, guard)
    told = images | beam.FlatMap(
        lambda block: (
            [(row["member"], None) for row in block.rows.to_pylist()]
            + [(problem.member, str(problem.kind)) for problem in block.problems]
        )
    )
    _ = told | beam.Map(append, log)
    job.run().wait_until_finish()
    return sorted((tuple(json.loads(line)) for line in log.read_text().splitlines()), key=str)


def append(one, log):
    with log.open("a") as file:
        file.write(json.dumps(one) + "\n")


def left(guard):
    return [tries.earlier_tries(guard.layout, Step("x.tgz", index)) for index in range(4)]


@pytest.mark.usefixtures("_bad_decoder")
@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_a_decoder_that_raises_costs_its_film(tmp_path, guard, kind):
    if kind == "zip":
        elements = list(plan_source(make_zip(tmp_path / "x.zip", FILMS), SETTINGS).blocks())
    else:
        elements = [StreamToRead(make_tar(tmp_path / "x.tgz", FILMS, "w:gz"))]
    expected = [(name, None) for name in GOOD] + [("p9/bad.jpg", "defect")]
    assert read(elements, guard) == sorted(expected, key=str)
    assert left(guard) == [[], [], [], []]


def test_a_stream_that_breaks_as_nobody_expected_keeps_what_came_before(
    tmp_path, guard, monkeypatch
):
    members = reading_members.stream_members

    def stream_members(source, limits):
        for count, member in enumerate(members(source, limits)):
            if count == 6:
                raise RuntimeError("no such state")
            yield member

    monkeypatch.setattr(reading_members, "stream_members", stream_members)
    stream = StreamToRead(make_tar(tmp_path / "x.tgz", FILMS, "w:gz"))
    assert len(read([stream], guard)) == 6
    (problem,) = read_plan(guard.layout.plan("x.tgz")).archive_problems
    assert (problem.kind, problem.member) == ("defect", None)


def test_a_block_of_a_stream_that_ends_its_process_is_left_out(tmp_path, guard):
    stream = StreamToRead(make_tar(tmp_path / "x.tgz", jpegs(9), "w:gz"))
    step = Step("x.tgz", 1)
    assert tries.record_first(guard.layout, step, "run-1")
    tries.record_alone(guard.layout, step, "run-1")
    found = read([stream], guard)
    assert [kind for _, kind in found].count("crashes") == 4
    assert [kind for _, kind in found].count(None) == 5
    assert left(guard) == [[], [], [], []]


def test_a_stream_that_cannot_even_be_passed_by_ends_there(tmp_path, guard):
    stream = StreamToRead(make_tar(tmp_path / "x.tgz", jpegs(9), "w:gz"))
    step = Step("x.tgz", 1)
    assert tries.record_first(guard.layout, step, "run-1")
    for _ in range(2):
        tries.record_alone(guard.layout, step, "run-1")
    assert len(read([stream], guard)) == 4
    (problem,) = read_plan(guard.layout.plan("x.tgz")).archive_problems
    assert problem.kind == "crashes"


def test_a_block_of_a_listing_that_ends_its_process_is_left_out(tmp_path, guard):
    blocks = list(plan_source(make_zip(tmp_path / "x.zip", jpegs(9)), SETTINGS).blocks())
    step = Step("x.zip", 1)
    assert tries.record_first(guard.layout, step, "run-1")
    tries.record_alone(guard.layout, step, "run-1")
    kinds = [kind for _, kind in read(blocks, guard)]
    assert (kinds.count("crashes"), kinds.count(None)) == (4, 5)


def raise_index_error(*_, **__):
    return [][1]


def test_a_slide_that_cannot_be_read_costs_its_blocks(tmp_path, guard, monkeypatch):
    path = tmp_path / "s.svs"
    write_sample_slide(path, SampleSlide(width=600, height=600, mpp=0.5))
    settings = SlideSettings(mpp=0.5, patch_px=64, stride_px=64, block_size=16)
    blocks = list(plan_slide(SlideRequest("s", str(path)), settings).blocks())
    monkeypatch.setattr(read_slides, "open_planned", raise_index_error)
    job = pipeline()
    images = job | beam.Create(blocks) | read_slides.ReadSlideBlocks(2, None, guard)
    told = images | beam.Map(
        lambda block: (block.key.index, len(block.pixels), {str(p.kind) for p in block.problems},
                       len(block.problems))
    )  # fmt: skip
    assert_that(told, equal_to([(b.key.index, 0, {"defect"}, len(b)) for b in blocks]))
    job.run().wait_until_finish()


def test_planners_have_a_plan_for_what_cannot_be_planned(tmp_path, guard):
    error = InputError(Kind.CRASHES, "twice")
    slides = SlidePlanner(SlideSettings())
    request = SlideRequest("s", str(tmp_path / "s.svs"))
    plan = slides.failed(request, error)
    slides.write(guard.layout, request, plan)
    # It is tried again, as every slide that failed is.
    assert slides.find(guard.layout, request) is None
    assert list(slides.blocks(plan, frozenset())) == []

    sources = SourcePlanner(SETTINGS)
    source = make_zip(tmp_path / "x.zip", jpegs(1))
    plan = sources.failed(source, error)
    sources.write(guard.layout, source, plan)
    assert sources.find(guard.layout, source) is None
    (problem,) = read_plan(guard.layout.plan("x.zip")).archive_problems
    assert (problem.stage, problem.kind) == ("plan", "crashes")
