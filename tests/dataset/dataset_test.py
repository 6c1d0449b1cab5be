"""Datasets as `open_dataset` gives them, compared with what was written into them."""

import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import beamscope as bs
from beamscope.transforms.dataset import shard_reader
from beamscope.transforms.output.shards import ShardFormat
from tests.dataset.samples import (
    coordinates_of,
    embeddings_of,
    read_json,
    write_films,
    write_json,
    write_slides,
)

# Of several row groups each, of one, of a part of one; and one that failed.
SIZES = {"b": 9000, "a": 600, "c/é": 40, "d": 5000, "none": 0, "e": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    return write_slides(tmp_path_factory.mktemp("slides"), SIZES, 2)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> str:
    sources = {"one.zip": [f"p{i % 7}_{i}" for i in range(900)] + ["p1_x!"], "two": ["p0_0", "q"]}
    return write_films(tmp_path_factory.mktemp("films"), sources, 2)


def assert_is_slide(features: bs.Features, slide_id: str) -> None:
    expected = embeddings_of(slide_id, SIZES[slide_id])
    np.testing.assert_array_equal(features.embeddings, expected)
    assert features.embeddings.dtype == np.float32
    np.testing.assert_array_equal(features.coordinates, coordinates_of(SIZES[slide_id]))
    assert features.coordinates.dtype == np.int32
    assert features.rows["slide_id"].unique().to_pylist() == [slide_id]
    assert "embedding" not in features.rows.column_names


def test_tables_and_description(root):
    dataset = bs.open_dataset(root)
    assert dataset.slides.equals(pq.read_table(Path(root) / "slides.parquet"))
    assert dataset.problems.to_pylist()[0]["kind"] == "missing_mpp"
    assert dataset.description == read_json(root)
    assert dataset.ids == sorted(slide_id for slide_id, rows in SIZES.items() if rows)
    assert len(dataset) == sum(SIZES.values())
    assert dataset.embedding_columns == ("embedding",)
    assert str(dataset) == "14,641 rows of 5 slides"


@pytest.mark.parametrize("slide_id", [slide_id for slide_id, rows in SIZES.items() if rows])
def test_features_of_a_slide(root, slide_id):
    assert_is_slide(bs.open_dataset(root).features(slide_id), slide_id)


def test_features_belong_to_the_caller(root):
    dataset = bs.open_dataset(root)
    dataset.features("a").embeddings[:] = 0
    assert_is_slide(dataset.features("a"), "a")


def test_only_the_row_groups_of_a_slide_are_read(root, monkeypatch):
    read = []

    class Counting(pq.ParquetFile):
        def read_row_groups(self, row_groups, *args, **named):
            read.extend((self.metadata.num_rows, group) for group in row_groups)
            return super().read_row_groups(row_groups, *args, **named)

    monkeypatch.setattr(shard_reader.pq, "ParquetFile", Counting)
    dataset = bs.open_dataset(root)
    expected = {}
    for path in sorted(Path(root).glob("embeddings/*.parquet")):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            for slide_id in file.read_row_group(group)["slide_id"].unique().to_pylist():
                expected.setdefault(slide_id, []).append((file.metadata.num_rows, group))
    assert len(expected["b"]) > 1
    for slide_id, groups in expected.items():
        read.clear()
        dataset.features(slide_id)
        assert read == groups


def test_iter_slides_gives_every_slide_once(root):
    seen = []
    for slide_id, features in bs.open_dataset(root).iter_slides():
        assert_is_slide(features, slide_id)
        seen.append(slide_id)
    assert seen == sorted(slide_id for slide_id, rows in SIZES.items() if rows)


@pytest.mark.parametrize("rows", [1, 7, 1000, 4096, 100_000])
def test_batches_have_the_size_and_all_rows(root, rows):
    dataset = bs.open_dataset(root)
    batches = list(dataset.batches(rows, ["slide_id", "x_level0"]))
    sizes = {batch.num_rows for batch in batches[:-1]}
    assert sizes <= {rows}
    assert 0 < batches[-1].num_rows <= rows
    found = pa.concat_tables(batches)
    assert found.column_names == ["slide_id", "x_level0"]
    assert Counter(found["slide_id"].to_pylist()) == Counter({k: v for k, v in SIZES.items() if v})


def test_load_gives_all_rows_in_order(root):
    found = bs.open_dataset(root).load()
    expected = [embeddings_of(slide_id, SIZES[slide_id]) for slide_id in sorted(SIZES)]
    np.testing.assert_array_equal(found.embeddings, np.concatenate(expected))
    assert found.rows.num_rows == len(found.coordinates) == sum(SIZES.values())


def test_half_precision_stays(tmp_path):
    form = ShardFormat(("parquet", "tfrecord"), dtype="float16")
    dataset = bs.open_dataset(write_slides(tmp_path, {"a": 20}, shard_format=form))
    found = dataset.features("a").embeddings
    np.testing.assert_array_equal(found, embeddings_of("a", 20).astype(np.float16))


def test_an_output_of_version_0_2_reads_alike(tmp_path):
    root = Path(write_slides(tmp_path, {"a": 20, "b": 3}, 2))
    description = read_json(root)
    for shard in description["shards"]:
        (name,) = shard["files"]
        (root / name).rename(root / Path(name).name)
        shard["files"] = [Path(name).name]
    write_json(root, description)
    found = bs.open_dataset(root).features("a")
    np.testing.assert_array_equal(found.embeddings, embeddings_of("a", 20))


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_a_dataset_in_a_store(stores, scheme, root):
    uri = write_slides(f"{stores[scheme]}/out", {"a": 600, "b": 9000}, 2)
    dataset = bs.open_dataset(f"{uri}/")
    assert_is_slide(dataset.features("b"), "b")
    assert [slide_id for slide_id, _ in dataset.iter_slides()] == ["a", "b"]
    assert dataset.slides.num_rows == 2


def test_films(films):
    dataset = bs.open_dataset(films)
    found = dataset.features("p3_3")
    np.testing.assert_array_equal(found.embeddings, embeddings_of("one.zip", 900)[3:4])
    assert found.coordinates is None
    assert found.rows["labels"].to_pylist() == [[("Edema", 1.0)]]
    # One film of the catalogue lies in two sources.
    twice = dataset.features("p0_0")
    assert sorted(twice.rows["source"].to_pylist()) == ["one.zip", "two"]
    assert len(twice.embeddings) == 2
    assert dataset.images.num_rows == 903
    assert len(dataset.ids) == 902
    assert sum(batch.num_rows for batch in dataset.batches(64)) == 902
    for wrong in (lambda: dataset.slides, lambda: next(dataset.iter_slides()), dataset.bags):
        with pytest.raises(bs.InputError, match="is a dataset of images, and has no slides"):
            wrong()


def test_several_columns_of_embeddings(tmp_path):
    root = Path(write_slides(tmp_path, {"a": 20}))
    (path,) = (root / "embeddings").iterdir()
    table = pq.read_table(path)
    other = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(60, dtype=np.float32)), 3)
    table = table.rename_columns([*table.column_names[:-1], "embedding_one"])
    pq.write_table(table.append_column("embedding_two", other), path)
    description = read_json(root)
    description["schema"].pop("embedding")
    description["schema"] |= {
        "embedding_one": "fixed_size_list<item: float not null>[4]",
        "embedding_two": "fixed_size_list<item: float not null>[3]",
    }
    write_json(root, description)
    dataset = bs.open_dataset(root)
    assert dataset.embedding_columns == ("embedding_one", "embedding_two")
    assert dataset.features("a", column="embedding_two").embeddings.shape == (20, 3)
    assert dataset.load(column="embedding_one").embeddings.shape == (20, 4)
    ((_, found),) = dataset.iter_slides(column="embedding_two")
    np.testing.assert_array_equal(found.embeddings.ravel(), np.arange(60))
    assert not {"embedding_one", "embedding_two"} & set(found.rows.column_names)
    assert dataset.bags(column="embedding_two")[0]["embeddings"].shape == (20, 3)
    choose = r"choose embedding= \(--embedding\) from embedding_one, embedding_two"
    for wrong in (None, "embedding"):
        with pytest.raises(bs.InputError, match=choose) as raised:
            dataset.features("a", column=wrong)
        assert raised.value.kind == "unknown_column"


