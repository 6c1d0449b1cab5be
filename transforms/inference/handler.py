"""The model handler for Beam's RunInference: from blocks of images to blocks of embeddings."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from apache_beam.ml.inference.base import ModelHandler

from beamscope.transforms.blocks import EmbeddingBlock, ImageBlock
from beamscope.transforms.faults.defects import DefectEverywhereError
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.faults.steps import Step
from beamscope.transforms.inference.device_calls import HALVED_BATCHES
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.open_ahead import opened_ahead
from beamscope.transforms.inference.shared_models import shared_model
from beamscope.transforms.metrics import count
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, Problem

if TYPE_CHECKING:
    from beamscope.transforms.inference.embedder import Embedder

# Images that are fitted at a time: no second block of pixels is in memory.
_FITTED_TOGETHER = 64


class FitImages(Protocol):
    """Fits images to a model's input."""

    def apply(
        self, pixels: np.ndarray[Any, Any], threads: Executor | None = None
    ) -> np.ndarray[Any, Any]:
        """Return uint8 ``[n, input_px, input_px, 3]`` of uint8 ``[n, size, size, 3]``."""


@dataclasses.dataclass(frozen=True)
class OwnImages:
    """How a model finds its images in a block that several models share.

    Attributes:
      view: which of the block's views it takes.
      fit: how the images are then fitted to its input; None where they have that size.
    """

    view: int = 0
    fit: FitImages | None = None


@functools.cache
def _fit_threads() -> ThreadPoolExecutor:
    # Resizing takes 1 to 5 ms a patch, without Python's lock: a GPU would wait for one thread.
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="fit-images")


