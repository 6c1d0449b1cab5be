"""A model that was compiled before is opened while the job starts, once, and embeds the same."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.handler import ModelBackendHandler
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.open_ahead import open_ahead, opened_ahead
from tests.inference import models
from tests.inference.kept import keep_models


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSettings:
    keep_models(tmp_path, monkeypatch)
    return ModelSettings(models.save(tmp_path / "m", models.feature_map), batch_size=4)


@pytest.fixture
def opened_late(monkeypatch: pytest.MonkeyPatch) -> list[ModelSettings]:
    """The models that workers had to open themselves."""
    late: list[ModelSettings] = []
    from_settings = Embedder.from_settings.__func__  # type: ignore[attr-defined]

    def noted(cls: type[Embedder], settings: ModelSettings, **flags: Any) -> Any:
        late.append(settings)
        return from_settings(cls, settings, **flags)

    monkeypatch.setattr(Embedder, "from_settings", classmethod(noted))
    return late


def test_a_worker_gets_what_was_opened_ahead(
    settings: ModelSettings, opened_late: list[ModelSettings]
) -> None:
    first = Embedder.from_settings(settings)
    opened_late.clear()
    open_ahead([settings])
    # Settings come to a worker as a copy.
    model = ModelBackendHandler(dataclasses.replace(settings)).load_model()
    assert opened_late == []
    assert (model.spec, model.compile_used) == (first.spec, "openvino")
    pixels = models.noise(6)
    np.testing.assert_allclose(model.embed(pixels), models.expected(pixels), atol=1e-5)
    # It is given out once, so that nothing stays in memory that nobody uses.
    assert opened_ahead(settings) is None
    ModelBackendHandler(settings).load_model()
    assert opened_late == [settings]


def test_only_the_model_that_was_asked_for(settings: ModelSettings) -> None:
    Embedder.from_settings(settings)
    other = dataclasses.replace(settings, batch_size=2)
    open_ahead([settings, other])
    assert opened_ahead(dataclasses.replace(settings, pooling="none")) is None
    found = opened_ahead(other), opened_ahead(settings)
    assert [model.batch_size for model in found if model is not None] == [2, 4]


def test_nothing_is_compiled_ahead(
    settings: ModelSettings, opened_late: list[ModelSettings]
) -> None:
    open_ahead([settings])
    assert ModelBackendHandler(settings).load_model().compile_used == "openvino"
    assert opened_late == [settings]


def test_what_cannot_be_opened_is_met_again_by_the_worker(
    settings: ModelSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Embedder.from_settings(settings)
    (file,) = (tmp_path / "cache" / "compiled").glob("*/model.xml")
    file.write_text("no graph")
    open_ahead([settings])
    assert opened_ahead(settings) is None
    assert "model.xml is damaged" in caplog.text
    gone = dataclasses.replace(settings, uri=str(tmp_path / "gone"))
    open_ahead([gone])
    assert opened_ahead(gone) is None


def test_where_a_gpu_is_required_nothing_is_taken(settings: ModelSettings) -> None:
    Embedder.from_settings(settings)
    open_ahead([settings])
    with pytest.raises(Exception, match="a GPU is required"):
        ModelBackendHandler(settings, require_gpu=True).load_model()
    assert opened_ahead(settings) is not None
