import dataclasses
import datetime
import json
from pathlib import Path

import google_crc32c
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beamscope.transforms.output import dataset
from beamscope.transforms.output.dataset import (
    DatasetSpec,
    ShardRef,
    find_description,
    finish_dataset,
    problems_table,
    read_description,
)
from beamscope.transforms.output.outcome import JoinedOutcomes, join_outcomes
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.output.shards import ShardFormat
from beamscope.transforms.storage import files
from tests.output.samples import Item, item_on_disk, problem_of, spec_in

TWO_SHARDS = {"a": 0, "c": 1}


def _items(spec: DatasetSpec) -> list[Item]:
    """In an order that is not theirs: c is whole, a has lost two of nine rows, b never had any."""
    return [
        item_on_disk(spec.layout, "c", 4),
        item_on_disk(spec.layout, "a", 6, 3, failed=1),
        item_on_disk(spec.layout, "b"),
    ]


def _outcomes(spec: DatasetSpec) -> list[JoinedOutcomes]:
    outcomes = [item.outcome for item in _items(spec)]
    return [join_outcomes(outcomes[:2]), join_outcomes(outcomes[2:])]


def _finish(spec: DatasetSpec) -> dict[str, object]:
    return finish_dataset(spec, _outcomes(spec), TWO_SHARDS, [ShardRef(1, 4), ShardRef(0, 7)])


def test_tables(tmp_path: Path) -> None:
    _finish(spec_in(tmp_path))
    slides = pd.read_parquet(tmp_path / "slides.parquet", dtype_backend="numpy_nullable")
    assert slides.astype(object).where(slides.notna(), None).to_dict("list") == {
        "slide_id": ["a", "b", "c"],
        "status": ["partial", "empty", "done"],
        "shard": [0, None, 1],
    }
    problems = pq.read_table(tmp_path / "problems.parquet")
    expected = [dataclasses.asdict(problem_of("a", row)) for row in (5, 1002)]
    assert problems.to_pylist() == [
        {name: row[name] for name in problems.column_names} for row in expected
    ]
    assert problems.column_names == [
        "item_id", "uri", "stage", "x_level0", "y_level0", "kind", "message",
    ]  # fmt: skip


def test_problems_table_is_there_when_nothing_went_wrong(tmp_path: Path) -> None:
    finish_dataset(spec_in(tmp_path), [], {}, [ShardRef(0, 0)])
    problems = pq.read_table(tmp_path / "problems.parquet")
    assert problems.num_rows == 0
    assert problems.schema == problems_table([problem_of("a", 0)]).schema
    assert {field.name: (str(field.type), field.nullable) for field in problems.schema} == {
        "item_id": ("string", False),
        "uri": ("string", False),
        "stage": ("string", False),
        "x_level0": ("int64", True),
        "y_level0": ("int64", True),
        "kind": ("string", False),
        "message": ("string", False),
    }
    assert pd.read_parquet(tmp_path / "slides.parquet").empty


def test_description(tmp_path: Path) -> None:
    spec = spec_in(tmp_path, ShardFormat(("parquet", "tfrecord.gz")))
    description = _finish(spec)
    written = json.loads((tmp_path / "dataset.json").read_bytes())
    assert written.pop("crc32c")
    assert written == description
    names = ["problems.parquet", "slides.parquet", "parsing_spec.json"]
    sums = description.pop("files")
    assert sums == {
        name: {
            "bytes": (tmp_path / name).stat().st_size,
            "crc32c": f"{google_crc32c.value((tmp_path / name).read_bytes()):08x}",
        }
        for name in sorted(names)
    }
    # UTC, as ISO 8601 has it.
    assert datetime.datetime.fromisoformat(description["finished"]).tzinfo == datetime.UTC
    assert read_description(str(tmp_path)) == {**description, "files": sums}
    assert description == {
        "complete": True,
        "finished": description["finished"],
        "workers": [],
        "job": "slides",
        "options": {"mpp": 0.5},
        "fingerprint": "0123456789abcdef",
        "counts": {
            "rows": 11,
            "slides": {"partial": 1, "empty": 1, "done": 1},
            "problems": {"unreadable_region": 2},
        },
        "shards": [
            {
                "files": [
                    f"embeddings/embeddings-0000{index}-of-00002.parquet",
                    f"embeddings-tfrecord.gz/embeddings-0000{index}-of-00002.tfrecord.gz",
                ],
                "rows": rows,
            }
            for index, rows in ((0, 7), (1, 4))
        ],
        "schema": {
            "slide_id": "string",
            "x_level0": "int64",
            "tissue": "float",
            "view": "string",
            "frame": "int32",
            "inverted": "bool",
            "embedding": "fixed_size_list<item: float not null>[5]",
        },
    }


