"""WebDataset shards: a tar of encoded images, each beside a JSON file of its other columns.

The convention is that of https://github.com/webdataset/webdataset: files of one sample follow each
other and share their name up to its first dot.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from beamscope.transforms.formats.base import Format, ShardWriter

_IMAGE, _ENCODING = "image", "encoding"
# By what decoders of WebDataset know.
_ENDINGS = {"jpeg": "jpg", "png": "png"}


class WebDatasetShardWriter(ShardWriter):
    """Write record batches to a tar file; the same rows always give the same bytes.

    Args:
      path: path of a local file; an existing file is replaced.
      schema: schema of the batches; it has ``image`` (binary) and ``encoding``.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        if _IMAGE not in schema.names:
            raise ValueError("a WebDataset holds encoded images, and these rows have none")
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch, two files for each row."""
        for row in batch.to_pylist():
            image = row.pop(_IMAGE)
            key = f"{self._rows:08d}"
            self._add(f"{key}.{_ENDINGS[row[_ENCODING]]}", image)
            self._add(f"{key}.json", json.dumps(_plain(row), ensure_ascii=False).encode())
            self._rows += 1

    def close(self) -> None:
        """Finish the file."""
        self._tar.close()

    def _add(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row in JSON's types; a map, which Arrow gives as pairs, becomes an object."""
    return {name: dict(value) if isinstance(value, list) else value for name, value in row.items()}


WEBDATASET = Format(
    name="webdataset",
    extension="tar",
    summary="WebDataset tar files, of encoded images only",
    changes="the image is a file `.jpg` or `.png`, the other columns are a JSON file of the same "
    "name",
    writer=WebDatasetShardWriter,
    images_only=True,
)
