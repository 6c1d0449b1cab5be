"""What deleting promises, of a local disk and of every store alike."""

import contextlib
from pathlib import Path

from beamscope.transforms.storage import files
from tests.storage.lying import all_in, paths_in


def test_delete_takes_no_path_for_a_glob_and_can_be_repeated(base: str) -> None:
    for name in ("a[1]*", "a1", "a1b"):
        files.write_bytes(f"{base}/{name}", b"x")
    for _ in range(2):
        files.delete([f"{base}/a[1]*", f"{base}/never-there"])
        assert paths_in(base) == ["a1", "a1b"]


def test_delete_tree_can_be_repeated(base: str) -> None:
    for name in ("tree/a", "tree/below/b", "tree2/c"):
        files.write_bytes(f"{base}/{name}", b"x")
    for _ in range(2):
        files.delete_tree(f"{base}/tree")
        assert paths_in(base) == ["tree2/c"]


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
    assert all_in(str(tmp_path)) == [killed.name]
    files.delete_temporaries(str(tmp_path))
    assert all_in(str(tmp_path)) == []
