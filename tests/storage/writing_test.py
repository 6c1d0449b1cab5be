"""What writing promises, of a local disk and of every store alike."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from beamscope.transforms.problems import UnwritableError
from beamscope.transforms.storage import files
from tests.storage.lying import all_in, paths_in

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
    assert paths_in(base).count(name) == 1


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
    assert not [name for name in all_in(base) if name.endswith(files.TEMPORARY_SUFFIX)]


def test_a_large_file_is_written_and_read_whole(base: str) -> None:
    content = os.urandom(17 << 20)
    files.write_bytes(f"{base}/large.bin", content)
    assert files.read_bytes(f"{base}/large.bin") == content
    with files.open_read(f"{base}/large.bin") as file:
        assert b"".join(iter(lambda: file.read(300_001), b"")) == content


def test_create_if_absent_says_who_made_it(base: str) -> None:
    assert files.create_if_absent(f"{base}/a/lock", b"one")
    assert not files.create_if_absent(f"{base}/a/lock", b"two")
    assert files.read_bytes(f"{base}/a/lock") == b"one"
    assert all_in(base) == (["lock"] if files.is_local(base) else ["a/lock"])
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
