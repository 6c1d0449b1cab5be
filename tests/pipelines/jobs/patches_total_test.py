"""A sample of patches in total, from disk, through the command line, to disk."""

import itertools
import json
import shutil

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.patches.sampling import Sample, name_keys, place_keys
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.xrays.sample import sample_members
from tests.sources.archive_makers import make_tar, make_zip

FLAGS = ["--patch_size", "64", "--block_size", "8", "--max_failed", "0.5"]


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Three slides of different sizes, and a file that is none."""
    folder = tmp_path_factory.mktemp("slides")
    for name, seed, width in (("a", 1, 1200), ("b", 2, 1200), ("c", 3, 800)):
        spec = SampleSlide(width=width, height=1000, mpp=0.5, seed=seed)
        write_sample_slide(folder / f"{name}.svs", spec)
    (folder / "broken.svs").write_text("<html>404 Not Found</html>")
    return folder


@pytest.fixture
def job(tmp_path):
    """Run the job on some slides, by default to a new output; return the output and the status."""
    numbers = itertools.count()

    def run(paths, *more, output=None):
        output = output or tmp_path / f"out{next(numbers)}"
        paths = paths if isinstance(paths, list) else [paths]
        return output, main(["patches", "--input", *map(str, paths), *FLAGS, "--output",
                             str(output), *map(str, more)])  # fmt: skip

    return run


def rows_of(output):
    """Every row; the table's order is that of the shards."""
    return ds.dataset(str(output / "patches")).to_table().to_pylist()


def places_of(output):
    return {(row["slide_id"], row["x_level0"], row["y_level0"]) for row in rows_of(output)}


def planned_of(output):
    table = pq.read_table(output / "slides.parquet").to_pylist()
    return {row["slide_id"]: row["patches_planned"] for row in table}


@pytest.fixture(scope="module")
def everything(slides, tmp_path_factory):
    """The places of all patches of the slides."""
    output = tmp_path_factory.mktemp("all") / "out"
    assert main(["patches", "--input", str(slides), *FLAGS, "--output", str(output)]) == 0
    return places_of(output)


def smallest(places, total, seed):
    """The places with the smallest hashes, of one list of them all."""
    ordered = []
    for slide in {slide for slide, _, _ in places}:
        own = sorted(place for place in places if place[0] == slide)
        keys = place_keys([x for _, x, _ in own], [y for _, _, y in own])
        hashes = Sample(seed=seed).hashes(slide, keys).tolist()
        ordered += zip(hashes, own, strict=True)
    return {place for _, place in sorted(ordered)[:total]}


def test_exactly_n_of_all_slides_together(slides, everything, job, capsys):
    output, status = job(slides, "--sample_total", 60, "--seed", 3)
    assert status == 0
    assert places_of(output) == smallest(everything, 60, 3)
    planned = planned_of(output)
    assert sum(planned.values()) == len(rows_of(output)) == 60
    assert planned["broken"] == 0
    said = capsys.readouterr().out
    left = len(everything) - 60
    text = f"60 planned = 60 written + 0 failed; the sample leaves out {left:,}"
    assert text in said
    assert "WARNING" not in said
    description = json.loads((output / "dataset.json").read_text())
    assert description["options"]["sample_total"] == 60
    assert description["options"]["seed"] == 3
    assert description["counts"]["patches_not_sampled"] == left
    # Slides are planned once, and their parts of the sample are taken after that.
    assert description["counters"]["slides_planned"] == 4
    assert main(["verify", str(output)]) == 0
    assert main(["status", str(output)]) == 0
    assert "60 of 60 patches (100.0%)" in capsys.readouterr().out

    larger, status = job(slides, "--sample_total", 61, "--seed", 3)
    assert status == 0
    assert places_of(larger) > places_of(output)
    other, status = job(slides, "--sample_total", 60)
    assert status == 0
    assert places_of(other) == smallest(everything, 60, 0) != places_of(output)


def test_neither_the_order_of_slides_nor_the_runner_changes_the_sample(slides, job, everything):
    paths = [slides / f"{name}.svs" for name in "cba"]
    expected = smallest(everything, 40, 0)
    backwards, status = job(paths, "--sample_total", 40)
    assert status == 0
    assert places_of(backwards) == expected
    parallel, status = job(paths[::-1], "--sample_total", 40, "--runner_config", "direct_parallel")
    assert status == 0
    assert places_of(parallel) == expected
    assert rows_of(parallel) == rows_of(backwards)


def test_where_there_are_fewer_all_are_taken_and_it_is_said(slides, job, everything, capsys):
    output, status = job(slides, "--sample_total", len(everything))
    assert status == 0
    assert places_of(output) == everything
    assert "WARNING" not in capsys.readouterr().out
    output, status = job(slides, "--sample_total", 100_000)
    assert status == 0
    assert places_of(output) == everything
    text = f"--sample_total 100,000: there are no more than {len(everything)} patches, so that"
    assert text in capsys.readouterr().out


