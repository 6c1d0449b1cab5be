import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import byte_source as source_module
from beamscope.transforms.storage.byte_source import LocalSource, as_file

CONTENT = np.random.default_rng(0).bytes(200_000)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "bytes"
    path.write_bytes(CONTENT)
    return LocalSource(path)


@given(st.integers(0, 210_000), st.integers(0, 210_000))
def test_reads_what_is_there(source, offset, length):
    assert source.size == len(CONTENT)
    assert source.read(offset, length) == CONTENT[offset : offset + length]


def test_many_threads_read_many_ranges(source):
    ranges = [(offset, 1000) for offset in range(0, 190_000, 500)]
    expected = [CONTENT[offset : offset + length] for offset, length in ranges]
    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(source.request, [ranges] * 16):
            assert [wait() for wait in found] == expected


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 100_000)), max_size=5))
def test_is_a_file(source, reads):
    file, expected = as_file(source), io.BytesIO(CONTENT)
    for offset, length in reads:
        assert file.seek(offset) == expected.seek(offset)
        assert file.read(length) == expected.read(length)
    assert file.seek(-10, io.SEEK_END) == len(CONTENT) - 10
    assert file.seek(4, io.SEEK_CUR) == len(CONTENT) - 6
    assert file.read() == CONTENT[-6:]


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 70_000)), max_size=8))
def test_a_file_keeps_few_pieces(source, reads):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_module, "_MOST_PIECES", 2)
        file, expected = as_file(source), io.BytesIO(CONTENT)
        for offset, length in reads:
            file.seek(offset)
            expected.seek(offset)
            assert file.read(length) == expected.read(length)
            assert len(file.raw._pieces) <= 2


def test_closed_once_and_for_all(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(CONTENT)
    source = LocalSource(path)
    source.close()
    source.close()
    with pytest.raises(OSError, match="descriptor"):
        source.read(0, 1)


def test_opening_errors(tmp_path):
    with pytest.raises(InputError, match="no such file") as error:
        LocalSource(tmp_path / "none.svs")
    assert error.value.kind == "missing_file"
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as error:
        LocalSource(tmp_path / "file" / "below.svs")
    assert error.value.kind == "unopenable"
