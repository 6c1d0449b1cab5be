"""A second start opens what the first has compiled, without TensorFlow, and embeds the same."""

import dataclasses
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.jobs.model import resolve_model
from beamscope.transforms.inference import agreement
from beamscope.transforms.inference.backends.saved_model import compilers, compiling
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.kept_models import kept_spec, place_of
from beamscope.transforms.inference.model_settings import ModelSettings
from tests.inference import models
from tests.inference.kept import count_loads, keep_models

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSettings:
    keep_models(tmp_path, monkeypatch)
    return ModelSettings(models.save(tmp_path / "m", models.feature_map), batch_size=4)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The models that were loaded by TensorFlow."""
    return count_loads(monkeypatch)


def entries(tmp_path: Path) -> list[Path]:
    return [path.parent for path in (tmp_path / "cache" / "compiled").glob("*/entry.json")]


def test_the_second_start_opens_what_the_first_compiled(
    settings: ModelSettings, loads: list[Path]
) -> None:
    first = Embedder.from_settings(settings)
    again = Embedder.from_settings(settings)
    assert len(loads) == 1
    place = place_of(find_model(settings))
    assert place is not None
    assert first.spec == again.spec == kept_spec(place)
    for name in ("batch_size", "compile_used", "compile_detail", "precision", "fallback"):
        assert getattr(first, name) == getattr(again, name)
    assert again.compile_used == "openvino"
    assert (again.check_cosine or 0) > 0.999999
    pixels = models.noise(6)
    np.testing.assert_allclose(first.embed(pixels), again.embed(pixels), rtol=1e-6)
    np.testing.assert_allclose(again.embed(pixels), models.expected(pixels), atol=1e-5)
    # So do a job's start, and a worker, which is given the digest.
    pinned = dataclasses.replace(settings, model_sha256=first.spec.digest.upper())
    assert Embedder.from_settings(pinned).spec == first.spec
    assert resolve_model(settings, PipelineOptions([])) == first.spec
    assert len(loads) == 1


def test_a_later_process_needs_no_tensorflow(settings: ModelSettings) -> None:
    Embedder.from_settings(settings)
    program = (
        "import sys, numpy as np\n"
        "from beamscope.transforms.inference.embedder import Embedder\n"
        "from beamscope.transforms.inference.backends.saved_model import compilers\n"
        "from beamscope.transforms.inference.model_settings import ModelSettings\n"
        "compilers._GPU_DEVICES = ()\n"
        f"model = Embedder.from_settings(ModelSettings({settings.uri!r}, batch_size=4))\n"
        "print(model.compile_used, model.embed(np.zeros((3, 16, 16, 3), np.uint8)).shape)\n"
        "print('tensorflow' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == f"openvino (3, {models.FEATURES})\nFalse\n", done.stderr


def test_the_key_has_what_decides(settings: ModelSettings, tmp_path: Path) -> None:
    def key(**changed: Any) -> str:
        place = place_of(find_model(dataclasses.replace(settings, **changed)))
        assert place is not None
        return place.key

    same = key()
    assert key(batch_size=16) == key(model_sha256=None) == same
    other = models.save(tmp_path / "other", models.feature_map)
    assert len({same, key(input_range="-1..1"), key(pooling="none"), key(uri=other)}) == 4
    assert key(compile="openvino") != same


@pytest.mark.parametrize("how", ["xla", "graph", "none"])
def test_other_ways_are_not_kept(settings: ModelSettings, how: str) -> None:
    assert place_of(find_model(dataclasses.replace(settings, compile=how))) is None


def test_where_there_may_be_a_gpu_tensorflow_is_asked(
    settings: ModelSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilers, "_GPU_DEVICES", ("null",))
    assert place_of(find_model(settings)) is None
    assert place_of(find_model(dataclasses.replace(settings, compile="openvino"))) is not None


@pytest.mark.parametrize("damage", ["files", "answers"])
def test_what_does_not_serve_is_made_again(
    settings: ModelSettings,
    loads: list[Path],
    damage: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Embedder.from_settings(settings)
    (entry,) = entries(tmp_path)
    if damage == "files":
        (entry / "model.bin").write_bytes(b"")
    with monkeypatch.context() as patch:
        if damage == "answers":  # As if the processor computed something else than before.
            patch.setattr(agreement, "MIN_COSINE", 1.1)
        Embedder.from_settings(settings)
    said = "model.bin is damaged" if damage == "files" else "differs from the plain call"
    assert said in caplog.text
    assert "the model is compiled anew" in caplog.text
    assert len(loads) == 2
    pixels = models.noise(3)
    embedder = Embedder.from_settings(settings)
    np.testing.assert_allclose(embedder.embed(pixels), models.expected(pixels), atol=1e-5)


def test_what_differs_from_the_plain_call_is_not_kept(
    settings: ModelSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(self: Any, folder: Path, spec: Any) -> Any:
        return lambda pixels: np.ones((len(pixels), models.FEATURES), np.float32)

    monkeypatch.setattr(compilers.OpenVino, "open", wrong)
    embedder = Embedder.from_settings(settings)
    assert embedder.compile_used == "xla"
    assert entries(tmp_path) == []


def test_a_full_disk_costs_only_the_keeping(
    settings: ModelSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write = compiling.write_for_openvino

    def full(loaded: Any, folder: Path) -> str:
        if "cache" in folder.parts:
            raise OSError(28, "No space left on device")
        return write(loaded, folder)

    monkeypatch.setattr(compiling, "write_for_openvino", full)
    with caplog.at_level(logging.WARNING):
        embedder = Embedder.from_settings(settings)
    assert (embedder.compile_used, embedder.fallback) == ("openvino", None)
    assert "compiled models are not kept: " in caplog.text
    assert entries(tmp_path) == []
