"""A second backend is one module and one registration; nothing else is edited."""

import json
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from beamscope.pipelines.main import main
from beamscope.transforms.blocks import BlockKey, EmbeddingBlock, ImageBlock
from beamscope.transforms.inference.backends.base import (
    Backend,
    Compiled,
    Compiler,
    LoadedModel,
    compiled_by,
)
from beamscope.transforms.inference.backends.registry import BACKENDS, compiler_summaries
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.handler import ModelBackendHandler
from beamscope.transforms.inference.model_files import model_digest, model_name
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.inference.ptransforms.embed_blocks import EmbedBlocks
from beamscope.transforms.problems import InputError

SIZE = 8
KERNEL = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)


class MeanColour(LoadedModel):
    """A file of JSON with a matrix ``[3, D]``; the embedding is the mean colour times that."""

    def __init__(self, path: Path, settings: ModelSettings) -> None:
        self.settings = settings
        self.kernel = np.asarray(json.loads(path.read_bytes())["kernel"], np.float32)
        features = self.kernel.shape[1]
        self.spec = ModelSpec(
            backend="mean_colour",
            name=model_name(settings.uri),
            digest=model_digest(path),
            called="kernel",
            input_name="pixels",
            input_size=SIZE,
            size_source="model",
            input_dtype="uint8",
            input_layout="channels_last",
            input_channels=3,
            input_range="0..255",
            range_source="dtype",
            output_key=None,
            output_shape=(features,),
            output_layout="channels_last",
            pooling="none",
            first_patch=0,
            features=features,
            compile=compiled_by(MEAN_COLOUR, settings),
            precision=settings.computed_in,
        )

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        return self.answer(pixels)

    def answer(self, pixels: np.ndarray) -> np.ndarray:
        return pixels.mean(axis=(1, 2), dtype=np.float32) @ self.kernel


class Broken(Compiler[MeanColour]):
    name = "broken"
    summary = "fails in a way of its own"

    def compile(self, loaded: MeanColour) -> Compiled:
        raise KeyError("no such thing")


class Sums(Compiler[MeanColour]):
    name = "sums"
    summary = "sums of bytes"

    def compile(self, loaded: MeanColour) -> Compiled:
        kernel = loaded.kernel / SIZE**2
        return Compiled(lambda pixels: pixels.sum(axis=(1, 2)).astype(np.float32) @ kernel, "fast")


class MeanColourBackend(Backend[MeanColour]):
    name = "mean_colour"
    summary = "a matrix in JSON"
    compilers = (Broken(), Sums())

    def refusal(self, path: Path) -> str | None:
        return None if path.suffix == ".json" else "not a .json file"

    def load(self, path: Path, settings: ModelSettings) -> MeanColour:
        return MeanColour(path, settings)


MEAN_COLOUR = MeanColourBackend()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    BACKENDS.register("mean_colour", MEAN_COLOUR)
    yield
    BACKENDS.unregister("mean_colour")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    path = tmp_path / "mean.json"
    path.write_text(json.dumps({"kernel": KERNEL.tolist()}))
    return str(path)


def pixels(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE, 3), np.uint8)


def test_blocks_are_embedded_by_a_backend_that_only_its_own_module_knows(uri: str) -> None:
    blocks = [
        ImageBlock(BlockKey("a", index), pixels(n, index), pa.record_batch({"row": range(n)}), n)
        for index, n in enumerate((3, 0, 17))
    ]

    def check(embedded: list[EmbeddingBlock]) -> None:
        found = {block.key.index: block.embeddings for block in embedded}
        assert found.keys() == {0, 1, 2}
        for block in blocks:
            wanted = block.pixels.astype(np.float64).mean(axis=(1, 2)) @ KERNEL
            np.testing.assert_allclose(found[block.key.index], wanted, rtol=1e-5, atol=1e-3)

    handler = ModelBackendHandler(ModelSettings(uri))
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        assert_that(pipeline | beam.Create(blocks) | EmbedBlocks(handler), check)


def test_its_compilers_are_tried_in_their_order(uri: str) -> None:
    embedder = Embedder.from_settings(ModelSettings(uri))
    assert (embedder.compile_used, embedder.compile_detail) == ("sums", "fast")
    assert embedder.fallback == "compiling (broken) failed: 'no such thing'; sums is used"
    assert Embedder.from_settings(ModelSettings(uri, compile="none")).compile_used == "none"
    assert Embedder.from_settings(ModelSettings(uri, compile="broken")).compile_used == "none"


def test_check_model_and_the_command_line_know_it(
    uri: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(tmp_path / "cache"))
    assert main(["check-model", uri, "--compile", "sums"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (lines["backend"], lines["compile"]) == ("mean_colour", "sums, fast")
    assert compiler_summaries()["sums"] == "sums of bytes"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compile": "openvino"}, "--compile openvino: the model is a matrix in JSON, which is "
         "compiled by broken, sums"),
        ({"precision": "float16"}, "--precision float16: not for a matrix in JSON, only float32"),
    ],
)  # fmt: skip
def test_what_it_does_not_have_is_a_bad_option(
    uri: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        find_model(ModelSettings(uri, **options)).load()
    assert raised.value.kind == "bad_option"


def test_it_has_no_gpu(uri: str) -> None:
    with pytest.raises(InputError, match="the backend mean_colour sees none"):
        Embedder.from_settings(ModelSettings(uri), require_gpu=True)


def test_a_model_of_no_backend_says_why_each_refuses(tmp_path: Path) -> None:
    (tmp_path / "m.dat").touch()
    with pytest.raises(
        InputError, match=r"m\.dat: a file, not the directory .*; not a \.json file"
    ):
        find_model(ModelSettings(str(tmp_path / "m.dat")))


def test_backends_are_registered_under_their_names() -> None:
    assert [backend.name for backend in BACKENDS] == list(BACKENDS.names())
