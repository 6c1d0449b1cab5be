"""The interface that every file format of the shards has."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa


class ShardWriter(abc.ABC):
    """A file that record batches are appended to. Use it with `contextlib.closing`."""

    @abc.abstractmethod
    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch."""

    @abc.abstractmethod
    def close(self) -> None:
        """End the file. It is complete only then."""


@dataclasses.dataclass(frozen=True)
class Sidecar:
    """A file beside the shards that a reader of them needs.

    Attributes:
      name: of the file, in the output directory. Formats may share one, with the same content.
      content: what it holds, from the schema of the embeddings.
    """

    name: str
    content: Callable[[pa.Schema], bytes]


@dataclasses.dataclass(frozen=True)
class Format:
    """A file format of the shards.

    Attributes:
      name: what ``--format`` calls it.
      extension: how its files end, without the leading dot; no other format has it.
      summary: what its files are, in a few words; for help and documents.
      changes: what a reader gets otherwise than the schema says; empty where nothing is changed.
      writer: opens a new local file for record batches of a schema.
      sidecar: what lies beside the shards; None where they explain themselves.
    """

    name: str
    extension: str
    summary: str
    changes: str
    writer: Callable[[Path, pa.Schema], ShardWriter]
    sidecar: Sidecar | None = None
