"""The interface of a file format of shards."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa


class ShardWriter(abc.ABC):
    """A file to append record batches to. Use it with `contextlib.closing`."""

    @abc.abstractmethod
    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch."""

    @abc.abstractmethod
    def close(self) -> None:
        """Finish the file. Before that it is not complete."""


@dataclasses.dataclass(frozen=True)
class Sidecar:
    """A file beside the shards that their readers need.

    Attributes:
      name: name of the file in the output directory. Formats may share a file of equal content.
      content: function from the schema of the embeddings to the file's content.
    """

    name: str
    content: Callable[[pa.Schema], bytes]


@dataclasses.dataclass(frozen=True)
class Format:
    """A file format of shards.

    Attributes:
      name: its name for ``--format``.
      extension: extension of its files, without the leading dot; no other format has it.
      summary: a few words about its files, for help and documents.
      changes: how its columns differ from the schema; empty if they do not.
      writer: function that opens a new local file for record batches of a schema.
      sidecar: the file beside the shards; None if readers need none.
      images_only: whether its files hold encoded images, and no embeddings.
    """

    name: str
    extension: str
    summary: str
    changes: str
    writer: Callable[[Path, pa.Schema], ShardWriter]
    sidecar: Sidecar | None = None
    images_only: bool = False
