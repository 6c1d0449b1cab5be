"""What reading promises, of a local disk and of every store alike."""

from collections.abc import Callable

import pytest

from beamscope.transforms.storage import files


def test_a_gz_file_is_read_as_it_is_stored(base: str) -> None:
    files.write_bytes(f"{base}/a.tfrecord.gz", b"\x1f\x8b not really")
    assert files.read_bytes(f"{base}/a.tfrecord.gz") == b"\x1f\x8b not really"


def test_an_open_file_knows_its_name(base: str) -> None:
    files.write_bytes(f"{base}/a.dcm", b"x")
    with files.open_read(f"{base}/a.dcm") as file:
        assert (file.name, file.mode) == (f"{base}/a.dcm", "rb")


@pytest.mark.parametrize("read", [files.size, files.stat, files.read_bytes, files.open_read])
def test_reading_errors(base: str, read: Callable[[str], object]) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.bin"):
        read(f"{base}/none.bin")
    assert not files.exists(f"{base}/none.bin")
