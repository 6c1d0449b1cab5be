"""The X-ray job from disk, through the command line, to disk."""

import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pydicom
import pytest
import tensorflow as tf
from pydicom import uid
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from beamscope.pipelines.main import main
from beamscope.transforms.formats.tfrecord import load_parsing_spec
from beamscope.transforms.sources.outcome import PROBLEMS_SCHEMA
from beamscope.transforms.storage import files
from beamscope.transforms.xrays.catalogs.layouts import CHEXPERT_LABELS
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.reading.film_block import FILM_SCHEMA, TABLE_SCHEMA
from beamscope.transforms.xrays.sample import (
    sample_film,
    sample_jpeg,
    sample_members,
    write_sample_archive,
)
from tests.gcs import gcs_emulator
from tests.shared_data import shared
from tests.sources.archive_makers import make_tar, make_zip
from tests.sources.bad_archives import GOOD, write_bad_archive
from tests.xrays.dicom_makers import LOSSLESS, make_dataset, make_dicom, ramp, to_bytes
from tests.xrays.models import save_grid_model
from tests.xrays.privacy_test import NUMBER, SENTINEL, plant

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return save_grid_model(tmp_path_factory.mktemp("model") / "grid")


def embed(model, output, *arguments):
    return main(["xrays", "--model", str(model), "--output", str(output), *map(str, arguments)])


def read_rows(output):
    paths = sorted(str(path) for path in output.glob("embeddings/*.parquet"))
    return ds.dataset(paths).to_table()


def by_member(output):
    """The embedding of every film, by source and member."""
    rows = read_rows(output)
    vectors = np.stack(rows["embedding"].to_numpy())
    names = zip(rows["source"].to_pylist(), rows["member"].to_pylist(), strict=True)
    found = dict(zip(names, vectors, strict=True))
    assert len(found) == len(vectors)
    return found


def counts(output):
    return json.loads((output / "dataset.json").read_text())["counts"]


def problems(output):
    return pq.read_table(output / "problems.parquet").to_pylist()


def parts(output):
    """Every part, and what tells whether it was written again."""
    found = output.glob(".beamscope/*/parts/*/*/*.arrow")
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def assert_same_dataset(one, other):
    for name in ("images.parquet", "problems.parquet"):
        assert pq.read_table(one / name).equals(pq.read_table(other / name))
    assert read_rows(one).equals(read_rows(other))


def test_the_dataset_says_everything(model, tmp_path, capsys):
    films = {"a/1.jpg": sample_jpeg(0, 1, 300), "a/2.jpg": b"<html>", "notes.txt": b""}
    source = make_zip(tmp_path / "x.zip", films)
    output = tmp_path / "out"
    assert embed(model, output, "--input", source.uri) == 3  # one of two films failed
    rows = read_rows(output)
    assert rows.schema.names == [*FILM_SCHEMA.names, "embedding"]
    (row,) = rows.to_pylist()
    film = sample_film(0, 1, 300)
    assert (row["image_id"], row["source"], row["member"]) == (
        "x.zip/a/1.jpg",
        source.uri,
        "a/1.jpg",
    )
    assert (row["height"], row["width"]) == film.shape
    assert (row["origin"], row["in_catalog"]) == ("jpeg", False)

    images = pq.read_table(output / "images.parquet")
    assert images.schema.equals(TABLE_SCHEMA)
    by_id = {image["image_id"]: image for image in images.to_pylist()}
    assert {name: image["status"] for name, image in by_id.items()} == {
        "x.zip/a/1.jpg": "done",
        "x.zip/a/2.jpg": "failed",
    }
    assert by_id["x.zip/a/2.jpg"]["reason"].startswith("not_a_film: ")
    assert [by_id[f"x.zip/a/{i}.jpg"]["shard"] for i in (1, 2)] == [0, None]
    table = pq.read_table(output / "problems.parquet")
    assert table.schema.equals(PROBLEMS_SCHEMA)
    (problem,) = table.to_pylist()
    assert (problem["uri"], problem["member"]) == (source.uri, "a/2.jpg")

    description = json.loads((output / "dataset.json").read_text())
    assert description["complete"] is True
    assert description["counts"] == {
        "rows": 1,
        "images": {"done": 1, "failed": 1},
        "left_out_not_an_image": 1,
        "problems": {"not_a_film": 1},
    }
    assert description["options"]["preprocess"] == "resize"
    metadata = pq.read_schema(output / "embeddings/embeddings-00000-of-00001.parquet").metadata
    assert metadata[b"beamscope.fingerprint"].decode() == description["fingerprint"]
    printed = capsys.readouterr()
    assert "1 done, 1 failed" in printed.out
    assert "50% of the images failed, more than --max_failed 0.1" in printed.out


