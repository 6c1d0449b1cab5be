"""Say what this process is doing during steps that take seconds, for whoever shows it.

A library does not write to a terminal. It says what it does here, and the command line shows it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

# Called with the activity when it begins, and with None when it ends.
Listener = Callable[[str | None], None]

_listeners: list[Listener] = []


@contextlib.contextmanager
def doing(what: str) -> Iterator[None]:
    """Say that the body does something that a person waits for.

    Args:
      what: a participle and its object, such as ``loading the model``.
    """
    for listener in tuple(_listeners):
        listener(what)
    try:
        yield
    finally:
        for listener in tuple(_listeners):
            listener(None)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell a listener of every activity of this process until the body ends."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
