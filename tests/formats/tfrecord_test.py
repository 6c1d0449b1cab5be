import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.formats.feature_order import with_sorted_features
from beamscope.transforms.formats.tfrecord import (
    TFRecordShardWriter,
    as_feature_lists,
    load_parsing_spec,
    parsing_spec,
)
from beamscope.transforms.output.schema import embedding_schema, to_record_batch
from tests.output.samples import ROWS, block_of

SCHEMA = embedding_schema(ROWS, 5)


def _batch(n: int, dtype: str = "float32") -> pa.RecordBatch:
    block = block_of("a", 0, n)
    return to_record_batch(block.rows, block.embeddings, embedding_schema(ROWS, 5, dtype))


def _features_of(record: bytes) -> dict[str, list[Any]]:
    """The features of one tf.Example as its protocol buffer has them."""
    example = tf.train.Example.FromString(record)
    return {
        name: list(getattr(feature, feature.WhichOneof("kind")).value)
        for name, feature in example.features.feature.items()
        if feature.WhichOneof("kind")
    }


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_row_is_an_example(tmp_path: Path, dtype: str, compress: bool) -> None:
    batch = _batch(7, dtype)
    with closing(TFRecordShardWriter(tmp_path / "a", batch.schema, compress=compress)) as writer:
        writer.write(batch.slice(0, 3))
        writer.write(batch.slice(3))
    records = tf.data.TFRecordDataset(str(tmp_path / "a"), "GZIP" if compress else "")
    found = [_features_of(record.numpy()) for record in records]
    expected = [
        {
            name: [value.encode()] if isinstance(value, str) else np.ravel(value).tolist()
            for name, value in row.items()
            if value is not None
        }
        for row in batch.to_pylist()
    ]
    assert found == expected
    assert (tmp_path / "a").read_bytes().startswith(b"\x1f\x8b") is compress


@pytest.mark.parametrize("compress", [False, True])
def test_the_same_rows_give_the_same_bytes(tmp_path: Path, compress: bool) -> None:
    batch = _batch(40)
    for name in ("a", "b"):
        with closing(TFRecordShardWriter(tmp_path / name, SCHEMA, compress=compress)) as writer:
            writer.write(batch)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    records = tf.data.TFRecordDataset(str(tmp_path / "a"), "GZIP" if compress else "")
    names = sorted(batch.schema.names)
    for record in records.as_numpy_iterator():
        present = [name for name in names if _features_of(record).get(name)]
        places = [record.index(f"\n{chr(len(name))}{name}\x12".encode()) for name in present]
        assert places == sorted(places)


@given(
    st.dictionaries(
        st.text("abcé_/", min_size=1, max_size=300), st.lists(st.integers(0, 9), max_size=200)
    )
)
def test_sorted_features_are_those_of_protocol_buffers(features: dict[str, list[int]]) -> None:
    example = tf.train.Example()
    for name, values in features.items():
        example.features.feature[name].int64_list.value.extend(values)
    record = with_sorted_features(example.SerializeToString())
    assert tf.train.Example.FromString(record) == example
    # Whatever order the entries came in.
    again = tf.train.Example()
    for name, values in reversed(features.items()):
        again.features.feature[name].int64_list.value.extend(values)
    assert with_sorted_features(again.SerializeToString()) == record


@pytest.mark.parametrize("record", [b"\x12\x00", b"\x0a\x00\x0a\x00", b"\x0a\x02\x12\x00"])
def test_sorted_features_errors_on_other_bytes(record: bytes) -> None:
    with pytest.raises(ValueError, match=r"tf\.Example"):
        with_sorted_features(record)


def test_a_file_without_a_batch_is_valid(tmp_path: Path) -> None:
    for compress, kind in ((False, ""), (True, "GZIP")):
        with closing(TFRecordShardWriter(tmp_path / "a", SCHEMA, compress=compress)):
            pass
        assert list(tf.data.TFRecordDataset(str(tmp_path / "a"), kind)) == []


@given(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=8),
    st.integers(0, 3),
)
def test_single_values_keep_their_nulls(values: list[int | None], start: int) -> None:
    column = pa.array(values, pa.int64())[start:]
    lists = as_feature_lists(pa.record_batch({"x": column})).column("x")
    lists.validate(full=True)
    assert lists.to_pylist() == [None if v is None else [v] for v in values[start:]]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, 255], pa.uint8()), pa.int64()),
        (pa.array([True, False]), pa.int64()),
        (pa.array([0.5, None], pa.float16()), pa.float32()),
        (pa.array([0.1, math.nan], pa.float64()), pa.float32()),
        (pa.array(["a", None]), pa.binary()),
        (pa.array([b"\xff"]), pa.binary()),
    ],
)
def test_as_feature_lists_types(column: pa.Array, expected: pa.DataType) -> None:
    lists = as_feature_lists(pa.record_batch({"x": column})).column("x")
    assert lists.type == pa.large_list(expected)
    assert lists.flatten().equals(column.drop_null().cast(expected)) or column.type == pa.float64()


@pytest.mark.parametrize(
    ("column", "error"),
    [
        (pa.array([[1], [2]]), TypeError),
        (pa.array([0, 1], pa.timestamp("s")), TypeError),
        (pa.array([2**63], pa.uint64()), pa.ArrowInvalid),
    ],
)
def test_as_feature_lists_errors(column: pa.Array, error: type[Exception]) -> None:
    with pytest.raises(error):
        as_feature_lists(pa.record_batch({"x": column}))


def test_parsing_spec_is_plain_json() -> None:
    spec = parsing_spec(SCHEMA)
    assert spec == {
        "slide_id": {"shape": [], "dtype": "string"},
        "x_level0": {"shape": [], "dtype": "int64"},
        "tissue": {"shape": [], "dtype": "float32", "default_value": None},
        "view": {"shape": [], "dtype": "string", "default_value": ""},
        "frame": {"shape": [], "dtype": "int64", "default_value": -1},
        "inverted": {"shape": [], "dtype": "int64"},
        "embedding": {"shape": [5], "dtype": "float32"},
    }
    assert json.loads(json.dumps(spec, allow_nan=False)) == spec


def test_parse_example_with_the_spec(tmp_path: Path) -> None:
    batch = _batch(7)
    with closing(TFRecordShardWriter(tmp_path / "a", batch.schema, compress=False)) as writer:
        writer.write(batch)
    spec = load_parsing_spec(json.loads(json.dumps(parsing_spec(batch.schema))))
    records = tf.data.TFRecordDataset(str(tmp_path / "a")).batch(7)
    parsed = {
        name: values.numpy()
        for name, values in tf.io.parse_example(next(iter(records)), spec).items()
    }
    for name, default in (("tissue", math.nan), ("view", ""), ("frame", -1)):
        column = batch.column(name).to_pylist()
        expected = [default if value is None else value for value in column]
        found = [v.decode() if isinstance(v, bytes) else v for v in parsed[name].tolist()]
        np.testing.assert_equal(found, expected)
    for name in ("x_level0", "inverted", "embedding"):
        np.testing.assert_array_equal(parsed[name], np.array(batch.column(name).to_pylist()))
