import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.archives.read_source import list_members
from beamscope.transforms.sources.reading.members import ImageStream, read_images
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.names import FILM_NAMES
from beamscope.transforms.xrays.reading.film_block import FilmReading, FilmSettings
from beamscope.transforms.xrays.sample import sample_film, sample_jpeg, write_sample_archive
from tests.sources.archive_makers import as_source


def test_a_film_is_its_seed_and_index():
    np.testing.assert_array_equal(sample_film(3, 5), sample_film(3, 5))
    assert not np.array_equal(sample_film(3, 5, 128)[:, :100], sample_film(3, 6, 128)[:, :100])
    assert not np.array_equal(sample_film(4, 5, 128)[:, :100], sample_film(3, 5, 128)[:, :100])


@pytest.mark.parametrize("index", range(4))
def test_lungs_are_dark_and_the_spine_is_bright(index):
    film = sample_film(0, index)
    height, width = film.shape
    assert 224 <= height <= 448
    row = film[int(height * 0.4) : int(height * 0.5)]
    assert row[:, int(width * 0.25) : int(width * 0.32)].mean() < 100
    assert row[:, int(width * 0.49) : int(width * 0.51)].mean() > 150


def test_a_jpeg_is_its_film():
    pixels = np.asarray(Image.open(io.BytesIO(sample_jpeg(1, 2, 224))))
    assert np.abs(pixels.astype(int) - sample_film(1, 2, 224)).mean() < 3


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_an_archive_is_its_seed_and_holds_n_films(tmp_path, kind):
    one, other = tmp_path / f"one.{kind}", tmp_path / f"other.{kind}"
    write_sample_archive(one, kind, 9, seed=1)
    write_sample_archive(other, kind, 9, seed=1)
    assert one.read_bytes() == other.read_bytes()
    source, settings = as_source(one), FilmSettings(Preprocess(32))
    if kind == "tgz":
        ((_, block),) = ImageStream(source, 9, FilmReading(settings))
    else:
        block = read_images(
            source, list_members(source, Limits(), FILM_NAMES).members, FilmReading(settings)
        )
    assert len(block.pixels) == 9
    assert not block.problems


def test_writing_holds_one_film_at_a_time(tmp_path):
    tracemalloc.start()
    write_sample_archive(tmp_path / "x.zip", "zip", 40)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        total = sum(info.file_size for info in archive.infolist())
    assert total > 1 << 20
    # A film in float is some 0.8 MB, and drawing it takes a few.
    assert peak < 8 << 20
