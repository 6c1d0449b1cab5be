from pathlib import Path

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.blocks import EmbeddingBlock
from beamscope.transforms.formats.parquet import ParquetShardWriter
from beamscope.transforms.formats.registry import FORMATS
from beamscope.transforms.output import joined_parts, shards
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.output.shards import ShardFormat, cut_shards, write_shard
from tests.output.samples import FEATURES, ROWS, block_of, layout_in

ITEMS = st.dictionaries(st.text(max_size=5), st.integers(0, 1000), max_size=30)
# Those that hold embeddings.
EVERY = tuple(form.name for form in FORMATS if not form.images_only)
METADATA = {"beamscope.model_digest": "9f", "beamscope.version": "1"}


@pytest.mark.parametrize(
    ("num_shards", "rows", "count"),
    [
        (None, 0, 1),
        (None, 1, 1),
        (None, 250_000, 1),
        (None, 250_001, 2),
        (None, 50_000_000, 200),
        (16, 0, 16),
        (1, 10**9, 1),
    ],
)
def test_shard_format_count(num_shards: int | None, rows: int, count: int) -> None:
    assert ShardFormat(num_shards=num_shards).count(rows) == count


@pytest.mark.parametrize(
    ("rows_of", "count", "expected"),
    [
        ([], 3, {}),
        ([("a", 0)], 3, {}),
        ([("b", 5), ("a", 5)], 1, {"a": 0, "b": 0}),
        ([("b", 5), ("a", 5)], 2, {"a": 0, "b": 1}),
        ([("a", 1), ("b", 0), ("c", 1), ("d", 2)], 2, {"a": 0, "c": 0, "d": 1}),
        ([("a", 7)], 4, {"a": 2}),
        ([("a", 1), ("b", 98), ("c", 1)], 3, {"a": 0, "b": 1, "c": 2}),
    ],
)
def test_cut_shards(rows_of: list[tuple[str, int]], count: int, expected: dict[str, int]) -> None:
    assert cut_shards(rows_of, count) == expected


@given(rows_of=ITEMS, count=st.integers(1, 50))
def test_cut_shards_is_ordered_and_balanced(rows_of: dict[str, int], count: int) -> None:
    shard_of = cut_shards(rows_of.items(), count)
    assert shard_of.keys() == {name for name, rows in rows_of.items() if rows}
    in_order = [shard_of[name] for name in sorted(shard_of)]
    assert in_order == sorted(in_order)
    assert all(0 <= shard < count for shard in in_order)
    filled = np.zeros(count)
    for name, shard in shard_of.items():
        filled[shard] += rows_of[name]
    total, largest = sum(rows_of.values()), max(rows_of.values(), default=0)
    assert filled.max() <= total / count + largest


@given(rows_of=ITEMS, count=st.integers(1, 9))
def test_cut_shards_does_not_depend_on_the_order_of_items(
    rows_of: dict[str, int], count: int
) -> None:
    turned = dict(reversed(rows_of.items()))
    assert cut_shards(turned.items(), count) == cut_shards(rows_of.items(), count)


def _write(
    layout: Layout, blocks: list[EmbeddingBlock], formats: tuple[str, ...], dtype: str = "float32"
) -> int:
    paths = [write_part(layout, block).path for block in blocks]
    shard_format = ShardFormat(formats, None, dtype)
    rows, sums = write_shard(layout, 0, 1, paths, ROWS, FEATURES, shard_format, METADATA)
    for one in sums:
        content = Path(layout.root, one.name).read_bytes()
        assert (one.size, one.crc32c) == (len(content), google_crc32c.value(content))
    assert len(sums) == len(formats)
    return rows


def _expected(blocks: list[EmbeddingBlock], dtype: str = "float32") -> list[dict[str, object]]:
    rows = [row for block in blocks for row in block.rows.to_pylist()]
    values = [value for block in blocks for value in block.embeddings.astype(dtype).tolist()]
    return [{**row, "embedding": value} for row, value in zip(rows, values, strict=True)]


