"""Join the parts that several models have made of one block: a row has an embedding of each.

Each model has parts of its own, as if it were alone. A model may have lost rows that another has
embedded: such a row is kept, and its embedding is NaN in the column of that model.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.blocks import BlockKey, PartRef
from beamscope.transforms.formats.columns import as_matrix
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import OF_MODEL, read_part, read_part_problems
from beamscope.transforms.output.schema import EMBEDDING, embedding_schema, with_columns
from beamscope.transforms.problems import Problem


def joined_parts(layout: Layout, parts: Iterable[PartRef]) -> list[PartRef]:
    """Return one reference for each block, to the parts of all models.

    Args:
      layout: paths of the dataset.
      parts: of an item, in any order; of several models, the same part may be there twice.

    Raises:
      ValueError: a model has no part of a block, or its part is of another number of rows.
      DamagedError: a part is not what was written.
    """
    if not layout.embeddings:
        return list(parts)
    fingerprints = [fingerprint for _, fingerprint in layout.embeddings]
    found: dict[BlockKey, dict[str, PartRef]] = collections.defaultdict(dict)
    for part in parts:
        found[part.key][part.path.rsplit("/", 2)[-2]] = part
    joined = []
    for key, by_model in sorted(found.items()):
        if set(by_model) != set(fingerprints):
            raise ValueError(f"{key}: has parts of {sorted(by_model)}, not of {fingerprints}")
        joined.append(_joined([by_model[fingerprint] for fingerprint in fingerprints]))
    return joined


def joined_problems(layout: Layout, part: PartRef) -> list[Problem]:
    """Return the problems of a block. Those of one model name the column that it would have filled.

    A problem of reading, which all models have met, is there once.

    Raises:
      DamagedError: the header of a part is not what was written.
    """
    if not part.others:
        return read_part_problems(part.path) if part.failed else []
    if not part.failed and not any(part.lacking):
        return []
    columns = [column for column, _ in layout.embeddings]
    of_each = [read_part_problems(path) for path in part.paths]
    shared = [
        one
        for one in of_each[0]
        if one.stage != OF_MODEL and all(one in others for others in of_each[1:])
    ]
    named = [
        dataclasses.replace(one, message=f"{column}: {one.message}")
        for column, problems in zip(columns, of_each, strict=True)
        for one in problems
        if one not in shared
    ]
    return [*shared, *named]


def lacking_counts(layout: Layout, parts: Iterable[PartRef]) -> dict[str, int]:
    """Return how many rows lack the embedding of a model that another model has embedded.

    Returns:
      the numbers by ``lacking_COLUMN``, without zeros.
    """
    total: collections.Counter[str] = collections.Counter()
    for part in parts:
        for (column, _), rows in zip(layout.embeddings, part.lacking, strict=False):
            total[f"lacking_{column}"] += rows
    return {name: rows for name, rows in total.items() if rows}


def read_block(paths: Sequence[str], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a block with the embeddings of every model, all of it verified.

    Args:
      paths: of the block's parts, one for each model.
      columns: names of the columns; empty for one model alone, whose column is ``embedding``.

    Raises:
      DamagedError: a part is not what was written.
    """
    if not columns:
        for path in paths:
            yield from read_part(path)
        return
    parts = [_whole(path) for path in paths]
    rows = [batch.drop_columns([EMBEDDING]) for batch in parts]
    matrices = [as_matrix(batch[EMBEDDING]) for batch in parts]
    lengths = {name: one.shape[1] for name, one in zip(columns, matrices, strict=True)}
    if not all(one.equals(rows[0]) for one in rows[1:]):
        places, merged = _merged(rows)
        matrices = [
            _spread(matrix, place, merged.num_rows)
            for matrix, place in zip(matrices, places, strict=True)
        ]
        rows = [merged]
    schema = embedding_schema(rows[0].schema, lengths)
    yield with_columns(rows[0], matrices, schema)


def _joined(parts: Sequence[PartRef]) -> PartRef:
    first = parts[0]
    for other in parts[1:]:
        if other.planned != first.planned:
            raise ValueError(
                f"{first.key}: {other.path} has {other.planned} planned rows, {first.path} "
                f"{first.planned}"
            )
    embedded = first.embedded
    if any(part.failed for part in parts):
        rows = [_whole(part.path).drop_columns([EMBEDDING]) for part in parts]
        embedded = _merged(rows)[1].num_rows
    left_out = min(max(part.left_out for part in parts), first.planned - embedded)
    return dataclasses.replace(
        first,
        embedded=embedded,
        left_out=left_out,
        others=tuple(part.path for part in parts[1:]),
        lacking=tuple(embedded - part.embedded for part in parts),
    )


def _whole(path: str) -> pa.RecordBatch:
    batches = list(read_part(path))
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _merged(
    rows: Sequence[pa.RecordBatch],
) -> tuple[list[npt.NDArray[np.intp]], pa.RecordBatch]:
    """Return where the rows of each part are in all rows, and these, in the order of the block.

    All parts have their rows in that order. Where two models have lost neighbouring rows, that of
    the first model comes first.
    """
    keys = [_keys(one) for one in rows]
    merged = keys[0]
    for other in keys[1:]:
        merged = _merged_keys(merged, other)
    place = {key: index for index, key in enumerate(merged)}
    places = [np.array([place[key] for key in one], np.intp) for one in keys]
    everything = pa.concat_batches(list(rows))
    where = {key: index for index, key in enumerate(key for one in keys for key in one)}
    return places, everything.take(pa.array([where[key] for key in merged], pa.int64()))


def _merged_keys(first: list[Any], second: list[Any]) -> list[Any]:
    known, theirs = set(first), set(second)
    merged = []
    rest = iter(first)
    for key in second:
        if key in known:
            for mine in rest:
                if mine not in theirs:
                    merged.append(mine)
                    continue
                break
        merged.append(key)
    merged.extend(mine for mine in rest if mine not in theirs)
    return merged


def _keys(rows: pa.RecordBatch) -> list[tuple[Any, ...]]:
    """Return a key for each row; rows that are equal differ by how many came before."""
    seen: collections.Counter[str] = collections.Counter()
    keys = []
    for row in rows.to_pylist():
        text = repr(row)
        keys.append((text, seen[text]))
        seen[text] += 1
    return keys


def _spread(
    matrix: npt.NDArray[np.floating], places: npt.NDArray[np.intp], rows: int
) -> npt.NDArray[np.floating]:
    spread = np.full((rows, matrix.shape[1]), np.nan, matrix.dtype)
    spread[places] = matrix
    return spread
