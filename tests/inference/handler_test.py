import dataclasses
import pickle
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.ml.inference.base import RunInference
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from beamscope.transforms.blocks import BlockKey, EmbeddingBlock, ImageBlock
from beamscope.transforms.inference.handler import ModelBackendHandler, OwnImages, embedding_block
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError, Problem
from tests.inference import models

UNREADABLE = Problem("a", "/slides/a.svs", "read", "unreadable_region", "cannot be read", 0, 64)


def slide_block(index: int, pixels: np.ndarray, problems: tuple[Problem, ...] = ()) -> ImageBlock:
    n = len(pixels)
    rows = pa.record_batch(
        {
            "slide_id": pa.array(["a"] * n, pa.string()),
            "x_level0": pa.array(range(100, 100 + n), pa.int32()),
            "y_level0": pa.array(range(200, 200 + n), pa.int32()),
        }
    )
    return ImageBlock(BlockKey("a", index), pixels, rows, n + len(problems), problems)


def blank(n: int) -> np.ndarray:
    return np.zeros((n, models.SIZE, models.SIZE, 3), np.uint8)


def test_the_pipeline_names_a_model_of_any_alphabet():
    # Beam encodes what it writes of a handler into the pipeline as ASCII.
    handler = ModelBackendHandler(ModelSettings("/modèles/病理"))
    pipeline = beam.Pipeline(runner=FnApiRunner())
    _ = pipeline | beam.Create([]) | RunInference(handler)
    assert rb"mod\xe8les" in pipeline.to_runner_api().SerializeToString()


@pytest.fixture
def handler(tmp_path: Path) -> ModelBackendHandler:
    uri = models.save(tmp_path / "m", models.normalized)
    return ModelBackendHandler(ModelSettings(uri, batch_size=4))


@pytest.mark.parametrize("large_model", [False, True])
def test_run_inference_in_a_pipeline(handler: ModelBackendHandler, large_model: bool) -> None:
    handler = dataclasses.replace(handler, large_model=large_model)
    dark = models.noise(6, seed=1)
    dark[[0, 3]] = 0
    blocks = [
        slide_block(0, models.noise(5), (UNREADABLE,)),
        slide_block(1, dark, (UNREADABLE,)),
        slide_block(2, blank(0), (UNREADABLE, UNREADABLE)),
        slide_block(3, blank(2)),
        slide_block(4, models.noise(1)),
    ]

    def check(embedded: list[EmbeddingBlock]) -> None:
        by_index = sorted(embedded, key=lambda block: block.key)
        assert [block.key for block in by_index] == [block.key for block in blocks]
        for source, block in zip(blocks, by_index, strict=True):
            assert block.planned == source.planned
            assert block.rows.schema == source.rows.schema
            kept = source.pixels.any(axis=(1, 2, 3))
            wanted = models.expected(source.pixels[kept])
            wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
            np.testing.assert_allclose(block.embeddings, wanted, atol=1e-5)
            assert block.rows.equals(source.rows.filter(pa.array(kept)))
            lost = [(100 + int(row), 200 + int(row)) for row in np.flatnonzero(~kept)]
            assert block.problems[: len(source.problems)] == source.problems
            new = block.problems[len(source.problems) :]
            assert [(problem.x_level0, problem.y_level0) for problem in new] == lost
            assert {(problem.stage, problem.kind) for problem in new} <= {("embed", "non_finite")}

    pipeline = beam.Pipeline(runner=FnApiRunner())
    assert_that(pipeline | beam.Create(blocks) | RunInference(handler), check)
    result = pipeline.run()
    by_openvino = MetricsFilter().with_name("blocks_by_openvino")
    (counter,) = result.metrics().query(by_openvino)["counters"]
    assert counter.committed == len(blocks)


def test_a_bad_model_stops_the_pipeline(tmp_path: Path) -> None:
    handler = ModelBackendHandler(ModelSettings(str(tmp_path / "nothing")))
    pipeline = beam.Pipeline(runner=FnApiRunner())
    _ = pipeline | beam.Create([slide_block(0, blank(1))]) | RunInference(handler)
    with pytest.raises(Exception, match="there is no such file or directory"):
        pipeline.run()


def test_bad_model_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file or directory"):
        ModelBackendHandler(ModelSettings(str(tmp_path / "nothing"))).load_model()


def test_handler_is_small_and_picklable(handler: ModelBackendHandler) -> None:
    assert pickle.loads(pickle.dumps(handler)) == handler
    assert handler.batch_elements_kwargs() == {"min_batch_size": 1, "max_batch_size": 1}
    assert handler.get_metrics_namespace() == "beamscope"
    assert handler.get_num_bytes([slide_block(0, blank(2))]) == 2 * models.SIZE**2 * 3


@pytest.mark.parametrize("large_model", [False, True])
def test_share_model_across_processes(large_model: bool) -> None:
    handler = ModelBackendHandler(ModelSettings("m"), large_model=large_model)
    assert handler.share_model_across_processes() == large_model
    assert handler.model_copies() == 1


def test_run_inference_errors(handler: ModelBackendHandler) -> None:
    with pytest.raises(ValueError, match="takes no inference_args: \\['training'\\]"):
        list(handler.run_inference([], model=None, inference_args={"training": True}))


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (
            {"slide_id": ["s", "t"], "x_level0": [1, 2], "y_level0": [3, 4]},
            {"item_id": "t", "uri": "a.svs", "x_level0": 2, "y_level0": 4},
        ),
        (
            {"image_id": ["f", "g"], "member": ["f.png", "g.png"]},
            {"item_id": "g", "member": "g.png", "x_level0": None, "y_level0": None},
        ),
        ({"row": [0, 1]}, {"item_id": "key", "uri": "a.svs", "x_level0": None}),
    ],
)
def test_embedding_block_names_the_row(
    columns: dict[str, list[Any]], problem: dict[str, Any]
) -> None:
    block = ImageBlock(BlockKey("key", 0), blank(2), pa.record_batch(columns), 2, uri="a.svs")
    embedded = embedding_block(block, np.array([[1, 2], [np.inf, 3]], np.float32))
    assert embedded.embeddings.tolist() == [[1, 2]]
    assert embedded.rows.to_pydict() == {name: values[:1] for name, values in columns.items()}
    (found,) = embedded.problems
    assert {name: getattr(found, name) for name in problem} == problem


class HalfSize:
    """Fits images of twice the model's size, and remembers how many at a time."""

    def __init__(self) -> None:
        self.given: list[int] = []

    def apply(self, pixels: np.ndarray, threads: Executor | None = None) -> np.ndarray:
        assert threads is not None
        self.given.append(len(pixels))
        return pixels[:, ::2, ::2]


@pytest.mark.parametrize("count", [0, 1, 64, 130])
def test_images_are_fitted_some_at_a_time(handler: ModelBackendHandler, count: int) -> None:
    half = HalfSize()
    small = models.noise(count)
    large = small.repeat(2, axis=1).repeat(2, axis=2)
    fitting = dataclasses.replace(handler, own=OwnImages(fit=half))
    (block,) = fitting.run_inference([slide_block(0, large)], fitting.load_model())
    assert block.embeddings.shape[0] == len(block.rows) == count
    if count:
        wanted = models.expected(small)
        wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
        np.testing.assert_allclose(block.embeddings, wanted, atol=1e-5)
    assert sum(half.given) == count
    assert max(half.given) <= 64
    # A model of another size is a defect of the call, not another embedding.
    with pytest.raises(ValueError, match="pixels are uint8"):
        list(handler.run_inference([slide_block(0, large)], handler.load_model()))
