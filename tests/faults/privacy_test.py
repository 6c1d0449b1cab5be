"""Whole jobs over files full of names: none leaves by a table, a log, an error or a picture."""

import logging
import os
import stat

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile

from beamscope.pipelines.main import main
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.xrays.reading import film_block
from tests.faults.job_test import registered
from tests.sources.archive_makers import make_tar, make_zip
from tests.xrays.dicom_makers import to_bytes
from tests.xrays.privacy_test import NUMBER, SENTINEL, cases, plant

__all__ = ["registered"]
pytestmark = [
    pytest.mark.usefixtures("registered"),
    pytest.mark.filterwarnings("ignore:Unknown encoding"),
]
# What no sound part of a slide shows.
MAGENTA = (255, 0, 255)


def everything_in(output):
    """The text of every file of an output, tables and plans by their values and metadata."""
    for path in sorted(output.rglob("*")):
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield path, repr((table.to_pylist(), pq.read_metadata(path).metadata))
        elif path.suffix == ".arrow":
            with pa.ipc.open_stream(path) as stream:
                yield path, repr((stream.schema.metadata, stream.read_all().to_pylist()))
        elif path.is_file():
            yield path, path.read_bytes().decode("latin-1")


def check(output, *said):
    found = dict(everything_in(output))
    assert any(path.name == "dataset.json" for path in found)
    for path, text in found.items():
        # A random number may hold the digits; no other name is as long.
        for secret in (SENTINEL, f"{NUMBER}"):
            assert secret.lower() not in text.lower(), path
    for text in said:
        assert SENTINEL.lower() not in text.lower()
        assert NUMBER not in text


def planted_films():
    films = {}
    for name, dataset in cases():
        films[f"{name.replace(' ', '_')}.dcm"] = to_bytes(plant(dataset))
    sound = films["sound.dcm"]
    films["cut.dcm"] = sound[: len(sound) // 2]
    films["noise.dcm"] = sound[:2000] + bytes(range(256)) + sound[2100:]
    films["raises.dcm"] = sound + b"\0" * 2
    return films


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["directory", "zip", "tgz"])
def test_films(tmp_path, monkeypatch, caplog, capfd, kind):
    films = planted_films()
    (tmp_path / "in").mkdir()
    if kind == "directory":
        for name, data in films.items():
            (tmp_path / "in" / name).write_bytes(data)
    elif kind == "zip":
        make_zip(tmp_path / "in" / "x.zip", films)
    else:
        make_tar(tmp_path / "in" / "x.tgz", films, "w:gz")
    (tmp_path / "model.brightness").write_text("a model")
    decode = film_block.decode_film

    def decode_film(data, settings):
        if data == films["raises.dcm"]:
            try:
                raise ValueError(f"no such patient: {SENTINEL}")
            except ValueError as error:
                raise RuntimeError(f"{SENTINEL}^{NUMBER}") from error
        return decode(data, settings)

    monkeypatch.setattr(film_block, "decode_film", decode_film)
    caplog.clear()
    capfd.readouterr()
    caplog.set_level(logging.DEBUG)
    status = main([
        "xrays", "--input", str(tmp_path / "in"), "--model", str(tmp_path / "model.brightness"),
        "--output", str(tmp_path / "out"), "--compile", "none", "--verbose", "--max_failed", "1",
    ])  # fmt: skip
    said = capfd.readouterr()
    assert status == 0, said.err
    rows = pq.read_table(tmp_path / "out" / "problems.parquet").to_pylist()
    kinds = {row["member"] or row["uri"]: row["kind"] for row in rows}
    assert len(kinds) > 7
    assert "defect" in kinds.values()
    check(tmp_path / "out", said.out, said.err, caplog.text)
    # What stands in for a name is there.
    (log,) = tmp_path.glob("out/.beamscope/*/faults/**/*.txt")
    assert "builtins.RuntimeError" in log.read_text()


