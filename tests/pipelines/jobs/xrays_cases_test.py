"""Realistic inputs from the command line: each is read, or gives one problem or one line.

A comment beside each case gives the source of its right answer.
"""

import json
import shutil

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.xrays.sample import sample_jpeg
from tests.shared_data import shared
from tests.sources.archive_makers import make_zip
from tests.xrays.models import save_grid_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_grid_model(tmp_path_factory.mktemp("model") / "grid")


def embed(model, output, *arguments):
    return main(["xrays", "--model", str(model), "--output", str(output), *map(str, arguments)])


def images(output):
    """Status, patient, and whether it is in the catalogue, of every film by its member."""
    rows = pq.read_table(output / "images.parquet").to_pylist()
    return {row["member"]: (row["status"], row["patient_id"], row["in_catalog"]) for row in rows}


def counts(output):
    return json.loads((output / "dataset.json").read_text())["counts"]


def test_the_kinds_of_sources(model, tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(shared("cases/xrays/nas_clutter/nas"), folder / "nas")
    shutil.copytree(shared("cases/xrays/uid_prefix_wrong_row/uid2"), folder / "uid2")
    for name in (
        "xrays/tar_concatenated/ab.tar", "xrays/tar_concatenated/abz.tar.gz",
        "xrays/zip_backslash/win.zip", "xrays/only_archives_not_read/a.tar.xz",
        "hostile/m51.zip", "hostile/pax0.tar", "hostile/t_neg512_reg.tar",
    ):  # fmt: skip
        shutil.copy(shared(f"cases/{name}"), folder)
    (folder / "labels.csv.gz").write_bytes(b"\x1f\x8b")
    make_zip(folder / "good.zip", {f"{i}.jpg": sample_jpeg(0, i, 64) for i in range(2)})
    assert embed(model, tmp_path / "out", "--input", folder, "--max_failed", 1) == 0
    found = ds.dataset(sorted((tmp_path / "out").glob("embeddings/*.parquet"))).to_table()
    rows = zip(found["source"].to_pylist(), found["member"].to_pylist(), strict=True)
    members = {}
    for source, member in rows:
        members.setdefault(source.rsplit("/", 1)[-1], []).append(member)
    numbered = [f"0000000{i}_000.png" for i in range(1, 7)]
    assert members == {
        # One film; the rest of it is trash, thumbnails and checkpoints (Synology, Windows, Linux).
        "in": ["nas/00000001_000.png", "uid2/1.2.3.4.5"],
        # tar --ignore-zeros lists six.
        "ab.tar": [f"images/{name}" for name in numbered],
        "abz.tar.gz": [f"images/{name}" for name in numbered],
        # unzip extracts three, having turned the slashes.
        "win.zip": [f"images\\{name}" for name in numbered[:3]],
        # What is left of them; the good ones beside them are whole.
        "m51.zip": [f"a/IM-0{i}-0001.jpeg" for i in (122, 125, 135, 137, 149)],
        "t_neg512_reg.tar": ["g.jpg"],
        "good.zip": ["0.jpg", "1.jpg"],
    }
    problems = {
        (row["uri"].rsplit("/", 1)[-1], row["member"], row["kind"])
        for row in pq.read_table(tmp_path / "out/problems.parquet").to_pylist()
    }
    assert problems == {
        ("m51.zip", None, "truncated_archive"),
        ("m51.zip", "a/mlut_18.dcm", "corrupt_member"),
        ("pax0.tar", "g.jpg", "corrupt_member"),
        ("pax0.tar", None, "truncated_archive"),
        ("t_neg512_reg.tar", None, "corrupt_archive"),
    }
    left_out = {name: n for name, n in counts(tmp_path / "out").items() if "left_out" in name}
    # Six of the NAS, three of the zip; a.tar.xz; labels.csv.gz.
    assert left_out == {
        "left_out_clutter": 9, "left_out_archive": 1, "left_out_not_an_image": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("only_archives_not_read/a.tar.xz", "1 file, 1 of kinds of archives"),
        ("only_archives_not_read/gzd", "2 files, 2 of kinds of archives"),
    ],
)
def test_an_input_that_cannot_be_read_is_one_line_errors(model, tmp_path, capsys, name, message):
    path = shared("cases/xrays") / name
    assert embed(model, tmp_path / "out", "--input", path) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"beamscope xrays: --input {path} holds no film: {message}")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


CATALOGS = [
    # The key is the film's own path.
    ("csv_absolute_path", "00000001_000.png", "abs.csv", "file",
     {"00000001_000.png": ("done", "7", True)}),
    # The names are those of the archive, with the other slash.
    ("zip_backslash", "win.zip", "nih.csv", "file",
     {f"images\\0000000{i}_000.png": ("done", str(i), True) for i in (1, 2, 3)}),
    # 1.2.3.4 is another UID.
    ("uid_prefix_wrong_row", "uid2", "uid2.csv", "sop", {"1.2.3.4.5": ("done", None, False)}),
    # Python's csv and pandas read two rows.
    ("csv_cr_only", "a.tar", "cr.csv", "file",
     {f"images/0000000{i}_000.png": ("done", None, i < 3) for i in (1, 2, 3)}),
]  # fmt: skip


