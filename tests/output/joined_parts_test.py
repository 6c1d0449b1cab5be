"""Parts of several models, joined block by block."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from beamscope.transforms.blocks import EmbeddingBlock
from beamscope.transforms.output.joined_parts import (
    joined_parts,
    joined_problems,
    lacking_counts,
    read_block,
)
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.output.schema import embedding_matrix
from beamscope.transforms.problems import Problem
from tests.output.samples import block_of, item_on_disk, layout_in

COLUMNS = ("embedding_a", "embedding_b", "embedding_c")


def layout_of(tmp_path, models):
    one = layout_in(tmp_path)
    pairs = tuple((column, f"{place:016x}") for place, column in enumerate(COLUMNS[:models]))
    return Layout(one.root, one.plan_fingerprint, "f" * 16, pairs)


def kept(rows, stage="embed", features=5):
    """A block of eight rows of which a model has embedded these; the others are its problems."""
    whole = block_of("s", 0, 8, features=features)
    lost = [row for row in range(8) if row not in rows]
    return EmbeddingBlock(
        whole.key,
        whole.embeddings[rows],
        whole.rows.take(pa.array(rows, pa.int64())),
        8,
        tuple(
            Problem("s", "s.svs", stage, "non_finite", "a reason", row, 0) for row in lost
        ),
    )  # fmt: skip


def joined(tmp_path, *blocks):
    layout = layout_of(tmp_path, len(blocks))
    refs = [write_part(place, one) for place, one in zip(layout.each(), blocks, strict=True)]
    (part,) = joined_parts(layout, reversed([*refs, refs[0]]))
    columns = [column for column, _ in layout.embeddings]
    (batch,) = read_block(part.paths, columns)
    assert part.embedded == batch.num_rows
    assert part.planned == 8
    return layout, part, batch


@pytest.mark.parametrize(
    "rows",
    [
        ([*range(8)], [*range(8)]),
        ([0, 1, 2, 3, 4, 5, 7], [1, 2, 3, 4, 5, 6, 7]),
        ([0, 2, 4, 6], [1, 3, 5, 7]),
        ([], [*range(8)]),
        ([3], []),
        ([0, 1, 2], [0, 1, 2]),
        ([4, 5], [0, 1], [6, 7]),
        ([0, 4, 5], [0, 1, 5], [*range(1, 8)]),
    ],
)
def test_each_column_has_the_rows_of_its_model(tmp_path, rows):
    blocks = [kept(some, features=5 + place) for place, some in enumerate(rows)]
    layout, part, batch = joined(tmp_path, *blocks)
    assert batch.num_rows == len(set().union(*rows))
    for column, block, lacking in zip(COLUMNS, blocks, part.lacking, strict=False):
        values = np.stack(batch[column].to_numpy(zero_copy_only=False))
        there = ~np.isnan(values).any(axis=1)
        np.testing.assert_array_equal(values[there], block.embeddings)
        assert np.isnan(values[~there]).all()
        assert (~there).sum() == lacking
        names = block.rows.schema.names
        assert (
            batch.filter(pa.array(there))
            .select(names)
            .equals(
                pa.RecordBatch.from_arrays(block.rows.columns, schema=batch.select(names).schema)
            )
        )
    assert part.failed == 8 - batch.num_rows
    expected = {f"lacking_{column}": rows for column, rows in
                zip(COLUMNS, part.lacking, strict=False) if rows}  # fmt: skip
    assert lacking_counts(layout, [part]) == expected


def test_problems_of_a_model_name_its_column(tmp_path):
    layout, part, _ = joined(tmp_path, kept([0, 1, 2, 3, 4, 5, 6]), kept([0, 1, 2, 3, 4, 5]))
    assert [(one.message, one.x_level0) for one in joined_problems(layout, part)] == [
        ("embedding_a: a reason", 7),
        ("embedding_b: a reason", 6),
        ("embedding_b: a reason", 7),
    ]


def test_a_problem_of_reading_is_there_once(tmp_path):
    layout, part, _ = joined(tmp_path, kept([*range(6)], "read"), kept([*range(7)], "read"))
    assert [(one.message, one.x_level0) for one in joined_problems(layout, part)] == [
        ("a reason", 7),
        ("embedding_a: a reason", 6),
    ]


def test_rows_that_are_equal_are_told_apart(tmp_path):
    block = kept([0, 1, 2])
    twice = dataclasses.replace(block, rows=block.rows.take(pa.array([0, 0, 1])))
    less = dataclasses.replace(kept([0, 1]), rows=block.rows.take(pa.array([0, 0])))
    _, _, batch = joined(tmp_path, twice, less)
    assert batch.num_rows == 3
    values = np.stack(batch["embedding_b"].to_numpy(zero_copy_only=False))
    assert np.isnan(values[2]).all()
    np.testing.assert_array_equal(values[:2], less.embeddings)


def test_what_is_not_there_of_every_model_is_an_error(tmp_path):
    layout = layout_of(tmp_path, 2)
    ref = write_part(layout.each()[0], block_of("s", 0, 8))
    with pytest.raises(ValueError, match="not of"):
        joined_parts(layout, [ref])


def test_one_model_is_as_ever(tmp_path):
    layout = layout_in(tmp_path)
    item = item_on_disk(layout, "s", 4, 3, failed=1)
    refs = [write_part(layout, block) for block in item.blocks]
    assert joined_parts(layout, refs) == refs
    (batch,) = read_block(refs[0].paths, [])
    np.testing.assert_array_equal(embedding_matrix(batch), item.blocks[0].embeddings)
    assert lacking_counts(layout, refs) == {}
    assert joined_problems(layout, refs[0]) == list(item.blocks[0].problems)
