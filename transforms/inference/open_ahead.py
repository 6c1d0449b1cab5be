"""Models that are opened while a job still starts, for workers in the same process.

To open a compiled model takes seconds, most of them in C++ beside Python: meanwhile the pipeline
is built and the first items are planned.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from beamscope.transforms.activity import doing
from beamscope.transforms.inference.model_settings import ModelSettings

if TYPE_CHECKING:
    from beamscope.transforms.inference.embedder import Embedder

_opening: list[tuple[ModelSettings, Future[Embedder | None]]] = []
_lock = threading.Lock()


def open_ahead(models: Sequence[ModelSettings]) -> None:
    """Begin to open models that were compiled on this machine before, one after the other."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="open ahead")
    with _lock:
        _opening.extend((settings, thread.submit(_open, settings)) for settings in models)
    thread.shutdown(wait=False)


def opened_ahead(settings: ModelSettings) -> Embedder | None:
    """Return a model that `open_ahead` was asked for, when it is open; each is given out once.

    None where it was not asked for, was not compiled before, or cannot be opened: whoever opens it
    then as ever meets the reason again, and says it.
    """
    with _lock:
        found = next((one for one in _opening if one[0] == settings), None)
        if found is None:
            return None
        _opening.remove(found)
    with doing("opening the compiled model"):
        return None if found[1].exception() is not None else found[1].result()


def _open(settings: ModelSettings) -> Embedder | None:
    # Imported here so that this thread waits for it, and no other.
    from beamscope.transforms.inference.embedder import Embedder

    return Embedder.if_kept(settings)
