"""The interface that every model backend has.

A backend opens one kind of model: TensorFlow 2 SavedModels, for instance. It finds out how a model
is called, calls it as it is, and has compilers that make the same call faster. What needs no
library of models is done once, around the backends: the embedder compares what is compiled with
the plain call, and the handler runs it in Beam.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec, Precision
from beamscope.transforms.inference.trial_images import structured_images
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage.scratch import scratch_prefix

# Embeds uint8 RGB [n, H, W, 3], any n, and gives float32 [n, D].
Embed = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]

# Fewer would leave the spread between images to chance; more cost seconds with a large model.
_TRIAL_IMAGES = 3

# To compile a SavedModel on 2 cores: BiT 50x1 of 91 MB takes 6 s, 152x2 of 929 MB 35 s, and
# SqueezeNet of 3 MB less than one.
SECONDS_PER_BYTE = 0.06e-6

_Model = TypeVar("_Model", bound="LoadedModel")


@dataclasses.dataclass(frozen=True, eq=False)
class Compiled:
    """A model after compilation.

    Attributes:
      embed: computes what the plain call computes. Several threads may call it at once.
      detail: what else is worth telling a person, such as ``variables frozen``; may be empty.
    """

    embed: Embed
    detail: str = ""


class LoadedModel(abc.ABC):
    """A model in memory, with everything that was found out about calling it.

    Attributes:
      spec: how it is called.
      settings: what was asked for.
    """

    spec: ModelSpec
    settings: ModelSettings

    @property
    def batch_size(self) -> int:
        """Images per call: as the model says where it is bound to a number, else as asked for."""
        return self.spec.fixed_batch or self.settings.batch_size

    @abc.abstractmethod
    def embed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embed images by the plain call: the model as it is, nothing compiled.

        Args:
          pixels: uint8 RGB ``[n, size, size, 3]``, any n, size as `spec.input_size` says.

        Returns:
          float32 ``[n, D]``: the output that the spec chooses, pooled as it says.
        """

    @abc.abstractmethod
    def answer(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Call the model once, with exactly these images, and return one embedding for each.

        Unlike `embed` it never cuts the images into batches nor fills a batch up, so that the
        checks at load can see what the number of images does.
        """

    @functools.cached_property
    def trial_pixels(self) -> npt.NDArray[np.uint8]:
        """The first trial images, uint8 ``[n, size, size, 3]``: three, or as the model says."""
        return structured_images(self.spec.fixed_batch or _TRIAL_IMAGES, self.spec.input_size)

    @functools.cached_property
    def trial_answers(self) -> npt.NDArray[np.float32]:
        """What the plain call answers to them, ``[n, D]``; a large model takes seconds for it."""
        return self.answer(self.trial_pixels)

    def draws_random_numbers(self) -> bool:
        """Return whether the model has operations that draw random numbers, where that is known."""
        return False

    def weights_that_calls_may_change(self) -> Mapping[str, bytes]:
        """Return a digest of each weight that a call could change, by name; none if calls cannot.

        Whole numbers are left out: they count calls.
        """
        return {}


class Compiler(abc.ABC, Generic[_Model]):
    """One way to make a model of a backend faster.

    Attributes:
      name: what ``--compile`` calls it.
      summary: what it does, in a few words; for help and documents.
      precisions: of its arithmetic, float32 among them.
      for_processors: whether what it compiles runs on the processor, whatever else the backend
        sees, and takes as few images at a time as it likes, whatever the batch size.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    precisions: ClassVar[tuple[Precision, ...]] = ("float32",)
    for_processors: ClassVar[bool] = False

    def missing(self, precision: Precision) -> str | None:
        """Return why this machine cannot compile for a precision; None where it can."""
        del precision
        return None

    def is_automatic(self) -> bool:
        """Return whether ``--compile auto`` is to try it on this machine."""
        return True

    @abc.abstractmethod
    def compile(self, loaded: _Model) -> Compiled:
        """Compile a model, in the precision that its spec says.

        Raises:
          Exception: of any kind where it cannot; the next compiler is tried then. What may end the
            process has to be looked for beforehand, and raised as ValueError.
        """


class KeptCompiler(Compiler[_Model]):
    """A compiler whose work can be kept as files, and opened without the library of the model.

    Attributes:
      packages: whose versions decide what it makes.
      seconds_per_byte: about how long it takes, by the size of the model; 0 where that is no more
        than the plain call of some ten images.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    seconds_per_byte: ClassVar[float] = 0.0

    def is_certain(self) -> bool:
        """Return whether ``--compile auto`` tries it first here, as far as the system tells."""
        return False

    @abc.abstractmethod
    def write(self, loaded: _Model, folder: Path) -> str:
        """Compile a model into files, and return a note as in `Compiled.detail`."""

    @abc.abstractmethod
    def open(self, folder: Path, spec: ModelSpec) -> Embed:
        """Open what `write` wrote; the files may be deleted afterwards."""

    def compile(self, loaded: _Model) -> Compiled:
        """Compile a model by files that are deleted at once."""
        with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as folder:
            detail = self.write(loaded, Path(folder))
            return Compiled(self.open(Path(folder), loaded.spec), detail)


class Backend(abc.ABC, Generic[_Model]):
    """Opens one kind of model. Its module imports no library of models before `start`.

    Attributes:
      name: under which it is registered.
      summary: what it opens, in a few words with an article; for messages and documents.
      library: the package that takes seconds to import; empty where there is none.
      compilers: in the order in which ``--compile auto`` tries them.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    library: ClassVar[str] = ""
    compilers: tuple[Compiler[_Model], ...] = ()

    @abc.abstractmethod
    def refusal(self, path: Path) -> str | None:
        """Return why this backend does not open what lies at a local path; None where it does."""

    def start(self) -> None:  # A backend may have nothing to start.
        """Import the backend's libraries, and set up its devices before their first use."""

    def gpus(self) -> list[str]:
        """Return the names of the GPUs that the backend can use."""
        return []

    def require_gpu(self) -> None:
        """Raise InputError (``no_gpu``) unless the backend can use a GPU."""
        if not self.gpus():
            raise InputError(
                Kind.NO_GPU, f"a GPU is required, and the backend {self.name} sees none"
            )

    @abc.abstractmethod
    def load(self, path: Path, settings: ModelSettings) -> _Model:
        """Load a model, and find out how it is called by calling it on one grey image.

        Raises:
          InputError: ``bad_model`` where it cannot be loaded, is ambiguous, contradicts the
            settings, or does not give one finite embedding for an image.
        """

    def candidates(self, settings: ModelSettings) -> Sequence[Compiler[_Model]]:
        """Return the compilers to try on this machine, in order; none for the plain call.

        Raises:
          InputError: ``bad_option`` where the backend or this machine does not have what the
            settings ask for.
        """
        chosen = compiled_by(self, settings)
        if chosen == "none":
            return ()
        if chosen == "auto":
            return tuple(compiler for compiler in self.compilers if compiler.is_automatic())
        compiler = next(known for known in self.compilers if known.name == chosen)
        missing = compiler.missing(settings.computed_in)
        if missing is not None:
            exact = settings.computed_in == "float32"
            asked = f"--compile {chosen}" if exact else f"--precision {settings.computed_in}"
            raise InputError(Kind.BAD_OPTION, f"{asked}: {missing}")
        return (compiler,)


def compiled_by(backend: Backend[Any], settings: ModelSettings) -> str:
    """Return which compiler the settings mean: a name, ``auto`` or ``none``.

    In float32 it may stay ``auto``, because what ``auto`` chooses on one machine and on another
    agrees. Lower precisions differ by more than rounding from one compiler to the next, so there
    ``auto`` is the first compiler that has the precision, whatever a machine has.

    Raises:
      InputError: ``bad_option`` where the backend has no such compiler, or not that precision.
    """
    names = [compiler.name for compiler in backend.compilers]
    if settings.compile not in ("auto", "none", *names):
        raise InputError(
            Kind.BAD_OPTION,
            f"--compile {settings.compile}: the model is {backend.summary}, which is compiled by "
            f"{', '.join(names) or 'nothing'}",
        )
    precision = settings.computed_in
    if precision == "float32":
        return settings.compile
    able = [compiler.name for compiler in backend.compilers if precision in compiler.precisions]
    if not able:
        raise InputError(
            Kind.BAD_OPTION, f"--precision {precision}: not for {backend.summary}, only float32"
        )
    if settings.compile == "auto":
        return able[0]
    if settings.compile not in able:
        raise InputError(
            Kind.BAD_OPTION,
            f"--precision {precision}: not with --compile {settings.compile}, "
            f"only with {' or '.join(able)}",
        )
    return settings.compile
