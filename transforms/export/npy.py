"""NumPy arrays, each with a CSV of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from beamscope.transforms.export.base import Exporter, Unit, without_maps
from beamscope.transforms.export.text import write_csv


class NpyExporter(Exporter):
    """Writes ``SLIDE.npy`` and ``SLIDE.csv``, or for films both for each shard."""

    def files(self, name: str) -> tuple[str, ...]:
        """Return the files of a unit: the array and the table."""
        return f"{name}.npy", f"{name}.csv"

    def write(self, unit: Unit, paths: Sequence[Path]) -> None:
        """Write a unit, a batch at a time: row n of the table belongs to row n of the array."""
        write_csv(paths[1], self._fill(unit, paths[0]))

    def _fill(self, unit: Unit, path: Path) -> Iterator[pa.Table]:
        array = None
        start = 0
        for batch in unit.batches:
            if array is None:
                shape = (unit.rows, unit.features)
                array = np.lib.format.open_memmap(
                    path, mode="w+", dtype=batch.embeddings.dtype, shape=shape
                )
            array[start : start + len(batch.embeddings)] = batch.embeddings
            start += len(batch.embeddings)
            yield without_maps(batch.rows)
        if array is not None:
            array.flush()
