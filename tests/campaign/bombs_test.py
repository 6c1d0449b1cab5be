"""Bombs, and names of every kind: one row each, in bounded memory."""

import tempfile
from pathlib import Path

import pytest

from beamscope.transforms.xrays.sample import sample_jpeg
from tests.campaign import bombs
from tests.campaign.children import Task
from tests.campaign.size import WHOLE, report, run
from tests.slides.readers.hostile_tiffs import write
from tests.slides.readers.tiff_bounds_test import HOSTILE


def written(folder, files):
    for number, (name, data) in enumerate(files):
        path = folder / f"{number} {name}"
        path.write_bytes(data)
        yield path


def tasks_of(function, paths, **arguments):
    for path in paths:
        yield Task(path.name, f"tests.campaign.{function}", {"path": str(path), **arguments})


def test_films(tmp_path):
    outcomes = list(run(tasks_of("films:decode", written(tmp_path, bombs.films())), tmp_path))
    report("film bombs", outcomes)
    read = [outcome.task.name for outcome in outcomes if outcome.answer["kind"] == "film"]
    # What is ignored in a film may be as large as it likes, where nobody makes room for it.
    assert all("text" in name or "profile" in name or "tiles" in name for name in read), read


@pytest.mark.parametrize("kind", ["zips", "tars"])
def test_archives(kind, tmp_path):
    files = getattr(bombs, kind)()
    outcomes = list(run(tasks_of("films:read_source", written(tmp_path, files)), tmp_path))
    report(f"bombs in {kind}", outcomes)
    assert all(outcome.answer["read"] <= 2 for outcome in outcomes)


def test_names(tmp_path):
    outcomes = list(run(tasks_of("films:read_source", bombs.named_archives(tmp_path)), tmp_path))
    report("names", outcomes)
    for outcome in outcomes:
        assert outcome.answer["read"] + outcome.answer["problems"] >= len(bombs.names()) - 4


def test_images(tmp_path):
    outcomes = list(
        run(tasks_of("films:decode_image", written(tmp_path, bombs.tiff_images())), tmp_path)
    )
    report("TIFF images", outcomes)


def test_slides(tmp_path):
    def paths():
        for number, (_, _, big, levels) in enumerate(HOSTILE.values()):
            yield write(tmp_path / f"{number}.svs", *levels, big=big)

    outcomes = list(run(tasks_of("slides:plan_and_read", paths()), tmp_path))
    report("slide bombs", outcomes)
    assert {o.answer["kind"] for o in outcomes} == {"slide_too_large", "impossible_header"}


def test_four_threads_decode_the_largest_films(tmp_path):
    # 800 MB each when they are decoded; 5.7 GB were taken for four of them.
    folder = tmp_path / "films"
    folder.mkdir()
    side = 10_000 if WHOLE else 3_000
    film = bombs.png(side, side, 16, 6, bombs.zeros(side * (side * 8 + 1)))
    for number in range(4):
        (folder / f"{number}.png").write_bytes(film)
    task = Task("done", "tests.campaign.films:read_source", {"path": str(folder)})
    [outcome] = run([task], tmp_path)
    report("largest films", [outcome])
    assert outcome.answer["kinds"] == ["blank_image"]
    assert outcome.peak_mb < 2600


@pytest.mark.campaign
def test_a_tar_gz_of_zeros(tmp_path):
    path = tmp_path / "zeros.tar.gz"
    path.write_bytes(bombs.tgz_of_zeros())
    [outcome] = run(tasks_of("films:read_source", [path]), tmp_path)
    report("tar.gz of zeroes", [outcome])
    assert outcome.answer["kinds"] == ["compression_ratio", "member_too_big"]
    assert outcome.peak_mb < 1000


def test_folders_without_permission(tmp_path):
    # Those of pytest are closed to all others.
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o755)
        outcome = read_as_nobody(top, tmp_path)
    assert outcome.answer["read"] == 1
    assert outcome.answer["kinds"] == ["unreadable_file"]
    assert outcome.answer["problems"] == 2


def read_as_nobody(top, tmp_path):
    folder = top / "films"
    for name in ("open", "closed", "closed/inner"):
        (folder / name).mkdir(parents=True)
    for name in ("open/a.jpg", "closed/b.jpg", "c.jpg"):
        (folder / name).write_bytes(sample_jpeg(6, 0, 64))
    (folder / "c.jpg").chmod(0)
    (folder / "closed").chmod(0)
    task = Task("done", "tests.campaign.films:read_as_nobody", {"path": str(folder)})
    [outcome] = run([task], tmp_path)
    (folder / "closed").chmod(0o755)
    return outcome