def test_an_output_without_embeddings(tmp_path):
    root = Path(write_slides(tmp_path, {"a": 20}))
    description = read_json(root)
    description["schema"].pop("embedding")
    write_json(root, description)
    dataset = bs.open_dataset(root)
    assert sum(table.num_rows for table in dataset.tables()) == 20
    with pytest.raises(bs.InputError, match="has no embeddings; its columns are slide_id, x_lev"):
        dataset.features("a")


@pytest.mark.parametrize(
    ("ask", "kind", "message"),
    [
        (lambda d: d.features("bb"), "unknown_item", "no slide 'bb'; did you mean 'b'?"),
        (lambda d: d.features("zzz"), "unknown_item", "there is no slide 'zzz'$"),
        (lambda d: d.features("none"), "no_embeddings", "'none' has no embeddings: it is failed: "
                                                        "missing_mpp: the slide does not state"),
        (lambda d: next(d.tables(["x_level"])), "unknown_column", "did you mean 'x_level0'?"),
        (lambda d: d.images, "unknown_column", "is a dataset of slides, and has no images"),
    ],
)  # fmt: skip
def test_dataset_errors(root, ask, kind, message):
    with pytest.raises(bs.InputError) as raised:
        ask(bs.open_dataset(root))
    assert raised.value.kind == kind
    assert message.rstrip("$") in raised.value.message
    assert "\n" not in raised.value.message
    if message.endswith("$"):
        assert raised.value.message.endswith(message[:-1])


