"""A second start opens what the first has compiled of an ONNX model, without onnxruntime."""

import dataclasses
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from beamscope.transforms.inference import onnx_sessions
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.kept_models import kept_spec, place_of
from beamscope.transforms.inference.model_settings import ModelSettings
from tests.inference import onnx_models

ROOT = Path(__file__).resolve().parents[4]
LATER = """
import json, sys
import numpy as np
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.model_settings import ModelSettings

model = Embedder.from_settings(ModelSettings(sys.argv[1], batch_size=4))
answer = model.embed(np.load(sys.argv[2])).tolist()
print(json.dumps([model.compile_used, "onnxruntime" in sys.modules, answer]))
"""
PIXELS = np.random.default_rng(3).integers(
    0, 256, (5, onnx_models.SIZE, onnx_models.SIZE, 3), np.uint8
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BEAMSCOPE_COMPILED_GB", "1")
    return tmp_path / "cache" / "compiled"


def test_a_later_process_needs_no_onnxruntime(tmp_path: Path) -> None:
    uri = onnx_models.cnn(tmp_path / "m.onnx", external=True)
    first = Embedder.from_settings(ModelSettings(uri, batch_size=4))
    assert first.compile_used == "openvino"
    np.save(tmp_path / "pixels.npy", PIXELS)
    done = subprocess.run(
        [sys.executable, "-c", LATER, uri, str(tmp_path / "pixels.npy")],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    used, imported, answer = json.loads(done.stdout)
    assert (used, imported) == ("openvino", False)
    expected = onnx_models.called(uri, onnx_models.channels_first(PIXELS))
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_what_is_opened_answers_as_the_first(tmp_path: Path, dtype: str, cache: Path) -> None:
    shape = ("n", onnx_models.SIZE, onnx_models.SIZE, 3)
    uri = onnx_models.cnn(tmp_path / "m.onnx", shape=shape, dtype=dtype)
    settings = ModelSettings(uri, batch_size=4)
    first, again = Embedder.from_settings(settings), Embedder.if_kept(settings)
    assert again is not None
    assert len(list(cache.glob("*/model.bin"))) == 1
    place = place_of(find_model(settings))
    assert place is not None
    assert again.spec == first.spec == kept_spec(place)
    assert again.fallback is None
    np.testing.assert_array_equal(again.embed(PIXELS), first.embed(PIXELS))


def test_other_weights_are_another_model(tmp_path: Path) -> None:
    uri = onnx_models.cnn(tmp_path / "m.onnx", external=True)
    settings = ModelSettings(uri, batch_size=4)
    Embedder.from_settings(settings)
    data = bytearray((tmp_path / "m.onnx.data").read_bytes())
    data[3] ^= 0x80  # The sign of a weight.
    (tmp_path / "m.onnx.data").write_bytes(data)
    assert Embedder.if_kept(settings) is None
    expected = onnx_models.called(uri, onnx_models.channels_first(PIXELS))
    found = Embedder.from_settings(settings).embed(PIXELS)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_where_onnxruntime_may_have_a_gpu_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ModelSettings(onnx_models.cnn(tmp_path / "m.onnx"))
    assert not onnx_sessions.onnxruntime_may_have_gpus()
    assert place_of(find_model(settings)) is not None
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").touch()
    build = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(onnx_sessions.importlib.util, "find_spec", lambda _: build)
    assert onnx_sessions.onnxruntime_may_have_gpus()
    assert place_of(find_model(settings)) is None
    chosen = dataclasses.replace(settings, compile="openvino")
    assert place_of(find_model(chosen)) is not None
