"""The Embedder: a model as one compiled function from pixels to embeddings."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.activity import doing
from beamscope.transforms.inference.agreement import compare
from beamscope.transforms.inference.backends.base import Compiled, Compiler, Embed, LoadedModel
from beamscope.transforms.inference.backends.registry import BACKENDS
from beamscope.transforms.inference.cards.apply import check_card, with_card_record
from beamscope.transforms.inference.compiled_cache import BOUND_VARIABLE
from beamscope.transforms.inference.device_calls import (
    gpu_of,
    is_out_of_memory,
    no_memory,
    turn_on,
)
from beamscope.transforms.inference.find_model import find_model, open_model
from beamscope.transforms.inference.kept_models import Kept, Place, place_of
from beamscope.transforms.inference.model_memory import refuse_where_lacking
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec, Precision
from beamscope.transforms.inference.trial_images import structured_images
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage import files

# Lowest cosine with the plain call, and largest difference in length as a fraction, because a
# cosine does not change with a factor. Below float32, rounding is expected and the user sees the
# cosine; those bounds only detect broken results.
MIN_COSINE = 0.9999
MAX_LENGTH_DIFFERENCE = 0.01
MIN_COSINE_ROUNDED = 0.98
MAX_LENGTH_DIFFERENCE_ROUNDED = 0.05

# Measured on 2 cores: a BiT ResNet-50x1 of 91 MB takes 17 s, SqueezeNet's 3 MB 0.8 s.
_SECONDS_PER_BYTE = 0.18e-6
_WORTH_SAYING = 4.0

# In float32 these tell as much as more would; a plain call of a large model takes seconds an image.
_EXACT_IMAGES = 4

_log = logging.getLogger(__name__)

# Threads that lack memory at once are to open a model again once.
_reopening = threading.Lock()


class Embedder:
    """Embed uint8 images with a model, compiled for one fixed batch size.

    The compiled function casts and scales the pixels, so that each value goes to the device as one
    byte. The constructor compares it with the plain call on a batch of structured images. If a
    compiler fails, or its function differs, the embedder tries the next compiler, and last uses the
    plain call; a warning states which and why. At a precision below float32 a failure is an error
    instead, because the plain call would give other embeddings. Several threads may use an embedder
    at once; on a GPU they take turns, see `turn_on`. Where there is no memory for a batch, the
    model is opened again for half of it, once; a warning states that.

    Attributes:
      spec: how the model is called.
      batch_size: images per call of the model.
      compile_used: name of the compiler that computes the embeddings; ``none`` for the plain call.
      compile_detail: the compiler's own note, such as ``variables frozen``.
      precision: precision of the model's arithmetic.
      check_cosine: lowest cosine, over the images of the check, between the embeddings of the
        compiled function and of the plain call; None if nothing was compiled or compiling failed.
      fallback: one line on why the requested compiler is not used; None if it is.
      halved_from: the batch size for which there was no memory; None if there was.
    """

    def __init__(
        self, loaded: LoadedModel, place: Place | None = None, *, halved_from: int | None = None
    ) -> None:
        """Compile a model.

        Args:
          loaded: the model.
          place: where its compiled form is to be kept, see `kept_models`.
          halved_from: see the attribute.

        Raises:
          InputError: ``bad_option`` if the machine does not support the settings, or lacks the
            memory for half a batch; ``bad_model`` if the model fails on a batch, or cannot be
            computed in the precision.
        """
        backend = BACKENDS.get(loaded.spec.backend)
        compilers = backend.candidates(loaded.settings)
        self._describe(loaded.spec, loaded.settings)
        self.halved_from = halved_from
        self._gpu = gpu_of(backend, None)
        # A compiled function replaces it; the memory of the plain model is then freed.
        self._embed: Embed = loaded.embed
        if not compilers:
            return
        try:
            with doing(f"compiling the model{_expected_time(loaded.settings.uri)}"):
                self._compile(loaded, compilers, place)
            return
        except Exception as error:
            if self._gpu is None or not is_out_of_memory(error):
                raise
            reason = one_line(error)
        del loaded
        self._open_halved(reason)

    @classmethod
    def from_settings(cls, settings: ModelSettings, *, require_gpu: bool = False) -> Embedder:
        """Load and compile a model.

        Raises:
          InputError: as `open_model` and `Embedder`.
        """
        found = find_model(settings)
        place = None if require_gpu else place_of(found)
        if place is None:
            return cls(open_model(settings, require_gpu=require_gpu))
        with place.cache.held(place.key) as held:
            if held.entry is None:
                return cls(open_model(settings), place if held.alone else None)
            with doing("opening the compiled model"):
                kept, reason = cls._kept(place, held.entry, settings)
        if kept is not None:
            return kept
        place.cache.remove(place.key, reason)
        return cls(open_model(settings))

    @classmethod
    def if_kept(cls, settings: ModelSettings) -> Embedder | None:
        """Open what was compiled on this machine before; None where nothing was, or it fails.

        Raises:
          InputError: as `find_model`; ``bad_model`` where there is not enough memory.
        """
        place = place_of(find_model(settings))
        if place is None:
            return None
        with place.cache.held(place.key) as held:
            return None if held.entry is None else cls._kept(place, held.entry, settings)[0]

    @classmethod
    def _kept(
        cls, place: Place, entry: Path, settings: ModelSettings
    ) -> tuple[Embedder | None, str]:
        """Open what was compiled before; give the reason where it does not serve."""
        kept = Kept.read(place, entry)
        if kept is None:
            return None, "it was made by another version"
        embedder = cls.__new__(cls)
        embedder._describe(kept.spec, settings)
        embedder.halved_from = None
        weights = sum(file.stat().st_size for file in entry.iterdir())
        refuse_where_lacking(kept.spec.name, "open", weights)
        try:
            embed = place.compiler.open(entry, kept.spec)
            computed = embed(kept.pixels)
        except Exception as error:  # noqa: BLE001
            return None, f"it cannot be opened: {one_line(error)}"
        failure = embedder._difference(place.compiler, computed, kept.answers)
        if failure is not None:
            return None, failure
        embedder._use(place.compiler, embed, kept.detail)
        return embedder, ""

    def _describe(self, spec: ModelSpec, settings: ModelSettings) -> None:
        check_card(spec, settings)
        self.spec: ModelSpec = with_card_record(spec, settings)
        self.batch_size: int = spec.fixed_batch or settings.batch_size
        self.compile_used = "none"
        self.compile_detail = ""
        self.precision: Precision = spec.precision
        self.check_cosine: float | None = None
        self.fallback: str | None = None
        self._settings = settings
        self._for_processors = False

    def embed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embed images, `batch_size` at a time; pad the last batch with black.

        Args:
          pixels: uint8 RGB ``[n, H, W, 3]``, where H and W are `spec.input_size`; n may be 0.

        Returns:
          float32 ``[n, D]``: the model's output, NaN and infinity included.

        Raises:
          ValueError: the pixels have another shape or dtype.
          InputError: ``bad_option``: there is no memory, not for half a batch either.
        """
        size = self.spec.input_size
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (size, size, 3):
            raise ValueError(
                f"pixels are {pixels.dtype} {list(pixels.shape)}, not uint8 [n, {size}, {size}, 3]"
            )
        with turn_on(self._gpu):
            batch = self.batch_size
            try:
                return self._embed(pixels)
            except Exception as error:
                if not is_out_of_memory(error) or isinstance(error, InputError):
                    raise
                # The frames of the error hold the arrays of the call; they are to go first.
                reason = one_line(error)
            with _reopening:
                if self.batch_size == batch:
                    self._open_halved(reason)
            try:
                return self._embed(pixels)
            except Exception as error:
                if not is_out_of_memory(error) or isinstance(error, InputError):
                    raise
                raise self._no_memory(one_line(error)) from error

    def compiler(self) -> str:
        """Return `compile_used`. Processes that share a model can reach methods only."""
        return self.compile_used

    def features(self) -> int:
        """Return the length of an embedding; likewise."""
        return self.spec.features

    def halved_batch(self) -> int | None:
        """Return `batch_size` where it was halved for lack of memory, else None; likewise."""
        return None if self.halved_from is None else self.batch_size

    def _open_halved(self, reason: str) -> None:
        """Become an embedder of the same model with half the batch size.

        Raises:
          InputError: ``bad_option``: that cannot be, or does not help; else as `from_settings`.
        """
        error = self._no_memory(reason)
        batch, half = self.batch_size, self.batch_size // 2
        if (
            self._for_processors
            or self.spec.fixed_batch
            or self.halved_from is not None
            or not half
        ):
            raise error
        name, settings = self.spec.name, dataclasses.replace(self._settings, batch_size=half)
        _log.warning(
            "model %s: no memory for %d images a call (%s): %d from now on",
            name,
            batch,
            reason,
            half,
        )

        if self._gpu is not None:
            # The memory of what fails is for what replaces it. On a GPU nobody calls it meanwhile.
            self._embed = _refusing(error)
        try:
            fresh = type(self)(open_model(settings), halved_from=batch)
        except InputError as failure:
            self._embed = _refusing(failure)
            raise
        self.__dict__.update(fresh.__dict__)

    def _no_memory(self, reason: str) -> InputError:
        return no_memory(
            self.spec, self.batch_size, self.halved_from, reason, any_batch=self._for_processors
        )

    def _compile(
        self, loaded: LoadedModel, compilers: Sequence[Compiler[Any]], place: Place | None
    ) -> None:
        """Use the first compiler that works; record why others did not."""
        count = self.batch_size
        if self.precision == "float32" and not self.spec.fixed_batch:
            count = min(count, _EXACT_IMAGES)
        pixels = structured_images(count, self.spec.input_size)
        try:
            with turn_on(self._gpu):
                expected = loaded.answer(pixels)
        except Exception as error:
            if self._gpu is not None and is_out_of_memory(error):
                raise
            raise InputError(
                Kind.BAD_MODEL,
                f"model {self.spec.name}: fails on a batch of {count} images: {one_line(error)}",
            ) from error
        failures = []
        for compiler in compilers:
            failure = self._try(loaded, compiler, pixels, expected, place)
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
        compiler: Compiler[Any],
        pixels: npt.NDArray[np.uint8],
        expected: npt.NDArray[np.float32],
        place: Place | None,
    ) -> str | None:
        """Compile the model, compare it with the plain call, and use it if they agree.

        Returns:
          None if it is used, else the reason why it is not.
        """
        to_keep = place if place is not None and place.compiler is compiler else None
        try:
            compiled, to_keep = _compiled(loaded, compiler, to_keep)
            with turn_on(None if compiler.for_processors else self._gpu):
                computed = compiled.embed(pixels)
        # Compilers raise any exception of the libraries below them. The next one must still run.
        except Exception as error:
            if self._gpu is not None and not compiler.for_processors and is_out_of_memory(error):
                raise
            return f"compiling ({compiler.name}) failed: {one_line(error)}"
        failure = self._difference(compiler, computed, expected)
        if failure is not None:
            return failure
        self._use(compiler, compiled.embed, compiled.detail)
        if to_keep is not None:
            _keep(to_keep, Kept(self.spec, compiled.detail, expected))
        return None

    def _difference(
        self,
        compiler: Compiler[Any],
        computed: npt.NDArray[np.float32],
        expected: npt.NDArray[np.float32],
    ) -> str | None:
        """Return how answers differ from those of the plain call; None where they agree."""
        self.check_cosine, difference = compare(computed, expected)
        exact = self.precision == "float32"
        if self.check_cosine < (MIN_COSINE if exact else MIN_COSINE_ROUNDED) or difference > (
            MAX_LENGTH_DIFFERENCE if exact else MAX_LENGTH_DIFFERENCE_ROUNDED
        ):
            return (
                f"compiled ({compiler.name}) it differs from the plain call: cosine "
                f"{self.check_cosine:.6f}, length difference {difference:.2%}"
            )
        return None

    def _use(self, compiler: Compiler[Any], embed: Embed, detail: str) -> None:
        self._embed = embed
        self._for_processors = compiler.for_processors
        self._gpu = gpu_of(BACKENDS.get(self.spec.backend), compiler)
        self.compile_used, self.compile_detail = compiler.name, detail
        cosine = f"cosine {self.check_cosine:.6f} with the plain call"
        _log.info("model %s: %s by %s, %s", self.spec.name, self.precision, compiler.name, cosine)


