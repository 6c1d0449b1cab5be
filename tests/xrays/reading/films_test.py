import random
import tarfile

import numpy as np
import pytest

from beamscope.transforms.blocks import BlockKey, ImageBlock
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.archives.read_source import list_members
from beamscope.transforms.sources.planning.plan import SourcePlan, block_sizes
from beamscope.transforms.sources.reading.members import ImageStream, read_images, select_images
from beamscope.transforms.sources.sources import find_sources
from beamscope.transforms.xrays.catalogs.load import load_catalog
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.names import FILM_NAMES
from beamscope.transforms.xrays.reading.film_block import FILM_SCHEMA, FilmReading, FilmSettings
from beamscope.transforms.xrays.sample import sample_jpeg
from tests.shared_data import shared
from tests.sources.archive_makers import add_file, add_special, as_source, make_tar, make_zip
from tests.xrays.dicom_makers import make_dicom, ramp

LIMITS = Limits()
SETTINGS = FilmSettings(Preprocess(32))
READING = FilmReading(SETTINGS)


def jpegs(n):
    return {f"p{i // 2}/film{i}.jpg": sample_jpeg(7, i, 64) for i in range(n)}


def all_films(source, settings=SETTINGS, block_size=4, catalog=None):
    """Pixels, rows and problems of every block of a source."""
    reading = FilmReading(settings, catalog)
    if source.kind == "tgz":
        blocks = [block for _, block in ImageStream(source, block_size, reading)]
    else:
        listing = list_members(source, settings.decode.limits, FILM_NAMES)
        plan = SourcePlan(source, listing.members, block_sizes(len(listing.members), block_size))
        blocks = [read_images(source, block.members, reading) for block in plan.blocks()]
    pixels = np.concatenate([block.pixels for block in blocks])
    rows = [row for block in blocks for row in block.rows.to_pylist()]
    return pixels, rows, [problem for block in blocks for problem in block.problems]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_block_holds_what_decoding_and_preprocessing_give(tmp_path, threads):
    films = jpegs(7)
    source = make_zip(tmp_path / "x.zip", films)
    settings = FilmSettings(Preprocess(32), threads=threads)
    pixels, rows, problems = all_films(source, settings)
    assert not problems
    for name, image, row in zip(films, pixels, rows, strict=True):
        film = decode_film(films[name], DecodeSettings())
        np.testing.assert_array_equal(image, Preprocess(32).apply(film.pixels, from_dicom=False))
        assert row["member"] == name
        assert row["image_id"] == f"x.zip/{name}"
        assert row["source"] == str(tmp_path / "x.zip")
        assert (row["height"], row["width"]) == film.pixels.shape
        assert row["origin"] == "jpeg"
        assert row["patient_id"] is None


def test_every_kind_of_source_gives_the_same_films(tmp_path):
    films = jpegs(10)
    folder = tmp_path / "folder"
    for name, data in films.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    loose = [str(folder / name) for name in films]
    random.Random(0).shuffle(loose)
    sources = [
        make_zip(tmp_path / "x.zip", films),
        make_tar(tmp_path / "x.tar", films),
        make_tar(tmp_path / "x.tar.gz", films, "w:gz"),
        *find_sources([str(folder)]),
        *find_sources(loose),
    ]
    assert [source.kind for source in sources] == ["zip", "tar", "tgz", "directory", "files"]
    expected, names, _ = all_films(sources[0])
    for source in sources[1:]:
        pixels, rows, problems = all_films(source)
        np.testing.assert_array_equal(pixels, expected)
        assert [row["member"] for row in rows] == [row["member"] for row in names]
        assert not problems


def test_the_real_films_are_the_same_from_every_kind_of_source(tmp_path):
    root = shared("data/xrays/kermany")
    paths = sorted(root.rglob("*.jpeg"))[::16]
    films = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    expected, _, _ = all_films(make_zip(tmp_path / "x.zip", films))
    for source in (
        make_tar(tmp_path / "x.tar", films),
        make_tar(tmp_path / "x.tar.gz", films, "w:gz"),
        *find_sources([str(path) for path in paths]),
    ):
        pixels, _, problems = all_films(source)
        np.testing.assert_array_equal(pixels, expected)
        assert not problems