@pytest.mark.parametrize("preprocess", ["resize", "pad", "remedis"])
def test_an_embedding_is_what_decoding_preprocessing_and_the_model_give(
    model, tmp_path, preprocess
):
    films = dict(sample_members(5, seed=1))
    source = make_zip(tmp_path / "x.zip", films)
    output = tmp_path / "out"
    assert embed(model, output, "--input", source.uri, "--preprocess", preprocess) == 0
    plain = tf.saved_model.load(str(model))
    for (_, member), found in by_member(output).items():
        film = decode_film(films[member], DecodeSettings())
        pixels = Preprocess(32, preprocess).apply(film.pixels, from_dicom=False)
        expected = plain(pixels[None].astype(np.float32) / 255).numpy()[0]
        np.testing.assert_allclose(found, expected, atol=5e-6)  # float32 sums, in another order


def test_the_real_films_are_the_same_from_everywhere_and_tell_pneumonia(tmp_path):
    squeezenet = shared("models/squeezenet11-imagenet")
    folder = shared("data/xrays/kermany")
    films = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.jpeg"))
    }
    assert len(films) == 800
    archives = [
        make_zip(tmp_path / "x.zip", films).uri,
        make_tar(tmp_path / "x.tar", films).uri,
        make_tar(tmp_path / "x.tar.gz", films, "w:gz").uri,
    ]
    loose = tmp_path / "loose"
    loose.symlink_to(folder)
    output = tmp_path / "out"
    inputs = ["--input", folder, loose / "train/*/*.jpeg", *archives]
    assert embed(squeezenet, output, *inputs) == 0
    found = by_member(output)
    assert counts(output)["images"] == {"done": 5 * 800}
    sources = {source for source, _ in found}
    assert len(sources) == 5
    names = sorted(member for source, member in found if source == archives[0])
    assert names == sorted(films)
    first = np.stack([found[archives[0], name] for name in names])
    for source in sources:
        # Loose films are named from the folder that they have in common.
        prefix = "train/" if source == str(loose / "train") else ""
        others = np.stack([found[source, name.removeprefix(prefix)] for name in names])
        np.testing.assert_array_equal(others, first)

    sick = np.array(["PNEUMONIA" in name for name in names])
    patients = [re.match(r"(person\d+_)?.*", Path(name).name) for name in names]
    groups = [patient[1] or patient[0] for patient in patients]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(
        classifier, first, sick, groups=groups, cv=folds, method="decision_function"
    )
    assert roc_auc_score(sick, scores) >= 0.98


def test_lossless_dicom_forms_of_one_film_agree_exactly(model, tmp_path):
    film = pydicom.dcmread(shared("data/xrays/dicom/RG1_J2KR.dcm")).pixel_array[::4, ::4]
    film = np.ascontiguousarray(film)
    tags = {"PhotometricInterpretation": "MONOCHROME1"}
    forms = {f"{i}.dcm": make_dicom(film, syntax, 15, **tags) for i, syntax in enumerate(LOSSLESS)}
    turned = (1 << 15) - 1 - film
    forms["as-monochrome2.dcm"] = make_dicom(turned, bits=15)
    source = make_zip(tmp_path / "x.zip", forms)
    assert embed(model, tmp_path / "out", "--input", source.uri) == 0
    found = np.stack(list(by_member(tmp_path / "out").values()))
    assert len(found) == len(LOSSLESS) + 1
    assert np.ptp(found, axis=0).max() == 0
    assert np.ptp(found[0]) > 0.2


