"""The ways to compute a model's embeddings, and which of them a machine has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from beamscope.transforms.inference.backends.saved_model.freezing import can_freeze, freeze, traced
from beamscope.transforms.inference.backends.saved_model.group_means import shorten_group_means
from beamscope.transforms.inference.backends.saved_model.loading import LoadedModel
from beamscope.transforms.inference.backends.saved_model.mixed_precision import lowered
from beamscope.transforms.inference.batches import padded_batches
from beamscope.transforms.inference.devices import gpus
from beamscope.transforms.inference.model_settings import Compile, ModelSettings
from beamscope.transforms.inference.openvino_model import (
    OpenVinoModel,
    has_bfloat16,
    openvino_is_installed,
)
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

Embed = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


def check_machine(settings: ModelSettings) -> None:
    """Raises InputError (``bad_option``) where this machine has not what the settings ask for."""
    how, precision = settings.compiled_by, settings.computed_in
    if how == "openvino" and not openvino_is_installed():
        asked = "--compile openvino" if settings.compile == how else f"--precision {precision}"
        raise InputError(
            Kind.BAD_OPTION,
            f"{asked}: the package openvino is not installed: pip install 'beamscope[cpu]'",
        )
    if precision == "float16" and not gpus():
        raise InputError(Kind.BAD_OPTION, "--precision float16: TensorFlow sees no GPU here")
    if precision == "bfloat16" and not _processor_has_bfloat16(how):
        raise InputError(Kind.BAD_OPTION, "--precision bfloat16: this processor does not have it")


def candidates(settings: ModelSettings) -> tuple[Compile, ...]:
    """The ways to compile a model on this machine, in the order in which to try them."""
    how = settings.compiled_by
    if how == "none":
        return ()
    if how != "auto":
        return (how,)
    return ("openvino", "xla") if openvino_is_installed() and not gpus() else ("xla",)


def plain(loaded: LoadedModel) -> Embed:
    """The plain call of a SavedModel."""
    return _in_batches(
        lambda pixels: loaded.call(loaded.prepare(pixels)),
        loaded.settings.batch_size,
        loaded.spec.features,
    )


def compiled(loaded: LoadedModel, how: Compile) -> tuple[Embed, bool]:
    """A model compiled in one of the ways, and whether its variables became constants.

    Raises:
      ValueError, RuntimeError, tf.errors.OpError: it cannot be.
    """
    batch_size, precision = loaded.settings.batch_size, loaded.settings.computed_in
    images = batch_size
    if how == "openvino":
        images = loaded.endpoint.batch_size or 1
    concrete = traced(loaded, images)
    if not can_freeze(concrete):
        if how == "openvino" or precision != "float32":
            raise ValueError("the variables are too large to be constants (2 GiB)")
        call = concrete if how == "graph" else tf.function(concrete, jit_compile=True)
        return _in_batches(call, batch_size, loaded.spec.features), False
    frozen = freeze(concrete, images)
    if how != "xla":
        frozen, _ = shorten_group_means(frozen)
    if how == "openvino":
        return OpenVinoModel(frozen, loaded.spec.features, precision), True
    if precision != "float32":
        frozen = lowered(frozen, precision)
    constant = frozen.function()
    call = constant if how == "graph" else tf.function(constant, jit_compile=True)
    return _in_batches(lambda pixels: call(pixels)[0], batch_size, loaded.spec.features), True


def _in_batches(call: Callable[[tf.Tensor], tf.Tensor], batch_size: int, features: int) -> Embed:
    def embed(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        embeddings = np.empty((len(pixels), features), np.float32)
        for start, count, batch in padded_batches(pixels, batch_size):
            embeddings[start : start + count] = call(tf.constant(batch)).numpy()[:count]
        return embeddings

    return embed


def _processor_has_bfloat16(how: Compile) -> bool:
    if how == "openvino":
        return has_bfloat16()
    # TensorFlow does not tell; it would compute in float32 and round.
    flags = Path("/proc/cpuinfo").read_text(errors="replace").split()
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)
