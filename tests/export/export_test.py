"""`beamscope export` from disk to disk, read back by the library of each format."""

import json
import sys
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

import beamscope as bs
from beamscope.pipelines.main import main
from beamscope.transforms.output.shards import ShardFormat
from beamscope.transforms.storage import files
from tests.dataset.samples import (
    SIDE,
    coordinates_of,
    embeddings_of,
    read_json,
    write_films,
    write_json,
    write_slides,
)

SIZES = {"a": 60, "b": 5000, "c/é": 12, "none": 0}
FILES = {"a": "a", "b": "b", "c/é": "c%2F%C3%A9"}
FILMS = {"one.zip": [f"p{i % 7}_{i}" for i in range(5000)], "two": ["q_0", "q_1!"]}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    return write_slides(tmp_path_factory.mktemp("slides"), SIZES, 2)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> str:
    return write_films(tmp_path_factory.mktemp("films"), FILMS, 2)


def export(root, kind, output, *more) -> int:
    return main(["export", str(root), "--to", kind, "--output", str(output), *map(str, more)])


@pytest.mark.parametrize("slide_id", FILES)
def test_h5_as_clam_reads_it(root, tmp_path, slide_id):
    assert export(root, "h5", tmp_path) == 0
    # A bag is in the folder h5_files of its data, and is taken whole.
    with h5py.File(tmp_path / "h5_files" / f"{FILES[slide_id]}.h5", "r") as file:
        features, coords = file["features"][:], file["coords"][:]
        attributes = dict(file["coords"].attrs)
    np.testing.assert_array_equal(features, embeddings_of(slide_id, SIZES[slide_id]))
    assert features.dtype == np.float32
    np.testing.assert_array_equal(coords, coordinates_of(SIZES[slide_id]))
    # So many pixels of that level, from each coordinate on, are a patch.
    assert (attributes["patch_level"], attributes["patch_size"]) == (1, SIDE // 2)
    assert attributes["patch_size"] * attributes["downsample"][0] == SIDE
    assert attributes["name"] == slide_id


def test_h5_as_trident_reads_it(root, tmp_path):
    assert export(root, "h5", tmp_path, "--only", "a") == 0
    assert [path.name for path in (tmp_path / "h5_files").iterdir()] == ["a.h5"]
    with h5py.File(tmp_path / "h5_files" / "a.h5", "r") as file:
        attributes = dict(file["coords"].attrs)
        encoder = file["features"].attrs["encoder"]
        assert json.loads(file.attrs["beamscope"])["model_digest"] == "9f"
    # 0.25 µm/px is 40x, and the level of downsample 2 is 20x.
    assert (attributes["level0_magnification"], attributes["target_magnification"]) == (40, 20)
    magnified = attributes["level0_magnification"] // attributes["target_magnification"]
    assert attributes["patch_size"] * magnified == attributes["patch_size_level0"] == SIDE
    # Half of a patch lies in the next one, as the stride of 112 of 224 px says.
    assert attributes["overlap"] == SIDE // 4
    assert (attributes["level0_width"], attributes["level0_height"]) == (10 * SIDE, 6 * SIDE)
    assert encoder == "some-model"


def test_h5_is_float32_where_the_dataset_is_float16(tmp_path):
    root = write_slides(tmp_path / "d", {"a": 9}, shard_format=ShardFormat(dtype="float16"))
    assert export(root, "h5", tmp_path / "h5") == 0
    with h5py.File(tmp_path / "h5" / "h5_files" / "a.h5", "r") as file:
        assert file["features"].dtype == np.float32
        np.testing.assert_array_equal(file["features"][:], embeddings_of("a", 9).astype(np.float16))


@pytest.mark.parametrize("slide_id", FILES)
def test_anndata(root, tmp_path, slide_id):
    assert export(root, "anndata", tmp_path) == 0
    data = anndata.read_h5ad(tmp_path / f"{FILES[slide_id]}.h5ad")
    rows = SIZES[slide_id]
    np.testing.assert_array_equal(data.X, embeddings_of(slide_id, rows))
    np.testing.assert_array_equal(data.obs[["x_level0", "y_level0"]], coordinates_of(rows))
    # Programs draw a spot at these places, so they are the centres.
    np.testing.assert_array_equal(data.obsm["spatial"], coordinates_of(rows) + SIDE / 2)
    assert data.obs_names.is_unique
    assert data.obs_names[0] == f"{slide_id}_0_0"
    assert data.obs["class"].value_counts().to_dict() == {"tumour": -(-rows // 3)}
    assert data.uns["beamscope"]["model_digest"] == "9f"
    assert json.loads(data.uns["beamscope"]["slide"])["slide_id"] == slide_id


@pytest.mark.parametrize("slide_id", FILES)
def test_csv(root, tmp_path, slide_id):
    assert export(root, "csv", tmp_path) == 0
    table = pd.read_csv(tmp_path / f"{FILES[slide_id]}.csv", float_precision="round_trip")
    rows = SIZES[slide_id]
    columns = [f"embedding_{index}" for index in range(4)]
    assert list(table.columns) == [
        "slide_id", "x_level0", "y_level0", "size_level0", "mpp", "tissue", "class", *columns,
    ]  # fmt: skip
    np.testing.assert_array_equal(
        table[columns].to_numpy().astype(np.float32), embeddings_of(slide_id, rows)
    )
    np.testing.assert_array_equal(table[["x_level0", "y_level0"]], coordinates_of(rows))
    assert set(table.slide_id) == {slide_id}


@pytest.mark.parametrize("slide_id", FILES)
def test_npy(root, tmp_path, slide_id):
    assert export(root, "npy", tmp_path) == 0
    rows = SIZES[slide_id]
    array = np.load(tmp_path / f"{FILES[slide_id]}.npy")
    np.testing.assert_array_equal(array, embeddings_of(slide_id, rows))
    table = pd.read_csv(tmp_path / f"{FILES[slide_id]}.csv")
    np.testing.assert_array_equal(table[["x_level0", "y_level0"]], coordinates_of(rows))


def test_films_as_arrays_and_tables(films, tmp_path, capsys):
    for kind in ("npy", "csv", "anndata"):
        assert export(films, kind, tmp_path / kind) == 0
    assert "exported  2 shards, 5,001 rows: " in capsys.readouterr().out
    expected = np.concatenate([embeddings_of("one.zip", 5000), embeddings_of("two", 1)])
    shards = [f"embeddings-0000{index}-of-00002" for index in range(2)]
    arrays = [np.load(tmp_path / "npy" / f"{shard}.npy") for shard in shards]
    np.testing.assert_array_equal(np.concatenate(arrays), expected)
    for folder in ("npy", "csv"):
        table = pd.concat([pd.read_csv(tmp_path / folder / f"{shard}.csv") for shard in shards])
        assert table.image_id.tolist() == [*FILMS["one.zip"], "q_0"]
        assert json.loads(table.labels.iloc[0]) == {"Edema": 1.0}
    np.testing.assert_array_equal(
        table[[f"embedding_{index}" for index in range(4)]].to_numpy().astype(np.float32), expected
    )
    data = anndata.read_h5ad(tmp_path / "anndata" / f"{shards[0]}.h5ad")
    np.testing.assert_array_equal(data.X, arrays[0])
    assert data.obs_names[0] == "one.zip/p0_0.png"
    assert "spatial" not in data.obsm


def test_what_is_left_out_or_renamed_is_told(root, tmp_path, capsys):
    assert export(root, "npy", tmp_path) == 0
    said = capsys.readouterr().out
    assert f"exported  3 slides, 5,072 patches: {tmp_path}/*.npy" in said
    assert f"left out  slides without embeddings: 1 failed (beamscope problems {root})" in said
    assert "renamed   1 file, whose id cannot be a file name: such as 'c/é'" in said


def test_an_export_can_be_repeated(root, tmp_path):
    for _ in range(2):
        assert export(root, "csv", tmp_path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{FILES[i]}.csv" for i in FILES]


@pytest.mark.parametrize("kind", ["h5", "anndata", "csv", "npy", "geojson"])
def test_both_ends_may_be_stores(stores, root, tmp_path, kind):
    remote = write_slides(f"{stores['gs']}/in-{kind}", {"a": 60})
    assert export(remote, kind, f"{stores['s3']}/out-{kind}") == 0
    assert export(root, kind, tmp_path, "--only", "a") == 0
    local = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*") if path.is_file()
    }  # fmt: skip
    found = {
        file.path.removeprefix(f"{stores['s3']}/out-{kind}/"): files.read_bytes(file.path)
        for file in files.list_files(f"{stores['s3']}/out-{kind}")
    }
    assert found.keys() == local.keys()
    if kind in ("csv", "npy"):
        assert found == local


def test_a_file_that_fails_does_not_appear(root, tmp_path, monkeypatch):
    (tmp_path / "a.csv").mkdir()
    assert export(root, "csv", tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "h6", "--output", "o"], "invalid choice: 'h6'"),
        (["--to", "csv"], "the following arguments are required: --output"),
        (["--to", "csv", "--output", "s4://b/o"], "--output s4://b/o: there is no storage s4://"),
        (["--to", "csv", "--output", "ROOT"], "choose a directory outside of the dataset's"),
        (["--to", "csv", "--output", "ROOT/embeddings/x"], "choose a directory outside"),
        (["--to", "csv", "--output", "o", "--only", "bb"], "no slide 'bb'; did you mean 'b'?"),
        (["--to", "csv", "--output", "o", "--only", "none"], "'none' has no embeddings: it is"),
        (["--to", "csv", "--output", "o", "--column", "mpp"], "--column: --to csv has no colours"),
        (["--to", "csv", "--output", "o", "--scores", "s"], "--scores: --to csv has no colours"),
        (["--to", "csv", "--output", "o", "--embedding", "e2"], "no embeddings 'e2'; choose"),
        (["--to", "geojson", "--output", "o", "--column", "tisue"], "--column tisue: the dataset "
         "has no such column to colour by; it has size_level0, mpp, tissue, class"),
        (["--to", "geojson", "--output", "o", "--range", "2", "1"], "--range 2 1: the first must"),
        (["--to", "geojson", "--output", "o", "--column", "class", "--range", "0", "1"],
         "--range: class has words, which have no range"),
        (["--to", "geojson", "--output", "o", "--scores", "none.csv"], "none.csv: cannot be read"),
    ],
)  # fmt: skip
def test_export_errors(root, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    given = [argument.replace("ROOT", root) for argument in arguments]
    assert main(["export", root, *given]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.startswith("beamscope export: ")
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_export_errors_on_an_unfinished_dataset(tmp_path, capsys):
    assert export(tmp_path, "csv", tmp_path / "o") == 2
    assert "holds no finished dataset" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["h5", "geojson"])
def test_what_is_for_slides_alone_says_so(films, tmp_path, capsys, kind):
    assert export(films, kind, tmp_path / "o") == 2
    said = capsys.readouterr().err
    assert f"--to {kind}: is for patches of slides" in said
    assert "has images; use one of anndata, csv, npy" in said
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("kind", "package"), [("h5", "h5py"), ("anndata", "anndata")])
def test_a_missing_package_is_named(root, tmp_path, capsys, monkeypatch, kind, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert export(root, kind, tmp_path / "o") == 2
    assert capsys.readouterr().err == (
        f"beamscope export: --to {kind}: needs the package {package}, which is not installed: "
        "pip install 'beamscope[export]'\n"
    )


def test_one_of_several_columns_of_embeddings(tmp_path):
    root = Path(write_slides(tmp_path / "d", {"a": 20}))
    description = read_json(root)
    (path,) = (root / "embeddings").iterdir()
    table = pd.read_parquet(path)
    other = [np.full(3, index, np.float32) for index in range(20)]
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(other)), 3)
    pq.write_table(pq.read_table(path).append_column("embedding_two", vectors), path)
    description["schema"]["embedding_two"] = "fixed_size_list<item: float>[3]"
    write_json(root, description)
    assert export(root, "npy", tmp_path / "n", "--embedding", "embedding_two") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "n" / "a.npy"), np.stack(other))
    assert "embedding" not in pd.read_csv(tmp_path / "n" / "a.csv").columns
    assert export(root, "npy", tmp_path / "m") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "m" / "a.npy"), np.stack(table["embedding"]))
    assert bs.open_dataset(root).embedding_columns == ("embedding", "embedding_two")
