import logging
from pathlib import Path

import numpy as np
import pytest

from beamscope.transforms.inference.find_model import open_model
from beamscope.transforms.inference.model_files import model_digest
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.served_models import Version, several_models, version_of
from tests.inference import models


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["1/saved_model.pb", "1/variables/variables.index"], Version("1", ())),
        (["9/saved_model.pb", "10/saved_model.pb"], Version("10", ("9",))),
        (["1/saved_model.pbtxt", "0002/saved_model.pb", "README"], Version("0002", ("1",))),
        (["saved_model.pb", "1/saved_model.pb"], None),
        (["model.onnx", "1/saved_model.pb"], None),
        (["a/saved_model.pb", "1/saved_model.pb"], None),
        (["a/1/saved_model.pb"], None),
        (["1/notes.txt"], None),
        ([], None),
    ],
)
def test_version_of(names: list[str], expected: Version | None) -> None:
    assert version_of(names) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["saved_model.pb", "old/saved_model.pb"], None),
        (["readme"], None),
        (["a/1/saved_model.pb", "a/2/saved_model.pb"], "with 2 models in directories below "
         "(a/1, a/2): give one of these, such as gs://b/m/a/1"),
        ([f"{name}/saved_model.pb" for name in "abcdefg"], "(a, b, c, d, e and more)"),
    ],
)  # fmt: skip
def test_several_models(names: list[str], expected: str | None) -> None:
    found = several_models("gs://b/m/", names)
    assert found is None if expected is None else expected in (found or "")


def test_the_highest_version_is_taken_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = tmp_path / "served"
    for version, answer in (("1", models.feature_map), ("2", models.named), ("11", models.vectors)):
        models.save(served / version, answer)
    with caplog.at_level(logging.WARNING):
        loaded = open_model(ModelSettings(str(served)))
    assert f"model {served}: version 11 is taken, the highest of 1, 2, 11" in caplog.text
    assert (loaded.spec.name, loaded.spec.digest) == ("served", model_digest(served / "11"))
    pixels = models.noise(2)
    np.testing.assert_allclose(loaded.embed(pixels), models.expected(pixels), atol=1e-5)