def test_a_slide_of_which_nothing_is_taken_is_a_row_that_says_so(slides, everything, job):
    output, status = job(slides, "--sample_total", 1)
    assert status == 0
    ((slide, _, _),) = places_of(output)
    for row in pq.read_table(output / "slides.parquet").to_pylist():
        if row["slide_id"] in {*"abc"} - {slide}:
            number = sum(place[0] == row["slide_id"] for place in everything)
            reason = f"the sample has no patch of it: {number} are planned"
            assert (row["status"], row["reason"]) == ("empty", reason)
            assert (output / "qc" / f"{row['slide_id']}.jpg").exists()


@pytest.mark.parametrize("lost", ["part", "plan", "whole", "sample", "damaged_whole", "picture"])
def test_the_same_command_goes_on_after_a_loss(slides, job, capsys, lost):
    good = [slides / f"{name}.svs" for name in "abc"]
    output, status = job(good, "--sample_total", 50)
    assert status == 0
    before = rows_of(output)
    capsys.readouterr()
    assert job(good, "--sample_total", 50, output=output)[1] == 0
    assert "complete before: nothing to do" in capsys.readouterr().out
    (output / "dataset.json").unlink()
    (plan,) = (path.parent for path in (output / ".beamscope").glob("*/plans"))
    part = min(plan.glob("parts/a/*/*.arrow"))
    part.unlink()
    if lost == "plan":
        (plan / "plans" / "b.arrow").unlink()
    elif lost == "whole":
        shutil.rmtree(plan / "whole")
    elif lost == "sample":
        (plan / "sample.json").unlink()
    elif lost == "damaged_whole":
        path = plan / "whole" / "plans" / "a.arrow"
        path.write_bytes(path.read_bytes()[:-40])
    elif lost == "picture":
        # Both are needed to make the plan of the sample again.
        (plan / "plans" / "b.arrow").unlink()
        (plan / "whole" / "plans" / "b.jpg").unlink()
    assert job(good, "--sample_total", 50, "--verbose", output=output)[1] == 0
    assert rows_of(output) == before
    done = sum(1 for _ in plan.glob("parts/*/*/*.arrow")) - 1
    said = capsys.readouterr().out
    # Nothing but the lost block was read again.
    assert f"blocks embedded: 1 now, {done} before" in said
    assert job(good, "--sample_total", 51, output=output)[1] == 2
    assert "sample_total was 50 and is now 51" in capsys.readouterr().err


def test_an_added_slide_gives_the_sample_of_all(slides, job, everything):
    output, status = job([slides / "a.svs", slides / "b.svs"], "--sample_total", 50)
    assert status == 0
    both = {place for place in everything if place[0] in "ab"}
    assert places_of(output) == smallest(both, 50, 0)
    assert job([slides / "c.svs"], "--sample_total", 50, "--add", output=output)[1] == 0
    assert places_of(output) == smallest(everything, 50, 0)
    fresh, status = job([slides / f"{name}.svs" for name in "abc"], "--sample_total", 50)
    assert status == 0
    assert rows_of(fresh) == rows_of(output)


def test_a_slide_that_is_mended_gives_the_sample_of_all(slides, job, everything, tmp_path):
    (tmp_path / "in").mkdir()
    for name in "abc":
        shutil.copy(slides / f"{name}.svs", tmp_path / "in")
    (tmp_path / "in" / "b.svs").write_bytes(b"cut off")
    output, status = job(tmp_path / "in", "--sample_total", 50)
    assert status == 0
    without = {place for place in everything if place[0] in "ac"}
    assert places_of(output) == smallest(without, 50, 0)
    shutil.copy(slides / "b.svs", tmp_path / "in")
    assert job(tmp_path / "in", "--sample_total", 50, output=output)[1] == 0
    assert places_of(output) == smallest(everything, 50, 0)


def test_a_defect_in_planning_costs_its_slide(slides, job, everything, monkeypatch):
    def plan(request, *arguments, **more):
        if request.id == "b":
            raise IndexError("a defect")
        return plan_slide(request, *arguments, **more)

    monkeypatch.setattr("beamscope.transforms.slides.planning.slide_planner.plan_slide", plan)
    output, status = job(slides, "--sample_total", 50)
    assert status == 0
    without = {place for place in everything if place[0] in "ac"}
    assert places_of(output) == smallest(without, 50, 0)
    problems = pq.read_table(output / "problems.parquet").to_pylist()
    assert {(row["item_id"], row["kind"]) for row in problems} == {
        ("b", "defect"), ("broken", "not_a_slide"),
    }  # fmt: skip


