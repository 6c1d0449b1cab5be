"""A second job opens the model while its pipeline starts, where the workers are in its process."""

from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image

from beamscope.pipelines.main import main
from beamscope.pipelines.runners.gpu import embeds_in_this_process
from beamscope.transforms.inference import handler
from tests.inference import models
from tests.inference.kept import keep_models

FN_API = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


@pytest.mark.parametrize(
    ("flags", "here"),
    [
        (["--runner", FN_API], True),
        (["--runner", FN_API, "--direct_running_mode", "multi_threading"], True),
        (["--runner", FN_API, "--direct_running_mode", "multi_processing"], False),
        (["--runner", FN_API, "--require_gpu"], False),
        (["--runner", "PrismRunner"], False),
        (["--runner", "DataflowRunner"], False),
        ([], False),
    ],
)
def test_where_the_workers_are(flags: list[str], here: bool) -> None:
    assert embeds_in_this_process(PipelineOptions(flags)) is here


def test_the_second_job_opens_its_model_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_models(tmp_path, monkeypatch)
    model = models.save(tmp_path / "m", models.feature_map)
    (image,) = models.noise(1)
    Image.fromarray(image).save(tmp_path / "a.png")
    given: list[bool] = []
    take = handler.opened_ahead

    def noted(settings):
        opened = take(settings)
        given.append(opened is not None)
        return opened

    monkeypatch.setattr(handler, "opened_ahead", noted)
    for output in ("first", "second"):
        flags = ["--input", str(tmp_path / "*.png"), "--model", model]
        assert main(["images", *flags, "--output", str(tmp_path / output)]) == 0
        table = ds.dataset(str(tmp_path / output / "embeddings")).to_table()
        embedding = table["embedding"][0].as_py()
        np.testing.assert_allclose([embedding], models.expected(image[None]), atol=1e-4)
    assert given == [False, True]