def svs(path, description):
    """A slide as Aperio writes it, with the scan of a label and a macro image."""
    rng = np.random.default_rng(1)
    glass = np.full((600, 800, 3), 240, np.uint8)
    glass[100:500, 200:600] = (170, 90, 150)
    glass[100:500, 200:600] += rng.integers(0, 40, (400, 400, 3), np.uint8)
    strange = np.empty((300, 200, 3), np.uint8)
    strange[:] = MAGENTA
    with tifffile.TiffWriter(path) as tiff:
        common = {"photometric": "rgb", "compression": "jpeg", "metadata": None, "software": False}
        tiff.write(glass, tile=(256, 256), description=description, **common)
        tiff.write(
            cv2.resize(glass, (200, 150)), rowsperstrip=16,
            description=f"{description.splitlines()[0]}\r\n800x600 -> 200x150 - ", **common,
        )  # fmt: skip
        tiff.write(glass[::2, ::2], tile=(256, 256), description=description, **common)
        for kind, image, subfile in (("label", strange, 1), ("macro", strange[:, :150], 9)):
            what = f"{description.splitlines()[0]}\r\n{kind} {image.shape[1]}x300"
            tiff.write(image, rowsperstrip=16, subfiletype=subfile, description=what, **common)


def aperio(*, mpp="0.5", size="800x600"):
    return (
        f"Aperio Image Library v1\r\n{size} [0,0 {size}] (256x256) JPEG/RGB Q=70|AppMag = 20|"
        f"Patient = {SENTINEL}|Title = {SENTINEL}|ScanScope ID = {SENTINEL}|User = {SENTINEL}|"
        f"Barcode = {NUMBER}|MPP = {mpp}"
    )


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["auto", "openslide"])
def test_slides(tmp_path, caplog, capfd, reader):
    folder = tmp_path / "in"
    folder.mkdir()
    svs(folder / "a.svs", aperio())
    svs(folder / "b.svs", aperio(mpp=SENTINEL))
    svs(folder / "c.svs", aperio(mpp="77777"))
    data = (folder / "a.svs").read_bytes()
    (folder / "d.svs").write_bytes(data[: len(data) // 3])
    at = data.index(b"\xff\xd9")
    (folder / "e.svs").write_bytes(data[: at - 3000] + b"\x55" * 2000 + data[at - 1000 :])
    (tmp_path / "model.brightness").write_text("a model")
    import openslide

    with openslide.OpenSlide(folder / "a.svs") as slide:
        assert {"label", "macro"} <= set(slide.associated_images)
        assert np.asarray(slide.associated_images["label"].convert("RGB"))[5, 5, 1] < 30
    caplog.clear()
    capfd.readouterr()
    caplog.set_level(logging.DEBUG, "beamscope")
    status = main([
        "slides", "--input", str(folder), "--model", str(tmp_path / "model.brightness"),
        "--output", str(tmp_path / "out"), "--compile", "none", "--max_failed", "1",
        "--patch_size", "32", "--reader", reader, "--verbose",
    ])  # fmt: skip
    said = capfd.readouterr()
    assert status == 0, said.err
    rows = {
        row["slide_id"]: row["status"]
        for row in pq.read_table(tmp_path / "out" / "slides.parquet").to_pylist()
    }
    # What is no number is no resolution; AppMag tells one.
    assert rows == {"a": "done", "b": "done", "c": "failed", "d": "failed", "e": "partial"}
    check(tmp_path / "out", said.out, said.err, caplog.text)
    # Tissue is there, and nothing like the label is.
    pictures = list((tmp_path / "out").rglob("*.jpg"))
    assert len(pictures) >= 2
    for path in pictures:
        blue, green, red = (cv2.imread(str(path)).astype(int)[..., plane] for plane in range(3))
        assert not ((green < 80) & (red > 180) & (blue > 180)).any(), path


@pytest.mark.slow
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_files_have_the_permissions_that_the_user_wants(tmp_path, umask):
    write_sample_slide(tmp_path / "a.svs", SampleSlide(width=400, height=300, mpp=0.5))
    (tmp_path / "model.brightness").write_text("a model")
    before = os.umask(umask)
    try:
        assert main([
            "slides", "--input", str(tmp_path / "a.svs"), "--tissue", "none", "--mpp", "0.5",
            "--model", str(tmp_path / "model.brightness"), "--output", str(tmp_path / "out"),
            "--compile", "none", "--format", "parquet", "tfrecord", "tfrecord.gz",
        ]) == 0  # fmt: skip
    finally:
        os.umask(before)
    found = list((tmp_path / "out").rglob("*"))
    assert len(found) > 12
    for path in [tmp_path / "out", *found]:
        expected = (0o777 if path.is_dir() else 0o666) & ~umask
        assert oct(stat.S_IMODE(path.stat().st_mode)) == oct(expected), path
