from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.sources.planning.plan import ImagesToRead, SourcePlan, StreamToRead
from beamscope.transforms.sources.planning.plan_file import read_plan, write_plan
from beamscope.transforms.sources.sources import find_sources
from beamscope.transforms.storage import files
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.ptransforms.plan_films import PlanFilms
from beamscope.transforms.xrays.reading.film_block import FilmSettings
from beamscope.transforms.xrays.settings import XraySettings
from tests.beam_testing import counters, pipeline
from tests.sources.archive_makers import as_source, make_tar, make_zip
from tests.xrays.film_parts import write_film_parts
from tests.xrays.reading.films_test import jpegs

SETTINGS = XraySettings(FilmSettings(Preprocess(16)), block_size=4)


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / "out"), "p1", "f")


@pytest.fixture
def archive(tmp_path):
    return make_zip(tmp_path / "x.zip", jpegs(10))


@pytest.fixture
def stream(tmp_path):
    return make_tar(tmp_path / "x.tgz", jpegs(10), "w:gz")


def plan(sources, layout, check=lambda planned: None):
    job = pipeline()
    planned = job | beam.Create(sources) | PlanFilms(SETTINGS, layout)
    check(planned)
    result = job.run()
    result.wait_until_finish()
    return counters(result)


def key_of(block):
    if isinstance(block, ImagesToRead):
        return block.key.item_id, block.key.index, len(block.members)
    assert isinstance(block, StreamToRead)
    return block.source.id, "stream", sorted(block.done)


def test_every_source_comes_out_and_every_film_is_in_a_block(archive, stream, layout, tmp_path):
    gone = as_source(tmp_path / "gone.tar")

    def check(planned):
        assert_that(planned.items, equal_to(["x.zip", "x.tgz", "gone.tar"]), "sources")
        assert_that(planned.parts, equal_to([]), "parts")
        expected = [("x.zip", 0, 4), ("x.zip", 1, 4), ("x.zip", 2, 2), ("x.tgz", "stream", [])]
        assert_that(planned.blocks | beam.Map(key_of), equal_to(expected), "blocks")

    counts = plan([archive, stream, gone], layout, check)
    assert counts["sources_planned"] == 3
    assert "sources_planned_before" not in counts
    assert read_plan(layout.plan("gone.tar")).archive_problems[0].kind == "unreadable_file"
    assert not read_plan(layout.plan("x.tgz")).known


def test_what_is_done_is_dropped(archive, layout):
    plan([archive], layout)
    write_film_parts(archive, layout, SETTINGS, {0, 2})

    def check(planned):
        done = planned.parts | "Done" >> beam.Map(lambda part: part.key)
        assert_that(done, equal_to([BlockKey("x.zip", 0), BlockKey("x.zip", 2)]), "done")
        assert_that(planned.blocks | beam.Map(key_of), equal_to([("x.zip", 1, 4)]), "left")

    counts = plan([archive], layout, check)
    assert counts["sources_planned_before"] == 1
    assert counts["blocks_embedded_before"] == 2
    assert "sources_planned" not in counts


@pytest.mark.parametrize(
    ("known", "done", "left"),
    [
        (False, set(), [[]]),
        (False, {0, 1}, [[0, 1]]),
        (True, {0, 2}, [[0, 2]]),
        (True, {0, 1, 2}, []),
        # All that there is may be there, but nobody has seen the end of it.
        (False, {0, 1, 2}, [[0, 1, 2]]),
    ],
)
def test_a_stream_is_read_until_its_end_is_known(stream, layout, known, done, left):
    sizes = (4, 4, 2) if known else ()
    write_plan(layout, SourcePlan(stream, block_sizes=sizes, known=known))
    write_film_parts(stream, layout, SETTINGS, done)

    def check(planned):
        expected = [("x.tgz", "stream", indexes) for indexes in left]
        assert_that(planned.blocks | beam.Map(key_of), equal_to(expected))

    assert plan([stream], layout, check).get("blocks_embedded_before", 0) == len(done)


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_another_archive_by_the_same_name_discards_what_was_embedded(
    archive, stream, layout, tmp_path, kind
):
    source = archive if kind == "zip" else stream
    plan([source], layout)
    write_film_parts(source, layout, SETTINGS)
    if kind == "zip":
        make_zip(tmp_path / "x.zip", jpegs(3))
    else:
        make_tar(tmp_path / "x.tgz", jpegs(3), "w:gz")

    def check(planned):
        assert_that(planned.parts, equal_to([]), "parts")
        expected = [("x.zip", 0, 3)] if kind == "zip" else [("x.tgz", "stream", [])]
        assert_that(planned.blocks | beam.Map(key_of), equal_to(expected), "blocks")

    assert plan([source], layout, check)["sources_planned"] == 1
    assert files.list_files(layout.parts) == []


def folder_of(path, films):
    for name, data in films.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    (source,) = find_sources([str(path)])
    return source


@pytest.mark.parametrize("loose", [False, True], ids=["directory", "loose films"])
def test_a_film_that_is_added_to_a_folder_is_all_that_is_embedded_again(layout, tmp_path, loose):
    folder = tmp_path / "folder"
    films = {name.replace("/", "_"): data for name, data in jpegs(10).items()}

    def source():
        found = folder_of(folder, {})
        uris = [str(path) for path in folder.iterdir()]
        return find_sources(uris)[0] if loose else found

    folder_of(folder, films)
    plan([source()], layout)
    before = write_film_parts(source(), layout, SETTINGS)
    contents = {part.path: Path(part.path).read_bytes() for part in before}
    (folder / "a_first.jpg").write_bytes(films["p0_film0.jpg"])

    def check(planned):
        done = planned.parts | "Done" >> beam.Map(lambda part: part.path)
        assert_that(done, equal_to(list(contents)), "done")
        left = planned.blocks | beam.Map(
            lambda block: (block.key.index, [member.name for member in block.members])
        )
        assert_that(left, equal_to([(3, ["a_first.jpg"])]), "left")

    counts = plan([source()], layout, check)
    assert (counts["sources_planned"], counts["blocks_embedded_before"]) == (1, 3)
    assert {path: Path(path).read_bytes() for path in contents} == contents
    assert read_plan(layout.plan(source().id)).block_sizes == (4, 4, 2, 1)


def test_of_a_folder_in_which_a_film_changed_its_block_alone_is_made_again(layout, tmp_path):
    folder = tmp_path / "folder"
    source = folder_of(folder, jpegs(10))
    plan([source], layout)
    parts = write_film_parts(source, layout, SETTINGS)
    (folder / "p2/film5.jpg").write_bytes(b"another film")

    def check(planned):
        done = planned.parts | "Done" >> beam.Map(lambda part: part.key.index)
        assert_that(done, equal_to([0, 2]), "done")
        expected = [("folder", 1, 4)]
        assert_that(planned.blocks | beam.Map(key_of), equal_to(expected), "left")

    plan([source], layout, check)
    assert [Path(part.path).exists() for part in parts] == [True, False, True]


def test_a_file_that_is_no_film_changes_nothing(layout, tmp_path):
    folder = tmp_path / "folder"
    source = folder_of(folder, jpegs(10))
    plan([source], layout)
    write_film_parts(source, layout, SETTINGS)
    (folder / "labels.csv").write_text("file\n")

    def check(planned):
        assert_that(planned.blocks, equal_to([]))

    assert plan([source], layout, check)["blocks_embedded_before"] == 3
    assert read_plan(layout.plan("folder")).skipped == {"not_an_image": 1}
