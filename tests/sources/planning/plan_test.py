import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.sources.archives.members import Member
from beamscope.transforms.sources.planning.plan import SourcePlan, block_sizes, plan_source
from beamscope.transforms.sources.sources import Source, find_sources
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.reading.film_block import FilmSettings
from beamscope.transforms.xrays.settings import CatalogFile, XraySettings
from tests.sources.archive_makers import as_source, make_tar, make_zip

SETTINGS = XraySettings(FilmSettings(Preprocess(32)), block_size=2)


@given(st.integers(0, 5000), st.integers(1, 300))
def test_every_film_is_in_a_block_and_all_but_the_last_are_full(films, block_size):
    sizes = block_sizes(films, block_size)
    assert sum(sizes) == films
    assert all(size == block_size for size in sizes[:-1])
    assert not sizes or 1 <= sizes[-1] <= block_size


def test_blocks_hold_the_members_in_their_order():
    members = tuple(Member(i, f"{i}.jpg", 1, 1) for i in range(5))
    source = Source("films", "/films", "files", tuple(member.name for member in members))
    blocks = list(SourcePlan(source, members, (2, 2, 1)).blocks())
    assert [block.key for block in blocks] == [BlockKey("films", i) for i in range(3)]
    assert [member for block in blocks for member in block.members] == list(members)
    # A block does not carry the names of a million loose films.
    assert {block.source for block in blocks} == {Source("films", "/films", "files")}


@pytest.mark.parametrize("make", [make_zip, make_tar], ids=["zip", "tar"])
def test_an_archive_is_planned_from_its_listing(tmp_path, make):
    films = {"a.jpg": b"1", "b.txt": b"2", "c.zip": b"3", "d.png": b"4", "e.dcm": b"5"}
    path = tmp_path / f"x.{make.__name__.removeprefix('make_')}"
    plan = plan_source(make(path, films), SETTINGS)
    assert plan.known
    assert [member.name for member in plan.members] == ["a.jpg", "d.png", "e.dcm"]
    assert plan.block_sizes == (2, 1)
    assert [(problem.member, problem.kind) for problem in plan.problems] == [
        ("c.zip", "nested_archive")
    ]
    assert plan.archive_problems == ()
    assert plan.skipped == {"not_an_image": 1}


def test_of_a_tar_gz_nothing_is_known(tmp_path):
    plan = plan_source(make_tar(tmp_path / "x.tgz", mode="w:gz"), SETTINGS)
    assert (plan.known, plan.members, plan.block_sizes) == (False, (), ())


def test_archives_among_loose_files_are_not_films(tmp_path):
    for name in ("a.jpg", "metadata.csv.gz", "old.7z"):
        (tmp_path / name).write_bytes(b"x")
    (source,) = find_sources([str(path) for path in tmp_path.iterdir()])
    plan = plan_source(source, SETTINGS)
    assert [member.name for member in plan.members] == ["a.jpg"]
    assert plan.skipped == {"archive": 1, "not_an_image": 1}
    assert plan.problems == ()


def test_the_catalogue_chooses_views_before_anything_is_read(tmp_path):
    catalog = tmp_path / "c.csv"
    catalog.write_text("file,view_position\na,PA\nb,LATERAL\n")
    films = FilmSettings(Preprocess(32), views=frozenset({"PA"}))
    settings = dataclasses.replace(
        SETTINGS, films=films, catalog=CatalogFile("csv", str(catalog), "file")
    )
    source = make_zip(tmp_path / "x.zip", dict.fromkeys(("a.jpg", "b.jpg", "c.jpg"), b"1"))
    plan = plan_source(source, settings)
    # The third may say its view itself.
    assert [member.name for member in plan.members] == ["a.jpg", "c.jpg"]
    assert plan.skipped == {"other_view": 1}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("x.zip", "not_a_zip"), ("x.tar", "not_a_tar"), ("none.zip", "unreadable_file")],
)
def test_plan_source_errors(tmp_path, name, kind):
    (tmp_path / "x.zip").write_bytes(b"<html>")
    (tmp_path / "x.tar").write_bytes(b"<html>" * 200)
    plan = plan_source(as_source(tmp_path / name), SETTINGS)
    assert plan.known
    assert plan.block_sizes == ()
    (problem,) = plan.archive_problems
    assert (problem.kind, problem.member, problem.uri) == (kind, None, str(tmp_path / name))