def bad_films():
    """Names, bytes and the kind of problem each is."""
    good = sample_jpeg(1, 0, 64)
    yield "page.jpg", b"<html>not found</html>", "not_a_film"
    yield "empty.png", b"", "not_a_film"
    yield "mended.jpg", good[: len(good) // 2] + b"\xff\xd9", "corrupt_image"
    yield "frames.dcm", make_dicom(ramp(bits=12), bits=12, NumberOfFrames=2), "multi_frame"
    yield "wide.dcm", make_dicom(ramp(bits=12), bits=12, Columns=60000), "too_many_pixels"
    yield "README.md.dcm", b"# films", "not_a_film"
    yield "IM0001", b"no extension, no film", "not_a_film"
    yield "inner.zip", b"PK", "nested_archive"


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_of_an_archive_with_bad_members_only_those_are_lost_errors(tmp_path, kind):
    bad = {name: (data, problem) for name, data, problem in bad_films()}
    good = {**jpegs(4), "IM0002": make_dicom(ramp(bits=12), bits=12)}
    names = sorted([*bad, *good])
    everything = {name: bad[name][0] if name in bad else good[name] for name in names}
    everything |= {"notes.txt": b"", "__MACOSX/._film0.jpg": b""}
    path = tmp_path / f"x.{kind}"
    source = (
        make_zip(path, everything)
        if kind == "zip"
        else make_tar(path, everything, "w:gz" if kind == "tar.gz" else "w")
    )
    settings = FilmSettings(Preprocess(32), DecodeSettings(limits=Limits(max_pixels=1 << 20)))
    pixels, rows, problems = all_films(source, settings)
    if kind != "tar.gz":
        listing = list_members(source, LIMITS, FILM_NAMES)
        problems += listing.problems
        assert listing.skipped == {"not_an_image": 1, "clutter": 1}
    assert sorted(row["member"] for row in rows) == sorted(good)
    assert len(pixels) == len(good)
    found = {problem.item_id.removeprefix(f"{path.name}/"): problem.kind for problem in problems}
    assert found == {name: kind for name, (_, kind) in bad.items()}
    assert {problem.uri for problem in problems} == {str(path)}


def test_a_block_is_an_image_block(tmp_path):
    source = make_zip(tmp_path / "x.zip", jpegs(3) | {"bad.jpg": b""})
    block = read_images(source, list_members(source, LIMITS, FILM_NAMES).members, READING)
    key = BlockKey(source.id, 0)
    image_block = ImageBlock(key, block.pixels, block.rows, block.planned, block.problems)
    assert image_block.planned == 4
    assert block.rows.schema == FILM_SCHEMA


def test_no_members_give_no_rows(tmp_path):
    block = read_images(make_zip(tmp_path / "x.zip", {}), (), READING)
    assert block.pixels.shape == (0, 32, 32, 3)
    assert block.rows.schema == FILM_SCHEMA
    assert block.planned == 0


@pytest.fixture
def catalog(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text(
        "file,patient_id,view_position,Pneumonia,sex\n"
        "film0,0,PA,1,F\nfilm1,0,LATERAL,0,F\nfilm2,1,,,M\nnowhere,9,PA,,M\n"
    )
    return load_catalog("csv", str(path), "file")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_the_catalogue_joins_the_rows(tmp_path, catalog, kind):
    path = tmp_path / f"x.{kind}"
    films = jpegs(4)
    source = make_zip(path, films) if kind == "zip" else make_tar(path, films, "w:gz")
    _, rows, _ = all_films(source, catalog=catalog)
    assert [row["image_id"] for row in rows] == [
        "film0",
        "film1",
        "film2",
        f"{path.name}/p1/film3.jpg",
    ]
    assert [row["patient_id"] for row in rows] == ["0", "0", "1", None]
    assert [row["view_position"] for row in rows] == ["PA", "LATERAL", None, None]
    assert dict(rows[0]["labels"]) == {"Pneumonia": 1}
    assert dict(rows[0]["catalog"]) == {"sex": "F"}


def test_views_are_chosen_by_the_catalogue_before_reading_and_by_the_file_after(tmp_path, catalog):
    films = jpegs(2) | {
        "film2.dcm": make_dicom(ramp(bits=12), bits=12, ViewPosition="PA"),
        "film5.dcm": make_dicom(ramp(bits=12), bits=12, ViewPosition="LL"),
    }
    source = make_zip(tmp_path / "x.zip", films)
    settings = FilmSettings(Preprocess(32), views=frozenset({"PA"}))
    reading = FilmReading(settings, catalog)
    listing = select_images(list_members(source, LIMITS, FILM_NAMES), reading)
    assert listing.skipped == {"other_view": 1}
    block = read_images(source, listing.members, reading)
    assert block.rows["image_id"].to_pylist() == ["film0", "film2"]
    assert (block.planned, block.left_out) == (2, 1)
    assert block.rows["in_catalog"].to_pylist() == [True, True]


def test_one_film_twice_is_a_problem_errors(tmp_path, catalog):
    films = {"a/film0.jpg": sample_jpeg(0, 0, 64), "b/film0.png": b"", "c.jpg": b"", "d.jpg": b""}
    listing = list_members(make_zip(tmp_path / "x.zip", films), LIMITS, FILM_NAMES)
    selected = select_images(listing, FilmReading(SETTINGS, catalog))
    assert [member.name for member in selected.members] == ["a/film0.jpg", "c.jpg", "d.jpg"]
    assert [(p.kind, p.item_id) for p in selected.problems] == [
        ("duplicate_image", "x.zip/b/film0.png")
    ]


def test_named_attributes_are_in_the_rows(tmp_path):
    data = make_dicom(ramp(bits=12), bits=12, PatientID="17", ViewPosition="AP", Modality="CR")
    source = make_zip(tmp_path / "x.zip", {"x.dcm": data})
    settings = FilmSettings(Preprocess(32), DecodeSettings(keep_tags=("PatientID",)))
    (row,) = all_films(source, settings)[1]
    assert dict(row["dicom_tags"]) == {"PatientID": "17"}
    assert (row["photometric"], row["modality"], row["view_position"]) == (
        "MONOCHROME2",
        "CR",
        "AP",
    )


def test_a_stream_passes_over_the_blocks_that_are_done(tmp_path):
    source = make_tar(tmp_path / "x.tar.gz", jpegs(10), "w:gz")
    whole = dict(ImageStream(source, 4, READING))
    assert {index: len(block.pixels) for index, block in whole.items()} == {0: 4, 1: 4, 2: 2}
    for done in ({0}, {1}, {0, 2}, {0, 1, 2}):
        rest = dict(ImageStream(source, 4, READING, done=done))
        assert set(rest) == {0, 1, 2} - done
        for index, block in rest.items():
            np.testing.assert_array_equal(block.pixels, whole[index].pixels)
            assert block.rows.equals(whole[index].rows)


def test_a_stream_can_be_read_again(tmp_path):
    stream = ImageStream(make_tar(tmp_path / "x.tar.gz", jpegs(5), "w:gz"), 4, READING)
    for _ in range(2):
        assert [(index, block.planned) for index, block in stream] == [(0, 4), (1, 1)]
        assert not stream.archive_problems


def test_a_stream_that_breaks_off_gives_what_came_before_errors(tmp_path):
    path = tmp_path / "x.tar.gz"
    films = {f"{i}.jpg": sample_jpeg(7, i, 64) for i in range(10)}
    source = make_tar(path, films, "w:gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    stream = ImageStream(source, 4, READING)
    blocks = list(stream)
    members = [name for _, block in blocks for name in block.rows["member"].to_pylist()]
    assert members == list(films)[: len(members)]
    assert 2 <= len(members) < 10
    (problem,) = stream.archive_problems
    assert (problem.kind, problem.item_id, problem.stage) == (
        "truncated_archive",
        "x.tar.gz",
        "read",
    )


def test_a_stream_counts_links_and_limits_as_problems_errors(tmp_path):
    path = tmp_path / "x.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        add_special(archive, "link.jpg", tarfile.SYMTYPE, "/etc/passwd")
        add_file(archive, "a.jpg", sample_jpeg(0, 0, 64))
        add_file(archive, "big.jpg", bytes(1 << 20))
        add_file(archive, "a.jpg", b"again")
        add_file(archive, "labels.csv", b"")
        add_file(archive, "b.jpg", sample_jpeg(0, 1, 64))
    limits = Limits(max_member_bytes=1 << 18)
    settings = FilmSettings(Preprocess(32), DecodeSettings(limits=limits))
    stream = ImageStream(as_source(path), 10, FilmReading(settings))
    ((_, block),) = stream
    assert block.rows["member"].to_pylist() == ["a.jpg", "b.jpg"]
    kinds = ["link_member", "member_too_big", "duplicate_member"]
    assert [problem.kind for problem in block.problems] == kinds
    assert stream.skipped == {"not_an_image": 1}
    assert block.planned == 5