def test_open_dataset_errors(root, tmp_path):
    for path, message in {
        tmp_path / "nothing": "holds no finished dataset. A job writes dataset.json at its end",
        Path(root) / "embeddings": f"Give its output directory: {root}",
        "s4://bucket/out": "there is no storage s4://",
    }.items():
        with pytest.raises(bs.InputError) as raised:
            bs.open_dataset(path)
        assert message in raised.value.message
        assert raised.value.kind in ("no_run", "unknown_scheme")
    other = write_slides(tmp_path / "t", {"a": 2}, shard_format=ShardFormat(("tfrecord",)))
    with pytest.raises(bs.InputError, match="again with --format parquet") as raised:
        bs.open_dataset(other)
    assert raised.value.kind == "no_parquet"


def test_a_damaged_description_is_no_description(tmp_path):
    root = Path(write_slides(tmp_path, {"a": 20}))
    text = (root / "dataset.json").read_text()
    (root / "dataset.json").write_text(text.replace('"rows": 20', '"rows": 21', 1))
    with pytest.raises(bs.InputError, match=r"dataset\.json: ") as raised:
        bs.open_dataset(root)
    assert raised.value.kind == "unreadable_dataset"


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_damaged_shards_are_named(tmp_path, damage):
    root = Path(write_slides(tmp_path, {"a": 20}))
    (shard,) = (root / "embeddings").iterdir()
    if damage == "missing":
        shard.unlink()
    elif damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-20])
    else:
        (other,) = Path(write_slides(tmp_path / "other", {"b": 3})).glob("embeddings/*")
        shard.write_bytes(other.read_bytes())
    with pytest.raises(bs.InputError) as raised:
        bs.open_dataset(root).features("a")
    assert raised.value.kind == "unreadable_dataset"
    assert "\n" not in raised.value.message
    assert str(shard if damage != "other" else root) in raised.value.message


def test_a_dataset_can_be_pickled(root):
    dataset = bs.open_dataset(root)
    dataset.features("a")
    assert_is_slide(pickle.loads(pickle.dumps(dataset)).features("b"), "b")


def test_reading_needs_neither_beam_nor_tensorflow(root):
    code = (
        "import sys, beamscope as bs\n"
        f"dataset = bs.open_dataset({root!r})\n"
        "dataset.features('a'), dataset.slides, list(dataset.bags())\n"
        "heavy = {'apache_beam', 'tensorflow', 'torch', 'cv2', 'openslide'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
