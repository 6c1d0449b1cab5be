"""Provenance of a dataset: the versions of the packages on the workers that computed it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from typing import Any

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.storage import files

# The packages that read, decode, compute or write numbers.
_PACKAGES = (
    "beamscope", "apache-beam", "imagecodecs", "numpy", "opencv-python-headless", "openslide-bin",
    "openslide-python", "openvino", "pillow", "pyarrow", "pydicom", "simplejpeg", "tensorflow",
    "tfx-bsl", "tifffile",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that change numbers."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write_worker_record(layout: Layout) -> None:
    """Record the versions of this process. Workers with equal versions share one record.

    The record names no host, so that a dataset does not reveal the machines that made it.
    """
    record = json.dumps({"machine": platform.machine(), "versions": versions()}, sort_keys=True)
    path = layout.worker_record(_name(record.encode()))
    if not files.exists(path):
        files.write_bytes(path, record.encode())


def read_worker_records(layout: Layout) -> list[dict[str, Any]]:
    """Return the records of the workers that computed a dataset, in a fixed order.

    A record that is not what was written, which its name shows, is left out.
    """
    records: dict[str, Any] = {}
    for one in layout.each():
        for file in sorted(files.list_files(one.workers, recursive=False)):
            record = files.read_bytes(file.path)
            if (name := _name(record)) in file.path:
                records[name] = json.loads(record)
    return [record for _, record in sorted(records.items())]


def _name(record: bytes) -> str:
    return hashlib.sha256(record).hexdigest()[:16]
