import dataclasses

import pytest

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.plans import read_plan_header
from beamscope.transforms.output.progress import PlanGlance
from beamscope.transforms.problems import Problem
from beamscope.transforms.sources.archives.members import Member
from beamscope.transforms.sources.planning.plan import SourcePlan
from beamscope.transforms.sources.planning.plan_file import (
    find_plan,
    glance,
    listing_digest,
    read_outline,
    read_plan,
    source_identity,
    write_plan,
)
from beamscope.transforms.sources.planning.source_planner import SourcePlanner
from beamscope.transforms.sources.planning.total_planner import TotalSourcePlanner
from beamscope.transforms.sources.sources import Source, find_sources
from beamscope.transforms.storage import files

MEMBERS = (
    Member(0, "a/1.jpg", 300, 200, True, 0xFFFFFFFF),
    Member(1 << 40, "a/ü 2.dcm", 1 << 33, 1 << 33),
    Member(900, "\\xff.png", 0, 0, False, 0),
)
BROKEN = Problem("x.zip", "x.zip", "plan", "truncated_archive", "cut off")


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / "out"), "p1", "0123456789abcdef")


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(b"12345")
    return Source("x.zip", str(path), "zip")


def plans(source):
    bad = Problem("x.zip/3", source.uri, "plan", "link_member", "a link", member="3.jpg")
    yield "sound", SourcePlan(source, MEMBERS, (2, 1), skipped={"clutter": 3})
    yield "with problems", SourcePlan(source, MEMBERS[:1], (1,), (bad,), (BROKEN,))
    yield "empty", SourcePlan(source)
    yield "not known yet", SourcePlan(source, known=False)
    loose = dataclasses.replace(source, kind="files", names=("1.jpg", "2.jpg"))
    yield "loose films", SourcePlan(loose, MEMBERS, (3,))


@pytest.mark.parametrize("case", range(5))
def test_round_trip(layout, archive, case):
    plan = list(plans(archive))[case][1]
    write_plan(layout, plan)
    path = layout.plan("x.zip")
    assert read_plan(path) == plan
    assert read_outline(path) == dataclasses.replace(plan, members=())
    rows = sum(plan.block_sizes) if plan.known else None
    failed = bool(plan.archive_problems) and rows == 0
    assert glance(path) == PlanGlance(rows, failed)


def test_an_earlier_plan_serves_again(layout, archive):
    assert find_plan(layout, archive) is None
    for _, plan in plans(archive):
        write_plan(layout, plan)
        assert find_plan(layout, plan.source) == plan


def test_what_holds_is_known_without_asking_for_the_archive(layout, archive):
    planner = SourcePlanner(None)
    # Before it has been read nothing tells of a tar.gz.
    expected = [True, True, True, False, True]
    for (_, plan), holds in zip(plans(archive), expected, strict=True):
        write_plan(layout, plan)
        header = read_plan_header(layout.plan("x.zip"))
        if plan.source.is_archive:
            now, other = files.FileInfo(archive.uri, 5), files.FileInfo(archive.uri, 6)
            assert not planner.holds(header, plan.source, {archive.uri: None})
        else:
            now = files.FileInfo(archive.uri, 0, listing_digest(plan.source))
            more = dataclasses.replace(plan.source, names=(*plan.source.names, "3.jpg"))
            other = files.FileInfo(archive.uri, 0, listing_digest(more))
        assert planner.holds(header, plan.source, {archive.uri: now}) is holds
        assert not planner.holds(header, plan.source, {archive.uri: other})
        assert tuple(planner.sizes_in(header)) == plan.block_sizes
        assert planner.read(layout, plan.source) == plan
        total = TotalSourcePlanner(None)
        assert not total.holds(header, plan.source, {archive.uri: now})
    unusable = SourcePlan(archive, archive_problems=(BROKEN,))
    write_plan(layout, unusable)
    header = read_plan_header(layout.plan("x.zip"))
    assert not planner.holds(header, archive, {archive.uri: now})
    files.delete([layout.plan("x.zip")])
    assert planner.read(layout, archive) is None


def test_an_archive_of_which_nothing_could_be_used_is_planned_again(layout, archive):
    write_plan(layout, SourcePlan(archive, archive_problems=(BROKEN,)))
    assert find_plan(layout, archive) is None


def append(path):
    path.write_bytes(path.read_bytes() + b"6")


@pytest.mark.parametrize(
    "change", [append, lambda path: path.unlink()], ids=["another size", "gone"]
)
def test_the_plan_of_an_archive_does_not_outlive_it(tmp_path, layout, archive, change):
    write_plan(layout, SourcePlan(archive, MEMBERS, (3,)))
    change(tmp_path / "x.zip")
    assert find_plan(layout, archive) is None


@pytest.mark.parametrize("kind", ["directory", "files"])
@pytest.mark.parametrize("change", ["another size", "one more", "one less"])
def test_the_plan_of_files_does_not_outlive_them(tmp_path, layout, kind, change):
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("1.jpg", "2.jpg"):
        (folder / name).write_bytes(b"film")

    def source():
        uris = [str(folder)] if kind == "directory" else [str(path) for path in folder.iterdir()]
        (found,) = find_sources(uris)
        assert found.kind == kind
        return found

    write_plan(layout, SourcePlan(source(), MEMBERS, (3,)))
    assert find_plan(layout, source()) is not None
    if change == "another size":
        append(folder / "2.jpg")
    elif change == "one more":
        (folder / "3.jpg").write_bytes(b"film")
    else:
        (folder / "1.jpg").unlink()
    assert find_plan(layout, source()) is None


def test_loose_films_in_a_bucket_are_known_by_their_names():
    one = Source("films", "gs://nowhere/films", "files", ("1.jpg",))
    two = dataclasses.replace(one, names=("1.jpg", "2.jpg"))
    assert source_identity(one) == source_identity(one)
    assert source_identity(one) != source_identity(two)
