import io
import types

import numpy as np
import pytest
from PIL import Image

from beamscope.transforms.search.embed_file import prepared


def dataset(job, options, model):
    """What `prepared` asks a dataset for."""
    description = {"job": job, "options": options}
    of_column = {"input_size": 32, **model, **options}
    return types.SimpleNamespace(description=description, options=lambda _column: of_column)


@pytest.mark.parametrize(
    ("job", "options", "model", "expected"),
    [
        ("slides", {"fit": "bicubic"}, {}, Image.Resampling.BICUBIC),
        ("slides", {}, {"fit": "lanczos"}, Image.Resampling.LANCZOS),
        ("slides", {}, {"fit": None}, Image.Resampling.BOX),
        ("slides", {"fit": "crop"}, {}, Image.Resampling.BOX),
        ("images", {"fit": "bilinear"}, {}, Image.Resampling.BILINEAR),
        ("images", {"fit": "crop"}, {}, None),
    ],
)
def test_an_image_is_fitted_as_those_of_the_dataset(job, options, model, expected):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    image, file = Image.fromarray(pixels), io.BytesIO()
    image.save(file, "PNG")
    found = prepared(dataset(job, options, model), file.getvalue())
    wanted = (
        pixels[16:48, 16:48] if expected is None else np.asarray(image.resize((32, 32), expected))
    )
    assert np.abs(found.astype(int) - wanted).max() <= 1
