"""Find a model and the backend that opens it."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

from beamscope.transforms.activity import doing
from beamscope.transforms.inference.answer_checks import check_answers
from beamscope.transforms.inference.backends.base import Backend, LoadedModel, compiled_by
from beamscope.transforms.inference.backends.registry import backend_for
from beamscope.transforms.inference.cards.apply import blamed_on_card, check_card
from beamscope.transforms.inference.foreign_models import file_remedy, missing_remedy
from beamscope.transforms.inference.model_files import local_model, model_digest, version_taken
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.served_models import local_names, several_models
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_log = logging.getLogger(__name__)

# The models of which this process has said the version.
_said: set[str] = set()


@dataclasses.dataclass(frozen=True)
class FoundModel:
    """A model on this machine that has not been loaded yet.

    Attributes:
      settings: what was asked for.
      path: where its files lie.
      backend: what opens it.
    """

    settings: ModelSettings
    path: Path
    backend: Backend[Any]

    def load(self, *, computes_here: bool = True) -> LoadedModel:
        """Load it, and check its answers; `Backend.start` has to be called before.

        Args:
          computes_here: whether this machine has to have the compiler and the precision that are
            asked for. Otherwise it is other machines that do, such as workers with a GPU.

        Raises:
          InputError: ``bad_model``; ``bad_card`` where its card says another length of embeddings;
            ``bad_option`` for a compiler or a precision that the
            backend or this machine does not have.
        """
        # Before seconds are spent on the model.
        if computes_here:
            self.backend.candidates(self.settings)
        else:
            compiled_by(self.backend, self.settings)
        with doing("loading the model"):
            try:
                loaded: LoadedModel = self.backend.load(self.path, self.settings)
                check_card(loaded.spec, self.settings)
                check_answers(loaded)
            except InputError as error:
                raise blamed_on_card(error, self.settings) from error
        return loaded


def find_model(settings: ModelSettings) -> FoundModel:
    """Fetch a model to this machine where it is remote, and choose its backend.

    Raises:
      InputError: ``bad_model`` where there is nothing, nothing that a backend opens, or another
        model than the one that the settings pin. Nothing of the model has run then.
    """
    path = local_model(settings.uri)
    if not path.exists():
        raise InputError(
            Kind.BAD_MODEL,
            f"model {settings.uri}: there is no such file or directory"
            f"{missing_remedy(settings.uri)}",
        )
    version = version_taken(settings.uri)
    if version is not None and settings.uri not in _said:
        _said.add(settings.uri)
        _log.warning("model %s: %s", settings.uri, version)
    if settings.model_sha256 is not None:
        digest, expected = model_digest(path), settings.model_sha256.lower()
        if digest != expected:
            raise InputError(
                Kind.BAD_MODEL,
                f"model {settings.uri}: its SHA-256 is {digest}, and {expected} "
                "is expected: the model was changed, or is another one",
            )
    backend, reasons = backend_for(path)
    if backend is None:
        remedy = _remedy(settings.uri, path)
        raise InputError(Kind.BAD_MODEL, f"model {settings.uri}: {remedy or '; '.join(reasons)}")
    return FoundModel(settings, path, backend)


def _remedy(uri: str, path: Path) -> str | None:
    """Return what to do with what no backend opens, by the names of files; None if they tell not.

    A directory is known by the first file in it that has a remedy.
    """
    if path.is_file():
        return file_remedy(uri)
    names = local_names(path)
    held = ((name, file_remedy(name)) for name in names)
    return several_models(uri, names) or next(
        (f"the directory holds {name}, which {remedy}" for name, remedy in held if remedy), None
    )


def open_model(settings: ModelSettings, *, require_gpu: bool = False) -> LoadedModel:
    """Find a model, start its backend and load it.

    Raises:
      InputError: as `find_model` and `FoundModel.load`; ``no_gpu`` where a GPU is required and the
        backend sees none.
    """
    found = find_model(settings)
    with doing("loading the model"):
        found.backend.start()
    if require_gpu:
        found.backend.require_gpu()
    return found.load()