def _refusing(error: InputError) -> Embed:
    """Return what raises an error at each call."""

    def refuse(_: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        raise error

    return refuse


def _compiled(
    loaded: LoadedModel, compiler: Compiler[Any], place: Place | None
) -> tuple[Compiled, Place | None]:
    """Compile a model into the files to keep, where there is a place that takes them."""
    if place is not None:
        try:
            folder = place.cache.partial(place.key)
            detail = place.compiler.write(loaded, folder)
            return Compiled(place.compiler.open(folder, loaded.spec), detail), place
        except OSError as error:
            _log.warning("compiled models are not kept: %s", one_line(error))
    return compiler.compile(loaded), None


def _keep(place: Place, kept: Kept) -> None:
    try:
        if not kept.write(place):
            _log.warning("compiled models are not kept: this one alone exceeds %s", BOUND_VARIABLE)
    except OSError as error:
        _log.warning("compiled models are not kept: %s", one_line(error))


def _expected_time(model: str) -> str:
    """Return about how long it takes to compile a model, for a person who waits for it."""
    try:
        seconds = sum(file.size for file in files.list_files(model)) * _SECONDS_PER_BYTE
    except OSError:
        return ""
    return f" (about {5 * round(seconds / 5)} s)" if seconds > _WORTH_SAYING else ""
