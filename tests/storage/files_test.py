"""What `files` promises, of a local disk and of every store alike."""

from collections.abc import Callable
from pathlib import Path

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from beamscope.transforms.storage.files import FileInfo


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