@pytest.mark.parametrize(("case", "films", "catalog", "key", "expected"), CATALOGS,
                         ids=[row[0] for row in CATALOGS])  # fmt: skip
def test_catalogues(model, tmp_path, capsys, case, films, catalog, key, expected):
    folder = tmp_path / case
    shutil.copytree(shared(f"cases/xrays/{case}"), folder)
    table = folder / catalog
    # newline="": lines may end in a carriage return alone.
    text = table.read_bytes().replace(b"FOLDER", str(folder).encode())
    table.unlink()
    table.write_bytes(text)
    flags = ["--catalog", "csv", "--catalog_file", table, "--catalog_key", key]
    assert embed(model, tmp_path / "out", "--input", folder / films, *flags) == 0
    # A catalogue that has not one of the films is told loudly.
    found = any(in_catalog for _, _, in_catalog in expected.values())
    assert ("WARNING" in capsys.readouterr().out) is not found
    assert images(tmp_path / "out") == expected


def test_columns_that_are_named_choose_views_and_become_labels(model, tmp_path, capsys):
    films = {f"{i}.jpg": sample_jpeg(0, i, 64) for i in range(4)}
    archive = make_zip(tmp_path / "x.zip", films)
    table = tmp_path / "c.csv"
    table.write_text(
        "File,Proj,PID,Findings,Edema,age\n"
        "./0.JPG,pa,007,Mass|Nodule,1,60\n1.jpg,LL,8,,0,\n2.jpg,PA,9,,,\n"
    )
    flags = ["--input", archive.uri, "--catalog", "csv", "--catalog_file", table,
             "--catalog_key", "File", "--catalog_columns",
             "view=Proj,patient=PID,labels=Findings|Edema"]  # fmt: skip
    assert embed(model, tmp_path / "out", *flags, "--views", "PA") == 0
    rows = pq.read_table(tmp_path / "out/embeddings/embeddings-00000-of-00001.parquet").to_pylist()
    picked = ("image_id", "patient_id", "view_position", "labels", "catalog")
    assert [tuple(row[name] for name in picked) for row in rows] == [
        ("./0.JPG", "007", "PA", [("Edema", 1), ("Mass", 1), ("Nodule", 1)], [("age", "60")]),
        ("2.jpg", "9", "PA", None, None),
    ]
    # 1.jpg is LL by the catalogue; 3.jpg is in no row of it, so that its view is not known.
    assert counts(tmp_path / "out")["left_out_other_view"] == 2
    # Other columns are other settings.
    flags[-1] = "view=Proj,patient=PID"
    capsys.readouterr()
    assert embed(model, tmp_path / "out", *flags, "--views", "PA") == 2
    assert "catalog" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--catalog_columns", "view=V"], "--catalog_columns needs --catalog csv"),
        (["--catalog", "nih", "--catalog_file", "CSV", "--catalog_columns", "view=V"],
         "--catalog_columns needs --catalog csv"),
        (["--catalog", "csv", "--catalog_file", "CSV", "--catalog_key", "file",
          "--catalog_columns", "view"], "--catalog_columns: 'view' is not ROLE=COLUMN"),
        (["--catalog", "csv", "--catalog_file", "CSV", "--catalog_key", "file",
          "--catalog_columns", "view=Proj"], "has no column 'Proj'; it has 'file', 'age'"),
    ],
)  # fmt: skip
def test_columns_that_are_named_wrongly_are_one_line_errors(
    model, tmp_path, capsys, flags, message
):
    make_zip(tmp_path / "x.zip")
    (tmp_path / "c.csv").write_text("file,age\nx,1\n")
    flags = [str(tmp_path / "c.csv") if flag == "CSV" else flag for flag in flags]
    assert embed(model, tmp_path / "out", "--input", tmp_path / "x.zip", *flags) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_one_film_more_in_a_folder_is_one_film_embedded(model, tmp_path, capsys):
    folder = tmp_path / "films"
    folder.mkdir()
    for i in range(10):
        (folder / f"{i}.jpg").write_bytes(sample_jpeg(0, i, 64))
    flags = ["--verbose", "--block_size", 4, "--input", folder]
    assert embed(model, tmp_path / "out", *flags) == 0
    before = pq.read_table(tmp_path / "out/embeddings/embeddings-00000-of-00001.parquet")
    (folder / "05.jpg").write_bytes(sample_jpeg(0, 11, 64))
    capsys.readouterr()
    assert embed(model, tmp_path / "out", *flags) == 0
    assert "blocks embedded: 1 now, 3 before" in capsys.readouterr().out
    after = pq.read_table(tmp_path / "out/embeddings/embeddings-00000-of-00001.parquet")
    assert after["member"].to_pylist() == [*before["member"].to_pylist(), "05.jpg"]
    assert after.slice(0, 10).equals(before)
    # The numbers are those of a job that never knew another folder.
    assert embed(model, tmp_path / "new", *flags) == 0
    new = pq.read_table(tmp_path / "new/embeddings/embeddings-00000-of-00001.parquet")
    vectors = {
        name: {row["member"]: row["embedding"] for row in table.to_pylist()}
        for name, table in (("after", after), ("new", new))
    }
    assert vectors["after"] == vectors["new"]