def test_a_dry_run_knows_what_is_planned(slides, job, capsys):
    output, status = job(slides, "--sample_total", 50, "--dry_run")
    assert status == 0
    said = capsys.readouterr().out
    assert "sample_total 50" in said
    assert "plan 4 slides" in said
    assert not output.exists()
    assert job(slides, "--sample_total", 50, output=output)[1] == 0
    (output / "dataset.json").unlink()
    capsys.readouterr()
    assert job(slides, "--sample_total", 50, "--dry_run", output=output)[1] == 0
    assert "encode 0 patches of the 3 slides" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sample_total", "0"], "--sample_total must be between 1 and"),
        (["--sample_total", "x"], "argument --sample_total: invalid int value: 'x'"),
        (["--sample", "3", "--sample_total", "9"], "give --sample 3 or --sample_total 9, not both"),
        (["--seed", "1"], "--seed needs --sample or --sample_total"),
    ],
)
def test_what_is_typed_wrong_is_one_line(slides, job, capsys, arguments, message):
    output, status = job(slides, *arguments)
    assert status == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not output.exists()


@pytest.fixture
def films(tmp_path):
    """A zip, a tar and a folder of films, of different sizes; one is no film."""
    (tmp_path / "in" / "folder").mkdir(parents=True)
    content = dict(sample_members(40, seed=5))
    names = sorted(content)
    make_zip(tmp_path / "in" / "x.zip", {name: content[name] for name in names[:25]})
    make_tar(tmp_path / "in" / "y.tar", {name: content[name] for name in names[25:32]}, "w")
    for place, name in enumerate(names[32:]):
        (tmp_path / "in" / "folder" / f"{place}.jpg").write_bytes(content[name])
    return tmp_path / "in"


def test_films_of_all_sources_together(films, tmp_path, capsys):
    inputs = [str(films / name) for name in ("x.zip", "y.tar", "folder")]

    def run(output, *flags, inputs=inputs):
        status = main(["films", "--input", *inputs, "--size", "32", "--block_size", "4",
                       "--output", str(tmp_path / output), *flags])  # fmt: skip
        rows = ds.dataset(str(tmp_path / output / "patches")).to_table().to_pylist()
        return status, {tuple(row["image_id"].split("/", 1)): row["image"] for row in rows}

    status, everything = run("all")
    assert (status, len(everything)) == (0, 40)
    ordered = []
    for source in {source for source, _ in everything}:
        own = sorted(film for film in everything if film[0] == source)
        hashes = Sample(seed=2).hashes(source, name_keys([name for _, name in own])).tolist()
        ordered += zip(hashes, own, strict=True)
    expected = [film for _, film in sorted(ordered)]
    status, taken = run("out", "--sample_total", "15", "--seed", "2")
    assert status == 0
    assert taken == {film: everything[film] for film in expected[:15]}
    counts = json.loads((tmp_path / "out" / "dataset.json").read_text())["counts"]
    assert counts["left_out_not_sampled"] == 25
    status, larger = run("larger", "--sample_total", "16", "--seed", "2", inputs=inputs[::-1])
    assert (status, set(larger)) == (0, set(expected[:16]))

    # Another start goes on with what is there, and finds the same.
    (tmp_path / "out" / "dataset.json").unlink()
    (part, *others) = (tmp_path / "out" / ".beamscope").glob("*/parts/*/*/*.arrow")
    part.unlink()
    capsys.readouterr()
    assert run("out", "--sample_total", "15", "--seed", "2", "--verbose") == (0, taken)
    assert f"blocks embedded: 1 now, {len(others)} before" in capsys.readouterr().out

    # A film that is added to the folder may be in the sample, and then another one is not.
    shutil.copy(films / "folder" / "0.jpg", films / "folder" / "new.jpg")
    changed = run("out", "--sample_total", "15", "--seed", "2")
    assert changed == run("fresh", "--sample_total", "15", "--seed", "2")
    assert len(changed[1]) == 15

    capsys.readouterr()
    assert run("most", "--sample_total", "99")[0] == 0
    text = "--sample_total 99: there are no more than 41 films, so that all are taken"
    assert text in capsys.readouterr().out


def test_a_sample_needs_a_listing(films, tmp_path, capsys):
    stream = make_tar(tmp_path / "x.tgz", dict(sample_members(2, seed=1)), "w:gz").uri
    assert main(["films", "--input", stream, "--sample_total", "3", "--output", "o"]) == 2
    error = capsys.readouterr().err
    assert "--sample_total 3: " in error
    assert "x.tgz has no listing to sample from" in error
    assert error.count("\n") == 1
