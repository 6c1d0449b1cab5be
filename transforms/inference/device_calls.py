"""Calls of models on one device: one at a time on a GPU, and what to do where its memory is short.

Without Beam, and without any library of models.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from typing import Any

from beamscope.transforms.inference.backends.base import Backend, Compiler
from beamscope.transforms.inference.model_settings import ModelSpec
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# Name of the counter of blocks in halved batches, without the size.
HALVED_BATCHES = "blocks_in_halved_batches_of_"

# TensorFlow's class; it is told by its name, so that TensorFlow need not be there.
_CLASS = "ResourceExhaustedError"
# Words of TensorFlow and XLA, of CUDA and its libraries, of onnxruntime, and of C++.
_WORDS = re.compile(
    r"RESOURCE_EXHAUSTED|\bOOM\b|out[ _]of[ _]memory|STATUS_ALLOC_FAILED"
    r"|failed to allocate memory|cannot allocate memory|bad[_ ]alloc",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+$")

_locks: dict[str, threading.RLock] = {}
_locks_lock = threading.Lock()


def gpu_of(backend: Backend[Any], compiler: Compiler[Any] | None) -> str | None:
    """Return the GPU that a compiled model runs on; None where it runs on the processor.

    Args:
      backend: of the model, started.
      compiler: that has compiled it; None for the plain call.
    """
    if compiler is not None and compiler.for_processors:
        return None
    # The backends use the first one.
    return next(iter(backend.gpus()), None)


@contextlib.contextmanager
def turn_on(gpu: str | None) -> Iterator[None]:
    """Wait until no other thread of this process calls a model on a GPU.

    Calls that enter a GPU at once need the memory of each, and are no faster than in turn. On the
    processor, where `gpu` is None, nobody waits.

    Args:
      gpu: as its backend calls it. The number at the end counts, since backends share the GPUs.
    """
    if gpu is None:
        yield
        return
    number = _NUMBER.search(gpu)
    with _locks_lock:
        lock = _locks.setdefault(number[0] if number else gpu, threading.RLock())
    with lock:
        yield


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a library says that there was no memory for a call of a model."""
    named = isinstance(error, MemoryError) or type(error).__name__ == _CLASS
    return named or _WORDS.search(str(error)) is not None


def no_memory(
    spec: ModelSpec, batch_size: int, halved_from: int | None, reason: str, *, any_batch: bool
) -> InputError:
    """Return the error that ends a job whose model gets no memory, with what helps.

    Args:
      spec: of the model.
      batch_size: for which there is none.
      halved_from: the one before, for which there was none either; or None.
      reason: what the library says, on one line.
      any_batch: whether the model takes an image at a time, whatever the batch size.
    """
    sizes = f"{batch_size}" if halved_from is None else f"{halved_from}, nor {batch_size}"
    if any_batch:
        remedy = "each call takes one image already, so only a machine with more memory helps"
    elif spec.fixed_batch:
        remedy = "it takes no other number of images, so only more memory helps"
    elif batch_size == 1:
        remedy = "only more memory helps"
    else:
        remedy = f"try --batch_size {max(1, batch_size // 2)}"
    return InputError(
        Kind.BAD_OPTION,
        f"--batch_size {sizes}: no memory for a call of model {spec.name} ({reason}): {remedy}",
    )
