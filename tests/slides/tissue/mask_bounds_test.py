import gzip
import json
import resource
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.requests import read_manifest
from beamscope.transforms.slides.tissue import geojson, mask_values
from beamscope.transforms.slides.tissue.geojson import read_areas
from beamscope.transforms.slides.tissue.mask_image import read_mask_image
from beamscope.transforms.slides.tissue.mask_values import averaged
from beamscope.transforms.sources.tables import read_csv
from tests.campaign.bombs import png, zeros
from tests.slides.readers.hostile_tiffs import LONG, SHORT, Tag, level, write

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}


def refused(path, words):
    with pytest.raises(InputError, match=words) as caught:
        read_mask_image(path, enough=(1000.0, 1000.0))
    assert caught.value.kind == Kind.BAD_MASK
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("side", "bits", "colour", "words"),
    [
        (60_000, 8, 0, "too large"),
        (13_000, 16, 6, "13,000 x 13,000 px take 1,352,000,000 bytes"),
        (13_200, 8, 6, "13,200 x 13,200 px take 696,960,000 bytes"),
        ((1 << 31) - 1, 1, 0, "too large"),
    ],
)
def test_a_png_is_refused_by_its_header(side, bits, colour, words, tmp_path):
    path = tmp_path / "mask.png"
    path.write_bytes(png(side, side, bits, colour, zlib.compress(b"")))
    refused(path, words)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (level(2_000_000_000, 2_000_000_000, tiles=100), "needs 61,035,156,250,000 tiles"),
        (level(30_000, 30_000, (30_000, 30_000)), "tiles of 30,000 x 30,000 px"),
        (level(t324=Tag(LONG, [8] * 100, count=1 << 31)), "tag 324 has"),
        ({**level(1_000_000, 1_000_000, t322=None, t323=None, t324=None, t325=None),
          273: Tag(LONG, [8]), 278: Tag(LONG, [1_000_000]), 279: Tag(LONG, [99])},
         "1,000,000 x 1,000,000 px take"),
        ({**level(2_000_000_000, 1, t322=None, t323=None, t324=None, t325=None,
                  t259=Tag(SHORT, [8])),
          273: Tag(LONG, [8]), 278: Tag(LONG, [1]), 279: Tag(LONG, [99])},
         "2,000,000,000 x 1 px take"),
    ],
)  # fmt: skip
def test_a_tiff_is_refused_by_its_header(tags, words, tmp_path):
    refused(write(tmp_path / "mask.tif", tags), words)


def test_a_large_mask_is_averaged(monkeypatch):
    monkeypatch.setattr(mask_values, "MANY_PIXELS", 1000)
    tissue = np.random.default_rng(0).random((103, 205)) < 0.4
    mask = averaged(tissue, (20.0, 10.0))
    assert mask.pixels.shape == (11, 21)
    assert (mask.width, mask.height) == (20.5, 10.3)
    for row, column in ((0, 0), (4, 7), (10, 20), (10, 3)):
        cell = tissue[10 * row : 10 * row + 10, 10 * column : 10 * column + 10]
        assert mask.pixels[row, column] == pytest.approx(cell.mean(), abs=1e-6)
    assert averaged(tissue, None).pixels is tissue


def test_geojson_of_hostile_size(tmp_path, monkeypatch):
    path = tmp_path / "mask.geojson"
    path.write_text(json.dumps(SQUARE))
    assert len(read_areas(path)) == 1
    nested = tmp_path / "nested.geojson"
    nested.write_bytes(b"[" * 50_000_000)
    with pytest.raises(InputError, match="take 3,221,225,472 bytes of memory"):
        read_areas(nested)
    packed = tmp_path / "bomb.geojson.gz"
    packed.write_bytes(gzip.compress(b" " * (5 << 20)))
    monkeypatch.setattr(geojson, "_MOST_BYTES", 1 << 20)
    with pytest.raises(InputError, match="its text may have 1,048,576 bytes"):
        read_areas(packed)


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"[]," * 300_000 + b"[]]",
        b"[" + b"{}," * 300_000 + b"{}]",
        b"[" + b"[1.5,2.5]," * 300_000 + b"[]]",
        b"[" + b'{"type":"Point"},' * 300_000 + b"[]]",
        b"[" + b'"\xc3\xbc",' * 300_000 + b"1]",
        b'["\xf0\x9f\xab\x81' + b"a" * 5_000_000 + b'"]',
    ],
    ids=["lists", "dicts", "points", "objects", "texts", "wide text"],
)
def test_parsed_json_takes_what_is_estimated_at_most(text):
    program = (
        "import json, resource, sys; data = sys.stdin.buffer.read(); "
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024; "
        "before = peak(); kept = json.loads(data); print(peak() - before)"
    )
    grown = int(subprocess.check_output([sys.executable, "-c", program], input=text))
    assert grown <= geojson._memory_of(text) + (1 << 20)
    assert resource.RUSAGE_SELF == 0


def test_tables_of_hostile_size(tmp_path, monkeypatch):
    manifest = tmp_path / "slides.csv"
    manifest.write_text("slide_id,uri\n" + "a,b\n" * 100)
    monkeypatch.setattr("beamscope.transforms.slides.requests._MOST_MANIFEST_BYTES", 100)
    with pytest.raises(InputError, match="it has more than 100 bytes") as caught:
        read_manifest(str(manifest))
    assert caught.value.kind == Kind.BAD_MANIFEST
    monkeypatch.setattr(read_csv, "LARGEST", 100)
    for data in (b"a,b\n" * 100, gzip.compress(b"a,b\n" * 100)):
        with pytest.raises(InputError, match=r"more than 100 bytes|too large"):
            read_csv.read_csv(data)


def test_masks_at_the_limits_are_read(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(np.eye(300, dtype=np.uint8) * 255).save(path)
    assert read_mask_image(path).pixels.sum() == 300
    tifffile.imwrite(tmp_path / "mask.tif", np.eye(300, dtype=np.uint8), compression="zlib")
    assert read_mask_image(tmp_path / "mask.tif").pixels.sum() == 300
    path.write_bytes(png(11_000, 11_000, 8, 0, zeros(11_000 * 11_001)))
    assert read_mask_image(path, enough=(1000.0, 1000.0)).pixels.shape == (1000, 1000)
