"""The Embedder: a model as one compiled function from pixels to embeddings."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading

import numpy as np
import numpy.typing as npt

from beamscope.transforms.activity import doing
from beamscope.transforms.inference.backends.base import Embed, LoadedModel
from beamscope.transforms.inference.backends.registry import BACKENDS
from beamscope.transforms.inference.cards.apply import check_card, with_card_record
from beamscope.transforms.inference.compile_checked import (
    Serving,
    UnfitError,
    check_falls_back,
    compile_checked,
    expected_time,
    open_checked,
)
from beamscope.transforms.inference.device_calls import (
    gpu_of,
    is_out_of_memory,
    no_memory,
    turn_on,
)
from beamscope.transforms.inference.find_model import find_model, open_model
from beamscope.transforms.inference.first_start import note_failure, started
from beamscope.transforms.inference.kept_models import Kept, Place, place_of, read_entry
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec, Precision
from beamscope.transforms.problems import InputError, one_line

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
        self,
        loaded: LoadedModel,
        place: Place | None = None,
        *,
        halved_from: int | None = None,
        failure: str | None = None,
    ) -> None:
        """Compile a model.

        Args:
          loaded: the model.
          place: where its compiled form is to be kept, see `kept_models`.
          halved_from: see the attribute.
          failure: why the compiler of the place does not serve, where it has been tried.

        Raises:
          InputError: ``bad_option`` if the machine does not support the settings, or lacks the
            memory for half a batch; ``bad_model`` if the model fails on a batch, or cannot be
            computed in the precision.
        """
        backend = BACKENDS.get(loaded.spec.backend)
        compilers = backend.candidates(loaded.settings)
        self._describe(loaded.spec, loaded.settings, halved_from)
        self._gpu = gpu_of(backend, None)
        # A compiled function replaces it; the memory of the plain model is then freed.
        self._embed: Embed = loaded.embed
        if not compilers:
            return
        failures = () if failure is None else (failure,)
        if failures and place is not None:
            compilers = [one for one in compilers if one is not place.compiler]
            place = None
        try:
            with doing(f"compiling the model{expected_time(loaded.settings.uri)}"):
                self._use(
                    compile_checked(loaded, compilers, self._gpu, place=place, failures=failures)
                )
            return
        except Exception as error:
            if self._gpu is None or not is_out_of_memory(error):
                raise
            reason = one_line(error)
        del loaded
        self._open_halved(reason)

    @classmethod
    def from_settings(cls, settings: ModelSettings, *, require_gpu: bool = False) -> Embedder:
        """Load and compile a model, in a process of its own where what is compiled can be kept.

        Raises:
          InputError: as `open_model` and `Embedder`.
        """
        found = find_model(settings)
        place = None if require_gpu else place_of(found)
        if place is None:
            return cls(open_model(settings, require_gpu=require_gpu))
        with started(found, place) as start:
            failure, stale = start.failure, start.stale
            if isinstance(start.entry, Kept):
                try:
                    return cls._opened(place, start.entry, settings)
                except UnfitError as error:
                    if start.made:
                        failure = note_failure(place, start.entry.spec, error)
                    else:
                        stale = str(error)
            if failure is not None and start.entry is not None:
                spec = start.entry.spec
                check_falls_back(spec.name, spec.precision, failure)
                return cls(open_model(settings), place, failure=failure)
            if stale is None:
                return cls(open_model(settings), start.to_keep)
        place.cache.remove(place.key, stale)
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
            entry = None if held.entry is None else read_entry(place)
            if not isinstance(entry, Kept):
                return None
            with contextlib.suppress(UnfitError):
                return cls._opened(place, entry, settings)
        return None

    @classmethod
    def _opened(cls, place: Place, kept: Kept, settings: ModelSettings) -> Embedder:
        """Open what is kept.

        Raises:
          InputError: ``bad_model`` where there is not enough memory.
          UnfitError: it does not serve.
        """
        embedder = cls.__new__(cls)
        embedder._describe(kept.spec, settings)
        with doing("opening the compiled model"):
            embedder._use(open_checked(place, kept))
        return embedder

    def _describe(
        self, spec: ModelSpec, settings: ModelSettings, halved_from: int | None = None
    ) -> None:
        check_card(spec, settings)
        self.spec: ModelSpec = with_card_record(spec, settings)
        self.batch_size: int = spec.fixed_batch or settings.batch_size
        self.compile_used = "none"
        self.compile_detail = ""
        self.precision: Precision = spec.precision
        self.check_cosine: float | None = None
        self.fallback: str | None = None
        self.halved_from = halved_from
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
            for is_last in (False, True):
                batch = self.batch_size
                try:
                    return self._embed(pixels)
                except Exception as error:
                    if isinstance(error, InputError) or not is_out_of_memory(error):
                        raise
                    if is_last:
                        raise self._no_memory(one_line(error)) from error
                    # The frames of the error hold the arrays of the call; they are to go first.
                    reason = one_line(error)
                with _reopening:
                    if self.batch_size == batch:
                        self._open_halved(reason)
        raise AssertionError("the last call returns or raises")

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

    def _use(self, serving: Serving) -> None:
        """Embed by what was found to serve, and say so."""
        name, compiler = self.spec.name, serving.compiler
        self._embed, self.check_cosine = serving.embed, serving.cosine
        if compiler is not None:
            self._for_processors = compiler.for_processors
            self._gpu = gpu_of(BACKENDS.get(self.spec.backend), compiler)
            self.compile_used, self.compile_detail = compiler.name, serving.detail
            cosine = f"cosine {serving.cosine:.6f} with the plain call"
            _log.info("model %s: %s by %s, %s", name, self.precision, compiler.name, cosine)
        if serving.failures:
            used = "the plain call" if compiler is None else compiler.name
            self.fallback = f"{'; '.join(serving.failures)}; {used} is used"
            _log.warning("model %s: %s", name, self.fallback)


def _refusing(error: InputError) -> Embed:
    """Return what raises an error at each call."""

    def refuse(_: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        raise error

    return refuse
