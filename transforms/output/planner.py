"""What planning an item means, whatever the item is: one rule of resuming for every job."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from beamscope.transforms.output.layout import Layout


class Request(Protocol):
    """An item that a user asks for; a dataclass of JSON values.

    Attributes:
      id: unique in the dataset.
    """

    @property
    def id(self) -> str: ...  # noqa: D102


_Request = TypeVar("_Request", bound=Request)
_Plan = TypeVar("_Plan")


class ItemPlanner(abc.ABC, Generic[_Request, _Plan]):
    """Plan the items of a job: slides, or sources of films. Free of Beam; it is pickled.

    An item is planned once. Its plan is a file; a later start takes it from there as long as it
    still holds, and goes on with the blocks that are not finished.

    Attributes:
      items: what items are called in counters: ``slides`` or ``sources``.
    """

    items: str

    @abc.abstractmethod
    def find(self, layout: Layout, request: _Request) -> _Plan | None:
        """Return the plan that an earlier start left; None where there is none that still holds."""

    @abc.abstractmethod
    def make(self, layout: Layout, request: _Request) -> _Plan:
        """Plan an item. What is wrong with it is part of the plan, never an exception."""

    @abc.abstractmethod
    def write(self, layout: Layout, request: _Request, plan: _Plan) -> None:
        """Write a plan that was made anew, so that a later start finds it."""

    @abc.abstractmethod
    def block_sizes(self, plan: _Plan) -> Sequence[int] | None:
        """Return how many rows each block has; None where only reading all of it tells."""

    @abc.abstractmethod
    def blocks(self, plan: _Plan, done: frozenset[int]) -> Iterator[Any]:
        """Yield what is to be read, but for the blocks that are finished.

        Args:
          plan: of the item.
          done: indices of the finished blocks.
        """

    def kept_blocks(self, layout: Layout, request: _Request, plan: _Plan) -> frozenset[int]:
        """Return the blocks of a new plan that the plan before it had in just the same form.

        Their parts are kept. By default there are none. It is called before `write`.
        """
        del layout, request, plan
        return frozenset()


class ItemSummary(abc.ABC):
    """Sum items up when their blocks are finished. Free of Beam; it is pickled."""

    @abc.abstractmethod
    def pieces(self, layout: Layout, item_id: str, parts: Sequence[Any]) -> Iterator[Any]:
        """Yield what is summed up by itself: all of an item, or each of its blocks.

        Args:
          layout: of the dataset.
          item_id: of the item.
          parts: `PartRef`s of its finished blocks, in any order.

        Raises:
          ValueError: the parts are not exactly those of the item's plan.
        """

    @abc.abstractmethod
    def outcome(self, layout: Layout, piece: Any) -> Any:
        """Return the `ItemOutcome` of a piece."""
