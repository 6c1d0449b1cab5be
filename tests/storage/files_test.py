"""What `files` promises, of a local disk and of every store alike."""

import contextlib
import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, UnwritableError
from beamscope.transforms.storage import files
from beamscope.transforms.storage.files import FileInfo
from tests.s3 import BUCKET


def _paths(directory: str, *, recursive: bool = True) -> list[str]:
    found = files.list_files(directory, recursive=recursive)
    return [file.path.removeprefix(f"{directory}/") for file in found]


def _lying(directory: str) -> list[str]:
    """What lies in a directory, temporary files included."""
    if not files.is_local(directory):
        return _paths(directory)
    return sorted(path.name for path in Path(directory).rglob("*") if path.is_file())


NAMES = ["plain.bin", "a [1] *?#%41~.bin", "ü" * 60 + ".bin", "new/er/a.bin", "x+y&z=1 .bin"]


@pytest.mark.parametrize("name", NAMES)
def test_write_bytes_creates_and_replaces(base: str, name: str) -> None:
    path = f"{base}/{name}"
    assert not files.exists(path)
    for content in (b"first", b"second, longer", b""):
        files.write_bytes(path, content)
        assert files.read_bytes(path) == content
        assert files.size(path) == len(content)
    assert files.exists(path)
    assert _paths(base).count(name) == 1


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
    assert not [name for name in _lying(base) if name.endswith(files.TEMPORARY_SUFFIX)]


def test_a_large_file_is_written_and_read_whole(base: str) -> None:
    content = os.urandom(17 << 20)
    files.write_bytes(f"{base}/large.bin", content)
    assert files.read_bytes(f"{base}/large.bin") == content
    with files.open_read(f"{base}/large.bin") as file:
        assert b"".join(iter(lambda: file.read(300_001), b"")) == content


def test_an_open_file_knows_its_name(base: str) -> None:
    files.write_bytes(f"{base}/a.dcm", b"x")
    with files.open_read(f"{base}/a.dcm") as file:
        assert (file.name, file.mode) == (f"{base}/a.dcm", "rb")


def test_create_if_absent_says_who_made_it(base: str) -> None:
    assert files.create_if_absent(f"{base}/a/lock", b"one")
    assert not files.create_if_absent(f"{base}/a/lock", b"two")
    assert files.read_bytes(f"{base}/a/lock") == b"one"
    assert _lying(base) == (["lock"] if files.is_local(base) else ["a/lock"])
    files.delete([f"{base}/a/lock"])
    assert files.create_if_absent(f"{base}/a/lock", b"three")


def test_create_if_absent_lets_one_of_many_make_it(base: str) -> None:
    files.write_bytes(f"{base}/other", b"")  # A directory that is there.
    contents = [str(index).encode() for index in range(12)]
    with ThreadPoolExecutor(12) as threads:
        path = f"{base}/race"
        made = list(threads.map(lambda data: files.create_if_absent(path, data), contents))
    assert sum(made) == 1
    assert files.read_bytes(f"{base}/race") == contents[made.index(True)]


def test_create_if_absent_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert files.create_if_absent(str(tmp_path / "lock"), b"one")
    assert not files.create_if_absent(str(tmp_path / "lock"), b"two")
    assert (tmp_path / "lock").read_bytes() == b"one"


@pytest.mark.parametrize("name", ["plain", "a [b] c", "[", "star*?", "m[v2]"])
def test_list_files(base: str, name: str) -> None:
    directory = f"{base}/{name}"
    for path in ("b", "a/z", "a/b/c", ".hidden"):
        files.write_bytes(f"{directory}/{path}", path.encode())
    files.write_bytes(f"{base}/other/x", b"of a directory that a glob might take it for")
    files.write_bytes(f"{directory}2/x", b"of a directory whose name begins alike")
    assert _paths(directory) == [".hidden", "a/b/c", "a/z", "b"]
    assert _paths(directory, recursive=False) == [".hidden", "b"]
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


