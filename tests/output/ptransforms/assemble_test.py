import json
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as BeamTestPipeline
from apache_beam.testing.util import assert_that, equal_to

from beamscope.transforms.output.dataset import DatasetSpec
from beamscope.transforms.output.ptransforms.assemble import AssembleDataset
from beamscope.transforms.output.shards import ShardFormat
from beamscope.transforms.storage import files
from tests.output.samples import Item, item_on_disk, spec_in

# DirectRunner would choose between runners by what the pipeline holds.
RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def _assemble(spec: DatasetSpec, items: list[Item]) -> None:
    with BeamTestPipeline(runner=RUNNER) as pipeline:
        described = (
            pipeline
            | beam.Create([item.outcome for item in items])
            | AssembleDataset(spec)
            | beam.Map(json.dumps)
        )
        # One description comes out, and it is the one on disk.
        assert_that(
            described | beam.Map(lambda text: len(json.loads(text)["shards"])),
            equal_to([spec.shard_format.count(sum(item.outcome.rows for item in items))]),
        )


def _rows(items: list[Item]) -> list[dict[str, object]]:
    """The rows as they were made, slides by name and blocks by number."""
    return [
        {**row, "embedding": values}
        for item in sorted(items, key=lambda item: item.outcome.item_id)
        for block in item.blocks
        for row, values in zip(block.rows.to_pylist(), block.embeddings.tolist(), strict=True)
    ]


def _shards(spec: DatasetSpec) -> list[str]:
    return sorted(
        file.path
        for file in files.list_files(spec.layout.root)
        if Path(file.path).name.startswith("embeddings-")
    )


def _items(spec: DatasetSpec) -> list[Item]:
    layout = spec.layout
    return [
        item_on_disk(layout, "c/é", 4, 4, 1),
        item_on_disk(layout, "a", *[2] * 12, failed=1),  # More than ten blocks: order by number.
        item_on_disk(layout, "e", 3, failed=3),
        item_on_disk(layout, "b", 8),
        item_on_disk(layout, "d"),
    ]


@pytest.mark.parametrize("num_shards", [1, 2, 3, 7])
def test_assembled_rows_are_those_of_the_parts(tmp_path: Path, num_shards: int) -> None:
    spec = spec_in(tmp_path, ShardFormat(num_shards=num_shards))
    items = _items(spec)
    _assemble(spec, items)
    shards = _shards(spec)
    assert shards == [spec.layout.shard(i, num_shards, "parquet") for i in range(num_shards)]
    tables = [pq.read_table(path) for path in shards]
    assert [row for table in tables for row in table.to_pylist()] == _rows(items)

    description = json.loads((tmp_path / "dataset.json").read_bytes())
    assert description["complete"] is True
    assert description["counts"]["rows"] == 29
    assert [shard["rows"] for shard in description["shards"]] == [len(table) for table in tables]
    assert [shard["files"] for shard in description["shards"]] == [
        [str(Path(path).relative_to(tmp_path))] for path in shards
    ]

    slides = pq.read_table(tmp_path / "slides.parquet").to_pylist()
    assert [row["slide_id"] for row in slides] == ["a", "b", "c/é", "d", "e"]
    for row in slides:
        holding = [i for i, t in enumerate(tables) if row["slide_id"] in t["slide_id"].to_pylist()]
        assert holding == ([] if row["shard"] is None else [row["shard"]])
    assert pq.read_metadata(tmp_path / "problems.parquet").num_rows == 15


def test_both_formats(tmp_path: Path) -> None:
    import tensorflow as tf

    from beamscope.transforms.formats.tfrecord import load_parsing_spec

    spec = spec_in(tmp_path, ShardFormat(("parquet", "tfrecord.gz"), 2))
    items = _items(spec)
    _assemble(spec, items)
    parsing = load_parsing_spec(json.loads((tmp_path / "parsing_spec.json").read_bytes()))
    records = tf.data.TFRecordDataset(
        [spec.layout.shard(index, 2, "tfrecord.gz") for index in range(2)], "GZIP"
    )
    parsed = tf.io.parse_example(next(iter(records.batch(100))), parsing)
    table = pq.read_table([spec.layout.shard(index, 2, "parquet") for index in range(2)])
    np.testing.assert_array_equal(parsed["embedding"], table["embedding"].to_pylist())
    np.testing.assert_array_equal(parsed["x_level0"], table["x_level0"])
    assert [name.decode() for name in parsed["slide_id"].numpy()] == table["slide_id"].to_pylist()


@pytest.mark.parametrize("num_shards", [None, 2])
@pytest.mark.parametrize("slides", [0, 1, 3])
def test_a_dataset_without_rows(tmp_path: Path, slides: int, num_shards: int | None) -> None:
    spec = spec_in(tmp_path, ShardFormat(num_shards=num_shards))
    _assemble(spec, [item_on_disk(spec.layout, f"s{index}") for index in range(slides)])
    assert [pq.read_metadata(path).num_rows for path in _shards(spec)] == [0] * (num_shards or 1)
    assert pq.read_metadata(tmp_path / "slides.parquet").num_rows == slides
    counts = json.loads((tmp_path / "dataset.json").read_bytes())["counts"]
    assert counts == {"rows": 0, "slides": {"empty": slides} if slides else {}, "problems": {}}


def test_assembling_again_in_fewer_shards(tmp_path: Path) -> None:
    for num_shards in (3, 1):
        spec = spec_in(tmp_path, ShardFormat(num_shards=num_shards))
        items = _items(spec)
        _assemble(spec, items)
    assert _shards(spec) == [spec.layout.shard(0, 1, "parquet")]
    assert pq.read_table(_shards(spec)).to_pylist() == _rows(items)


def test_assemble_errors(tmp_path: Path) -> None:
    spec = spec_in(tmp_path)
    items = _items(spec)
    files.delete([items[0].outcome.parts[-1]])
    with pytest.raises(Exception, match=r"000002-1-1-0\.arrow"):
        _assemble(spec, items)
    assert not (tmp_path / "dataset.json").exists()
    assert _shards(spec) == []
