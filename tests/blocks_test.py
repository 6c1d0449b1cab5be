import pickle

import numpy as np
import pyarrow as pa
import pytest

from beamscope.transforms.blocks import BlockKey, EmbeddingBlock, ImageBlock, PartRef
from beamscope.transforms.problems import Problem

KEY = BlockKey("slide", 3)
PROBLEM = Problem("slide", "slide.svs", "read", "unreadable_region", "no tile", 0, 512)


def _rows(n: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"x_level0": list(range(n))})


def test_block_key_orders_by_item_then_number() -> None:
    keys = [BlockKey("b", 0), BlockKey("a", 10), BlockKey("a", 2)]
    assert sorted(keys) == [BlockKey("a", 2), BlockKey("a", 10), BlockKey("b", 0)]
    assert str(BlockKey("a", 2)) == "a[2]"


def test_keys_and_references_survive_pickling() -> None:
    ref = PartRef(KEY, "parts/slide/000003-2.arrow", planned=2, embedded=1)
    assert pickle.loads(pickle.dumps(ref)) == ref
    assert hash(pickle.loads(pickle.dumps(KEY))) == hash(KEY)


@pytest.mark.parametrize(
    ("read", "planned", "problems"),
    [(2, 2, ()), (1, 2, (PROBLEM,)), (0, 1, (PROBLEM,)), (0, 0, ())],
)
def test_blocks_hold_what_was_planned(
    read: int, planned: int, problems: tuple[Problem, ...]
) -> None:
    pixels = np.zeros((read, 8, 8, 3), np.uint8)
    embeddings = np.zeros((read, 4), np.float32)
    assert ImageBlock(KEY, pixels, _rows(read), planned, problems).planned == planned
    assert EmbeddingBlock(KEY, embeddings, _rows(read), planned, problems).planned == planned


@pytest.mark.parametrize(
    ("arrays", "rows", "planned", "problems"),
    [
        pytest.param(2, 1, 2, (), id="a row without its metadata"),
        pytest.param(1, 1, 2, (), id="a row lost without a problem"),
        pytest.param(2, 2, 2, (PROBLEM,), id="a row embedded that is also a problem"),
        pytest.param(3, 3, 2, (), id="a row made up"),
    ],
)
def test_blocks_errors(arrays: int, rows: int, planned: int, problems: tuple[Problem, ...]) -> None:
    message = rf"slide\[3\]: {arrays} arrays, {rows} rows, {len(problems)} problems and 0 left out"
    with pytest.raises(ValueError, match=message):
        ImageBlock(KEY, np.zeros((arrays, 8, 8, 3), np.uint8), _rows(rows), planned, problems)
    with pytest.raises(ValueError, match=message):
        EmbeddingBlock(KEY, np.zeros((arrays, 4), np.float32), _rows(rows), planned, problems)


def test_rows_left_out_are_accounted_for() -> None:
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    assert ImageBlock(KEY, pixels, _rows(2), 5, (PROBLEM,), left_out=2).planned == 5
    with pytest.raises(ValueError, match="1 left out do not add up to the 5 planned"):
        ImageBlock(KEY, pixels, _rows(2), 5, (PROBLEM,), left_out=1)


def test_part_ref_counts_what_failed() -> None:
    assert PartRef(KEY, "part", planned=256, embedded=250).failed == 6
    assert PartRef(KEY, "part", planned=256, embedded=250, left_out=5).failed == 1
