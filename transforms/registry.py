"""Named things in a fixed order, which other packages extend without an edit here.

Readers of slides, backends of models, formats of shards and jobs each have one registry.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

_T = TypeVar("_T")


class Registry(Generic[_T]):
    """Things by name, in the order in which they were registered.

    A thing may be given as ``package.module:attribute``; it is then imported when it is first asked
    for. Entry points of installed packages (`group`) come after what is registered here.

    Args:
      noun: what a thing is, for messages: ``reader``, ``format``.
      group: of entry points, such as ``beamscope.readers``.
    """

    def __init__(self, noun: str, group: str) -> None:
        self._noun = noun
        self._group = group
        self._things: dict[str, _T | str] = {}
        self._summaries: dict[str, str] = {}
        self._looked = False

    def register(self, name: str, thing: _T | str, summary: str = "") -> None:
        """Add a thing, or its place, under a name.

        Args:
          name: unique among the things.
          thing: itself, or ``package.module:attribute``.
          summary: one line for a person, shown in lists without an import.

        Raises:
          ValueError: the name is taken.
        """
        if name in self._things:
            raise ValueError(f"there is a {self._noun} {name!r} already")
        self._things[name] = thing
        self._summaries[name] = summary

    def unregister(self, name: str) -> None:
        """Take a thing out again, as tests do."""
        del self._things[name]

    def names(self) -> tuple[str, ...]:
        """Return every name, in order; nothing is imported."""
        self._look()
        return tuple(self._things)

    def summary(self, name: str) -> str:
        """Return the line that a thing was registered with; empty where there is none."""
        return self._summaries.get(name, "")

    def get(self, name: str) -> _T:
        """Return the thing of a name.

        Raises:
          KeyError: there is none.
        """
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
        return name in self.names()

    def __iter__(self) -> Iterator[_T]:
        return (self.get(name) for name in self.names())

    def _look(self) -> None:
        """Take in the entry points of installed packages, once."""
        if self._looked:
            return
        self._looked = True
        for entry in importlib.metadata.entry_points(group=self._group):
            # What comes with beamscope goes first, and cannot be replaced from outside.
            self._things.setdefault(entry.name, entry.value)
