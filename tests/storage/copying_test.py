"""What copying promises, of a local disk and of every store alike."""

import os
from pathlib import Path

import pytest

from beamscope.transforms.storage import files
from beamscope.transforms.storage.files import FileInfo


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
