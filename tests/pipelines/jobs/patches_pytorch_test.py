"""Written patches as PyTorch's own loader and the library webdataset read them.

Neither is among the packages of the tests. To run these, install both beside them:
`pip install torch webdataset` in a copy of the environment.
"""

import io
import json
import re
from pathlib import Path

import numpy as np
import openslide
import pyarrow.dataset as ds
import pytest
from PIL import Image

from beamscope.pipelines.main import main
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide

torch = pytest.importorskip("torch", reason="PyTorch's wheels bring CUDA, some 4 GB")

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "using.md").read_text()
PATCH = 96


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of an output in several shards, and its patches as OpenSlide reads them."""
    folder = tmp_path_factory.mktemp("pytorch")
    for name, seed in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        spec = SampleSlide(width=1200, height=1000, mpp=0.5, seed=seed)
        write_sample_slide(folder / f"{name}.svs", spec)
    assert main(["patches", "--input", str(folder), "--patch_size", str(PATCH), "--sample_total",
                 "150", "--encoding", "png", "--num_shards", "4", "--output",
                 str(folder / "out"), "--format", "webdataset", "parquet"]) == 0  # fmt: skip
    slides = {name: openslide.OpenSlide(str(folder / f"{name}.svs")) for name in "abcd"}
    table = ds.dataset(str(folder / "out" / "patches")).to_table()
    expected = {}
    for row in table.select(["slide_id", "x_level0", "y_level0"]).to_pylist():
        place = row["slide_id"], row["x_level0"], row["y_level0"]
        region = slides[place[0]].read_region(place[1:], 0, (PATCH, PATCH))
        expected[place] = np.asarray(region.convert("RGB"))
    assert len(expected) == 150
    return folder / "out", expected


def check(found, expected):
    """Check that some (row, uint8 pixels [3, height, width]) are the patches, each once."""
    seen = []
    for row, pixels in found:
        place = row["slide_id"], int(row["x_level0"]), int(row["y_level0"])
        seen.append(place)
        np.testing.assert_array_equal(pixels.permute(1, 2, 0).numpy(), expected[place])
    assert sorted(seen) == sorted(expected)


@pytest.mark.parametrize("workers", [0, 3])
def test_webdataset_reads_the_tars(written, workers):
    wds = pytest.importorskip("webdataset", reason="webdataset is of use with PyTorch alone")
    output, expected = written
    tars = sorted(str(path) for path in (output / "patches-tar").iterdir())
    assert len(tars) == 4
    samples = (
        wds.WebDataset(tars, shardshuffle=False)
        .decode("torchrgb8")
        .to_tuple("png", "json")
        .batched(16)
    )
    loader = torch.utils.data.DataLoader(samples, batch_size=None, num_workers=workers)
    batches = list(loader)
    assert all(isinstance(images, torch.Tensor) for images, _ in batches)
    assert tuple(batches[0][0].shape) == (16, 3, PATCH, PATCH)
    found = [(row, one) for images, rows in batches for one, row in zip(images, rows, strict=True)]
    check(found, expected)
    columns = ds.dataset(str(output / "patches")).schema.names
    assert set(found[0][0]) == set(columns) - {"image"}


class _Parquet(torch.utils.data.Dataset):
    """One patch for each row of a dataset of Parquet."""

    def __init__(self, folder):
        self.table = ds.dataset(str(folder)).to_table()

    def __len__(self):
        return len(self.table)

    def __getitem__(self, index):
        (row,) = self.table.slice(index, 1).to_pylist()
        with Image.open(io.BytesIO(row.pop("image"))) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        return pixels, json.dumps(row)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_shuffles_the_rows_of_parquet(written, workers):
    output, expected = written
    loader = torch.utils.data.DataLoader(
        _Parquet(output / "patches"), batch_size=16, shuffle=True, num_workers=workers
    )
    batches = list(loader)
    assert tuple(batches[0][0].shape) == (16, 3, PATCH, PATCH)
    check(
        [(json.loads(row), one) for images, rows in batches
         for one, row in zip(images, rows, strict=True)],
        expected,
    )  # fmt: skip


@pytest.mark.parametrize("number", [0, 1])
def test_the_programs_of_the_page(tmp_path, monkeypatch, number):
    if number == 0:
        pytest.importorskip("webdataset", reason="webdataset is of use with PyTorch alone")
    spec = SampleSlide(width=1600, height=1400, mpp=0.5, seed=1)
    write_sample_slide(tmp_path / "a.svs", spec)
    monkeypatch.chdir(tmp_path)
    assert main(["patches", "--input", "a.svs", "--sample_total", "20", "--format", "webdataset",
                 "parquet", "--output", "TRAIN"]) == 0  # fmt: skip
    text = PAGE.split("\n## Read a fine-tuning set in PyTorch\n")[1].split("\n## ")[0]
    found = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.S)[number], found)
    # What the last round of the program's loop has left.
    assert tuple(found["images"].shape) == (4, 3, 224, 224)
    assert found["images"].dtype == torch.float32
    assert 0 <= float(found["images"].min()) < float(found["images"].max()) <= 1
    assert list(found["slide_ids"]) == ["a"] * 4
