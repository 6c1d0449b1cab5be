"""TFRecord shards: encode rows as tf.Examples, and describe how to parse them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from beamscope.transforms.formats.base import Format, ShardWriter, Sidecar
from beamscope.transforms.formats.columns import as_matrix, is_embedding
from beamscope.transforms.formats.feature_order import with_sorted_features
from beamscope.transforms.formats.record_file import RecordFile


class TFRecordShardWriter(ShardWriter):
    """Write record batches to a TFRecord file, one tf.Example for each row.

    A float16 embedding is stored as the float32 of the same value: tf.Example has no float16. The
    features are sorted by name, so that the same rows always give the same bytes.

    Args:
      path: path of a local file; an existing file is replaced.
      schema: schema of the batches.
      compress: whether to compress the whole file with gzip.
    """

    def __init__(self, path: Path, schema: pa.Schema, *, compress: bool) -> None:
        # Imported here because it is slow and only this format needs it.
        from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

        del schema
        self._file = RecordFile(path, compress)
        self._encoder = RecordBatchToExamplesEncoder()

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch."""
        examples = self._encoder.encode(as_feature_lists(batch))
        self._file.write(map(with_sorted_features, examples))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def as_feature_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with each column as lists of int64, float32 or bytes, for the encoder.

    A null becomes a null list, which leaves the feature out of the tf.Example. A map becomes two
    features, ``NAME/key`` and ``NAME/value``.
    """
    features: dict[str, pa.Array] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if is_embedding(column.type):
            features[name] = _vectors(as_matrix(column))
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
    """Return the one of tf.Example's three types that can hold an Arrow type.

    Raises:
      TypeError: none of them can.
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
    """Return how to parse each feature, in plain JSON types.

    An entry has the arguments of ``tf.io.FixedLenFeature``. A column that may be null has a
    default: -1, NaN (written as null) or the empty string. The keys and values of a map have
    entries without a shape, with the arguments of a ``tf.io.RaggedFeature``.
    """
    spec: dict[str, dict[str, Any]] = {}
    for field in schema:
        if is_embedding(field.type):
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
    """Return the features for ``tf.io.parse_example`` from a spec of `parsing_spec`."""
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


def _sidecar_content(schema: pa.Schema) -> bytes:
    return (json.dumps(parsing_spec(schema), indent=2) + "\n").encode()


_CHANGES = (
    "integers and booleans become int64, other numbers float32, strings bytes; a map becomes two "
    "features, NAME/key and NAME/value"
)
_SIDECAR = Sidecar("parsing_spec.json", _sidecar_content)

TFRECORD = Format(
    name="tfrecord",
    extension="tfrecord",
    summary="TFRecord files of tf.Examples",
    changes=_CHANGES,
    writer=functools.partial(TFRecordShardWriter, compress=False),
    sidecar=_SIDECAR,
)
TFRECORD_GZ = Format(
    name="tfrecord.gz",
    extension="tfrecord.gz",
    summary="TFRecord files, each compressed with gzip",
    changes=_CHANGES,
    writer=functools.partial(TFRecordShardWriter, compress=True),
    sidecar=_SIDECAR,
)
