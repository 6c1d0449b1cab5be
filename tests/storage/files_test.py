import threading
from pathlib import Path

import pytest

from beamscope.transforms.storage import files
from beamscope.transforms.storage.files import FileInfo


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("/data/a.svs", True),
        ("a.svs", True),
        ("odd: name.svs", True),
        ("gs://bucket/a.svs", False),
    ],
)
def test_is_local(path: str, local: bool) -> None:
    assert files.is_local(path) is local


def test_join() -> None:
    assert files.join("out", "qc", "a.jpg") == "out/qc/a.jpg"
    assert files.join("gs://bucket/out/", "qc", "a.jpg") == "gs://bucket/out/qc/a.jpg"


@pytest.mark.parametrize("name", ["plain.bin", "a [1] *?.bin", "ü" * 120 + ".bin", "new/er/a.bin"])
def test_write_bytes_creates_and_replaces(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    for content in (b"first", b"second, longer", b""):
        files.write_bytes(path, content)
        assert files.read_bytes(path) == content
        assert files.size(path) == len(content)
    assert files.exists(path)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [Path(name).name]


def test_a_reader_sees_all_of_a_file_or_none(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with target.open("rb") as reader, files.atomic_path(str(target)) as temporary:
        temporary.write_bytes(b"new, half of it")
        assert target.read_bytes() == b"old"
        temporary.write_bytes(b"new, all of it")
        assert reader.read() == b"old"
    assert target.read_bytes() == b"new, all of it"


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, before: bytes | None) -> None:
    target = tmp_path / "a.bin"
    if before is not None:
        target.write_bytes(before)

    def write_half() -> None:
        with files.atomic_path(str(target)) as temporary:
            temporary.write_bytes(b"half of")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == (
        [] if before is None else [("a.bin", before)]
    )


def test_atomic_path_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.atomic_path(str(tmp_path / "a.bin")):
        pass  # The body wrote nothing.
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        files.write_bytes(str(tmp_path / "file" / "below.bin"), b"")


def _relative(found: list[FileInfo], base: Path) -> list[tuple[str, int]]:
    return [(str(Path(file.path).relative_to(base)), file.size) for file in found]


@pytest.mark.parametrize("name", ["plain", "a [b] c", "[", "star*?"])
def test_list_files(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    for path, content in {"b": b"12", "a/z": b"1", "a/b/c": b"", ".hidden": b"123"}.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    (directory / "empty").mkdir()
    assert _relative(files.list_files(str(directory)), directory) == [
        (".hidden", 3),
        ("a/b/c", 0),
        ("a/z", 1),
        ("b", 2),
    ]
    assert _relative(files.list_files(str(directory), recursive=False), directory) == [
        (".hidden", 3),
        ("b", 2),
    ]


def test_list_files_of_a_missing_directory(tmp_path: Path) -> None:
    assert files.list_files(str(tmp_path / "none")) == []
    assert files.list_files(str(tmp_path / "none"), recursive=False) == []


def test_files_being_written_are_not_listed(tmp_path: Path) -> None:
    with files.atomic_path(str(tmp_path / "a" / "b.bin")) as temporary:
        temporary.write_bytes(b"half")
        assert files.list_files(str(tmp_path)) == []
    assert len(files.list_files(str(tmp_path))) == 1


def test_listing_while_others_write(tmp_path: Path) -> None:
    def write_many() -> None:
        for index in range(100):
            files.write_bytes(str(tmp_path / f"{index}.bin"), b"all")

    writer = threading.Thread(target=write_many)
    writer.start()
    while writer.is_alive():
        assert {file.size for file in files.list_files(str(tmp_path))} <= {3}
    assert len(files.list_files(str(tmp_path))) == 100


def test_delete_and_delete_tree_can_be_repeated(tmp_path: Path) -> None:
    paths = [str(tmp_path / "tree" / name) for name in ("a[1]", "a1", "below/b")]
    for path in paths:
        files.write_bytes(path, b"x")
    for _ in range(2):
        files.delete(paths[:1])
        assert [file.path for file in files.list_files(str(tmp_path))] == paths[1:]
    for _ in range(2):
        files.delete_tree(str(tmp_path / "tree"))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read", [files.size, files.read_bytes, files.open_read])
def test_reading_errors(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(FileNotFoundError, match=r"none\.bin"):
        read(str(tmp_path / "none.bin"))
    assert not files.exists(str(tmp_path / "none.bin"))
