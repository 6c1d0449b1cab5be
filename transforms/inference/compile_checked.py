"""Compile a model by the first compiler whose function answers as the plain call does."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.agreement import agreement
from beamscope.transforms.inference.backends.base import (
    SECONDS_PER_BYTE,
    Compiled,
    Compiler,
    Embed,
    LoadedModel,
)
from beamscope.transforms.inference.compiled_cache import BOUND_VARIABLE
from beamscope.transforms.inference.device_calls import is_out_of_memory, turn_on
from beamscope.transforms.inference.kept_models import Kept, Place
from beamscope.transforms.inference.model_files import model_bytes
from beamscope.transforms.inference.model_memory import LackingMemoryError, refuse_where_lacking
from beamscope.transforms.inference.trial_images import structured_images
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

_WORTH_SAYING = 4.0

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Serving:
    """What computes the embeddings of a model.

    Attributes:
      embed: the function.
      compiler: that has made it; None for the plain call.
      detail: the compiler's own note.
      cosine: the lowest with the plain call; None if no compiled function was compared.
      failures: why the compilers before it do not serve, a line each.
    """

    embed: Embed
    compiler: Compiler[Any] | None = None
    detail: str = ""
    cosine: float | None = None
    failures: tuple[str, ...] = ()


def compile_checked(
    loaded: LoadedModel,
    compilers: Sequence[Compiler[Any]],
    gpu: str | None,
    *,
    place: Place | None = None,
    failures: Sequence[str] = (),
) -> Serving:
    """Compile a model by the first compiler that works, and say why others did not.

    Args:
      loaded: the model.
      compilers: to try, in order; where none works the plain call serves.
      gpu: that the backend uses; None where it uses the processor.
      place: where the compiled form is to be kept, if it is its compiler's.
      failures: of compilers that were tried elsewhere before.

    Raises:
      InputError: ``bad_model`` if the model fails on a batch, or if a compiler fails at a precision
        below float32, where the plain call would give other embeddings.
      Exception: of any kind, where a GPU has no memory for a batch.
    """
    pixels, expected = plain_answers(loaded, gpu)
    failed, cosine = list(failures), None
    serving = None
    for compiler in compilers:
        to_keep = place if place is not None and place.compiler is compiler else None
        try:
            compiled, to_keep = _compiled(loaded, compiler, to_keep)
            with turn_on(None if compiler.for_processors else gpu):
                computed = compiled.embed(pixels)
        # Compilers raise any exception of the libraries below them. The next one must still run.
        except Exception as error:
            if gpu is not None and not compiler.for_processors and is_out_of_memory(error):
                raise
            failed.append(compiler_failure(compiler, error))
            continue
        cosine, difference = agreement(compiler.name, computed, expected, loaded.spec.precision)
        if difference is not None:
            failed.append(difference)
            continue
        if to_keep is not None:
            keep(to_keep, Kept(loaded.spec, compiled.detail, expected))
        serving = Serving(compiled.embed, compiler, compiled.detail)
        break
    if failed:
        check_falls_back(loaded.spec.name, loaded.spec.precision, failed[0])
    serving = serving or Serving(loaded.embed)
    return dataclasses.replace(serving, cosine=cosine, failures=tuple(failed))


class UnfitError(Exception):
    """What is kept of a model does not serve; the message says why.

    Attributes:
      lasting: whether it would not in another process either.
    """

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


def open_checked(place: Place, kept: Kept) -> Serving:
    """Open what is kept of a model, and compare it with the answers that are kept with it.

    Raises:
      InputError: ``bad_model`` where there is not enough memory.
      UnfitError: it cannot be opened, or answers otherwise.
    """
    spec, compiler = kept.spec, place.compiler
    weights = sum(file.stat().st_size for file in place.folder.iterdir())
    refuse_where_lacking(spec.name, "open", weights)
    try:
        embed = compiler.open(place.folder, spec)
        computed = embed(kept.pixels)
    except Exception as error:
        raise UnfitError(
            f"it cannot be opened: {one_line(error)}", lasting=is_lasting(error)
        ) from error
    cosine, difference = agreement(compiler.name, computed, kept.answers, spec.precision)
    if difference is not None:
        raise UnfitError(difference, lasting=True)
    return Serving(embed, compiler, kept.detail, cosine)


def is_lasting(error: BaseException) -> bool:
    """Return whether a compiler would fail in the same way in every process."""
    return not (isinstance(error, (LackingMemoryError, OSError)) or is_out_of_memory(error))


def plain_answers(
    loaded: LoadedModel, gpu: str | None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return trial images ``[n, size, size, 3]`` and what the plain call answers, ``[n, D]``.

    In float32 those of the first trial tell as much as more would.

    Raises:
      InputError: ``bad_model`` if the model fails on them.
      Exception: of any kind, where a GPU has no memory for them.
    """
    few = loaded.spec.precision == "float32" or loaded.spec.fixed_batch is not None
    count = len(loaded.trial_pixels) if few else loaded.batch_size
    try:
        with turn_on(gpu):
            if few:
                return loaded.trial_pixels, loaded.trial_answers
            pixels = structured_images(count, loaded.spec.input_size)
            return pixels, loaded.answer(pixels)
    except Exception as error:
        if gpu is not None and is_out_of_memory(error):
            raise
        raise InputError(
            Kind.BAD_MODEL,
            f"model {loaded.spec.name}: fails on a batch of {count} images: {one_line(error)}",
        ) from error


def compiler_failure(compiler: Compiler[Any], error: BaseException) -> str:
    """Return what a compiler's failure is called."""
    return f"compiling ({compiler.name}) failed: {one_line(error)}"


def check_falls_back(name: str, precision: str, failure: str) -> None:
    """Raise InputError (``bad_model``) where nothing may serve in the place of what failed."""
    if precision != "float32":
        raise InputError(Kind.BAD_MODEL, f"model {name}: --precision {precision}: {failure}")


def keep(place: Place, kept: Kept) -> bool:
    """Keep what was compiled, or say why that cannot be; return whether it is kept."""
    try:
        if kept.write(place):
            return True
        not_kept(f"this one alone exceeds {BOUND_VARIABLE}")
    except OSError as error:
        not_kept(one_line(error))
    return False


def not_kept(reason: str) -> None:
    """Say in the log why compiled models are not kept."""
    _log.warning("compiled models are not kept: %s", reason)


def expected_time(model: str) -> str:
    """Return about how long it takes to compile a model, for a person who waits for it."""
    try:
        seconds = model_bytes(model) * SECONDS_PER_BYTE
    except OSError:
        return ""
    return f" (about {5 * round(seconds / 5)} s)" if seconds > _WORTH_SAYING else ""


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
            not_kept(one_line(error))
    return compiler.compile(loaded), None