def test_copy_file(base: str, tmp_path: Path) -> None:
    content = os.urandom(50 << 20)
    files.write_bytes(f"{base}/slide.svs", content)
    files.copy_file(files.stat(f"{base}/slide.svs"), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


def test_download_copies_once(bucket: str, tmp_path: Path) -> None:
    files.write_bytes(f"{bucket}/slide.svs", b"tiles")
    copy = files.download(f"{bucket}/slide.svs", tmp_path)
    assert (copy.name, copy.read_bytes()) == ("slide.svs", b"tiles")
    files.delete([f"{bucket}/slide.svs"])
    assert files.download(f"{bucket}/slide.svs", tmp_path) == copy
    assert files.list_files(str(tmp_path)) == [FileInfo(str(copy), 5)]


def test_download_errors(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"none\.svs"):
        files.download(f"{bucket}/none.svs", tmp_path)
    assert files.list_files(str(tmp_path)) == []


@pytest.mark.parametrize("read", [files.size, files.stat, files.read_bytes, files.open_read])
def test_reading_errors(base: str, read: Callable[[str], object]) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.bin"):
        read(f"{base}/none.bin")
    assert not files.exists(f"{base}/none.bin")


@pytest.mark.parametrize("scheme", ["gs", "s3"])
@pytest.mark.parametrize(
    "use",
    [
        lambda base: files.write_bytes(f"{base}/a.bin", b"small"),
        lambda base: files.write_bytes(f"{base}/a.bin", bytes(17 << 20)),
        lambda base: files.create_if_absent(f"{base}/a.bin", b"small"),
        lambda base: files.open_read(f"{base}/a.bin"),
        files.list_files,
        files.match,
        files.is_directory,
        files.delete_tree,
    ],
    ids=["write", "write in chunks", "create", "read", "list", "match", "is", "delete"],
)
@pytest.mark.usefixtures("buckets")
def test_errors_of_a_bucket_that_is_not_there(scheme: str, use: Callable[[str], object]) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-bucket"):
        use(f"{scheme}://no-such-bucket/out")


@pytest.mark.usefixtures("buckets")
def test_a_file_uri_is_a_local_path(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/a%20folder"
    files.write_bytes(files.join(uri, "b"), b"x")
    assert (tmp_path / "a folder" / "b").read_bytes() == b"x"
    assert files.is_local(uri)
    assert files.is_directory(uri)
    assert files.read_bytes(f"{uri}/b") == b"x"
    assert files.list_files(uri) == [FileInfo(str(tmp_path / "a folder" / "b"), 1)]
    files.delete_tree(uri)
    assert not files.exists(uri)


@pytest.mark.parametrize("use", [files.stat, files.open_read, files.list_files, files.exists])
def test_unknown_scheme_errors(use: Callable[[str], object]) -> None:
    with pytest.raises(InputError, match=r"https://example.org/m.tiff: there is no storage"):
        use("https://example.org/m.tiff")


def test_refusals() -> None:
    with (
        pytest.raises(InputError, match="--manifest it is gone") as caught,
        files.refusals(Kind.BAD_MANIFEST, "--manifest "),
    ):
        raise FileNotFoundError("it is\ngone")
    assert caught.value.kind == "bad_manifest"


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
    assert _paths(f"{bucket}/folder") == ["a.jpg"]
    for pattern in ("folder", "folder/", "folder/*", "folder/**", "*/*"):
        found = files.match(f"{bucket}/{pattern}")
        assert [file.path for file in found] == [f"{bucket}/folder/a.jpg"], pattern
    assert files.is_directory(f"{bucket}/folder/below")


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


# What only a local disk has.


def test_a_reader_sees_all_of_a_file_or_none(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with target.open("rb") as reader, files.atomic_path(str(target)) as temporary:
        temporary.write_bytes(b"new, half of it")
        assert target.read_bytes() == b"old"
        temporary.write_bytes(b"new, all of it")
        assert reader.read() == b"old"
    assert target.read_bytes() == b"new, all of it"


def test_atomic_path_errors(tmp_path: Path) -> None:
    path = str(tmp_path / "a.bin")
    with pytest.raises(UnwritableError, match=r"a\.bin"), files.atomic_path(path):
        pass  # The body wrote nothing.
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        files.write_bytes(str(tmp_path / "file" / "below.bin"), b"")


def test_files_being_written_are_not_listed(tmp_path: Path) -> None:
    with files.atomic_path(str(tmp_path / "a" / "b.bin")) as temporary:
        temporary.write_bytes(b"half")
        assert files.list_files(str(tmp_path)) == []
    assert len(files.list_files(str(tmp_path))) == 1


def test_links_to_directories_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert _paths(str(tmp_path)) == ["a/b"]


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


def test_delete_empty(tmp_path: Path) -> None:
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "a").write_bytes(b"a")
    for name in ("empty", "full", "none", "full/a"):
        files.delete_empty(str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    assert (tmp_path / "full" / "a").read_bytes() == b"a"


def test_delete_temporaries(tmp_path: Path) -> None:
    with contextlib.suppress(KeyboardInterrupt), files.atomic_path(str(tmp_path / "a")) as half:
        half.write_bytes(b"half")
        killed = tmp_path / half.name.replace("a", "b", 1)
        killed.write_bytes(b"half")
        raise KeyboardInterrupt
    assert _lying(str(tmp_path)) == [killed.name]
    files.delete_temporaries(str(tmp_path))
    assert _lying(str(tmp_path)) == []
