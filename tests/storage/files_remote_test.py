"""The same promises as in files_test, kept by an object store."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with gcs_emulator(tmp_path_factory.mktemp("gcs")) as bucket:
        yield bucket


@pytest.fixture
def base(bucket: str, request: pytest.FixtureRequest) -> str:
    return f"{bucket}/{request.node.originalname}"


def _paths(directory: str, *, recursive: bool = True) -> list[str]:
    return [
        file.path.removeprefix(f"{directory}/")
        for file in files.list_files(directory, recursive=recursive)
    ]


@pytest.mark.parametrize("name", ["plain.bin", "a [1] *.bin", "new/er/ü.bin"])
def test_write_bytes_creates_and_replaces(base: str, name: str) -> None:
    path = f"{base}/{name}"
    assert not files.exists(path)
    for content in (b"first", b"second, longer", b""):
        files.write_bytes(path, content)
        assert files.read_bytes(path) == content
        assert files.size(path) == len(content)
    assert files.exists(path)


def test_a_gz_file_is_read_as_it_is_stored(base: str) -> None:
    files.write_bytes(f"{base}/a.tfrecord.gz", b"\x1f\x8b not really")
    assert files.read_bytes(f"{base}/a.tfrecord.gz") == b"\x1f\x8b not really"


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_failed_write_leaves_what_was_there(base: str, before: bytes | None) -> None:
    path = f"{base}/{before!r}.bin"
    if before is not None:
        files.write_bytes(path, before)

    def write_half() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_bytes(b"half of")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert files.exists(path) is (before is not None)
    assert before is None or files.read_bytes(path) == before


@pytest.mark.parametrize("name", ["plain", "a [b] c", "[", "star*?"])
def test_list_files(base: str, name: str) -> None:
    directory = f"{base}/{name}"
    for path in ("b", "a/z", "a/b/c", ".hidden"):
        files.write_bytes(f"{directory}/{path}", path.encode())
    files.write_bytes(f"{base}/other/x", b"of a directory that a glob might take it for")
    assert _paths(directory) == [".hidden", "a/b/c", "a/z", "b"]
    assert _paths(directory, recursive=False) == [".hidden", "b"]
    assert [file.size for file in files.list_files(directory)] == [7, 5, 3, 1]


def test_list_files_of_a_missing_directory(base: str) -> None:
    assert files.list_files(f"{base}/none") == []
    assert files.list_files(f"{base}/none", recursive=False) == []


def test_match(base: str) -> None:
    for name in ("a.svs", "b.svs", "c.txt", "below/d.svs"):
        files.write_bytes(f"{base}/{name}", b"x")
    found = {
        pattern: [file.path.removeprefix(f"{base}/") for file in files.match(f"{base}{pattern}")]
        for pattern in ("/*.svs", "/**.svs", "/c.txt", "/below", "", "/*.none")
    }
    assert found == {
        "/*.svs": ["a.svs", "b.svs"],
        "/**.svs": ["a.svs", "b.svs", "below/d.svs"],
        "/c.txt": ["c.txt"],
        "/below": ["below/d.svs"],
        "": ["a.svs", "b.svs", "below/d.svs", "c.txt"],
        "/*.none": [],
    }


def test_delete_takes_no_path_for_a_glob_and_can_be_repeated(base: str) -> None:
    for name in ("a[1]*", "a1", "a1b"):
        files.write_bytes(f"{base}/{name}", b"x")
    for _ in range(2):
        files.delete([f"{base}/a[1]*", f"{base}/never-there"])
        assert _paths(base) == ["a1", "a1b"]


def test_delete_tree_can_be_repeated(base: str) -> None:
    for name in ("tree/a", "tree/below/b", "tree2/c"):
        files.write_bytes(f"{base}/{name}", b"x")
    for _ in range(2):
        files.delete_tree(f"{base}/tree")
        assert _paths(base) == ["tree2/c"]


@pytest.mark.parametrize("read", [files.size, files.read_bytes, files.open_read])
def test_reading_errors(base: str, read: object) -> None:
    assert callable(read)
    with pytest.raises(OSError, match=r"none\.bin"):
        read(f"{base}/none.bin")


@pytest.mark.parametrize(
    "use",
    [
        lambda base: files.write_bytes(f"{base}/a.bin", b"small"),
        lambda base: files.write_bytes(f"{base}/a.bin", bytes(17 << 20)),
        lambda base: files.open_read(f"{base}/a.bin"),
        lambda base: files.list_files(base),
        lambda base: files.delete_tree(base),
    ],
    ids=["write", "write in chunks", "read", "list", "delete"],
)
@pytest.mark.usefixtures("bucket")
def test_errors_of_a_bucket_that_is_not_there(use: Callable[[str], object]) -> None:
    with pytest.raises(OSError, match="no-such-bucket"):
        use("gs://no-such-bucket/out")


def test_download_copies_once(base: str, tmp_path: Path) -> None:
    files.write_bytes(f"{base}/slide.svs", b"tiles")
    copy = files.download(f"{base}/slide.svs", tmp_path)
    assert (copy.name, copy.read_bytes()) == ("slide.svs", b"tiles")
    files.delete([f"{base}/slide.svs"])
    assert files.download(f"{base}/slide.svs", tmp_path) == copy
    assert files.list_files(str(tmp_path)) == [files.FileInfo(str(copy), 5)]


def test_download_errors(base: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"none\.svs"):
        files.download(f"{base}/none.svs", tmp_path)
    assert files.list_files(str(tmp_path)) == []
