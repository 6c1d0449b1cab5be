"""The steps of a job share one copy of a model in a process."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from beamscope.transforms.blocks import BlockKey, EmbeddingBlock, ImageBlock
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.handler import ModelBackendHandler
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.ptransforms.embed_blocks import EmbedBlocks
from beamscope.transforms.inference.shared_models import shared_model
from beamscope.transforms.problems import InputError
from tests.inference import models
from tests.inference.handler_test import slide_block


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were loaded, by uri."""
    uris: list[str] = []
    from_settings = Embedder.from_settings.__func__  # type: ignore[attr-defined]

    def noted(cls: type[Embedder], settings: ModelSettings, **flags: Any) -> Any:
        uris.append(settings.uri)
        return from_settings(cls, settings, **flags)

    monkeypatch.setattr(Embedder, "from_settings", classmethod(noted))
    return uris


def embed_twice(*handlers: ModelBackendHandler) -> dict[int, np.ndarray]:
    """Runs two steps with each handler in one pipeline, one behind the other."""
    block = slide_block(0, models.noise(3))
    found: dict[int, np.ndarray] = {}
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        for number, handler in enumerate(handlers):
            first = pipeline | f"A{number}" >> beam.Create([block])
            first = first | f"EmbedA{number}" >> EmbedBlocks(handler)
            second = pipeline | f"B{number}" >> beam.Create([block])
            waits = beam.pvalue.AsIter(first | f"Keys{number}" >> beam.Map(_key))
            second = second | f"After{number}" >> beam.Map(_first, waits)
            second = second | f"EmbedB{number}" >> EmbedBlocks(handler)
            both = (first, second) | f"Both{number}" >> beam.Flatten()

            def check(embedded: list[EmbeddingBlock], number: int = number) -> None:
                one, other = (block.embeddings for block in embedded)
                np.testing.assert_array_equal(one, other)
                found[number] = one

            assert_that(both, check, label=f"check{number}")
    return found


def _key(block: EmbeddingBlock) -> BlockKey:
    return block.key


def _first(block: ImageBlock, _: Any) -> ImageBlock:
    return block


def test_two_steps_of_a_job_load_a_model_once(tmp_path: Path, loaded: list[str]) -> None:
    uris = [models.save(tmp_path / name, models.normalized) for name in "mn"]
    handlers = [ModelBackendHandler(ModelSettings(uri, batch_size=4), job="j") for uri in uris]
    embed_twice(*handlers)
    assert sorted(loaded) == uris
    loaded.clear()
    embed_twice(dataclasses.replace(handlers[0], job=""))
    assert loaded == [uris[0]] * 2


def test_threads_that_ask_at_once_load_once() -> None:
    entered = threading.Barrier(4)
    calls: list[object] = []

    def load() -> Any:
        calls.append(object())
        return calls[-1]

    def ask() -> Any:
        entered.wait()
        return shared_model("threads", "m", load)

    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(ask) for _ in range(4)]
    assert {id(future.result()) for future in futures} == {id(calls[0])}


def test_another_job_drops_the_models_of_the_one_before() -> None:
    first = shared_model("one", "m", lambda: object())  # type: ignore[arg-type,return-value]
    assert shared_model("one", "m", lambda: object()) is first  # type: ignore[arg-type,return-value]
    shared_model("two", "m", lambda: object())  # type: ignore[arg-type,return-value]
    assert shared_model("one", "m", lambda: object()) is not first  # type: ignore[arg-type,return-value]


def test_a_model_that_fails_is_tried_again(tmp_path: Path) -> None:
    handler = ModelBackendHandler(ModelSettings(str(tmp_path / "m"), batch_size=4), job="again")
    with pytest.raises(InputError, match="there is no such file or directory"):
        handler.load_model()
    models.save(tmp_path / "m", models.normalized)
    assert handler.load_model().spec.features
