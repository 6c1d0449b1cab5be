"""The settings of the job that embeds images, and how it reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from beamscope.transforms.fingerprints import in_none, in_plan
from beamscope.transforms.images.decode import decode_image
from beamscope.transforms.images.fit import Fit
from beamscope.transforms.images.labels import LabelFile, LabelRow, LabelTable, folder_label
from beamscope.transforms.images.names import IMAGE_NAMES
from beamscope.transforms.sources.archives.decoding_memory import held
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.image_reading import ImageReading, ReadyImage, prepared
from beamscope.transforms.sources.sources import image_path

ROW_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("member", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("in_labels", pa.bool_(), nullable=False),
        pa.field("catalog", pa.map_(pa.string(), pa.string())),
    ]
)
TABLE_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("member", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("origin", pa.string()),
        pa.field("label", pa.string()),
        pa.field("in_labels", pa.bool_(), nullable=False),
        pa.field("shard", pa.int32()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of an image before it is read.

    Attributes:
      label: its class; None without one.
      row: its row of the table of labels; None without one.
    """

    label: str | None
    row: LabelRow | None


class PatchReading(ImageReading):
    """How images are read.

    Args:
      settings: of the job.
      labels: the table of labels; None to take the folders.
    """

    names = IMAGE_NAMES
    rows = ROW_SCHEMA
    table = TABLE_SCHEMA

    def __init__(self, settings: ImageSettings, labels: LabelTable | None = None) -> None:
        self.sizes = [fit.input_px for fit in settings.ways]
        self.threads = settings.threads
        self.limits = settings.limits
        self._fits = settings.ways
        self._labels = labels

    def make_ready(self, data: bytes, known: Known | None) -> ReadyImage:
        """Decode an image and fit it to each model."""
        with held(self.limits) as limits:
            picture = decode_image(data, limits)
            views = prepared(self._fits, lambda fit: fit.apply(picture.pixels))
        height, width = picture.pixels.shape[:2]
        row = known.row if known else None
        return ReadyImage(
            views,
            {
                "width": width,
                "height": height,
                "origin": picture.origin,
                **self.known_columns(known),
                "catalog": list(row.fields.items()) or None if row else None,
            },
        )

    def find(self, uri: str, member: str) -> Known:
        """Return the label of an image: of its row, else of its folder where there is no table."""
        if self._labels is None:
            return Known(folder_label(member), None)
        row = self._labels.find(image_path(uri, member))
        return Known(row.label if row else None, row)

    def known_columns(self, known: Known | None) -> Mapping[str, Any]:
        """Return the label, and whether the table has a row of the image."""
        return {
            "label": known.label if known else None,
            "in_labels": known is not None and known.row is not None,
        }


@dataclasses.dataclass(frozen=True)
class ImageSettings:
    """How image files become images.

    Attributes:
      fit: how an image becomes the model's input.
      labels: the table of labels; None to take the folders.
      limits: what one image may ask for.
      block_size: images in a block.
      threads: how many images are decoded at a time.
      other_fits: as `fit`, for further models, where one reading serves several; `fit` of each
        model's own settings is in its fingerprint.
    """

    fit: Fit
    labels: LabelFile | None = in_plan(default=None)
    limits: Limits = dataclasses.field(default_factory=Limits)
    block_size: int = in_plan(default=256)
    threads: int = in_none(default=4)
    other_fits: tuple[Fit, ...] = in_none(default=())

    @property
    def ways(self) -> tuple[Fit, ...]:
        """Return how an image becomes the input of each model."""
        return (self.fit, *self.other_fits)

    def with_ways(self, ways: Sequence[Fit]) -> ImageSettings:
        """Return the settings for models that see images in these ways."""
        return dataclasses.replace(self, fit=ways[0], other_fits=tuple(ways[1:]))

    def reading(self) -> PatchReading:
        """Return how images are read, with their labels."""
        return PatchReading(self, self.load_labels())

    def load_labels(self) -> LabelTable | None:
        """Load the table of labels; None without one."""
        return self.labels.load() if self.labels is not None else None
