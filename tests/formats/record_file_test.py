from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.formats.record_file import RecordFile


@pytest.mark.parametrize("compress", [False, True])
@settings(deadline=None, max_examples=30)  # TensorFlow's first dataset takes a second
@given(records=st.lists(st.binary(max_size=300), max_size=20), cut=st.integers(0, 20))
def test_tensorflow_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], cut: int, compress: bool
) -> None:
    path = tmp_path_factory.mktemp("records") / "a"
    file = RecordFile(path, compress)
    file.write(records[:cut])
    file.write(records[cut:])
    file.close()
    found = tf.data.TFRecordDataset(str(path), "GZIP" if compress else "")
    assert [record.numpy() for record in found] == records


def test_an_uncompressed_file_is_byte_for_byte_what_tensorflow_writes(tmp_path: Path) -> None:
    records = [b"", b"a", bytes(range(256)) * 50]
    file = RecordFile(tmp_path / "ours", compress=False)
    file.write(records)
    file.close()
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in records:
            writer.write(record)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_record_file_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RecordFile(tmp_path / "not there" / "a", compress=True)
    file = RecordFile(tmp_path / "a", compress=True)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.write([b"late"])
