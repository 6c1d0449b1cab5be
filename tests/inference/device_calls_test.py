"""Models of a fake backend with a GPU whose memory holds so many images at a time, and no more."""

import contextlib
import dataclasses
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beamscope.transforms.blocks import BlockKey, ImageBlock
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.inference.backends.base import Backend, Compiled, Compiler, LoadedModel
from beamscope.transforms.inference.backends.onnx.backend import ONNX
from beamscope.transforms.inference.backends.registry import BACKENDS
from beamscope.transforms.inference.backends.saved_model.backend import SAVED_MODEL
from beamscope.transforms.inference.batches import embed_in_batches
from beamscope.transforms.inference.device_calls import gpu_of, is_out_of_memory, turn_on
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.handler import ModelBackendHandler
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.inference.ptransforms.embed_blocks import EmbedBlocks
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.problems import InputError

SIZE = 4


def resource_exhausted(batch: int) -> Exception:
    return tf.errors.ResourceExhaustedError(None, None, f"failed for shape[{batch},4,4,3]")


@dataclasses.dataclass
class Device:
    """What the fake models run on.

    Attributes:
      holds: the most images a call for which there is memory.
      error: what is raised for more, by the number of images.
      gpus: names of the GPUs.
      fixed_batch: of the models.
      for_processors: whether their compiler is.
      sizes: of all calls so far.
      entered: threads in a call now.
      most: threads that were in a call at once.
    """

    holds: int = 64
    error: Callable[[int], Exception] = resource_exhausted
    gpus: tuple[str, ...] = ("/physical_device:GPU:0",)
    fixed_batch: int | None = None
    for_processors: bool = False
    sizes: list[int] = dataclasses.field(default_factory=list)
    entered: int = 0
    most: int = 0
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def call(self, pixels: np.ndarray) -> np.ndarray:
        with self.lock:
            self.entered += 1
            self.most = max(self.most, self.entered)
            self.sizes.append(len(pixels))
        try:
            time.sleep(0.002)  # Long enough that another thread would enter.
            if len(pixels) > self.holds:
                raise self.error(len(pixels))
            return pixels.mean(axis=(1, 2), dtype=np.float32)
        finally:
            with self.lock:
                self.entered -= 1


class Model(LoadedModel):
    def __init__(self, backend: "FakeBackend", path: Path, settings: ModelSettings) -> None:
        self.settings, self.device, self.backend = settings, backend.device, backend
        self.spec = ModelSpec(
            backend=backend.name, name=path.name, digest="0" * 64, called="mean",
            input_name="pixels", input_size=SIZE, size_source="model", input_dtype="uint8",
            input_layout="channels_last", input_channels=3, input_range="0..255",
            range_source="dtype", output_key=None, output_shape=(3,),
            output_layout="channels_last", pooling="none", first_patch=0, features=3,
            fixed_batch=backend.device.fixed_batch, compile=settings.compile,
        )  # fmt: skip

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        return embed_in_batches(self.answer, pixels, self.batch_size, 3)

    def answer(self, pixels: np.ndarray) -> np.ndarray:
        return self.device.call(pixels)


class Compile(Compiler[Model]):
    name = "fake"
    summary = "does nothing"

    def __init__(self, backend: "FakeBackend") -> None:
        self.backend = backend

    @property
    def for_processors(self) -> bool:  # type: ignore[override]
        return self.backend.device.for_processors

    def compile(self, loaded: Model) -> Compiled:
        device, batch = loaded.device, loaded.batch_size

        def embed(pixels: np.ndarray) -> np.ndarray:
            return embed_in_batches(device.call, pixels, batch, 3)

        self.backend.compiled.append(weakref.ref(embed))
        return Compiled(embed)


class FakeBackend(Backend[Model]):
    name = "fake_gpu"
    summary = "a fake"

    def __init__(self, device: Device) -> None:
        self.device = device
        self.compilers = (Compile(self),)
        self.compiled: list[weakref.ref[Callable[[np.ndarray], np.ndarray]]] = []

    def refusal(self, path: Path) -> str | None:
        return None if path.suffix == ".fake" else "not a .fake file"

    def gpus(self) -> list[str]:
        return list(self.device.gpus)

    def load(self, path: Path, settings: ModelSettings) -> Model:
        return Model(self, path, settings)


@contextlib.contextmanager
def registered(backend: FakeBackend) -> Iterator[None]:
    BACKENDS.register(backend.name, backend)
    try:
        yield
    finally:
        BACKENDS.unregister(backend.name)


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def backend(device: Device) -> Iterator[FakeBackend]:
    backend = FakeBackend(device)
    with registered(backend):
        yield backend


