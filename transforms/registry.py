"""Registries: named things in a fixed order. Other packages can add theirs.

There is one registry each for slide readers, model backends, shard formats, jobs and commands.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

_T = TypeVar("_T")


class Registry(Generic[_T]):
    """Things by name, in the order of their registration.

    A thing may be registered as ``package.module:attribute``. It is then imported on first use.
    Entry points of installed packages (`group`) come after the things registered here.

    Args:
      noun: noun for a thing in messages: ``reader``, ``format``.
      group: group of the entry points, such as ``beamscope.readers``.
    """

    def __init__(self, noun: str, group: str) -> None:
        self._noun = noun
        self._group = group
        self._things: dict[str, _T | str] = {}
        self._summaries: dict[str, str] = {}
        self._looked = False

    def register(self, name: str, thing: _T | str, summary: str = "") -> None:
        """Register a thing, or its import path, under a name.

        Args:
          name: a name that is not yet registered.
          thing: the thing, or ``package.module:attribute``.
          summary: one line for lists; lists show it without importing the thing.

        Raises:
          ValueError: the name is already registered.
        """
        if name in self._things:
            raise ValueError(f"there is already a {self._noun} {name!r}")
        self._things[name] = thing
        self._summaries[name] = summary

    def unregister(self, name: str) -> None:
        """Remove a thing, for tests."""
        del self._things[name]

    def names(self) -> tuple[str, ...]:
        """Return every name in order, without importing anything."""
        self._look()
        return tuple(self._things)

    def summary(self, name: str) -> str:
        """Return the summary that a thing was registered with; empty if it has none."""
        return self._summaries.get(name, "")

    def get(self, name: str) -> _T:
        """Return the thing with a name.

        Raises:
          KeyError: the name is not registered.
        """
        if name not in self._things:
            self._look()
        if name not in self._things:
            raise KeyError(
                f"there is no {self._noun} {name!r}; there are {', '.join(self.names())}"
            )
        thing = self._things[name]
        if isinstance(thing, str):
            module, _, attribute = thing.partition(":")
            thing = cast(_T, getattr(importlib.import_module(module), attribute))
            self._things[name] = thing
        return thing

    def __contains__(self, name: object) -> bool:
        return name in self._things or name in self.names()

    def __iter__(self) -> Iterator[_T]:
        return (self.get(name) for name in self.names())

    def _look(self) -> None:
        """Add the entry points of installed packages, once."""
        if self._looked:
            return
        self._looked = True
        for entry in importlib.metadata.entry_points(group=self._group):
            # beamscope's own things come first, and no other package can replace them.
            self._things.setdefault(entry.name, entry.value)