BLOCKS = {
    "one": [block_of("a", 0, 4)],
    "several": [block_of("a", 0, 4), block_of("a", 1, 3, 2), block_of("b", 0, 1)],
    "with an empty one": [block_of("a", 0, 2, 2), block_of("a", 1, 3)],
    "none": [],
}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
def test_parquet_shard_has_the_rows_of_its_parts(
    tmp_path: Path, blocks: list[EmbeddingBlock], dtype: str
) -> None:
    layout = layout_in(tmp_path)
    assert _write(layout, blocks, ("parquet",), dtype) == sum(len(b.embeddings) for b in blocks)
    table = pq.read_table(layout.shard(0, 1, "parquet"))
    assert table.to_pylist() == _expected(blocks, dtype)
    kind = {"float32": pa.float32(), "float16": pa.float16()}[dtype]
    assert table.schema.field("embedding").type.value_type == kind
    assert {
        key.decode(): value.decode() for key, value in table.schema.metadata.items()
    } == METADATA


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
def test_every_format_has_the_same_rows(
    tmp_path: Path, blocks: list[EmbeddingBlock], dtype: str
) -> None:
    import tensorflow as tf

    from beamscope.transforms.formats.tfrecord import load_parsing_spec, parsing_spec

    layout = layout_in(tmp_path)
    _write(layout, blocks, EVERY, dtype)
    table = pq.read_table(layout.shard(0, 1, "parquet"))
    spec = load_parsing_spec(parsing_spec(table.schema))
    for extension, kind in (("tfrecord", ""), ("tfrecord.gz", "GZIP")):
        records = tf.data.TFRecordDataset(layout.shard(0, 1, extension), kind)
        found = [
            {
                name: value.numpy().decode() if value.dtype == tf.string else value.numpy()
                for name, value in tf.io.parse_single_example(record, spec).items()
            }
            for record in records
        ]
        defaults = {"tissue": np.nan, "view": "", "frame": -1}
        expected = [
            {name: defaults.get(name) if value is None else value for name, value in row.items()}
            for row in table.to_pylist()
        ]
        np.testing.assert_equal(found, expected)


def test_row_groups_hold_whole_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROWS_PER_GROUP", 10)
    layout = layout_in(tmp_path)
    blocks = [block_of("a", index, n) for index, n in enumerate([4, 4, 4, 4, 16, 1, 2])]
    _write(layout, blocks, ("parquet",))
    metadata = pq.read_metadata(layout.shard(0, 1, "parquet"))
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert groups == [12, 20, 3]


def test_parts_are_read_when_their_row_group_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_in(tmp_path)
    paths = [write_part(layout, block_of("a", index, 4)).path for index in range(9)]
    read: list[str] = []
    read_at_write: list[int] = []
    plain_read, plain_write = joined_parts.read_part, ParquetShardWriter.write

    def counted_read(path: str) -> list[pa.RecordBatch]:
        read.append(path)
        return list(plain_read(path))

    def counted_write(writer: ParquetShardWriter, batch: pa.RecordBatch) -> None:
        read_at_write.append(len(read))
        plain_write(writer, batch)

    monkeypatch.setattr(shards, "ROWS_PER_GROUP", 8)
    monkeypatch.setattr(joined_parts, "read_part", counted_read)
    monkeypatch.setattr(ParquetShardWriter, "write", counted_write)
    write_shard(layout, 0, 1, paths, ROWS, FEATURES, ShardFormat(), {})
    assert read_at_write == [2, 4, 6, 8, 9]


def test_a_shard_written_again_replaces_itself(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    for blocks in (BLOCKS["several"], BLOCKS["one"]):
        _write(layout, blocks, ("parquet",))
        assert pq.read_table(layout.shard(0, 1, "parquet")).to_pylist() == _expected(blocks)


@pytest.mark.parametrize("formats", [("parquet",), EVERY])
def test_write_shard_errors_leave_no_file(tmp_path: Path, formats: tuple[str, ...]) -> None:
    layout = layout_in(tmp_path)
    good = write_part(layout, block_of("a", 0, 4)).path
    wide = write_part(layout, block_of("a", 1, 4, features=FEATURES + 1)).path
    for parts, error in (([good, layout.plan("none")], OSError), ([wide], ValueError)):
        with pytest.raises(error):
            write_shard(layout, 0, 1, parts, ROWS, FEATURES, ShardFormat(formats), {})
        assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".arrow"}