def test_a_lossy_dicom_is_near_the_lossless_one(model, tmp_path):
    film = sample_film(3, size=448)
    # Without a window the least and the greatest value, which a lossy film changes, set the scale.
    window = {"WindowCenter": 128, "WindowWidth": 256}
    forms = {
        "lossy.dcm": make_dicom(film, uid.JPEGBaseline8Bit, **window),
        "whole.dcm": make_dicom(film, **window),
    }
    source = make_zip(tmp_path / "x.zip", forms)
    assert embed(model, tmp_path / "out", "--input", source.uri, "--equalize", "never") == 0
    found = by_member(tmp_path / "out")
    lossy, whole = (found[source.uri, name] for name in forms)
    # One grey level of 255, in the mean of a cell.
    np.testing.assert_allclose(lossy, whole, atol=1 / 255)


def test_the_real_dicom_films_agree_and_the_twin_is_inverted(model, tmp_path):
    folder = shared("data/xrays/dicom")
    output = tmp_path / "out"
    assert embed(model, output, "--input", folder, "--equalize", "never") == 0
    found = {member: vector for (_, member), vector in by_member(output).items()}
    # JPEG-LS with an error of at most 4 in 30,000, and JPEG 2000 at 10:1 decompressed.
    for name, levels in (("RG1_JLSN.dcm", 1), ("RG1_UNCI.dcm", 4)):
        np.testing.assert_allclose(found[name], found["RG1_J2KR.dcm"], atol=levels / 255)
    film = found["txv_1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm"]
    np.testing.assert_allclose(found["txv_Fake_MONOHR1.dcm"], 1 - film, atol=1 / 255)
    assert np.ptp(film) > 0.2


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_of_an_archive_with_every_kind_of_bad_member_only_those_are_lost(model, tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    expected = write_bad_archive(path)
    output = tmp_path / "out"
    limits = ["--max_member_mb", "1", "--max_pixels", "1000000", "--block_size", "4"]
    assert embed(model, output, "--input", path, *limits, "--max_failed", "1") == 0
    assert sorted(member for _, member in by_member(output)) == sorted(GOOD)
    found = problems(output)
    assert {problem["uri"] for problem in found} == {str(path)}
    assert sorted((problem["member"], problem["kind"]) for problem in found) == sorted(expected)
    for problem in found:
        assert "\n" not in problem["message"]
    images = pq.read_table(output / "images.parquet").to_pylist()
    failed = [image["member"] for image in images if image["status"] == "failed"]
    assert sorted(failed) == sorted(member for member, _ in expected)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_of_an_archive_that_was_cut_off_what_comes_before_is_embedded(model, tmp_path, kind):
    films = dict(sample_members(20, seed=2))
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        make_zip(path, films)
    else:
        make_tar(path, films, "w:gz" if kind == "tar.gz" else "w")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    output = tmp_path / "out"
    assert embed(model, output, "--input", path, "--block_size", "4") == 0
    (problem,) = problems(output)
    assert (problem["uri"], problem["member"]) == (str(path), None)
    assert problem["kind"] == "truncated_archive"
    members = [member for _, member in by_member(output)]
    assert sorted(members) == sorted(films)[: len(members)]
    assert 8 <= len(members) <= 14


def everything_in(output):
    """The bytes of every file of a dataset, and the values of those that are compressed."""
    for path in output.rglob("*"):
        if path.is_file():
            yield path.name
            yield path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            yield repr((pq.read_schema(path).metadata, pq.read_table(path).to_pylist()))
        if path.suffix == ".arrow":
            with pa.ipc.open_stream(path) as stream:
                yield repr((stream.schema.metadata, stream.read_all().to_pylist()))


# pydicom, writing the test's own files, says what it thinks of their character set.
@pytest.mark.filterwarnings("ignore:Unknown encoding")
def test_nothing_private_leaves_a_dicom(model, tmp_path):
    film = ramp(bits=12)
    datasets = {
        "good.dcm": make_dataset(film, bits=12),
        "j2k.dcm": make_dataset(film, uid.JPEG2000Lossless, 12),
        "damaged.dcm": make_dataset(film, uid.JPEGLosslessSV1, 12, b"\xff\xd8" + bytes(50)),
        "short.dcm": make_dataset(film[:-9], bits=12, Rows=48),
        "frames.dcm": make_dataset(film, bits=12, NumberOfFrames=2),
    }
    films = {name: to_bytes(plant(dataset)) for name, dataset in datasets.items()}
    films["cut.dcm"] = films["good.dcm"][:9000]
    archives = [
        make_zip(tmp_path / "x.zip", films).uri,
        make_tar(tmp_path / "x.tar.gz", films, "w:gz").uri,
    ]
    output = tmp_path / "out"
    job = subprocess.run(
        [sys.executable, "-m", "beamscope", "xrays", "--input", *archives, "--model",
         str(model), "--output", str(output), "--format", "parquet", "tfrecord"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert job.returncode == 3, job.stderr
    assert counts(output)["images"] == {"done": 4, "failed": 8}
    texts = [*everything_in(output), job.stdout, job.stderr]
    assert sum(map(len, texts)) > 10_000
    for text in texts:
        assert SENTINEL.lower() not in text.lower()
        assert NUMBER not in text

    # The search would find it: here it leaves by the user's own wish.
    named = tmp_path / "named"
    assert embed(model, named, "--input", archives[0], "--keep_tags", "PatientName") == 3
    assert sum(SENTINEL in text for text in everything_in(named)) >= 3


@pytest.fixture(scope="module")
def nih(tmp_path_factory):
    """The catalogue of ChestX-ray14, its first rows, and films for some of them."""
    catalog = shared("data/xrays/catalogs/nih_Data_Entry_2017_v2020.head2000.csv")
    with catalog.open() as file:
        rows = {row["Image Index"]: row for row in csv.DictReader(file)}
    chosen = list(rows)[:40:2]
    films = {f"images/{name}": sample_jpeg(4, i, 64) for i, name in enumerate(chosen)}
    films["images/nowhere.png"] = sample_jpeg(4, 99, 64)
    films[f"images/{list(rows)[1]}"] = b"no film"
    path = tmp_path_factory.mktemp("nih") / "images_001.tar.gz"
    make_tar(path, films, "w:gz")
    make_zip(path.with_name("images_001.zip"), films)
    return catalog, rows, chosen, path


@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_a_catalogue_joins_and_both_sides_are_counted(model, nih, tmp_path, ending):
    catalog, rows, chosen, path = nih
    path = path.with_name(f"images_001.{ending}")
    output = tmp_path / "out"
    command = ["--input", path, "--catalog", "nih", "--catalog_file", catalog]
    assert embed(model, output, *command) == 0
    found = {row["image_id"]: row for row in read_rows(output).to_pylist()}
    unknown = found.pop(f"{path.name}/images/nowhere.png")
    assert (unknown["in_catalog"], unknown["patient_id"], unknown["labels"]) == (False, None, None)
    assert sorted(found) == sorted(chosen)
    for name, row in found.items():
        said = rows[name]
        assert row["patient_id"] == said["Patient ID"]
        assert row["view_position"] == said["View Position"]
        assert {label for label, _ in row["labels"]} == set(said["Finding Labels"].split("|"))
        assert dict(row["catalog"])["Patient Age"] == said["Patient Age"]
    images = pq.read_table(output / "images.parquet")
    for image in images.to_pylist():
        said = rows.get(image["image_id"].rpartition("/")[2] if image["in_catalog"] else "")
        if said is None:
            assert image["Patient Age"] is None
            continue
        assert image["Finding Labels"] == said["Finding Labels"]
        assert image["Patient Age"] == int(said["Patient Age"])
        assert image["OriginalImagePixelSpacing[x"] == float(said["OriginalImagePixelSpacing[x"])
        assert image["Patient Gender"] == said["Patient Gender"]
    total = counts(output)
    assert total["images"] == {"done": 21, "failed": 1}
    assert (total["in_catalog"], total["not_in_catalog"]) == (21, 1)
    assert total["catalog_rows_without_film"] == len(rows) - 21


@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_views_keep_what_they_name(model, nih, tmp_path, ending):
    catalog, rows, chosen, path = nih
    path = path.with_name(f"images_001.{ending}")
    output = tmp_path / "out"
    assert embed(model, output, "--input", path, "--catalog", "nih", "--catalog_file", catalog,
                 "--views", "pa") == 0  # fmt: skip
    wanted = [name for name in chosen if rows[name]["View Position"] == "PA"]
    assert 0 < len(wanted) < len(chosen)
    assert sorted(read_rows(output)["image_id"].to_pylist()) == sorted(wanted)
    total = counts(output)
    # The one that no catalogue row is of, and that says no view itself, is of another view too.
    assert total["left_out_other_view"] == len(chosen) - len(wanted) + 1
    failed = rows[list(rows)[1]]["View Position"] == "PA"
    assert total["images"] == {"done": len(wanted)} | ({"failed": 1} if failed else {})
    all_wanted = sum(row["View Position"] == "PA" for row in rows.values())
    assert total["catalog_rows_without_film"] == all_wanted - len(wanted) - failed


def test_mimic_is_embedded_from_its_folder_of_folders(model, tmp_path):
    catalog = tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz"
    ids = ("02aa804e-bde0afdd", "174413ec-4ec4c1f7", "2a2277a9-b0ded155")
    views = ("PA", "LATERAL", "AP")
    lines = [f"{ids[i]},10000032,5041426{i},{view}" for i, view in enumerate(views)]
    text = "\n".join(["dicom_id,subject_id,study_id,ViewPosition", *lines])
    catalog.write_bytes(gzip.compress(text.encode()))
    for i, film in enumerate(ids):
        path = tmp_path / f"files/p10/p10000032/s5041426{i}/{film}.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(sample_jpeg(0, i, 64))
    (tmp_path / "files/p10/p10000032/s50414260.txt").write_text("a report")
    output = tmp_path / "out"
    assert embed(model, output, "--input", tmp_path / "files", "--catalog", "mimic",
                 "--catalog_file", catalog, "--views", "PA,AP") == 0  # fmt: skip
    rows = read_rows(output).select(["image_id", "patient_id", "study_id", "view_position"])
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        (ids[0], "10000032", "50414260", "PA"),
        (ids[2], "10000032", "50414262", "AP"),
    ]
    assert counts(output)["left_out_other_view"] == 1


def test_chexpert_is_embedded_from_its_zip(model, tmp_path):
    films = {
        f"CheXpert-v1.0-small/train/patient0000{i}/study1/view1_frontal.jpg": sample_jpeg(0, i, 64)
        for i in range(3)
    }
    labels = ["0.0"] * len(CHEXPERT_LABELS)
    lines = [",".join([name, "Male", "60", "Frontal", "AP", *labels]) for name in list(films)[:2]]
    header = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS])
    text = "\n".join([header, *lines])
    (tmp_path / "train.csv").write_text(text)
    archive = tmp_path / "CheXpert-v1.0-small.zip"
    make_zip(archive, films | {"CheXpert-v1.0-small/train.csv": text.encode()})
    output = tmp_path / "out"
    assert embed(model, output, "--input", archive, "--catalog", "chexpert",
                 "--catalog_file", tmp_path / "train.csv") == 0  # fmt: skip
    rows = read_rows(output).to_pylist()
    assert [row["patient_id"] for row in rows] == ["patient00000", "patient00001", None]
    assert dict(rows[0]["labels"]) == dict.fromkeys(CHEXPERT_LABELS, 0.0)
    assert dict(rows[0]["catalog"]) == {"Sex": "Male", "Age": "60"}
    total = counts(output)
    assert (total["in_catalog"], total["not_in_catalog"]) == (2, 1)


