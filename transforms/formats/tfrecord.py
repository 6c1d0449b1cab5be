"""TFRecord shards: tf.Examples encoded from the same Arrow schema, and how to parse them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from beamscope.transforms.formats.record_file import RecordFile
from beamscope.transforms.formats.shard_writer import ShardWriter
from beamscope.transforms.output.schema import EMBEDDING, embedding_matrix


class TFRecordShardWriter(ShardWriter):
    """Writes record batches to one TFRecord file, a tf.Example a row.

    A float16 embedding is stored as the float32 of the same value, since tf.Example knows no other.
    """

    def __init__(self, path: Path, schema: pa.Schema, compress: bool = False) -> None:
        # A heavy import, for this format alone.
        from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

        del schema
        self._file = RecordFile(path, compress)
        self._encoder = RecordBatchToExamplesEncoder()

    def write(self, batch: pa.RecordBatch) -> None:
        """Appends a batch."""
        self._file.write(self._encoder.encode(as_feature_lists(batch)))

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


def as_feature_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with each column as lists of int64, float32 or bytes, as the encoder wants them.

    A null becomes a null list, which leaves the feature out of the tf.Example. A map becomes two
    features, ``NAME/key`` and ``NAME/value``.
    """
    features: dict[str, pa.Array] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name == EMBEDDING:
            features[name] = _vectors(embedding_matrix(batch))
        elif pa.types.is_map(column.type):
            features[f"{name}/key"] = _lists(column.offsets, column.keys)
            features[f"{name}/value"] = _lists(column.offsets, column.items)
        else:
            features[name] = _single_values(column)
    return pa.RecordBatch.from_arrays(list(features.values()), names=list(features))


def _lists(offsets: pa.Array, values: pa.Array) -> pa.Array:
    return pa.LargeListArray.from_arrays(
        offsets.cast(pa.int64()), values.cast(_feature_type(values.type))
    )


def _vectors(matrix: np.ndarray) -> pa.Array:
    n, width = matrix.shape
    offsets = pa.array(np.arange(0, (n + 1) * width, width, dtype=np.int64))
    values = pa.array(np.ascontiguousarray(matrix, np.float32).reshape(-1))
    return pa.LargeListArray.from_arrays(offsets, values)


def _single_values(column: pa.Array) -> pa.Array:
    values = column.cast(_feature_type(column.type)).drop_null()
    present = column.is_valid().to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(present)]).astype(np.int64)
    # from_arrays reads a null offset as a null list.
    starts = pa.array(offsets, mask=np.append(~present, False))
    return pa.LargeListArray.from_arrays(starts, values)


def _feature_type(kind: pa.DataType) -> pa.DataType:
    """The one of tf.Example's three types that holds an Arrow type.

    Raises:
      TypeError: none does.
    """
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float32()
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return pa.binary()
    raise TypeError(f"a tf.Example cannot hold a column of type {kind}")


_SPEC_TYPES = {pa.int64(): "int64", pa.float32(): "float32", pa.binary(): "string"}
_SPEC_DEFAULTS: dict[str, Any] = {"int64": -1, "float32": float("nan"), "string": ""}


def parsing_spec(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """How each feature is parsed, in plain JSON types.

    An entry has the arguments of ``tf.io.FixedLenFeature``; for a column that may be null a default
    among them: -1, NaN (written as null) or the empty string. An entry without a shape, of a key
    or value of a map, is that of a ``tf.io.RaggedFeature``.
    """
    spec: dict[str, dict[str, Any]] = {}
    for field in schema:
        if field.name == EMBEDDING:
            spec[field.name] = {"shape": [field.type.list_size], "dtype": "float32"}
            continue
        if pa.types.is_map(field.type):
            for part, kind in (("key", field.type.key_type), ("value", field.type.item_type)):
                spec[f"{field.name}/{part}"] = {"dtype": _SPEC_TYPES[_feature_type(kind)]}
            continue
        dtype = _SPEC_TYPES[_feature_type(field.type)]
        spec[field.name] = {"shape": [], "dtype": dtype}
        if field.nullable:
            default = _SPEC_DEFAULTS[dtype]
            spec[field.name]["default_value"] = None if default != default else default
    return spec


def load_parsing_spec(spec: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Turns what `parsing_spec` wrote into the argument of ``tf.io.parse_example``."""
    import tensorflow as tf

    features: dict[str, Any] = {}
    for name, entry in spec.items():
        if "shape" not in entry:
            features[name] = tf.io.RaggedFeature(tf.as_dtype(entry["dtype"]))
            continue
        arguments = {"shape": entry["shape"], "dtype": tf.as_dtype(entry["dtype"])}
        if "default_value" in entry:
            default = entry["default_value"]
            arguments["default_value"] = float("nan") if default is None else default
        features[name] = tf.io.FixedLenFeature(**arguments)
    return features