@dataclasses.dataclass(frozen=True)
class ModelBackendHandler(ModelHandler[ImageBlock, EmbeddingBlock, "Embedder"]):
    """Run a model of any backend in Beam's RunInference.

    A block is already a batch, so a call takes one block. If the model cannot be loaded,
    `load_model` raises InputError, which stops the job. Do not use RunInference's exception
    handling: the job would then end as done. With a guard, a model that fails on a block costs the
    rows of that block; without a guard it stops the job.

    Attributes:
      settings: the model, and how it is called and compiled.
      large_model: whether a machine keeps one copy of the model, instead of one in each worker
        process; pixels and embeddings then travel between processes.
      require_gpu: whether a worker that sees no GPU fails before it loads the model.
      guard: of the job.
      in_lists: whether blocks come as lists of one. Beam's own batching keeps back each block until
        the next one comes, though a block is a batch already.
      own: how the model finds its images in a block, where several models share it.
      job: name of the job whose steps share one copy in a process; empty: each step has its own.
    """

    settings: ModelSettings
    large_model: bool = False
    require_gpu: bool = False
    guard: Guard | None = None
    in_lists: bool = False
    own: OwnImages = dataclasses.field(default_factory=OwnImages)
    job: str = ""

    def __str__(self) -> str:
        """Return the attributes in ASCII, as Beam writes them into the pipeline."""
        return repr(self).encode("ascii", "backslashreplace").decode()

    def load_model(self) -> Embedder:
        """Load and compile the model, once per process (or machine) and step, or `job`.

        Raises:
          InputError: ``bad_model``; ``no_gpu`` if a GPU is required and there is none;
            ``bad_option`` if the machine does not support the settings.
        """
        if self.job:
            return shared_model(self.job, (self.settings, self.require_gpu), self._load)
        return self._load()

    def _load(self) -> Embedder:
        # Imported here because only workers load the model.
        from beamscope.transforms.inference.embedder import Embedder

        opened = None if self.require_gpu else opened_ahead(self.settings)
        if opened is not None:
            return opened
        return Embedder.from_settings(self.settings, require_gpu=self.require_gpu)

    def run_inference(
        self,
        batch: Sequence[ImageBlock],
        model: Embedder,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterator[EmbeddingBlock]:
        """Embed each block; a row whose embedding is not finite becomes a problem.

        With a guard, so does every row of a block on which the model fails.

        Count the blocks by compiler: ``blocks_by_openvino`` and the like; and those in batches
        that were halved for lack of memory: ``blocks_in_halved_batches_of_32`` and the like.

        Raises:
          InputError: ``bad_option``: there is no memory for the model, which stops the job.
        """
        if inference_args:
            raise ValueError(f"the model takes no inference_args: {sorted(inference_args)}")
        compiler = model.compiler()
        for block in batch:
            count(f"blocks_by_{compiler}")
            embedded = self._embedded(block.views[self.own.view], model)
            if (size := model.halved_batch()) is not None:
                count(f"{HALVED_BATCHES}{size}")
            yield embedded

    def _embedded(self, block: ImageBlock, model: Embedder) -> EmbeddingBlock:
        guard = self.guard
        if guard is None:
            return embedding_block(block, self._answers(model, block))
        step = Step.of(block.key)
        try:
            with guard.watch(step, "embed"):
                embeddings = self._answers(model, block)
        except InputError:  # No memory: no block is to blame.
            raise
        except Exception as error:  # noqa: BLE001
            try:
                # The model sees nothing but pixels, so that its words quote nobody's data.
                problem = guard.defect(step, "embed", error, quoted=True)
            except DefectEverywhereError as everywhere:
                guard.forget(everywhere)
                raise
            return lost_block(block, problem, model.features())
        if len(embeddings):
            guard.worked("embed")
        return embedding_block(block, embeddings)

    def _answers(self, model: Embedder, block: ImageBlock) -> np.ndarray[Any, Any]:
        """Return one embedding for each image of a block.

        Raises:
          ValueError: the model has given another number of them, or of another length.
        """
        fit = self.own.fit
        if fit is None:
            embeddings = model.embed(block.pixels)
        else:
            # Whole batches, so that the model is called with the same ones as for fitted blocks.
            step = self.settings.batch_size * max(1, _FITTED_TOGETHER // self.settings.batch_size)
            starts = range(0, max(1, len(block.pixels)), step)
            threads = _fit_threads()
            fitted = (fit.apply(block.pixels[at : at + step], threads) for at in starts)
            embeddings = np.concatenate([model.embed(pixels) for pixels in fitted])
        expected = (len(block.pixels), model.features())
        if embeddings.shape != expected:
            raise ValueError(
                f"the model answered {list(embeddings.shape)} for {len(block.pixels)} images, "
                f"not {list(expected)}"
            )
        return embeddings

    def get_num_bytes(self, batch: Sequence[ImageBlock]) -> int:
        """Return the bytes of the pixels; Beam's own method would pickle them to count."""
        return sum(block.pixels.nbytes for block in batch)

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Return batch sizes of one: a call takes one block."""
        return {"min_batch_size": 1, "max_batch_size": 1}

    def should_skip_batching(self) -> bool:
        """Return whether Beam need not make lists of blocks."""
        return self.in_lists

    def get_metrics_namespace(self) -> str:
        """Return the namespace of Beam's counters of inferences and milliseconds."""
        return "beamscope"

    def share_model_across_processes(self) -> bool:
        """Return whether the worker processes of a machine share one copy."""
        return self.large_model


def embedding_block(block: ImageBlock, embeddings: np.ndarray[Any, Any]) -> EmbeddingBlock:
    """Return the embeddings ``[n, D]`` of a block's images, without rows that are not finite.

    Each such row becomes a problem of kind ``non_finite``, with the patch's coordinates if the rows
    have them.
    """
    finite = np.isfinite(embeddings).all(axis=1)
    if finite.all():
        return EmbeddingBlock(
            block.key, embeddings, block.rows, block.planned, block.problems, block.left_out
        )
    problems = tuple(_non_finite(block, int(row)) for row in np.flatnonzero(~finite))
    return EmbeddingBlock(
        key=block.key,
        embeddings=embeddings[finite],
        rows=block.rows.filter(pa.array(finite)),
        planned=block.planned,
        problems=block.problems + problems,
        left_out=block.left_out,
    )


def lost_block(block: ImageBlock, error: InputError, features: int) -> EmbeddingBlock:
    """Return a block none of whose images could be embedded, each with the same problem."""
    problems = tuple(_problem(block, row, error) for row in range(len(block.pixels)))
    return EmbeddingBlock(
        key=block.key,
        embeddings=np.empty((0, features), np.float32),
        rows=block.rows.slice(0, 0),
        planned=block.planned,
        problems=block.problems + problems,
        left_out=block.left_out,
    )


def _non_finite(block: ImageBlock, row: int) -> Problem:
    message = "the model returns NaN or infinity for these pixels"
    return _problem(block, row, InputError(Kind.NON_FINITE, message))


def _problem(block: ImageBlock, row: int, error: InputError) -> Problem:
    def value(column: str, default: Any) -> Any:
        if column not in block.rows.schema.names:
            return default
        return block.rows.column(column)[row].as_py()

    return Problem(
        item_id=value("image_id", value("slide_id", block.key.item_id)),
        uri=block.uri,
        stage="embed",
        kind=error.kind,
        message=error.message,
        x_level0=value("x_level0", None),
        y_level0=value("y_level0", None),
        member=value("member", None),
    )
