"""The slides of a report: the picture of each, and a map of its embeddings in false colours."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.dataset.features import Features
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.plans import read_plan_header
from beamscope.transforms.problems import InputError
from beamscope.transforms.report.components import Components
from beamscope.transforms.report.pictures import Rgb, data_uri, decode_jpeg, fit_into
from beamscope.transforms.storage import files

_PICTURE_PX = 900
# How much of the slide is seen below the colours of its map.
_GROUND = 0.25


@dataclasses.dataclass(frozen=True)
class Card:
    """What a report shows of a slide.

    Attributes:
      row: its row of ``slides.parquet``.
      picture: URI of its picture with tissue and patches; None where there is none.
      map: URI of its map; None where there is none.
      note: why something is missing; may be empty.
    """

    row: dict[str, Any]
    picture: str | None = None
    map: str | None = None
    note: str = ""


def slide_card(
    dataset: Dataset,
    layout: Layout,
    row: dict[str, Any],
    components: Components | None,
    *,
    with_map: bool,
) -> Card:
    """Return the card of a slide.

    Args:
      dataset: the dataset.
      layout: its paths.
      row: the slide's row of ``slides.parquet``.
      components: of all embeddings; None where there are too few.
      with_map: whether to read its embeddings and colour them.
    """
    picture = _picture(layout, row["slide_id"])
    shown = data_uri(fit_into(picture, _PICTURE_PX)) if picture is not None else None
    note = "" if shown or not row["patches_planned"] else "its picture is missing in qc/"
    if not with_map or components is None or not row["patches_embedded"]:
        return Card(row, shown, None, note)
    features = dataset.features(row["slide_id"])
    drawn = draw_map(features, components, _clean_picture(layout, row["slide_id"]))
    return Card(row, shown, data_uri(fit_into(drawn, _PICTURE_PX)), note)


@dataclasses.dataclass(frozen=True, eq=False)
class Ground:
    """The picture below a map, and where it lies on the slide.

    Attributes:
      pixels: uint8 RGB ``[h, w, 3]``.
      x_level0: level-0 position of its left edge.
      y_level0: level-0 position of its top edge.
      scale: level-0 pixels per pixel.
    """

    pixels: Rgb
    x_level0: float
    y_level0: float
    scale: float


def draw_map(features: Features, components: Components, ground: Ground | None) -> Rgb:
    """Return a map of a slide: each patch in the colour of its embedding.

    Where patches overlap, each pixel has the mean colour of the patches on it.

    Args:
      features: the rows of the slide.
      components: of the whole dataset.
      ground: the slide below it; None for an empty ground around the patches.
    """
    assert features.coordinates is not None  # of slides
    sides = features.rows["size_level0"].to_numpy().astype(np.float64)
    corners = features.coordinates.astype(np.float64)
    if ground is None:
        first, last = corners.min(axis=0), (corners + sides[:, None]).max(axis=0)
        scale = max(float((last - first).max()) / _PICTURE_PX, 1.0)
        width, height = np.ceil((last - first) / scale).astype(int)
        paper = np.full((max(1, height), max(1, width), 3), 245, np.uint8)
        ground = Ground(paper, float(first[0]), float(first[1]), scale)
    origin = np.array([ground.x_level0, ground.y_level0])
    starts = np.rint((corners - origin) / ground.scale).astype(int)
    ends = np.rint((corners - origin + sides[:, None]) / ground.scale).astype(int)
    ends = np.maximum(ends, starts + 1)
    height, width = ground.pixels.shape[:2]
    sums = np.zeros((height, width, 3), np.float32)
    counts = np.zeros((height, width), np.float32)
    colors = components.colors(features.embeddings)
    for (left, top), (right, bottom), color in zip(starts, ends, colors, strict=True):
        area = (slice(max(0, top), max(0, bottom)), slice(max(0, left), max(0, right)))
        sums[area] += color
        counts[area] += 1
    grey = cv2.cvtColor(cv2.cvtColor(ground.pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    covered = counts > 0
    drawn = grey.astype(np.float32)
    mean = sums[covered] / counts[covered][:, None]
    drawn[covered] = _GROUND * drawn[covered] + (1 - _GROUND) * mean
    return np.asarray(np.rint(drawn), np.uint8)


def _picture(layout: Layout, slide_id: str) -> Rgb | None:
    return _read(layout.picture(slide_id))


def _clean_picture(layout: Layout, slide_id: str) -> Ground | None:
    """Return the picture of the plan, without a caption; None where the work files are gone."""
    pixels = _read(layout.plan_picture(slide_id))
    if pixels is None:
        return None
    try:
        place = read_plan_header(layout.plan(slide_id))["picture"]
    except (OSError, InputError, KeyError, ValueError):
        return None
    return Ground(pixels, *place[:3]) if place else None


def _read(path: str) -> Rgb | None:
    try:
        return decode_jpeg(files.read_bytes(path))
    except (OSError, InputError, ValueError):
        return None
