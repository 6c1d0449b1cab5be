"""Sealed files, and every way to spoil them."""

import json
import random
from pathlib import Path

import google_crc32c
import pyarrow as pa
import pytest

from beamscope.transforms.output import sealed
from beamscope.transforms.output.sealed import (
    DamagedError,
    check_sealed,
    read_header,
    read_sealed,
    write_sealed,
)
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator

TABLE = pa.table({"x": list(range(1000)), "name": [f"é{i}" for i in range(1000)]})


def write(path, header=None, table=TABLE):
    write_sealed(str(path), header or {"rows": 1000}, table.schema, table.to_batches())
    return str(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / ".beamscope" / "p1" / "parts" / "a" / "e1" / "000000-4.arrow"


@pytest.mark.parametrize(
    "header", [{"rows": 1}, {"long": "x" * 100_000}, {"nested": [1, {"é": 2}]}]
)
@pytest.mark.parametrize("table", [TABLE, TABLE.slice(0, 0), pa.table({})])
def test_round_trip(path, header, table):
    write(path, header, table)
    found, stream = read_sealed(str(path))
    assert found == {"place": "p1/parts/a/e1/000000-4.arrow", **header}
    assert stream.read_all() == table
    assert read_header(str(path)) == check_sealed(files.stat(str(path))) == found


def test_any_arrow_library_reads_it(path):
    with pa.memory_map(write(path)) as file:
        assert pa.ipc.open_stream(file).read_all() == TABLE


def test_every_flipped_byte_is_noticed(path):
    content = Path(write(path)).read_bytes()
    chosen = random.Random(1)
    places = [*chosen.sample(range(len(content)), 300), *range(len(content) - 60, len(content))]
    for place in places:
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << chosen.randrange(8)
        path.write_bytes(spoilt)
        with pytest.raises(DamagedError):
            read_sealed(str(path))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda content: b"", "empty"),
        (lambda content: content[: len(content) // 2], "end is missing"),
        (lambda content: content[:-1], "end is missing"),
        (lambda content: content[4096:], "length"),
        (lambda content: content + b"more", "end is missing"),
        (lambda content: content + content, "length"),
        (lambda content: b"x" * 5000, "another file"),
        (lambda content: b"x", "another file"),
        (lambda content: content[-28:], "length"),
    ],
)
def test_a_file_of_another_length_is_noticed_from_its_end(path, spoil, reason):
    content = Path(write(path)).read_bytes()
    path.write_bytes(spoil(content))
    for read in (read_header, read_sealed, lambda path: check_sealed(files.stat(path))):
        with pytest.raises(DamagedError, match=reason) as raised:
            read(str(path))
        assert raised.value.path == str(path)


def test_zeroes_are_noticed(path):
    content = bytearray(Path(write(path)).read_bytes())
    content[2048:6144] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(DamagedError, match="content does not have its checksum"):
        read_sealed(str(path))


def test_a_file_of_another_place_is_noticed(path):
    other = path.with_name("000001-4.arrow")
    path_content = Path(write(path)).read_bytes()
    other.write_bytes(path_content)
    with pytest.raises(DamagedError, match="it was written as p1/parts/a/e1/000000"):
        read_header(str(other))


def test_an_output_may_be_moved(path, tmp_path):
    write(path)
    moved = (tmp_path / "out").rename(tmp_path / "elsewhere")
    (found,) = moved.rglob("*.arrow")
    assert read_header(str(found))["rows"] == 1000


def test_a_foreign_arrow_stream_is_noticed(path):
    path.parent.mkdir(parents=True)
    with pa.ipc.new_stream(str(path), TABLE.schema) as stream:
        stream.write_table(TABLE)
    with pytest.raises(DamagedError, match="another file"):
        read_header(str(path))


def test_what_is_not_there_is_not_damaged(path):
    with pytest.raises(FileNotFoundError):
        read_header(str(path))


def test_the_count_of_the_store_verifies_a_file_that_is_not_read(tmp_path, monkeypatch):
    with gcs_emulator(tmp_path) as bucket:
        path = f"{bucket}/out/.beamscope/p1/plans/a.arrow"
        write(path)
        (listed,) = files.list_files(f"{bucket}/out")
        content = files.read_bytes(path)
        assert listed.crc32c == files.stat(path).crc32c == google_crc32c.value(content)
        fetched = []
        read = sealed.files.read_from
        monkeypatch.setattr(
            sealed.files,
            "read_from",
            lambda file, start: fetched.append(start) or read(file, start),
        )
        assert check_sealed(listed)["rows"] == 1000
        assert fetched == [len(content) - (16 << 10)]

        spoilt = bytearray(content)
        spoilt[100:300] = b"?" * 200
        files.write_bytes(path, bytes(spoilt))
        with pytest.raises(DamagedError, match="content does not have its checksum"):
            check_sealed(files.stat(path))


def test_errors_travel_between_processes():
    import pickle

    error = pickle.loads(pickle.dumps(DamagedError("a", "b")))
    assert (error.path, error.reason, str(error)) == ("a", "b", "a: b")
    assert json.dumps(str(error))
