"""The interfaces of planning an item and summing it up. All jobs resume by the same rule."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import find_part
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage.files import FileInfo

# Told of each file that is not what was written.
OnDamage = Callable[[DamagedError], object]


class Request(Protocol):
    """A requested item; a dataclass of JSON values.

    Attributes:
      id: an id that is unique in the dataset.
    """

    @property
    def id(self) -> str: ...  # noqa: D102


_Request = TypeVar("_Request", bound=Request)
_Plan = TypeVar("_Plan")


class ItemPlanner(abc.ABC, Generic[_Request, _Plan]):
    """Plan the items of a job: slides, or sources of films. It uses no Beam, and is pickled.

    An item is planned once, and its plan is a file. A later start reads that file if the plan is
    still valid, and continues with the unfinished blocks.

    Attributes:
      items: plural noun for the items in counters: ``slides`` or ``sources``.
    """

    items: str

    @abc.abstractmethod
    def find(self, layout: Layout, request: _Request) -> _Plan | None:
        """Return the plan of an earlier start; None if there is none or it is no longer valid.

        Raises:
          DamagedError: its file is not what was written; it is then made again.
        """

    @abc.abstractmethod
    def make(self, layout: Layout, request: _Request) -> _Plan:
        """Plan an item. An item's problem becomes part of its plan, never an exception."""

    def failed(self, request: _Request, error: InputError) -> _Plan | None:
        """Return a plan that says why nothing of an item can be used.

        It is asked for where `make` has raised an error, or has ended its process again and again.
        Where it returns None, as by default, such an item ends the job.
        """
        del request, error
        return None

    @abc.abstractmethod
    def write(self, layout: Layout, request: _Request, plan: _Plan) -> None:
        """Write a new plan, so that a later start finds it."""

    def digest(self, request: _Request, plan: _Plan) -> str:
        """Return the digest that the file of a plan has (`plans.content_digest`).

        Where the file of the plan before is damaged or lost, parts with this digest are kept. The
        default is empty: then none is.
        """
        del request, plan
        return ""

    @abc.abstractmethod
    def block_sizes(self, plan: _Plan) -> Sequence[int] | None:
        """Return the number of rows of each block; None if only reading the item tells."""

    @abc.abstractmethod
    def blocks(self, plan: _Plan, done: frozenset[int]) -> Iterator[Any]:
        """Yield the blocks to read, without the finished ones.

        Args:
          plan: plan of the item.
          done: indices of the finished blocks.
        """

    def block_rows(self, block: Any) -> int | None:
        """Return the number of rows of a block; None if only reading it tells.

        Where it is known, a block of which there is a part by now is not read again.
        """
        del block
        return None

    def found_done(
        self, layout: Layout, block: Any, on_damage: OnDamage
    ) -> tuple[list[PartRef], Any | None]:
        """Return the parts of a block that were written after it was planned, and what is left.

        A runner that has lost a worker does a whole bundle of blocks again, of which some may be
        finished. It costs one look for a file.

        Args:
          layout: paths of the dataset.
          block: as `blocks` has yielded it.
          on_damage: told of each part that is damaged.

        Returns:
          the parts, and the block to read; None if nothing is left to read.
        """
        rows = self.block_rows(block)
        if rows is None:
            return [], block
        parts = [find_part(one, block.key, rows, on_damage) for one in layout.each()]
        found = [part for part in parts if part is not None]
        return (found, None) if len(found) == len(parts) else ([], block)

    def holds(
        self, header: Mapping[str, Any], request: _Request, seen: Mapping[str, FileInfo | None]
    ) -> bool:
        """Return whether `find` would find the plan with a header, without asking for a file.

        By default it does not tell: then `find` is asked, item by item.

        Args:
          header: of the plan's file.
          request: the item.
          seen: files of the item that have been looked at, by uri.
        """
        del header, request, seen
        return False

    def sizes_in(self, header: Mapping[str, Any]) -> Sequence[int]:
        """Return the number of rows of each block of a plan that `holds`, from its header."""
        raise NotImplementedError

    def read(self, layout: Layout, request: _Request) -> _Plan | None:
        """Return a plan that `holds`; None if it is there no more.

        Raises:
          DamagedError: its file is not what was written.
        """
        return self.find(layout, request)

    def shared_by_block(self, request: _Request) -> bool:
        """Return whether several machines can each do some blocks of an item (`share`).

        By default an item is planned and embedded by one machine, which opens it once.
        """
        del request
        return False

    def kept_blocks(self, layout: Layout, request: _Request, plan: _Plan) -> frozenset[int]:
        """Return the indices of blocks that are equal in the new plan and in the plan before.

        Their parts are kept. The default is none. It is called before `write`.
        """
        del layout, request, plan
        return frozenset()


class ItemSummary(abc.ABC):
    """Sum up items whose blocks are finished. It uses no Beam, and is pickled."""

    @abc.abstractmethod
    def pieces(self, layout: Layout, item_id: str, parts: Sequence[Any]) -> Iterator[Any]:
        """Yield the pieces of an item that are summed up separately: the item, or each block.

        Args:
          layout: paths of the dataset.
          item_id: id of the item.
          parts: `PartRef`s of its finished blocks, in any order.

        Raises:
          ValueError: the parts are not exactly those of the item's plan.
        """

    @abc.abstractmethod
    def outcome(self, layout: Layout, piece: Any) -> Any:
        """Return the `ItemOutcome` of a piece."""

    def outcome_of(self, layout: Layout, piece: Any, header: Mapping[str, Any]) -> Any:
        """Return the `ItemOutcome` of a piece of an item whose plan's header is known."""
        del header
        return self.outcome(layout, piece)