def test_everything_may_be_in_a_bucket(model, tmp_path, capsys):
    films = dict(sample_members(6, seed=5))
    (tmp_path / "c.csv").write_text("file,sex\nfilm_0000001,F\nnowhere,M\n")
    make_zip(tmp_path / "x.zip", films)
    make_tar(tmp_path / "x.tgz", films, "w:gz")
    with gcs_emulator(tmp_path) as bucket:
        objects = {name: (tmp_path / name).read_bytes() for name in ("c.csv", "x.zip", "x.tgz")}
        objects |= {f"folder/{name}": data for name, data in films.items()}
        for name, data in (objects | {"folder/metadata.csv.gz": b""}).items():
            files.write_bytes(f"{bucket}/in/{name}", data)
        output = f"{bucket}/out"
        flags = ["--input", f"{bucket}/in/x.*", f"{bucket}/in/folder/", "--block_size", "4",
                 "--catalog", "csv", "--catalog_key", "file",
                 "--catalog_file", f"{bucket}/in/c.csv"]  # fmt: skip
        assert embed(model, output, *flags) == 0
        capsys.readouterr()
        assert embed(model, output, *flags) == 0
        assert "complete before: nothing to do" in capsys.readouterr().out
        found = tmp_path / "found"
        for file in files.list_files(output):
            copy = found / file.path.removeprefix(f"{output}/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(files.read_bytes(file.path))
        assert embed(model, output, "--input", f"{bucket}/none/") == 2
    rows = by_member(found)
    assert len(rows) == 3 * len(films)
    for name in films:
        same = [vector for (_, member), vector in rows.items() if member == name]
        assert np.ptp(np.stack(same), axis=0).max() == 0
    total = counts(found)
    # The archive beside the films is a source of its own.
    assert "left_out_archive" not in total
    assert (total["in_catalog"], total["catalog_rows_without_film"]) == (3, 1)


def test_formats_hold_the_same_rows(model, nih, tmp_path):
    catalog, _, _, path = nih
    dicom = make_dicom(ramp(bits=12), bits=12, StudyDescription="CHEST")
    one = make_zip(tmp_path / "one.zip", {"film.dcm": dicom})
    output = tmp_path / "out"
    assert embed(model, output, "--input", path, one.uri, "--catalog", "nih", "--catalog_file",
                 catalog, "--keep_tags", "StudyDescription", "--num_shards", 2,
                 "--format", "parquet", "tfrecord.gz") == 0  # fmt: skip
    rows = read_rows(output).to_pylist()
    assert {tuple(map(tuple, row["dicom_tags"])) for row in rows} == {
        (),
        (("StudyDescription", "CHEST"),),
    }
    spec = load_parsing_spec(json.loads((output / "parsing_spec.json").read_text()))
    paths = sorted(str(path) for path in output.glob("embeddings-tfrecord.gz/*"))
    assert len(paths) == 2
    examples = [
        tf.io.parse_single_example(example, spec)
        for example in tf.data.TFRecordDataset(paths, compression_type="GZIP")
    ]
    for example, row in zip(examples, rows, strict=True):
        parsed = {name: value.numpy() for name, value in example.items()}
        np.testing.assert_array_equal(parsed.pop("embedding"), row.pop("embedding"))
        for name in ("labels", "catalog", "dicom_tags"):
            keys = [key.decode() for key in parsed.pop(f"{name}/key")]
            values = parsed.pop(f"{name}/value").tolist()
            values = [value.decode() if isinstance(value, bytes) else value for value in values]
            # A tf.Example does not tell null from an empty map.
            assert list(zip(keys, values, strict=True)) == (row.pop(name) or [])
        texts = {name: v.decode() for name, v in parsed.items() if isinstance(v, bytes)}
        numbers = {name: v for name, v in parsed.items() if name not in texts}
        assert texts | numbers == {name: "" if v is None else v for name, v in row.items()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "nowhere/*.zip"], "--input nowhere/*.zip: matches no film and no archive"),
        (["--input", "ZIP", "--catalog", "nih"], "--catalog nih: --catalog and --catalog_file go"),
        (["--input", "ZIP", "--catalog_file", "C"], "--catalog_file C: --catalog and"),
        (["--input", "ZIP", "--catalog", "csv", "--catalog_file", "CSV"],
         "--catalog csv and --catalog_key go together"),
        (["--input", "ZIP", "--catalog", "nih", "--catalog_file", "CSV", "--catalog_key", "a"],
         "--catalog csv and --catalog_key go together"),
        (["--input", "ZIP", "--catalog", "nih", "--catalog_file", "none.csv"], "none.csv: "),
        (["--input", "ZIP", "--catalog", "nih", "--catalog_file", "CSV"], "no column 'Image Index"),
        (["--input", "ZIP", "--catalog", "csv", "--catalog_key", "x", "--catalog_file", "CSV"],
         "has no column 'x'"),
        (["--input", "ZIP", "--catalog", "tcia", "--catalog_file", "CSV"], "invalid choice"),
        (["--input", "ZIP", "--catalog", "csv", "--catalog_key", "file", "--catalog_file", "CSV",
          "--catalog_columns", "view=proj", "--views", "LL"],
         "--views LL: no row of the catalogue is of these views; it has AP (1), PA (1)"),
        (["--input", "ZIP", "--keep_tags", "PatientsName"], "--keep_tags PatientsName: "),
        (["--input", "ZIP", "--block_size", "0"], "--block_size must be between 1 and 65536"),
        (["--input", "ZIP", "--read_threads", "0"], "--read_threads must be between 1 and 1024"),
        (["--input", "ZIP", "--max_member_mb", "0"], "--max_member_mb must be between 1 and"),
        (["--input", "ZIP", "--max_pixels", "-1"], "--max_pixels must be between 1 and"),
        (["--input", "ZIP", "--max_compression_ratio", "nan"], "--max_compression_ratio must be"),
        (["--input", "ZIP", "--max_pixels", "many"], "argument --max_pixels: invalid int value"),
        (["--input", "ZIP", "--window", "lung"], "argument --window: invalid choice: 'lung'"),
        (["--input", "ZIP", "--veiws", "PA"], "--veiws PA: unknown flag; did you mean --views?"),
        (["--input", "ZIP", "--num_shards", "0"], "--num_shards must be between 1 and 99999"),
        ([], "the following arguments are required: --input"),
    ],
)  # fmt: skip
def test_what_is_typed_wrong_is_one_line(model, tmp_path, capsys, arguments, message):
    make_zip(tmp_path / "x.zip")
    (tmp_path / "c.csv").write_text("file,age,proj\nx,1,PA\ny,2,AP\n")
    places = {"ZIP": str(tmp_path / "x.zip"), "CSV": str(tmp_path / "c.csv")}
    output = tmp_path / "out"
    assert embed(model, output, *(places.get(argument, argument) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("beamscope xrays: ")
    assert error.count("\n") == 1
    assert not output.exists()


def kill_after(command, output, parts_before):
    """Starts the job as a process, and kills it when it has written so many parts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "beamscope", "xrays", *map(str, command)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and len(parts(output)) < parts_before:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "dataset.json").exists()


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_killed_half_way_the_same_command_goes_on(model, tmp_path, capfd, kind):
    path = tmp_path / f"x.{kind}"
    write_sample_archive(path, kind, 320)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    flags = ["--input", path, "--block_size", "8", "--model", model, "--output"]
    assert main(["xrays", *map(str, flags), str(undisturbed)]) == 0
    kill_after([*flags, killed], killed, 15)
    left = parts(killed)
    assert 15 <= len(left) < 40
    capfd.readouterr()
    assert main(["xrays", *map(str, flags), str(killed), "--verbose"]) == 0
    printed = capfd.readouterr().out
    assert "sources planned: 0 now, 1 before" in printed
    assert f"blocks embedded: {40 - len(left)} now, {len(left)} before" in printed
    again = parts(killed)
    assert {path: again[path] for path in left} == left
    assert_same_dataset(killed, undisturbed)
    assert read_rows(killed).num_rows == 320


def test_a_second_start_does_nothing_twice(model, tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        write_sample_archive(tmp_path / f"{name}.zip", "zip", 12, seed)
    output = tmp_path / "out"
    flags = ["--verbose", "--block_size", 4, "--input", tmp_path / "a.zip"]
    assert embed(model, output, *flags) == 0
    first = by_member(output)
    assert embed(model, output, *flags) == 0
    assert "complete before: nothing to do" in capsys.readouterr().out
    # One more archive: the dataset grows by it, and nothing else is done again.
    assert embed(model, output, *flags, tmp_path / "b.zip") == 0
    printed = capsys.readouterr().out
    assert "sources planned: 1 now, 1 before; blocks embedded: 3 now, 3 before" in printed
    grown = by_member(output)
    assert len(grown) == 24
    for name, vector in first.items():
        np.testing.assert_array_equal(grown[name], vector)


def test_a_source_that_has_changed_is_planned_again(model, tmp_path, capsys):
    folder = tmp_path / "films"
    folder.mkdir()
    write_sample_archive(tmp_path / "a.zip", "zip", 12)
    (folder / "1.jpg").write_bytes(sample_jpeg(0, 1, 64))
    output = tmp_path / "out"
    flags = ["--verbose", "--block_size", 4, "--input", tmp_path / "a.zip", folder]
    assert embed(model, output, *flags) == 0
    (folder / "2.jpg").write_bytes(sample_jpeg(0, 2, 64))
    capsys.readouterr()
    assert embed(model, output, *flags) == 0
    printed = capsys.readouterr().out
    assert "sources planned: 1 now, 1 before; blocks embedded: 1 now, 4 before" in printed
    write_sample_archive(tmp_path / "a.zip", "zip", 6)
    assert embed(model, output, *flags) == 0
    assert "sources planned: 1 now, 1 before" in capsys.readouterr().out
    assert counts(output)["images"] == {"done": 8}
    assert len(by_member(output)) == 8


def test_other_settings_are_refused_and_named(model, tmp_path, capsys):
    write_sample_archive(tmp_path / "a.zip", "zip", 4)
    catalog = tmp_path / "c.csv"
    catalog.write_text("file,sex\nfilm_0000000,F\n")
    output = tmp_path / "out"
    flags = ["--input", tmp_path / "a.zip"]
    assert embed(model, output, *flags) == 0
    for other, message in (
        (["--preprocess", "pad"], "preprocess was 'resize' and is now 'pad'"),
        (["--equalize", "never"], "equalize was 'auto' and is now 'never'"),
        (["--catalog", "csv", "--catalog_key", "file", "--catalog_file", catalog], "catalog was"),
    ):
        assert embed(model, output, *flags, *other) == 2
        assert message in capsys.readouterr().err
    assert embed(model, output, *flags, "--read_threads", 1) == 0


def test_an_archive_that_is_none_is_one_problem_and_tried_again(model, tmp_path, capsys):
    for name in ("a.zip", "b.tar", "c.tar.gz"):
        (tmp_path / name).write_bytes(b"<html>404 Not Found</html>" * 50)
    write_sample_archive(tmp_path / "good.zip", "zip", 40)
    output = tmp_path / "out"
    assert embed(model, output, "--input", tmp_path) == 0
    found = {Path(problem["uri"]).name: problem["kind"] for problem in problems(output)}
    assert found == {"a.zip": "not_a_zip", "b.tar": "not_a_tar", "c.tar.gz": "not_a_tar"}
    write_sample_archive(tmp_path / "c.tar.gz", "tgz", 3)
    capsys.readouterr()
    assert embed(model, output, "--input", tmp_path) == 0
    assert counts(output)["images"] == {"done": 43, "failed": 2}
