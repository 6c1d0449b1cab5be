"""The registry of file formats, in the order of the help text."""

from __future__ import annotations

from beamscope.transforms.formats.base import Format
from beamscope.transforms.registry import Registry

# Parquet first: it is the default.
FORMATS: Registry[Format] = Registry("format", "beamscope.formats")
FORMATS.register("parquet", "beamscope.transforms.formats.parquet:PARQUET")
FORMATS.register("tfrecord", "beamscope.transforms.formats.tfrecord:TFRECORD")
FORMATS.register("tfrecord.gz", "beamscope.transforms.formats.tfrecord:TFRECORD_GZ")
FORMATS.register("webdataset", "beamscope.transforms.formats.webdataset:WEBDATASET")


def extensions() -> frozenset[str]:
    """Return the extension of every format, without the leading dot."""
    return frozenset(known.extension for known in FORMATS)


def sidecar_names() -> frozenset[str]:
    """Return the name of every sidecar."""
    return frozenset(known.sidecar.name for known in FORMATS if known.sidecar is not None)
