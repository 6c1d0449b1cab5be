"""Slides, masks and manifests in a bucket: what is wrong there is one line that names the flag."""

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.requests import (
    SlideRequest,
    assign_masks,
    find_slides,
    read_manifest,
)
from beamscope.transforms.storage import files
from tests.shared_data import shared
from tests.slides.store import watched_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with watched_store(tmp_path_factory.mktemp("gcs")) as store:
        yield store


@pytest.fixture
def folder(store, request):
    return f"{store.bucket}/{request.node.originalname}"


def put(folder, *names):
    for name in names:
        files.write_bytes(f"{folder}/{name}", b"x")


def ids(*patterns):
    return [slide.slide_id for slide in find_slides(patterns).slides]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_stands_for_the_slides_in_it(folder, slash):
    put(folder, "set[1]/a.svs", "set[1]/b/c.ndpi", "set[1]/notes.txt", "set[1]/", "set1/x.svs")
    assert ids(f"{folder}/set[1]{slash}") == ["a", "c"]


def test_a_glob_and_a_name_with_brackets(folder):
    put(folder, "a[1].svs", "a1.svs", "b/", "b/c.svs", "b/m.csv")
    assert ids(f"{folder}/a[1].svs") == ["a[1]"]
    assert ids(f"{folder}/a*.svs") == ["a1", "a[1]"]
    assert ids(f"{folder}/**.svs") == ["a1", "a[1]", "c"]
    assert ids(f"{folder}/b/m.csv") == ["m"]  # What is named is taken.


def test_a_folder_of_masks_with_brackets(folder):
    put(folder, "m[1]/a.png", "m[1]/", "m1/a.geojson")
    (slide,) = assign_masks([SlideRequest("a", "a.svs")], f"{folder}/m[1]").slides
    assert slide.mask == f"{folder}/m[1]/a.png"


@pytest.mark.parametrize(
    ("use", "flag"),
    [
        (lambda base: find_slides([f"{base}/"]), "--input"),
        (lambda base: find_slides([f"{base}/*.svs"]), "--input"),
        (lambda base: find_slides([f"{base}/a.svs"]), "--input"),
        (lambda base: assign_masks([], base), "--masks"),
        (lambda base: read_manifest(f"{base}/m.csv"), "--manifest"),
    ],
)
def test_a_bucket_that_is_not_there_errors(store, use, flag):
    with pytest.raises(InputError, match=rf"^{flag} gs://no-such-bucket/in.*no such") as caught:
        use("gs://no-such-bucket/in")
    assert "\n" not in caught.value.message


def test_what_may_not_be_read_errors(store, folder):
    put(folder, "in/a.svs", "m.csv")
    name = folder.removeprefix(f"{store.bucket}/")
    store.forbidden.update({f"{name}/m.csv", f"{name}/in/a.svs"})
    with pytest.raises(InputError, match=rf"^--manifest {folder}/m.csv: .*no permission"):
        read_manifest(f"{folder}/m.csv")
    with pytest.raises(InputError, match=rf"^--input {folder}/in/a.svs: no permission"):
        find_slides([f"{folder}/in/a.svs"])
    store.unlisted = True
    for use, flag in (
        (lambda: find_slides([f"{folder}/in/"]), "--input"),
        (lambda: assign_masks([], f"{folder}/in"), "--masks"),
    ):
        with pytest.raises(InputError, match=rf"^{flag} {folder}/in.*: no permission"):
            use()
    store.unlisted = False


def test_the_files_of_a_dicom_slide_are_one_slide(folder):
    for path in shared("data/slides/cmu1-dicom").iterdir():
        files.write_bytes(f"{folder}/cmu1/{path.name}", path.read_bytes())
    assert ids(f"{folder}/") == ["cmu1"]
