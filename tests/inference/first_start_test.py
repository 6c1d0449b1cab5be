"""The first start with a model compiles it in a process of its own, and embeds as ever."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.inference import first_start, load_apart
from beamscope.transforms.inference.backends.saved_model import compilers
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import open_model
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError
from tests.inference import models, process_ends
from tests.inference.embedder_test import few_only, unknown_to_openvino
from tests.inference.kept import count_loads, keep_models

ROOT = Path(__file__).resolve().parents[2]
PIXELS = models.noise(6)
# Both steps of a job: how the model is called, and what embeds.
JOB = """
import sys
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions
from beamscope.pipelines.jobs.model import resolve_model
from beamscope.transforms.inference import first_start, load_apart
from beamscope.transforms.inference.backends.saved_model import compilers
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.model_settings import ModelSettings

compilers._GPU_DEVICES = ()
made, call = [], first_start.call_apart
first_start.call_apart = lambda *given, **named: made.append(1) or call(*given, **named)
settings = ModelSettings(sys.argv[1], batch_size=4)
spec = resolve_model(settings, PipelineOptions(["--runner", "FnApiRunner"]))
model = Embedder.from_settings(settings)
np.save(sys.argv[2], model.embed(np.load(sys.argv[3])))
print(len(made), spec.name, model.compile_used, "tensorflow" in sys.modules)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Here TensorFlow is imported already; small models would be compiled by this process.
    monkeypatch.setattr(load_apart, "_SMALL_BYTES", -1)
    monkeypatch.setattr(first_start, "_failed_here", {})
    return keep_models(tmp_path, monkeypatch)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models for which a process was started."""
    models_made: list[str] = []
    call = first_start.call_apart

    def counted(function: Any, found: Any, *given: Any, **named: Any) -> Any:
        models_made.append(found.settings.uri)
        return call(function, found, *given, **named)

    monkeypatch.setattr(first_start, "call_apart", counted)
    return models_made


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The models that this process has loaded."""
    return count_loads(monkeypatch)


def entries(cache: Path) -> list[Path]:
    return [path.parent for path in cache.glob("*/entry.json")]


def embeds(embedder: Embedder) -> None:
    np.testing.assert_allclose(embedder.embed(PIXELS), models.expected(PIXELS), atol=1e-4)


def test_a_job_imports_no_tensorflow_and_two_at_once_make_one_entry(
    tmp_path: Path, cache: Path
) -> None:
    uri = models.save(tmp_path / "m", models.feature_map)
    np.save(tmp_path / "pixels.npy", PIXELS)
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", JOB, uri, tmp_path / f"{name}.npy", tmp_path / "pixels.npy"],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )
        for name in "ab"
    ]  # fmt: skip
    said = sorted(job.communicate(timeout=600)[0] for job in jobs)
    assert said == ["0 m openvino False\n", "1 m openvino False\n"]
    assert len(entries(cache)) == 1
    for name in "ab":
        embeddings = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(embeddings, models.expected(PIXELS), atol=1e-5)


def test_a_model_is_refused_in_the_same_words(
    tmp_path: Path, cache: Path, loads: list[Path]
) -> None:
    settings = ModelSettings(models.save(tmp_path / "m", few_only), batch_size=4)
    with pytest.raises(InputError) as apart:
        Embedder.from_settings(settings)
    assert loads == []
    with pytest.raises(InputError) as here:
        open_model(settings)
    assert (apart.value.kind, apart.value.message) == (here.value.kind, here.value.message)
    assert entries(cache) == []


def of_the_batch(network: models.Network, images: tf.Tensor) -> tf.Tensor:
    """As batch normalisation in training mode."""
    features = network.features(images)
    return features - 0.5 * tf.reduce_mean(features, axis=0, keepdims=True)


def test_a_model_whose_answer_is_of_the_batch_is_refused(
    tmp_path: Path, cache: Path, made: list[str]
) -> None:
    settings = ModelSettings(models.save(tmp_path / "m", of_the_batch), batch_size=4)
    refused = []
    for load in (Embedder.from_settings, Embedder.from_settings, open_model):
        with pytest.raises(InputError, match="gives another answer for an image alone") as raised:
            load(settings)
        refused.append(raised.value.message)
    assert len(set(refused)) == 1
    assert len(made) == 2


