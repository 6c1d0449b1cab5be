"""HDF5 bags of slides, as CLAM and TRIDENT read them.

A file has ``features`` ``[N, D]`` and ``coords`` ``[N, 2]``, level-0 pixels. The names of the
attributes are those that both programs write, see `coordinate_attributes`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.export.base import (
    Exporter,
    ExportSettings,
    Unit,
    optional_package,
    provenance,
)

# 10 µm/px stand for a magnification of 1.
_MPP_OF_1X = 10.0


class H5Exporter(Exporter):
    """Writes ``h5_files/SLIDE.h5``: CLAM looks for that folder, TRIDENT takes any."""

    films = False

    def __init__(self, dataset: Dataset, settings: ExportSettings) -> None:
        super().__init__(dataset, settings)
        self._h5py = optional_package("h5py")

    def files(self, name: str) -> tuple[str, ...]:
        """Return the file of a slide."""
        return (f"h5_files/{name}.h5",)

    def write(self, unit: Unit, paths: Sequence[Path]) -> None:
        """Write a slide."""
        item, found, coordinates = unit.slide()
        size = int(found.rows["size_level0"][0].as_py())
        origin = provenance(self.dataset, self.settings.embedding)
        with self._h5py.File(paths[0], "w") as file:
            # CLAM passes them to a float32 layer as they are.
            features = file.create_dataset(
                "features", data=found.embeddings.astype(np.float32, copy=False)
            )
            coords = file.create_dataset("coords", data=coordinates.astype(np.int64))
            coords.attrs.update(
                coordinate_attributes(item, self.dataset.description["options"], size)
            )
            features.attrs["name"] = str(item["slide_id"])
            features.attrs["encoder"] = str(origin["model"])
            file.attrs["beamscope"] = json.dumps(origin)


def coordinate_attributes(
    slide: Mapping[str, Any], options: Mapping[str, Any], size_level0: int
) -> dict[str, Any]:
    """Return the attributes of ``coords`` for a slide.

    ``patch_size`` pixels of ``patch_level``, from each coordinate on, are what was read. So CLAM
    reads the same region, and for TRIDENT ``target_magnification`` is that of this level.

    Args:
      slide: a row of ``slides.parquet``.
      options: the options of the job.
      size_level0: side of a patch, level-0 pixels.
    """
    read_px, downsample = int(slide["read_px"]), float(slide["downsample"])
    level0 = _MPP_OF_1X / float(slide["mpp_x"])
    patch, stride = options.get("patch_px"), options.get("stride_px")
    overlap = round(read_px * (1 - stride / patch)) if patch and stride else 0
    return {
        "patch_size": read_px,
        "patch_level": int(slide["level"]),
        "patch_size_level0": size_level0,
        "downsample": (downsample, downsample),
        "overlap": max(0, overlap),
        "name": str(slide["slide_id"]),
        "level0_magnification": _whole(level0),
        "target_magnification": _whole(level0 / downsample),
        "level0_width": int(slide["width_level0"]),
        "level0_height": int(slide["height_level0"]),
        # What only we know: the true resolution of the patches, and what the model saw.
        "mpp_level0": float(slide["mpp_x"]),
        "mpp": float(slide["mpp_effective"]),
        "model_patch_size": int(patch) if patch else read_px,
    }


def _whole(magnification: float) -> int | float:
    """Return a nominal magnification: 20 for the 20.04 of 0.499 µm/px."""
    nearest = round(magnification)
    close = nearest > 0 and abs(magnification / nearest - 1) < 0.1
    return nearest if close else magnification