def test_read_description_of_what_is_not_complete(tmp_path: Path) -> None:
    assert read_description(str(tmp_path)) is None
    assert read_description(str(tmp_path / "none")) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", None])
def test_a_damaged_description_is_none(tmp_path: Path, content: bytes | None) -> None:
    _finish(spec_in(tmp_path))
    path = tmp_path / "dataset.json"
    if content is None:
        content = path.read_bytes().replace(b'"rows": 11', b'"rows": 12')
    path.write_bytes(content)
    assert read_description(str(tmp_path)) is None
    with pytest.raises(DamagedError, match=r"dataset\.json: it "):
        find_description(str(tmp_path))


@pytest.mark.parametrize(
    ("formats", "there"),
    [(("parquet",), False), (("tfrecord",), True), (("parquet", "tfrecord.gz"), True)],
)
def test_parsing_spec_goes_with_tfrecord(
    tmp_path: Path, formats: tuple[str, ...], there: bool
) -> None:
    files.write_bytes(str(tmp_path / "parsing_spec.json"), b"of an earlier assembly")
    _finish(spec_in(tmp_path, ShardFormat(formats, None, "float16")))
    path = tmp_path / "parsing_spec.json"
    assert path.exists() is there
    if there:
        spec = json.loads(path.read_bytes())
        assert spec["embedding"] == {"shape": [5], "dtype": "float32"}


def test_stale_shards_are_removed(tmp_path: Path) -> None:
    spec = spec_in(tmp_path)
    current = [spec.layout.shard(index, 2, "parquet") for index in range(2)]
    stale = [
        spec.layout.shard(0, 1, "parquet"),
        spec.layout.shard(2, 3, "parquet"),
        spec.layout.shard(0, 2, "tfrecord"),
        spec.layout.shard(0, 2, "tfrecord.gz"),
        # Version 0.2 wrote shards beside the tables.
        str(tmp_path / "embeddings-00000-of-00002.parquet"),
        str(tmp_path / "embeddings-00001-of-00002.tfrecord"),
    ]
    theirs = [
        str(tmp_path / "embeddings-of-mine.parquet"),
        str(tmp_path / "embeddings-tfrecord" / "mine.tfrecord"),
        str(tmp_path / "qc" / "a.jpg"),
    ]
    for path in (*current, *stale, *theirs):
        files.write_bytes(path, b"")
    _finish(spec)
    assert [files.exists(path) for path in (*current, *theirs)] == [True] * 5
    assert [files.exists(path) for path in stale] == [False] * 6
    # Of an emptied folder, readers would say that it is no dataset.
    assert not (tmp_path / "embeddings-tfrecord.gz").exists()


@pytest.mark.parametrize("step", ["table_bytes", "delete_shards", "_delete_stale_sidecars"])
def test_description_is_written_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*args: object, **named: object) -> None:
        assert not (tmp_path / "dataset.json").exists()
        raise OSError("disk full")

    monkeypatch.setattr(dataset, step, fail)
    with pytest.raises(OSError, match="disk full"):
        _finish(spec_in(tmp_path, ShardFormat(("tfrecord",))))
    assert not (tmp_path / "dataset.json").exists()


def test_finishing_twice_gives_the_same_files(tmp_path: Path) -> None:
    spec = spec_in(tmp_path)
    names = ("slides.parquet", "problems.parquet")

    def written() -> tuple[dict[str, object], list[bytes]]:
        description = json.loads((tmp_path / "dataset.json").read_bytes())
        del description["finished"], description["crc32c"]  # the time, and what covers it
        return description, [(tmp_path / name).read_bytes() for name in names]

    _finish(spec)
    first = written()
    _finish(spec)
    assert written() == first


@pytest.mark.parametrize(
    "shards",
    [
        pytest.param([ShardRef(0, 7)], id="a shard is missing"),
        pytest.param([ShardRef(0, 7), ShardRef(1, 3)], id="a row is missing"),
        pytest.param([ShardRef(0, 7), ShardRef(0, 7), ShardRef(1, 4)], id="a shard came twice"),
        pytest.param([ShardRef(0, 8), ShardRef(1, 3)], id="a row is in another shard"),
        pytest.param([ShardRef(0, 7), ShardRef(2, 4)], id="a shard is left out"),
    ],
)
def test_finish_dataset_errors(tmp_path: Path, shards: list[ShardRef]) -> None:
    spec = spec_in(tmp_path)
    outcomes = _outcomes(spec)
    with pytest.raises(ValueError, match="shards hold"):
        finish_dataset(spec, outcomes, TWO_SHARDS, shards)
    assert not (tmp_path / "dataset.json").exists()


def test_problems_table_errors() -> None:
    broken = dataclasses.replace(problem_of("a", 0), x_level0="12")
    with pytest.raises(pa.ArrowInvalid):
        problems_table([broken])
