"""A SavedModel as one compiled function from pixels to embeddings."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from beamscope.transforms.inference.backends.saved_model.compilers import (
    Embed,
    candidates,
    check_machine,
    compiled,
    plain,
)
from beamscope.transforms.inference.backends.saved_model.loading import (
    LoadedModel,
    input_errors,
    load,
)
from beamscope.transforms.inference.devices import forbid_tensor_float, grow_gpu_memory
from beamscope.transforms.inference.model_settings import (
    Compile,
    ModelSettings,
    ModelSpec,
    Precision,
)
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

# Lowest cosine with the plain call, and largest difference of the lengths of embeddings, as a
# fraction: a cosine does not see a factor. What is lower than float32 is asked for knowing that it
# rounds, and its cosine is told: there the bounds only find what is broken.
MIN_COSINE = 0.9999
MAX_LENGTH_DIFFERENCE = 0.01
MIN_COSINE_ROUNDED = 0.98
MAX_LENGTH_DIFFERENCE_ROUNDED = 0.05

_log = logging.getLogger(__name__)


class Embedder:
    """Embeds uint8 images with a SavedModel, compiled for one fixed batch size.

    Casting and scaling to the model's range are part of the compiled function, so that one byte a
    value goes to the device. At construction the compiled function is held against the plain call
    on a batch of structured images. Where it fails or differs, a warning says so, and the next way
    of compiling is tried (of `auto`), or the plain call is used; at a precision below float32 that
    is an error, since the plain call would give other embeddings. Safe to use from several threads.

    Attributes:
      spec: how the SavedModel is called.
      batch_size: images per call of the model.
      compile_used: ``openvino``, ``xla``, ``graph`` or ``none``: what computes the embeddings.
      precision: ``float32``, ``bfloat16`` or ``float16``: what they are computed in.
      frozen: whether the variables became constants (they cannot where they exceed 2 GiB).
      check_cosine: lowest cosine, over the images of the check, between the compiled function's
        embedding and the plain call's; None where nothing was compiled or compiling failed.
      fallback: why not what was asked for is used, in one line; None where it is.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        """Compiles a model.

        Raises:
          InputError: ``bad_option`` where the machine has not what the settings ask for;
            ``bad_model`` where the model fails on a batch, or cannot be computed in the precision.
        """
        check_machine(loaded.settings)
        self.spec: ModelSpec = loaded.spec
        self.batch_size: int = loaded.settings.batch_size
        self.compile_used: Compile = "none"
        self.precision: Precision = loaded.settings.computed_in
        self.frozen = False
        self.check_cosine: float | None = None
        self.fallback: str | None = None
        # Where the variables are frozen, they go when this does.
        self._embed: Embed = plain(loaded)
        ways = candidates(loaded.settings)
        if ways:
            self._compile(loaded, ways)

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> Embedder:
        """Loads and compiles a model; raises InputError as `saved_model.load` and `Embedder`."""
        grow_gpu_memory()
        forbid_tensor_float()
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
        return self._embed(pixels)

    def way(self) -> str:
        """`compile_used`; a method, since of a copy that processes share only those are reached."""
        return self.compile_used

    def _compile(self, loaded: LoadedModel, ways: tuple[Compile, ...]) -> None:
        pixels = structured_images(self.batch_size, self.spec.input_size)
        with input_errors(f"model {self.spec.name}: fails on a batch of {self.batch_size} images"):
            expected = self._embed(pixels)
        failures = []
        for how in ways:
            failure = self._try(loaded, how, pixels, expected)
            if failure is None:
                break
            failures.append(failure)
        if not failures:
            return
        if self.precision != "float32":
            raise InputError(
                Kind.BAD_MODEL,
                f"model {self.spec.name}: --precision {self.precision}: {failures[0]}",
            )
        used = "the plain call" if self.compile_used == "none" else self.compile_used
        self.fallback = f"{'; '.join(failures)}; {used} is used"
        _log.warning("model %s: %s", self.spec.name, self.fallback)

    def _try(
        self,
        loaded: LoadedModel,
        how: Compile,
        pixels: npt.NDArray[np.uint8],
        expected: npt.NDArray[np.float32],
    ) -> str | None:
        """Compiles, compares, and takes it into use; or says what is wrong with it."""
        try:
            embed, frozen = compiled(loaded, how)
            computed = embed(pixels)
        # What freezing and OpenVINO raise (ValueError, RuntimeError), and XLA (TensorFlow's own).
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            return f"compiling ({how}) failed: {one_line(error)}"
        self.check_cosine, difference = compare(computed, expected)
        exact = self.precision == "float32"
        if self.check_cosine < (MIN_COSINE if exact else MIN_COSINE_ROUNDED) or difference > (
            MAX_LENGTH_DIFFERENCE if exact else MAX_LENGTH_DIFFERENCE_ROUNDED
        ):
            return (
                f"compiled ({how}) it differs from the plain call: cosine {self.check_cosine:.6f}, "
                f"lengths by {difference:.2%}"
            )
        self._embed, self.frozen, self.compile_used = embed, frozen, how
        cosine = f"cosine {self.check_cosine:.6f} with the plain call"
        _log.info("model %s: %s by %s, %s", self.spec.name, self.precision, how, cosine)
        return None


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
