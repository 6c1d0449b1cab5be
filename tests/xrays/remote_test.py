"""Films in a bucket read like films on disk; a fault there is one clear row or line.

The tests cover faults that only a bucket has: brackets in names, the empty objects that a console
makes for folders, missing permissions, missing buckets.
"""

import boto3
import numpy as np
import pytest

from beamscope.pipelines.options.sources import sources_from
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.archives.read_source import list_members
from beamscope.transforms.sources.planning.plan import plan_source
from beamscope.transforms.sources.planning.plan_file import source_identity
from beamscope.transforms.sources.reading.members import ImageStream
from beamscope.transforms.sources.sources import find_sources, list_directory, open_file
from beamscope.transforms.storage import files
from beamscope.transforms.xrays.catalogs.load import load_catalog
from beamscope.transforms.xrays.names import FILM_NAMES
from beamscope.transforms.xrays.settings import XraySettings
from tests.s3 import BUCKET, forbid, s3_server
from tests.slides.store import watched_store
from tests.sources.archive_makers import make_tar, make_zip
from tests.xrays.reading.films_test import SETTINGS, all_films, jpegs


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with watched_store(tmp_path_factory.mktemp("gcs")) as store:
        yield store


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as bucket:
        yield bucket


@pytest.fixture(params=["gs", "s3"])
def folder(request):
    """A folder of the test's own, in each of the stores."""
    gs = request.param == "gs"
    bucket = request.getfixturevalue("store").bucket if gs else request.getfixturevalue("s3")
    return f"{bucket}/{request.node.originalname}"


@pytest.fixture
def forbid_reading(request):
    def forbid_reading(uri):
        if uri.startswith("s3:"):
            forbid(uri, "s3:GetObject", "s3:HeadObject")
        else:
            store = request.getfixturevalue("store")
            store.forbidden.add(uri.removeprefix(f"{store.bucket}/"))

    return forbid_reading


def put_folder_object(uri):
    """The empty object by which a web console keeps a folder."""
    if uri.startswith("s3:"):
        name = uri.removeprefix(f"s3://{BUCKET}/")
        boto3.client("s3").put_object(Bucket=BUCKET, Key=name, Body=b"")
    else:
        files.write_bytes(uri, b"")


def put_films(folder, films):
    for name, data in films.items():
        files.write_bytes(f"{folder}/{name}", data)


def asked(*inputs):
    return sources_from(inputs, FILM_NAMES)


def test_archives_and_directories_in_a_bucket_read_as_local_ones(folder, tmp_path):
    films = jpegs(6)
    make_zip(tmp_path / "x.zip", films)
    make_tar(tmp_path / "x.tar", films)
    make_tar(tmp_path / "x.tar.gz", films, "w:gz")
    for name in ("x.zip", "x.tar", "x.tar.gz"):
        files.write_bytes(f"{folder}/{name}", (tmp_path / name).read_bytes())
    put_films(f"{folder}/folder", {**films, "labels.csv": b""})
    (directory,) = find_sources([f"{folder}/folder/"])
    expected, rows, problems = all_films(directory)
    assert [row["member"] for row in rows] == sorted(films)
    assert not problems
    uris = [f"{folder}/x.zip", f"{folder}/x.tar", f"{folder}/x.tar.gz"]
    loose = [f"{folder}/folder/{name}" for name in films]
    sources = (*find_sources(uris), *find_sources(loose))
    assert sorted(source.kind for source in sources) == ["files", "tar", "tgz", "zip"]
    for source in sources:
        pixels, _, problems = all_films(source)
        np.testing.assert_array_equal(pixels, expected)
        assert not problems


def test_a_directory_is_listed_by_name_with_sizes(folder):
    put_films(folder, {"b": b"12", "a/c": b"", "a.jpg": b"1"})
    assert list_directory(folder) == [("a.jpg", 1), ("a/c", 0), ("b", 2)]
    assert list_directory(f"{folder}/") == list_directory(folder)


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_with_brackets_in_its_name(folder, slash):
    films = jpegs(3)
    put_films(f"{folder}/set[1]", films)
    # What the name would match if it were taken for a glob.
    put_films(f"{folder}/set1", jpegs(1))
    (source,) = asked(f"{folder}/set[1]{slash}")
    assert (source.uri, source.kind) == (f"{folder}/set[1]", "directory")
    _, rows, problems = all_films(source)
    assert [row["member"] for row in rows] == sorted(films)
    assert not problems


