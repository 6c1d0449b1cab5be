import random

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.sources import (
    archive_kind,
    find_sources,
    image_path,
    list_directory,
    open_file,
)


@pytest.fixture
def tree(tmp_path):
    for name in ("a/1.jpg", "a/b/2.png", "a/films.zip", "c/films.zip", "c/more.tar.gz", "d/3.dcm"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.zip", "zip"),
        ("gs://bucket/X.ZIP", "zip"),
        ("x.tar", "tar"),
        ("x.tar.gz", "tgz"),
        ("x.TGZ", "tgz"),
        ("x.gz", None),
        ("x.jpg", None),
        ("zip", None),
    ],
)
def test_archive_kind(name, kind):
    assert archive_kind(name) == kind


def test_a_directory_is_a_source_and_so_is_each_archive_in_it(tree):
    sources = find_sources([str(tree / "a")])
    assert [(s.id, s.kind, s.uri) for s in sources] == [
        ("a", "directory", str(tree / "a")),
        ("films.zip", "zip", str(tree / "a/films.zip")),
    ]


def test_an_archive_named_twice_is_one_source(tree):
    sources = find_sources([str(tree / "a"), str(tree / "a/films.zip")])
    assert [s.kind for s in sources] == ["directory", "zip"]


def test_a_film_named_by_itself_and_by_its_directories_is_taken_once(tree):
    names = ["a", "a/b", "a/1.jpg", "a/b/2.png", "a/films.zip", "d/3.dcm"]
    sources = find_sources([str(tree / name) for name in names])
    assert [(s.kind, s.uri, s.names) for s in sources] == [
        ("directory", str(tree / "a"), ()),
        ("zip", str(tree / "a/films.zip"), ()),
        ("files", str(tree / "d"), ("3.dcm",)),
    ]


def test_ids_take_as_many_parts_as_tell_the_sources_apart(tree):
    sources = find_sources([str(tree / "a/films.zip"), str(tree / "c/films.zip")])
    assert [s.id for s in sources] == ["a/films.zip", "c/films.zip"]
    assert sources[0].image_id("p/1.jpg") == "a/films.zip/p/1.jpg"


def test_loose_films_are_one_source_below_what_they_have_in_common(tree):
    films = [str(tree / "d/3.dcm"), str(tree / "a/1.jpg"), str(tree / "a/b/2.png")]
    (source,) = find_sources(films)
    assert (source.uri, source.kind) == (str(tree), "files")
    assert source.names == ("a/1.jpg", "a/b/2.png", "d/3.dcm")


def test_loose_films_of_two_buckets_are_two_sources():
    uris = ["gs://one/x/1.jpg", "gs://two/2.jpg", "gs://one/x/y/2.dcm"]
    sources = find_sources(uris)
    assert [(s.uri, s.names) for s in sources] == [
        ("gs://one/x", ("1.jpg", "y/2.dcm")),
        ("gs://two/", ("2.jpg",)),
    ]


def test_the_order_of_the_uris_does_not_matter(tree):
    uris = [str(path) for path in tree.rglob("*") if path.is_file()]
    expected = find_sources(uris)
    for seed in range(5):
        random.Random(seed).shuffle(uris)
        assert find_sources(uris) == expected


def test_relative_paths(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert [(s.uri, s.names) for s in find_sources(["a/1.jpg", "d/3.dcm"])] == [
        ("", ("a/1.jpg", "d/3.dcm"))
    ]


def test_find_sources_errors(tmp_path):
    with pytest.raises(InputError, match=r"none\.jpg does not exist") as caught:
        find_sources([str(tmp_path / "none.jpg")])
    assert caught.value.kind == "missing_input"


def test_open_file_errors(tmp_path):
    with pytest.raises(InputError, match="No such file") as caught:
        open_file(str(tmp_path / "none.zip"))
    assert caught.value.kind == "unreadable_file"


def test_archives_in_trash_are_no_sources(tree):
    for folder in (".Trash-1000/files", "@eaDir", "__MACOSX"):
        (tree / "a" / folder).mkdir(parents=True)
        (tree / "a" / folder / "old.zip").write_bytes(b"x")
    assert [s.id for s in find_sources([str(tree / "a")])] == ["a", "films.zip"]


def test_a_link_to_nothing_is_listed_as_the_film_that_it_was_to_be(tree):
    (tree / "a/lost.jpg").symlink_to(tree / "gone.jpg")
    (tree / "a/circle.jpg").symlink_to(tree / "a/circle.jpg")
    (tree / "a/round").symlink_to(tree / "a")
    assert [name for name, _ in list_directory(str(tree / "a"))] == [
        "1.jpg", "b/2.png", "circle.jpg", "films.zip", "lost.jpg",
    ]  # fmt: skip


def test_a_name_that_is_too_long_for_any_file_errors():
    with pytest.raises(InputError, match="does not exist"):
        find_sources(["x" * 300 + ".jpg"])


@pytest.mark.parametrize(
    ("uri", "member", "path"),
    [
        ("/data/x.zip", "a/1.png", "/data/x.zip/a/1.png"),
        ("/data/x.zip", "/abs/1.png", "/data/x.zip//abs/1.png"),
        ("gs://b/x.zip", "1.png", "gs://b/x.zip/1.png"),
    ],
)
def test_film_path(uri, member, path):
    assert image_path(uri, member) == path


def test_the_path_of_a_film_below_the_current_directory(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert image_path("", "a/1.jpg") == f"{tree}/a/1.jpg"
    assert image_path("a", "1.jpg") == f"{tree}/a/1.jpg"


def test_the_work_of_a_job_among_the_films_is_no_film(tmp_path):
    for name in ("a.png", "out/qc/b.png", "out/.beamscope/p/tries/x/plan.1"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [name for name, _ in list_directory(str(tmp_path))] == ["a.png", "out/qc/b.png"]
