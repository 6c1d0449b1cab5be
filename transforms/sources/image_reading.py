"""The interface of a kind of image: everything in which films differ from patches.

Listing, planning, reading by blocks, streaming and summing up use this interface only.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.names import ImageNames
from beamscope.transforms.sources.sources import Source

Pixels = npt.NDArray[np.uint8]
_Way = TypeVar("_Way")


@dataclasses.dataclass(frozen=True, eq=False)
class ReadyImage:
    """An image as models take it, and as its row describes it.

    Attributes:
      views: for each way in which a model sees it, uint8 RGB ``[size, size, 3]``; or why it cannot
        be prepared so.
      row: the columns that the file itself fills.
    """

    views: tuple[Pixels | InputError, ...]
    row: Mapping[str, Any]

    @property
    def pixels(self) -> Pixels:
        """Return the first view.

        Raises:
          InputError: the image cannot be prepared so.
        """
        view = self.views[0]
        if isinstance(view, InputError):
            raise view
        return view


def prepared(
    ways: Iterable[_Way], prepare: Callable[[_Way], Pixels]
) -> tuple[Pixels | InputError, ...]:
    """Prepare a decoded image in each of several ways, for `ReadyImage.views`.

    Args:
      ways: settings, such as one of each model.
      prepare: makes a model's input by one of them; it may raise InputError.
    """

    def view(way: _Way) -> Pixels | InputError:
        try:
            return prepare(way)
        except InputError as error:
            return error

    return tuple(view(way) for way in ways)


class ImageReading(abc.ABC):
    """How the images of a job are recognised, decoded and described.

    Attributes:
      names: the names that are those of images.
      rows: schema of the rows of the embeddings; it has ``image_id, source, member``.
      table: schema of the table of images, with ``status, reason`` and, last, ``shard``. Its other
        columns are those of `rows`.
      sizes: side in pixels of each view that `make_ready` makes of an image: one, or one for each
        way in which several models see it.
      threads: how many images are decoded at a time.
      limits: what one image may ask for.
      unwanted: what images that are not wanted are counted as, such as ``other_view``.
    """

    names: ClassVar[ImageNames]
    rows: ClassVar[pa.Schema]
    table: ClassVar[pa.Schema]
    sizes: Sequence[int]
    threads: int
    limits: Limits
    unwanted: ClassVar[str] = "unwanted"

    @abc.abstractmethod
    def make_ready(self, data: bytes, known: Any | None) -> ReadyImage | None:
        """Decode an image and prepare it; None where it is not wanted after all.

        Args:
          data: the bytes of the file.
          known: what `find` returned for it.

        Raises:
          InputError: the image cannot be used, whatever the view.
        """

    def find(self, uri: str, member: str) -> Any | None:
        """Return what a table of the user says of an image; None without one, or without a row.

        Args:
          uri: of the source.
          member: the name of the image in the source.
        """
        del uri, member
        return None

    def image_id(self, source: Source, member: str, known: Any | None) -> str:
        """Return the identity of an image; it is unique in the dataset."""
        del known
        return source.image_id(member)

    def known_columns(self, known: Any | None) -> Mapping[str, Any]:
        """Return the columns of the table of images that do not depend on the file's content."""
        del known
        return {}

    def is_unwanted(self, known: Any | None) -> bool:
        """Return whether an image is left out by what is known of it, before it is read."""
        del known
        return False

    def check_once(self, holders: dict[str, str], member: str, known: Any | None) -> None:
        """Raise where another member of the source is the same image already.

        Args:
          holders: the member that each image comes from; this method fills it.
          member: the next member.
          known: what `find` returned for it.

        Raises:
          InputError: ``duplicate_image``.
        """
        del holders, member, known


class SourceSettings(Protocol):
    """The settings of a job whose items are sources.

    Attributes:
      block_size: images in a block.
      ways: how an image becomes the input of each model: settings of one way, or of several.
    """

    @property
    def block_size(self) -> int: ...  # noqa: D102

    @property
    def ways(self) -> tuple[Any, ...]: ...  # noqa: D102

    def with_ways(self, ways: Sequence[Any]) -> SourceSettings:
        """Return the settings with other ways, so that images are decoded once for all of them."""

    def reading(self) -> ImageReading:
        """Return how the images are read; tables of the user are loaded once in a process."""