@pytest.fixture
def uri(backend: FakeBackend, tmp_path: Path) -> str:
    (tmp_path / "m.fake").touch()
    return str(tmp_path / "m.fake")


def images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE, 3), np.uint8)


def means(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float64).mean(axis=(1, 2))


# -- turns


def embed_at_once(embedders: list[Embedder]) -> None:
    with ThreadPoolExecutor(8) as threads:
        wanted = [images(20, seed) for seed in range(8)]
        found = threads.map(
            lambda pair: pair[0].embed(pair[1]), zip(embedders * 8, wanted, strict=False)
        )
        for pixels, embeddings in zip(wanted, found, strict=True):
            np.testing.assert_allclose(embeddings, means(pixels), rtol=1e-5)


@pytest.mark.parametrize("how", ["fake", "none"])
def test_threads_take_turns_on_a_gpu(device: Device, uri: str, how: str) -> None:
    embedder = Embedder.from_settings(ModelSettings(uri, batch_size=8, compile=how))
    embed_at_once([embedder])
    assert device.most == 1


def test_models_of_a_process_take_turns_on_one_gpu(
    device: Device, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Embedder.from_settings(ModelSettings(uri, batch_size=8))
    # The same GPU by the name that another library has for it.
    monkeypatch.setattr(device, "gpus", ("onnxruntime:CUDA:0",))
    embed_at_once([first, Embedder.from_settings(ModelSettings(uri, batch_size=4))])
    assert device.most == 1


@pytest.mark.parametrize("how", ["fake", "none"])
def test_threads_enter_at_once_on_the_processor(
    device: Device, uri: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "gpus", ())
    embedder = Embedder.from_settings(ModelSettings(uri, batch_size=8, compile=how))
    embed_at_once([embedder])
    assert device.most > 1


def test_a_compiler_for_processors_takes_no_turns(device: Device, uri: str) -> None:
    device.for_processors = True
    embed_at_once([Embedder.from_settings(ModelSettings(uri, batch_size=8))])
    assert device.most > 1


def test_which_models_run_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for backend, name in ((SAVED_MODEL, "/physical_device:GPU:0"), (ONNX, "onnxruntime:CUDA:0")):
        for gpus in ([name], []):
            monkeypatch.setattr(type(backend), "gpus", lambda self, gpus=gpus: gpus)
            found = {compiler.name: gpu_of(backend, compiler) for compiler in backend.compilers}
            found["none"] = gpu_of(backend, None)
            assert found.pop("openvino") is None
            assert set(found.values()) == {gpus[0] if gpus else None}


def test_two_gpus_do_not_wait_for_each_other() -> None:
    entered = threading.Barrier(2, timeout=10)

    def enter(gpu: str) -> None:
        with turn_on(gpu):
            entered.wait()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(enter, ["GPU:0", "GPU:1"]))


# -- memory


@pytest.mark.parametrize(
    "error",
    [
        resource_exhausted(64),
        tf.errors.InternalError(None, None, "RESOURCE_EXHAUSTED: Out of memory while trying to"),
        RuntimeError("[ONNXRuntimeError] : 6 : BFCArena::AllocateRawInternal Failed to allocate "
                     "memory for requested buffer of size 536870912"),
        RuntimeError("CUDA failure 2: out of memory ; GPU=0"),
        RuntimeError("Exception from src/inference: std::bad_alloc"),
        RuntimeError("CUDNN_STATUS_ALLOC_FAILED"),
        MemoryError(),
    ],
)  # fmt: skip
def test_what_libraries_say_of_memory(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [ValueError("shape [64, 4, 4, 3]"), RuntimeError("no room: bloom filter"), KeyError()]
)
def test_what_is_no_lack_of_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("gpus", [("/physical_device:GPU:0",), ()])
@pytest.mark.parametrize("how", ["fake", "none"])
def test_a_batch_is_halved_once(
    device: Device, uri: str, how: str, gpus: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    device.gpus = gpus
    embedder = Embedder.from_settings(ModelSettings(uri, batch_size=16, compile=how))
    assert (embedder.batch_size, embedder.halved_batch()) == (16, None)
    device.holds = 8
    device.sizes.clear()
    pixels = images(40)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_allclose(embedder.embed(pixels), means(pixels), rtol=1e-5)
        np.testing.assert_allclose(embedder.embed(pixels), means(pixels), rtol=1e-5)
    assert (embedder.batch_size, embedder.halved_batch(), embedder.halved_from) == (8, 8, 16)
    assert device.sizes.count(16) == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "model m.fake: no memory for 16 images a call (failed for shape[16,4,4,3]): 8 from now on"
    )


