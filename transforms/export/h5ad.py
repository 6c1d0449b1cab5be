"""AnnData files (``.h5ad``): embeddings as X, patches as observations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.dataset.features import Features
from beamscope.transforms.export.base import (
    Exporter,
    ExportSettings,
    Unit,
    optional_package,
    provenance,
    without_maps,
)


class H5adExporter(Exporter):
    """Writes ``SLIDE.h5ad``, or for films a file for each shard, which is in memory meanwhile."""

    def __init__(self, dataset: Dataset, settings: ExportSettings) -> None:
        super().__init__(dataset, settings)
        self._anndata = optional_package("anndata")

    def files(self, name: str) -> tuple[str, ...]:
        """Return the file of a unit."""
        return (f"{name}.h5ad",)

    def write(self, unit: Unit, paths: Sequence[Path]) -> None:
        """Write a unit."""
        import pandas as pd

        batches = list(unit.batches)
        embeddings = np.concatenate([batch.embeddings for batch in batches])
        rows = pa.concat_tables([batch.rows for batch in batches])
        frame = without_maps(rows).to_pandas()
        for name in frame.columns:
            if not (pd.api.types.is_numeric_dtype(frame[name].dtype)):
                frame[name] = frame[name].astype("category")
        frame.index = pd.Index(_names(rows), dtype=object)
        features = [str(index) for index in range(embeddings.shape[1])]
        unstructured = provenance(self.dataset, self.settings.embedding)
        if unit.item is not None:
            unstructured["slide"] = json.dumps(dict(unit.item), default=str)
        data = self._anndata.AnnData(
            X=embeddings.astype(np.float32, copy=False),
            obs=frame,
            var=pd.DataFrame(index=pd.Index(features, dtype=object)),
            uns={"beamscope": {key: str(value) for key, value in unstructured.items()}},
            obsm={"spatial": _centres(batches)} if batches[0].coordinates is not None else {},
        )
        data.write_h5ad(paths[0])


def _centres(batches: Sequence[Features]) -> npt.NDArray[np.float64]:
    """Return the centres of patches, float64 ``[N, 2]``, level-0 pixels."""
    found = []
    for batch in batches:
        assert batch.coordinates is not None
        half = batch.rows["size_level0"].to_numpy() / 2
        found.append(batch.coordinates + half[:, None])
    return np.concatenate(found).astype(np.float64)


def _names(rows: pa.Table) -> list[Any]:
    """Return a name for each row that no other row has."""
    if "x_level0" in rows.column_names:
        parts = [rows[name].to_pylist() for name in ("slide_id", "x_level0", "y_level0")]
        return [f"{slide}_{x}_{y}" for slide, x, y in zip(*parts, strict=True)]
    if "member" in rows.column_names:
        parts = [rows[name].to_pylist() for name in ("source", "member")]
        return [f"{source}/{member}" for source, member in zip(*parts, strict=True)]
    return [str(index) for index in range(rows.num_rows)]
