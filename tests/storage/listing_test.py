"""What listing promises, of a local disk and of every store alike."""

import os
import threading
from pathlib import Path

import boto3
import pytest

from beamscope.transforms.storage import files
from tests.s3 import BUCKET
from tests.storage.lying import paths_in


@pytest.mark.parametrize("name", ["plain", "a [b] c", "[", "star*?", "m[v2]"])
def test_list_files(base: str, name: str) -> None:
    directory = f"{base}/{name}"
    for path in ("b", "a/z", "a/b/c", ".hidden"):
        files.write_bytes(f"{directory}/{path}", path.encode())
    files.write_bytes(f"{base}/other/x", b"of a directory that a glob might take it for")
    files.write_bytes(f"{directory}2/x", b"of a directory whose name begins alike")
    assert paths_in(directory) == [".hidden", "a/b/c", "a/z", "b"]
    assert paths_in(directory, recursive=False) == [".hidden", "b"]
    assert [file.size for file in files.list_files(directory)] == [7, 5, 3, 1]
    assert files.list_files(directory) == files.list_files(f"{directory}/")


def test_list_files_of_a_missing_directory(base: str) -> None:
    assert files.list_files(f"{base}/none") == []
    assert files.list_files(f"{base}/none", recursive=False) == []
    assert not files.is_directory(f"{base}/none")


def test_is_directory(base: str) -> None:
    files.write_bytes(f"{base}/dir[1]/a", b"x")
    assert files.is_directory(f"{base}/dir[1]")
    assert files.is_directory(f"{base}/dir[1]/")
    assert not files.is_directory(f"{base}/dir[1]/a")
    assert not files.is_directory(f"{base}/dir")


def test_match(bucket: str) -> None:
    names = ["a.svs", "b.svs", "c.txt", "below/d.svs", "below/e[1].svs", "set[1]/f.svs", "set1/g"]
    for name in names:
        files.write_bytes(f"{bucket}/{name}", b"x")
    found = {
        pattern: [file.path[len(bucket) + 1 :] for file in files.match(f"{bucket}{pattern}")]
        for pattern in (
            "/*.svs", "/**.svs", "/**/*.svs", "/c.txt", "/below", "", "/*.none", "/below/e[1].svs",
            "/set[1]", "/set[1]/", "/set[1]/*", "/set[!2]/*", "/?.svs", "/b*/d.svs",
        )
    }  # fmt: skip
    svs = ["a.svs", "b.svs", "below/d.svs", "below/e[1].svs", "set[1]/f.svs"]
    assert found == {
        "/*.svs": svs[:2],
        "/**.svs": svs,
        "/**/*.svs": svs,
        "/c.txt": ["c.txt"],
        "/below": svs[2:4],
        "": sorted(names),
        "/*.none": [],
        "/below/e[1].svs": ["below/e[1].svs"],
        "/set[1]": ["set[1]/f.svs"],
        "/set[1]/": ["set[1]/f.svs"],
        "/set[1]/*": ["set1/g"],
        "/set[!2]/*": ["set1/g"],
        "/?.svs": svs[:2],
        "/b*/d.svs": ["below/d.svs"],
    }


# The empty objects that consoles make to show a folder; the emulators let them be made by name.
def _make_folder_object(uri: str) -> None:
    if uri.startswith("s3://"):
        name = uri.removeprefix(f"s3://{BUCKET}/")
        boto3.client("s3").put_object(Bucket=BUCKET, Key=name, Body=b"")
    else:
        files.write_bytes(uri, b"")


def test_a_folder_object_is_no_file(bucket: str) -> None:
    for name in ("folder/", "folder/below/"):
        _make_folder_object(f"{bucket}/{name}")
    files.write_bytes(f"{bucket}/folder/a.jpg", b"x")
    assert paths_in(f"{bucket}/folder") == ["a.jpg"]
    for pattern in ("folder", "folder/", "folder/*", "folder/**", "*/*"):
        found = files.match(f"{bucket}/{pattern}")
        assert [file.path for file in found] == [f"{bucket}/folder/a.jpg"], pattern
    assert files.is_directory(f"{bucket}/folder/below")


def test_files_being_written_are_not_listed(tmp_path: Path) -> None:
    with files.atomic_path(str(tmp_path / "a" / "b.bin")) as temporary:
        temporary.write_bytes(b"half")
        assert files.list_files(str(tmp_path)) == []
    assert len(files.list_files(str(tmp_path))) == 1


def test_links_to_directories_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert paths_in(str(tmp_path)) == ["a/b"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may list every directory")
def test_a_local_directory_that_may_not_be_listed_errors(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir(mode=0)
    with pytest.raises(PermissionError, match="secret"):
        files.list_files(str(tmp_path))


def test_listing_while_others_write(tmp_path: Path) -> None:
    def write_many() -> None:
        for index in range(100):
            files.write_bytes(str(tmp_path / f"{index}.bin"), b"all")

    writer = threading.Thread(target=write_many)
    writer.start()
    while writer.is_alive():
        assert {file.size for file in files.list_files(str(tmp_path))} <= {3}
    assert len(files.list_files(str(tmp_path))) == 100