def test_the_first_batch_may_be_the_one_for_which_there_is_no_memory(
    device: Device, uri: str
) -> None:
    device.holds = 8
    embedder = Embedder.from_settings(ModelSettings(uri, batch_size=16))
    assert (embedder.compile_used, embedder.halved_batch()) == ("fake", 8)
    pixels = images(9)
    np.testing.assert_allclose(embedder.embed(pixels), means(pixels), rtol=1e-5)


@pytest.mark.parametrize("gpus", [("GPU:0",), ()])
def test_threads_that_lack_memory_at_once_halve_once(
    device: Device, uri: str, gpus: tuple[str, ...], backend: FakeBackend
) -> None:
    device.gpus = gpus
    embedder = Embedder.from_settings(ModelSettings(uri, batch_size=16))
    device.holds = 8
    embed_at_once([embedder])
    assert embedder.halved_batch() == 8
    assert len(backend.compiled) == 2
    gc.collect()
    assert backend.compiled[0]() is None  # Its memory is free again.


@pytest.mark.parametrize(
    ("batch", "changes", "message"),
    [
        (16, {"holds": 7}, "--batch_size 16, nor 8: no memory for a call of model m.fake (failed "
         "for shape[8,4,4,3]): try --batch_size 4"),
        (1, {"holds": 0}, "--batch_size 1: no memory for a call of model m.fake (failed for "
         "shape[1,4,4,3]): only more memory helps"),
        (16, {"holds": 4, "fixed_batch": 5}, "--batch_size 5: no memory for a call of model m.fake "
         "(failed for shape[5,4,4,3]): it takes no other number of images, so only more memory "
         "helps"),
        (16, {"holds": 0, "for_processors": True}, "--batch_size 16: no memory for a call of model "
         "m.fake (failed for shape[16,4,4,3]): each call takes one image already, so only a "
         "machine with more memory helps"),
    ],
)  # fmt: skip
def test_a_second_failure_is_an_error_with_its_remedy(
    device: Device, uri: str, batch: int, changes: dict[str, int], message: str
) -> None:
    device.fixed_batch = changes.pop("fixed_batch", None)
    device.for_processors = bool(changes.pop("for_processors", False))
    embedder = Embedder.from_settings(ModelSettings(uri, batch_size=batch))
    device.holds = changes["holds"]
    for _ in range(2):
        with pytest.raises(InputError) as raised:
            embedder.embed(images(20))
        assert (raised.value.kind, raised.value.message) == ("bad_option", message)


def test_a_second_failure_at_load_is_an_error_with_its_remedy(device: Device, uri: str) -> None:
    device.holds = 7
    with pytest.raises(InputError, match=r"--batch_size 16, nor 8: .* try --batch_size 4"):
        Embedder.from_settings(ModelSettings(uri, batch_size=16))


# -- jobs


def run(handler: ModelBackendHandler, blocks: list[ImageBlock]) -> dict[str, int]:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    _ = pipeline | beam.Create(blocks) | EmbedBlocks(handler)
    counters = pipeline.run().metrics().query(MetricsFilter())["counters"]
    return {counter.key.metric.name: counter.committed for counter in counters}


def block(index: int, n: int) -> ImageBlock:
    return ImageBlock(BlockKey("a", index), images(n), pa.record_batch({"row": range(n)}), n)


def test_a_job_counts_the_blocks_in_halved_batches(device: Device, uri: str) -> None:
    device.holds = 8
    handler = ModelBackendHandler(ModelSettings(uri, batch_size=16))
    counters = run(handler, [block(index, 20) for index in range(3)])
    assert counters["blocks_in_halved_batches_of_8"] == 3


def test_a_job_without_memory_stops_and_loses_no_block(
    device: Device, uri: str, tmp_path: Path
) -> None:
    guard = Guard(Layout(str(tmp_path / "out"), "p1", "f1"), "run")
    handler = ModelBackendHandler(ModelSettings(uri, batch_size=16), guard=guard)
    model = handler.load_model()
    device.holds = 7
    with pytest.raises(InputError, match="try --batch_size 4"):
        list(handler.run_inference([block(0, 20)], model))
