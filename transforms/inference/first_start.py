"""The first start with a model: a process of its own compiles it, and this one opens the result.

TensorFlow holds about twice the bytes of the weights until its process ends, also when the model is
dropped. So the process that embeds never imports it where what is compiled can be kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from beamscope.transforms.activity import doing
from beamscope.transforms.apart import Apart, EndedApartError, call_apart
from beamscope.transforms.heap import return_freed_memory
from beamscope.transforms.inference.compile_checked import (
    UnfitError,
    compiler_failure,
    expected_time,
    is_lasting,
    keep,
    not_kept,
    plain_answers,
)
from beamscope.transforms.inference.find_model import FoundModel
from beamscope.transforms.inference.kept_models import Failed, Kept, Place, read_entry
from beamscope.transforms.inference.load_apart import is_worth_apart, refuse_where_died
from beamscope.transforms.inference.model_files import model_bytes
from beamscope.transforms.inference.model_settings import ModelSpec
from beamscope.transforms.problems import one_line

# What this process knows of models whose failure may be another one's next time, by their keys.
_failed_here: dict[str, Failed] = {}


@dataclasses.dataclass(frozen=True)
class Start:
    """What a start with a model finds, or makes.

    Attributes:
      entry: what is kept; `Failed` where the compiler does not serve; None where there is nothing.
      made: whether it was made just now.
      to_keep: the place, where this process has to compile the model itself and may keep it.
      stale: why what is kept does not serve; None where it may.
    """

    entry: Kept | Failed | None = None
    made: bool = False
    to_keep: Place | None = None
    stale: str | None = None

    @property
    def failure(self) -> str | None:
        """Why the compiler of the place does not serve; None where that is not known."""
        return self.entry.failure if isinstance(self.entry, Failed) else None


@contextlib.contextmanager
def started(found: FoundModel, place: Place) -> Iterator[Start]:
    """Find the entry of a model, or make it in a process of its own; hold it during the body.

    Raises:
      InputError: as `FoundModel.load`; ``bad_model`` where the process dies while it loads.
    """
    with place.cache.held(place.key) as held:
        if place.key in _failed_here:
            yield Start(_failed_here[place.key])
        elif held.entry is not None:
            entry = read_entry(place)
            yield Start(entry, stale="it was made by another version" if entry is None else None)
        elif not held.alone:
            yield Start()
        else:
            entry = _made(found, place) if _is_made_apart(found, place) else None
            yield Start(entry, made=True, to_keep=place if entry is None else None)


def first_entry(found: FoundModel, place: Place) -> Kept | Failed | None:
    """Return the entry of a model, which is made where there is none; None where none can be.

    Raises:
      InputError: as `started`.
    """
    with started(found, place) as start:
        return start.entry


def note_failure(place: Place, spec: ModelSpec, error: UnfitError) -> str:
    """Note that what was made just now does not serve, and return why."""
    cause = error.__cause__
    failure = str(error) if cause is None else compiler_failure(place.compiler, cause)
    _failed(place, Failed(spec, failure), lasting=error.lasting)
    return failure


def _failed(place: Place, failed: Failed, *, lasting: bool) -> Failed:
    """Note that the compiler of a place does not serve; the caller holds the place alone.

    Where it might in another process, only this one keeps it in mind.
    """
    place.cache.forget(place.key)
    if lasting:
        with contextlib.suppress(OSError):
            failed.write(place)
    else:
        _failed_here[place.key] = failed
    return failed


def _is_made_apart(found: FoundModel, place: Place) -> bool:
    """Return whether a process of its own is worth its start, and can keep what it makes."""
    return is_worth_apart(found) and model_bytes(str(found.path)) <= place.cache.max_bytes


def _made(found: FoundModel, place: Place) -> Kept | Failed | None:
    """Make an entry in a process of its own; return what it is, or None where there is none."""
    specs = list[ModelSpec]()
    try:
        with doing("loading the model"):
            outcome: Outcome = call_apart(_make, found, place, hear=specs.append)
    except EndedApartError as error:
        if error.status is None or not specs:
            refuse_where_died(found, error)
            return None
        outcome = Outcome(f"compiling ({place.compiler.name}) failed: its process {error}")
    if outcome.kept:
        return read_entry(place)
    return _failed(place, Failed(specs[0], outcome.failure), lasting=outcome.lasting)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of an entry that a process was to make.

    Attributes:
      failure: why the compiler does not serve.
      lasting: whether it would not in another process either.
      kept: whether there is one.
    """

    failure: str | None = None
    lasting: bool = False
    kept: bool = False


def _make(apart: Apart, found: FoundModel, place: Place) -> Outcome:
    """Be that process: load a model, check its answers, compile it and keep it.

    Whoever opens what is kept compares it with the answers, so it is not opened here.
    """
    compiler = place.compiler
    found.backend.start()
    loaded = found.load()
    apart.tell(loaded.spec)
    with doing(f"compiling the model{expected_time(found.settings.uri)}"):
        _, answers = plain_answers(loaded, None)
        return_freed_memory()
        try:
            detail = compiler.write(loaded, place.cache.partial(place.key))
        except OSError as error:
            not_kept(one_line(error))
            return Outcome()
        # Compilers raise any exception of the libraries below them.
        except Exception as error:  # noqa: BLE001
            return Outcome(compiler_failure(compiler, error), lasting=is_lasting(error))
        return Outcome(kept=keep(place, Kept(loaded.spec, detail, answers)))