def test_a_compiler_that_fails_there_is_not_tried_again(
    tmp_path: Path,
    cache: Path,
    made: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = ModelSettings(models.save(tmp_path / "m", unknown_to_openvino), batch_size=4)
    with monkeypatch.context() as patch:
        patch.setattr(compilers.OpenVino, "write", None)
        first = Embedder.from_settings(settings)
        again = Embedder.from_settings(settings)
    # Another process does not try it either: it is written down.
    assert len(made) == len(entries(cache)) == 1
    assert first_start._failed_here == {}
    monkeypatch.setenv("BEAMSCOPE_COMPILED_GB", "0")
    here = Embedder.from_settings(settings)
    for embedder in (first, again, here):
        assert embedder.compile_used == "xla"
        assert embedder.spec == here.spec
        assert embedder.fallback == here.fallback
        embeds(embedder)
    assert caplog.text.count(str(here.fallback)) == 3


@pytest.mark.parametrize(
    ("make", "used", "said", "kept"),
    [
        (process_ends.killed_while_it_compiles, "xla",
         "compiling (openvino) failed: its process was killed by SIGKILL, as the kernel does when "
         "memory runs out; xla is used", 0),
        # Written down, so that the next process does not try it either.
        (process_ends.keeps_what_does_not_serve, "xla", "compiling (openvino) failed: ", 1),
        (process_ends.keeps_nothing, "openvino", "", 0),
        (process_ends.raises, "openvino",
         "model m: loaded in this process, since another fails: no module named that", 1),
    ],
)  # fmt: skip
def test_where_the_process_fails_this_one_goes_on(
    tmp_path: Path,
    cache: Path,
    made: list[str],
    make: Callable[..., Any],
    used: str,
    said: str,
    kept: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(first_start, "_make", make)
    settings = ModelSettings(models.save(tmp_path / "m", models.vectors), batch_size=4)
    for _ in range(2):
        embedder = Embedder.from_settings(settings)
        assert embedder.compile_used == used
        assert embedder.spec.digest != process_ends.SPEC.digest
        embeds(embedder)
    assert len(made) == 1
    assert said in caplog.text
    assert "compiled anew" not in caplog.text
    assert len(entries(cache)) == kept
    assert list(cache.glob("*.partial")) == []


def test_a_process_that_is_killed_while_it_loads_is_one_line(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_start, "_make", process_ends.killed)
    settings = ModelSettings(models.save(tmp_path / "m", models.vectors), batch_size=4)
    with pytest.raises(InputError) as raised:
        Embedder.from_settings(settings)
    assert raised.value.message.startswith(
        "model m: the process that loads it was killed by SIGKILL, as the kernel does when memory "
        "runs out: use a machine with more"
    )
    assert "\n" not in raised.value.message


def test_no_process_for_what_exceeds_the_bound(
    tmp_path: Path,
    cache: Path,
    made: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("BEAMSCOPE_COMPILED_GB", "1e-6")
    settings = ModelSettings(models.save(tmp_path / "m", models.vectors), batch_size=4)
    embedder = Embedder.from_settings(settings)
    assert embedder.compile_used == "openvino"
    embeds(embedder)
    assert made == entries(cache) == []
    assert "this one alone exceeds BEAMSCOPE_COMPILED_GB" in caplog.text


@pytest.mark.parametrize("how", ["xla", "none"])
def test_no_process_for_what_cannot_be_kept(
    tmp_path: Path, cache: Path, made: list[str], how: str
) -> None:
    uri = models.save(tmp_path / "m", models.vectors)
    assert Embedder.from_settings(ModelSettings(uri, compile=how)).compile_used == how
    assert made == entries(cache) == []


def test_no_process_for_a_small_model_where_tensorflow_is_there(
    tmp_path: Path, cache: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_apart, "_SMALL_BYTES", 10**6)
    uri = models.save(tmp_path / "m", models.vectors)
    assert Embedder.from_settings(ModelSettings(uri)).compile_used == "openvino"
    assert made == []
    assert len(entries(cache)) == 1
