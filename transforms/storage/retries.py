"""Ask a store again that does not answer, or that answers with an error which may pass."""

from __future__ import annotations

import functools
import http.client
import logging
import time
from collections.abc import Callable

from google.api_core.retry import Retry

from beamscope.transforms.problems import one_line

# A store that is back within this time costs nothing but the time.
PATIENCE_S = 300.0
# Once that was in vain, a process that is about to end does not wait as long for each request more.
_LITTLE_PATIENCE_S = 5.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0

_log = logging.getLogger(__name__)


def patient(predicate: Callable[[BaseException], bool], store: str) -> Retry:
    """Return a decorator that calls a function again, after pauses that double.

    Args:
      predicate: whether an error may pass.
      store: for the one line in the log, such as ``gs://``.
    """
    return Retry(
        predicate=predicate,
        initial=_FIRST_PAUSE_S,
        maximum=_LONGEST_PAUSE_S,
        timeout=min(PATIENCE_S, _LITTLE_PATIENCE_S) if _in_vain() else PATIENCE_S,
        on_error=functools.partial(say_once, store),
    )


def words(error: BaseException) -> str:
    """Return what an error of a store says, on one line."""
    # Google's client puts the answer to an upload into a tuple.
    status = getattr(getattr(error, "response", None), "status_code", None)
    if len(error.args) > 1 and isinstance(status, int):
        return f"it answers {status} {http.client.responses.get(status, '')}".rstrip()
    return one_line(error)


def gave_up() -> None:
    """Note that a store has not come back in time."""
    global _gave_up_at
    _gave_up_at = time.monotonic()


def _in_vain() -> bool:
    return _gave_up_at is not None and time.monotonic() - _gave_up_at < PATIENCE_S


def say_once(store: str, error: BaseException) -> None:
    """Log that a store has failed and is asked again, the first time of a process."""
    if store not in _said:
        _said.add(store)
        _log.warning(
            "%s does not answer as it should (%s); each request is tried again for up to %g s",
            store,
            words(error),
            PATIENCE_S,
        )


_said: set[str] = set()
_gave_up_at: float | None = None
