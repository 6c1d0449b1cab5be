"""A third format is one module and one registration; nothing else is edited."""

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beamscope.pipelines.options.output import add_output_arguments, shard_format_from
from beamscope.transforms.formats.base import Format, ShardWriter, Sidecar
from beamscope.transforms.formats.registry import FORMATS, extensions, sidecar_names
from beamscope.transforms.output.claim import delete_output
from beamscope.transforms.output.layout import is_shard, shard_folder
from beamscope.transforms.output.ptransforms.assemble import AssembleDataset
from beamscope.transforms.output.shards import ShardFormat
from beamscope.transforms.storage import files
from tests.output.samples import item_on_disk, spec_in

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text()


class ArrowWriter(ShardWriter):
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = pa.ipc.new_file(str(path), schema)

    def write(self, batch: pa.RecordBatch) -> None:
        self._file.write_batch(batch)

    def close(self) -> None:
        self._file.close()


ARROW = Format(
    name="arrow",
    extension="arrow.ipc",
    summary="Arrow IPC files",
    changes="",
    writer=ArrowWriter,
    sidecar=Sidecar("columns.json", lambda schema: json.dumps(schema.names).encode()),
)


@pytest.fixture
def arrow() -> Iterator[Format]:
    FORMATS.register("arrow", ARROW)
    yield ARROW
    FORMATS.unregister("arrow")


def assemble(root: Path, *formats: str) -> list[str]:
    """Writes a dataset of two items in two shards; returns the names of its files and folders."""
    spec = spec_in(root, ShardFormat(formats, 2))
    items = [item_on_disk(spec.layout, "a", 3, 4), item_on_disk(spec.layout, "b", 5)]
    outcomes = [item.outcome for item in items]
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create(outcomes) | AssembleDataset(spec)
    return sorted(path.name for path in root.iterdir() if path.name != ".beamscope")


def test_a_third_format_needs_no_other_edit(tmp_path: Path, arrow: Format) -> None:
    tables = ["problems.parquet", "slides.parquet"]
    folder = "embeddings-arrow.ipc"
    shards = [f"{folder}/embeddings-0000{index}-of-00002.arrow.ipc" for index in range(2)]
    assert assemble(tmp_path, "arrow") == ["columns.json", "dataset.json", folder, *tables]
    assert sorted(path.name for path in (tmp_path / folder).iterdir()) == [
        name.partition("/")[2] for name in shards
    ]

    found = pa.concat_tables(pa.ipc.open_file(tmp_path / name).read_all() for name in shards)
    spec = spec_in(tmp_path)
    items = [item_on_disk(spec.layout, "a", 3, 4), item_on_disk(spec.layout, "b", 5)]
    blocks = [block for item in items for block in item.blocks]
    assert found.column("embedding").to_pylist() == [
        row.tolist() for block in blocks for row in block.embeddings
    ]
    assert found.drop_columns("embedding").to_pylist() == [
        row for block in blocks for row in block.rows.to_pylist()
    ]
    described = json.loads((tmp_path / "dataset.json").read_bytes())
    assert [shard["files"] for shard in described["shards"]] == [[name] for name in shards]
    assert json.loads((tmp_path / "columns.json").read_bytes())[-1] == "embedding"


def test_a_third_format_is_removed_with_its_sidecar(tmp_path: Path, arrow: Format) -> None:
    assemble(tmp_path, "arrow", "tfrecord")
    written_anew = assemble(tmp_path, "parquet")
    assert not [name for name in written_anew if "arrow" in name or "tfrecord" in name]
    assert {"columns.json", "parsing_spec.json"}.isdisjoint(written_anew)
    assemble(tmp_path, "arrow")
    delete_output(str(tmp_path))
    assert not [file for file in files.list_files(str(tmp_path)) if is_shard(file.path)]
    assert not (tmp_path / "columns.json").exists()


def test_a_third_format_is_a_choice_of_the_command_line(
    arrow: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_output_arguments(parser)
    args = parser.parse_args(["--output", "o", "--format", "arrow", "parquet"])
    assert shard_format_from(args).formats == ("arrow", "parquet")
    assert "arrow: Arrow IPC files" in " ".join(parser.format_help().split())


def test_an_unregistered_format_is_none_of_ours() -> None:
    assert not is_shard("embeddings-00000-of-00001.arrow.ipc")


def test_formats_do_not_share_names_or_extensions() -> None:
    assert [form.name for form in FORMATS] == list(FORMATS.names())
    assert len(extensions()) == len(FORMATS.names())
    assert {"dataset.json", "slides.parquet", "images.parquet"}.isdisjoint(sidecar_names())


def shard_pattern(form: Format) -> str:
    content = "patches" if form.images_only else "embeddings"
    folder = shard_folder(form.extension, content)
    return f"{folder}/{content}-NNNNN-of-NNNNN.{form.extension}"


def test_every_format_is_documented() -> None:
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \| `(.+?)` \| (.*?) \| (.*?) \|$", PAGE, re.M)
    assert rows == [
        (
            form.name,
            form.summary,
            shard_pattern(form),
            form.changes or "nothing",
            f"`{form.sidecar.name}`" if form.sidecar else "none",
        )
        for form in FORMATS
    ]
