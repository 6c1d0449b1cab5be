"""The registry of formats of exports. Other packages add theirs by entry points."""

from __future__ import annotations

from beamscope.transforms.export.base import Exporter
from beamscope.transforms.registry import Registry

EXPORTERS: Registry[type[Exporter]] = Registry("format of exports", "beamscope.exporters")
_HERE = "beamscope.transforms.export"
EXPORTERS.register("h5", f"{_HERE}.h5:H5Exporter", "HDF5 bags of slides, as CLAM and TRIDENT read")
EXPORTERS.register("anndata", f"{_HERE}.h5ad:H5adExporter", ".h5ad files for scanpy and squidpy")
EXPORTERS.register("csv", f"{_HERE}.text:CsvExporter", "CSV, a column for each feature")
EXPORTERS.register("npy", f"{_HERE}.npy:NpyExporter", "NumPy arrays, with a CSV of their rows")
EXPORTERS.register("geojson", f"{_HERE}.geojson:GeojsonExporter", "coloured patches for QuPath")
