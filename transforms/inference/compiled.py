"""A SavedModel as one compiled function from pixels to embeddings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from transforms.inference.devices import grow_gpu_memory
from transforms.inference.model_settings import Compile, ModelSettings, ModelSpec
from transforms.inference.saved_model import LoadedModel, input_errors, load
from transforms.problems import one_line

MIN_COSINE = 0.9999
# Lengths of embeddings may differ by this fraction: a cosine does not see a factor.
MAX_LENGTH_DIFFERENCE = 0.01
# A protobuf message cannot exceed 2 GiB, and a frozen graph is one; 1 MiB is left for its nodes.
MAX_FROZEN_BYTES = (2 << 30) - (1 << 20)

_log = logging.getLogger(__name__)
_Function = Callable[[tf.Tensor], tf.Tensor]


class Embedder:
    """Embeds uint8 images with a SavedModel, compiled at one fixed batch size.

    Casting and scaling to the model's range are part of the compiled function, so that one byte a
    value goes to the device. At construction the compiled function is held against the plain call
    on a batch of structured images; where it fails or differs, a warning says so and the plain call
    is used. Safe to use from several threads.

    Attributes:
      spec: how the SavedModel is called.
      batch_size: images per call of the model.
      compile_used: ``xla``, ``graph`` or ``none``: what the embeddings are computed with.
      frozen: whether the variables became constants (they cannot where they exceed 2 GiB).
      check_cosine: lowest cosine, over the images of the check, between the compiled function's
        embedding and the plain call's; None where nothing was compiled or compiling failed.
      fallback: why not what was asked for is used, in one line; None where it is.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.spec: ModelSpec = loaded.spec
        self.batch_size: int = loaded.settings.batch_size
        self.compile_used: Compile = "none"
        self.frozen = False
        self.check_cosine: float | None = None
        self.fallback: str | None = None
        self._function: _Function = _plain(loaded)
        if loaded.settings.compile != "none":
            self._compile(loaded, loaded.settings.compile)

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> Embedder:
        """Loads and compiles a model; raises InputError (``bad_model``) as `saved_model.load`."""
        grow_gpu_memory()
        return cls(load(settings))

    def embed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embeds images, `batch_size` at a time, the last batch filled up with black.

        Args:
          pixels: uint8 RGB ``[n, H, W, 3]``, H and W as `spec.input_size` says; n may be 0.

        Returns:
          float32 ``[n, D]``, as the model gives them, NaN and infinity included.

        Raises:
          ValueError: for another shape or dtype.
        """
        size = self.spec.input_size
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (size, size, 3):
            raise ValueError(
                f"pixels are {pixels.dtype} {list(pixels.shape)}, not uint8 [n, {size}, {size}, 3]"
            )
        embeddings = np.empty((len(pixels), self.spec.features), np.float32)
        for start in range(0, len(pixels), self.batch_size):
            batch = pixels[start : start + self.batch_size]
            count = len(batch)
            if count < self.batch_size:
                batch = np.pad(batch, [(0, self.batch_size - count), (0, 0), (0, 0), (0, 0)])
            embeddings[start : start + count] = self._function(tf.constant(batch)).numpy()[:count]
        return embeddings

    def _compile(self, loaded: LoadedModel, how: Compile) -> None:
        pixels = tf.constant(structured_images(self.batch_size, self.spec.input_size))
        with input_errors(f"model {self.spec.name}: fails on a batch of {self.batch_size} images"):
            expected = self._function(pixels).numpy()
        try:
            function, frozen = _compiled(loaded, how)
            computed = function(pixels).numpy()
        # What freezing raises (ValueError, RuntimeError), and XLA (errors of TensorFlow's own).
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            self._fall_back(f"compiling ({how}) failed: {one_line(error)}")
            return
        self.check_cosine, difference = compare(computed, expected)
        if self.check_cosine < MIN_COSINE or difference > MAX_LENGTH_DIFFERENCE:
            self._fall_back(
                f"compiled ({how}) it differs from the plain call: cosine {self.check_cosine:.6f}, "
                f"lengths by {difference:.2%}"
            )
            return
        # The plain call is dropped with this, and with it the variables where they are frozen.
        self._function, self.frozen, self.compile_used = function, frozen, how

    def _fall_back(self, why: str) -> None:
        self.fallback = f"{why}; the plain call is used"
        _log.warning("model %s: %s", self.spec.name, self.fallback)


def compare(
    computed: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]
) -> tuple[float, float]:
    """Lowest cosine between the rows of two ``[n, D]``, and largest relative difference in length.

    Rows that are equal, zeros or the same NaN included, agree perfectly; rows of which just one is
    finite, or just one zero, not at all: cosine -1.
    """
    same = ((computed == expected) | (np.isnan(computed) & np.isnan(expected))).all(axis=1)
    a, b = computed[~same].astype(np.float64), expected[~same].astype(np.float64)
    if len(a) == 0:
        return 1.0, 0.0
    lengths_a, lengths_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = np.einsum("nd,nd->n", a, b) / (lengths_a * lengths_b)
        differences = np.abs(lengths_a / lengths_b - 1)
    cosines = np.where(np.isfinite(cosines), cosines, -1.0)
    differences = np.where(np.isfinite(differences), differences, np.inf)
    return float(cosines.min()), float(differences.max())


def structured_images(n: int, size: int) -> npt.NDArray[np.uint8]:
    """Images to try a model on, uint8 ``[n, size, size, 3]``, no two of them alike.

    Stripes of another period and direction in each channel, coarse on fine, with noise: flat images
    would leave most of a network's units silent.
    """
    random = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    angle = random.uniform(0, np.pi, (n, 1, 1, 3))
    period = random.uniform(2, size / 4 + 2, (n, 1, 1, 3))
    phase = 2 * np.pi * size / period
    waves = np.sin(phase * (x[..., None] * np.cos(angle) + y[..., None] * np.sin(angle)))
    blocks = random.uniform(-1, 1, (n, 8, 8, 3))
    cell = np.arange(size) * 8 // size
    grey = 128 + 50 * waves + 60 * blocks[:, cell][:, :, cell]
    grey += random.normal(0, 10, grey.shape)
    return np.clip(grey, 0, 255).astype(np.uint8)


def _plain(loaded: LoadedModel) -> _Function:
    return lambda pixels: loaded.call(loaded.prepare(pixels))


def _compiled(loaded: LoadedModel, how: Compile) -> tuple[_Function, bool]:
    """The model as a function of a fixed batch of pixels, and whether its variables are frozen."""
    size = loaded.spec.input_size
    signature = [tf.TensorSpec([loaded.settings.batch_size, size, size, 3], tf.uint8)]
    function: Any = tf.function(_plain(loaded), input_signature=signature)
    concrete = function.get_concrete_function()
    frozen = _frozen_bytes(concrete) <= MAX_FROZEN_BYTES
    if frozen:
        # Constants let weights that are computed from weights (standardised convolutions, folded
        # norms) be computed once; control flow stays as it is for XLA.
        constant = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
        call: _Function = lambda pixels: constant(pixels)[0]  # noqa: E731
    else:
        call = concrete
    if how == "xla":
        call = tf.function(call, input_signature=signature, jit_compile=True)
    return call, frozen


def _frozen_bytes(concrete: Any) -> int:
    variables = sum(
        variable.dtype.size * variable.shape.num_elements() for variable in concrete.variables
    )
    return int(variables) + int(concrete.graph.as_graph_def().ByteSize())