def test_the_object_of_a_folder_is_no_film(folder):
    films = jpegs(2)
    put_films(f"{folder}/in", films)
    put_folder_object(f"{folder}/in/")
    put_folder_object(f"{folder}/in/empty/")
    for pattern in ("in/", "in", "in/**", "in/**/*.*"):
        (source,) = asked(f"{folder}/{pattern}")
        listing = list_members(source, Limits(), FILM_NAMES)
        found = [f"{source.uri}/{member.name}" for member in listing.members]
        assert sorted(found) == sorted(f"{folder}/in/{name}" for name in films), pattern
        assert not listing.problems
        assert not listing.skipped


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_that_may_not_be_read_is_one_problem(folder, forbid_reading, kind, tmp_path):
    make = make_zip if kind == "zip" else make_tar
    make(tmp_path / f"x.{kind}", jpegs(2))
    uri = f"{folder}/x.{kind}"
    files.write_bytes(uri, (tmp_path / f"x.{kind}").read_bytes())
    (source,) = find_sources([uri])
    forbid_reading(uri)
    if kind == "tar.gz":
        stream = ImageStream(source, 2, XraySettings(SETTINGS).reading())
        assert not list(stream)
        problems = stream.archive_problems
    else:
        plan = plan_source(source, XraySettings(SETTINGS))
        assert not plan.members
        problems = plan.archive_problems
    (problem,) = problems
    assert (problem.kind, problem.uri, problem.member) == ("unreadable_file", uri, None)
    assert f"{uri}: no permission" in problem.message
    assert "\n" not in problem.message
    assert source_identity(source) == [uri, None]


def test_a_film_that_may_not_be_read_is_one_problem(folder, forbid_reading):
    films = jpegs(3)
    put_films(folder, films)
    first = min(films)
    forbid_reading(f"{folder}/{first}")
    (source,) = asked(f"{folder}/")
    _, rows, problems = all_films(source)
    assert len(rows) == 2
    assert [(problem.member, problem.kind) for problem in problems] == [(first, "unreadable_file")]


def test_a_catalogue_that_may_not_be_read_errors(folder, forbid_reading):
    uri = f"{folder}/catalog.csv"
    files.write_bytes(uri, b"image\na.jpg\n")
    assert len(load_catalog("csv", uri, "image")) == 1
    forbid_reading(uri)
    with pytest.raises(InputError, match=f"{uri}: no permission") as caught:
        load_catalog("csv", uri, "image")
    assert caught.value.kind == "unreadable_file"


def test_a_missing_file_errors(folder):
    with pytest.raises(InputError, match=f"{folder}/none.zip: no such file") as caught:
        open_file(f"{folder}/none.zip")
    assert caught.value.kind == "unreadable_file"


@pytest.mark.parametrize("name", ["in/", "in", "in/*.jpg", "x.zip"])
def test_a_bucket_that_is_not_there_errors(folder, name):
    scheme = folder.partition("://")[0]
    with pytest.raises(InputError, match=rf"--input {scheme}://no-such-bucket/.*no such") as caught:
        asked(f"{scheme}://no-such-bucket/{name}")
    assert caught.value.kind == "no_match"


def test_a_folder_that_may_not_be_listed_errors(store):
    store.unlisted = True
    for uri in (f"{store.bucket}/in/", f"{store.bucket}/in/*.jpg"):
        with pytest.raises(InputError, match=rf"--input {uri[:8]}.*: no permission") as caught:
            asked(uri)
        assert caught.value.kind == "no_match"
    with pytest.raises(InputError, match="no permission") as caught:
        list_directory(f"{store.bucket}/in")
    assert caught.value.kind == "unreadable_file"
    store.unlisted = False
