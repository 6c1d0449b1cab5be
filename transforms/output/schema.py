"""The Arrow schema of parts and of every shard format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.formats.columns import as_matrix, is_embedding

EMBEDDING = "embedding"
# The length of the embeddings; of several models, that of each by column.
FeatureLengths = int | Mapping[str, int]

PROBLEMS_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("x_level0", pa.int64()),
        pa.field("y_level0", pa.int64()),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
    ]
)

_EMBEDDING_TYPES = {"float32": pa.float32(), "float16": pa.float16()}
EMBEDDING_DTYPES = tuple(_EMBEDDING_TYPES)


def embedding_schema(
    rows: pa.Schema,
    features: FeatureLengths,
    dtype: str = "float32",
    metadata: Mapping[str, str] | None = None,
) -> pa.Schema:
    """Return the job's own columns, then ``embedding``, a fixed-size list of `features` numbers.

    Of several models, there is such a column for each.

    Args:
      rows: the columns that identify a row, as the job defines them.
      features: length of an embedding; 0 for rows without one, such as those of encoded images. Of
        several models, the length by column.
      dtype: ``float32`` or ``float16``.
      metadata: metadata of every shard: model digest, fingerprint, version.
    """
    if not features:
        return pa.schema(rows, metadata=dict(metadata or {}))
    # Declare the item as non-null: Parquet readers expect that of a vector.
    item = pa.field("item", _EMBEDDING_TYPES[dtype], nullable=False)
    lengths = {EMBEDDING: features} if isinstance(features, int) else features
    fields = [
        pa.field(name, pa.list_(item, length), nullable=False) for name, length in lengths.items()
    ]
    return pa.schema([*rows, *fields], metadata=dict(metadata or {}))


def to_record_batch(
    rows: pa.RecordBatch, embeddings: npt.NDArray[np.float32], schema: pa.Schema
) -> pa.RecordBatch:
    """Join rows and their embeddings ``[n, features]`` into one batch of `schema`.

    Raises:
      ValueError: the embeddings do not have the schema's length, or are too large for its dtype.
    """
    if EMBEDDING not in schema.names:
        if embeddings.shape != (rows.num_rows, 0):
            raise ValueError(f"embeddings {embeddings.shape} do not fit rows without any")
        return pa.RecordBatch.from_arrays(rows.columns, schema=schema)
    return with_columns(rows, [embeddings], schema)


def with_columns(
    rows: pa.RecordBatch, embeddings: Sequence[npt.NDArray[np.floating]], schema: pa.Schema
) -> pa.RecordBatch:
    """Join rows and the embeddings ``[n, features]`` of each model into one batch of `schema`.

    Raises:
      ValueError: as `to_record_batch`.
    """
    fields = [field for field in schema if is_embedding(field.type)]
    columns = [_column(one, field.type) for one, field in zip(embeddings, fields, strict=True)]
    return pa.RecordBatch.from_arrays([*rows.columns, *columns], schema=schema)


def _column(embeddings: npt.NDArray[np.floating], kind: pa.DataType) -> pa.Array:
    if embeddings.ndim != 2 or embeddings.shape[1] != kind.list_size:
        raise ValueError(f"embeddings {embeddings.shape} do not fit {kind.list_size} features")
    # Arrow's own `to_pandas_dtype` would import pandas, which takes a second.
    dtype = np.dtype(f"f{kind.value_type.bit_width // 8}")
    with np.errstate(over="ignore"):
        values = embeddings.astype(dtype, copy=False)
    # A row of NaN is one that another model has an embedding of.
    if values.dtype == np.float16 and np.isinf(values).any():
        largest = np.nanmax(np.abs(embeddings))
        raise ValueError(f"embeddings reach {largest:g}, too large for float16: write float32")
    return pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(values).reshape(-1)), type=kind
    )


def embedding_matrix(batch: pa.RecordBatch) -> npt.NDArray[np.floating]:
    """Return the embeddings of a batch, ``[n, features]``, without a copy where possible."""
    return as_matrix(batch.column(batch.schema.get_field_index(EMBEDDING)))


def with_embedding_dtype(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the same batch under `schema`, its embeddings rounded to the schema's dtype."""
    columns = [field.name for field in schema if is_embedding(field.type)]
    rows = batch.select([name for name in schema.names if name not in columns])
    return with_columns(rows, [as_matrix(batch[name]) for name in columns], schema)
