import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from beamscope.transforms.patches.encoding import IMAGE_FIELDS, Encoding, image_schema, with_images

ROWS = pa.schema([pa.field("slide_id", pa.string(), nullable=False)])
SMOOTH = np.dstack([np.add.outer(np.arange(32) * k, np.arange(32)) for k in (1, 2, 3)])
SMOOTH = SMOOTH.astype(np.uint8)


def read(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.format, np.asarray(image)


def test_png_loses_nothing():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    name, found = read(Encoding("png").encode(pixels))
    assert name == "PNG"
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(("quality", "most"), [(100, 1.0), (95, 1.5), (50, 6.0)])
def test_jpeg_is_close_by_its_quality(quality, most):
    name, found = read(Encoding("jpeg", quality).encode(SMOOTH))
    assert name == "JPEG"
    assert np.abs(found.astype(int) - SMOOTH).mean() < most


def test_jpeg_keeps_the_chroma_of_single_pixels():
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[::2, :, 0] = 255
    _, found = read(Encoding("jpeg", 95).encode(pixels))
    assert np.abs(found.astype(int) - pixels).mean() < 8


def test_rows_get_images_and_those_passed_on_stay_as_they_are():
    rows = pa.RecordBatch.from_pylist([{"slide_id": "a"}, {"slide_id": "b"}], ROWS)
    pixels = np.stack([SMOOTH, 255 - SMOOTH])
    given = Encoding("jpeg", 30).encode(SMOOTH)
    found = with_images(rows, pixels, Encoding("jpeg"), [given, None])
    assert found.schema.equals(image_schema(ROWS))
    assert found.schema.names[1:] == [field.name for field in IMAGE_FIELDS]
    first, second = found.to_pylist()
    assert (first["image"], first["passed_on"], first["encoding"]) == (given, True, "jpeg")
    assert not second["passed_on"]
    assert np.abs(read(second["image"])[1].astype(int) - (255 - SMOOTH)).mean() < 1.5


def test_no_rows_have_no_images():
    rows = pa.RecordBatch.from_pylist([], ROWS)
    found = with_images(rows, np.empty((0, 8, 8, 3), np.uint8), Encoding("png"))
    assert (found.num_rows, found.schema.names[-1]) == (0, "passed_on")
