"""Load a model in a process of its own, which gives its memory back when it ends.

TensorFlow holds about twice the bytes of the weights until its process ends, also when the model is
dropped.
"""

from __future__ import annotations

import logging
import signal
import sys

from beamscope.transforms.activity import doing
from beamscope.transforms.apart import Apart, EndedApartError, call_apart, can_call_apart
from beamscope.transforms.inference.find_model import FoundModel
from beamscope.transforms.inference.model_files import model_bytes, model_name
from beamscope.transforms.inference.model_memory import MORE_MEMORY
from beamscope.transforms.inference.model_settings import ModelSpec
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_log = logging.getLogger(__name__)

# Where the library of models is imported already, as in a notebook, a process of its own costs a
# small model more seconds than it saves memory.
_SMALL_BYTES = 250_000_000


def is_worth_apart(found: FoundModel) -> bool:
    """Return whether a process of its own is possible, and worth its start."""
    try:
        size = model_bytes(str(found.path))
    except OSError:
        return False
    return can_call_apart() and (size > _SMALL_BYTES or found.backend.library not in sys.modules)


def spec_apart(found: FoundModel) -> ModelSpec | None:
    """Load a model for other machines and check its answers; return how it is called.

    None where that is to be done in this process, because another is not worth its start or fails.

    Raises:
      InputError: as `FoundModel.load`; ``bad_model`` where the process dies.
    """
    if not is_worth_apart(found):
        return None
    try:
        with doing("loading the model"):
            spec: ModelSpec = call_apart(_load, found)
    except EndedApartError as error:
        refuse_where_died(found, error)
        return None
    return spec


def refuse_where_died(found: FoundModel, error: EndedApartError) -> None:
    """Raise InputError (``bad_model``) where the process that was to load a model has died.

    Otherwise nothing has to be wrong with the model: say that this process will see.
    """
    name = model_name(found.settings.uri)
    if error.status is None:
        _log.warning("model %s: loaded in this process, since another fails: %s", name, error)
        return
    remedy = f": {MORE_MEMORY}" if error.status == -signal.SIGKILL else ""
    raise InputError(
        Kind.BAD_MODEL, f"model {name}: the process that loads it {error}{remedy}"
    ) from error


def _load(apart: Apart, found: FoundModel) -> ModelSpec:
    del apart
    found.backend.start()
    return found.load(computes_here=False).spec
