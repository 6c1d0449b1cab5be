"""One copy of a model in a process for all steps that run it.

Beam's RunInference has a copy for each step, and drops it a minute after its last block: the steps
of one job would load the same model again and again.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beamscope.transforms.inference.embedder import Embedder


@dataclasses.dataclass
class _Slot:
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    model: Embedder | None = None


_lock = threading.Lock()
_owner = ""
_slots: dict[Hashable, _Slot] = {}


def shared_model(owner: str, key: Hashable, load: Callable[[], Embedder]) -> Embedder:
    """Return a model, which is loaded when a process first asks for it, by one thread.

    The models of one owner are kept at a time: those of the one before are dropped.

    Args:
      owner: name of the job.
      key: of the model among those of the job.
      load: loads it.

    Raises:
      InputError: as `load`, which is called again the next time.
    """
    global _owner
    with _lock:
        if owner != _owner:
            _owner = owner
            _slots.clear()
        slot = _slots.setdefault(key, _Slot())
    with slot.lock:
        if slot.model is None:
            slot.model = load()
        return slot.model
