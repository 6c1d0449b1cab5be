"""The file formats that there are, in the order in which help lists them."""

from __future__ import annotations

from beamscope.transforms.formats.base import Format
from beamscope.transforms.registry import Registry

# Parquet first: it is the default.
FORMATS: Registry[Format] = Registry("format", "beamscope.formats")
FORMATS.register("parquet", "beamscope.transforms.formats.parquet:PARQUET")
FORMATS.register("tfrecord", "beamscope.transforms.formats.tfrecord:TFRECORD")
FORMATS.register("tfrecord.gz", "beamscope.transforms.formats.tfrecord:TFRECORD_GZ")


def extensions() -> frozenset[str]:
    """Return how the files of every format end, without the leading dot."""
    return frozenset(known.extension for known in FORMATS)


def sidecar_names() -> frozenset[str]:
    """Return the name of every file that a format may put beside the shards."""
    return frozenset(known.sidecar.name for known in FORMATS if known.sidecar is not None)
