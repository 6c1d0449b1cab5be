"""The interface of a kind of image: everything in which films differ from patches.

Listing, planning, reading by blocks, streaming and summing up use this interface only.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.names import ImageNames
from beamscope.transforms.sources.sources import Source


@dataclasses.dataclass(frozen=True, eq=False)
class ReadyImage:
    """An image as the model takes it, and as its row describes it.

    Attributes:
      pixels: uint8 RGB ``[size, size, 3]``.
      row: the columns that the file itself fills.
    """

    pixels: npt.NDArray[np.uint8]
    row: Mapping[str, Any]


class ImageReading(abc.ABC):
    """How the images of a job are recognised, decoded and described.

    Attributes:
      names: the names that are those of images.
      rows: schema of the rows of the embeddings; it has ``image_id, source, member``.
      table: schema of the table of images, with ``status, reason`` and, last, ``shard``. Its other
        columns are those of `rows`.
      size: side of the model's input in pixels.
      threads: how many images are decoded at a time.
      limits: what one image may ask for.
      unwanted: what images that are not wanted are counted as, such as ``other_view``.
    """

    names: ClassVar[ImageNames]
    rows: ClassVar[pa.Schema]
    table: ClassVar[pa.Schema]
    size: int
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
          InputError: the image cannot be used.
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
    """

    @property
    def block_size(self) -> int: ...  # noqa: D102

    def reading(self) -> ImageReading:
        """Return how the images are read; tables of the user are loaded once in a process."""
