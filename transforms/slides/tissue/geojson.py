"""Read polygons from GeoJSON as QuPath writes it (RFC 7946, but in pixels)."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.memory import MASKS
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.tissue.polygons import Polygon

# A million cells of QuPath take about 800 MB of text, and 3 GiB of memory.
_MOST_BYTES = 1 << 30
_MOST_MEMORY = 3 << 30

# QuPath's mark for what is not to be looked at (Ignore*, Artefact*, Background*); Region*, which it
# offers for regions of interest, is no such class.
_IGNORED = "*"
_REGION = "Region*"
# A class that is derived from another, such as "Tumor: Positive".
_BETWEEN_NAMES = ": "


@dataclasses.dataclass(frozen=True, eq=False)
class Area:
    """An annotated area.

    Attributes:
      polygon: in level-0 pixels.
      name: of its QuPath class, such as ``Tumor`` or ``Tumor: Positive``; None without one.
    """

    polygon: Polygon
    name: str | None = None


def read_areas(path: Path) -> tuple[Area, ...]:
    """Read every polygon of a file: a FeatureCollection, one Feature, a list of them, or gzipped.

    Points and lines are left out.

    Raises:
      InputError: ``bad_mask`` for what is no GeoJSON, is malformed, or holds no polygon; the
        message says in which feature, counted from 1.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if path.name.lower().endswith(".gz"):
            with gzip.open(io.BytesIO(data)) as unpacked:
                data = unpacked.read(_MOST_BYTES + 1)
        needed = _memory_of(data)
        if len(data) > _MOST_BYTES or needed > _MOST_MEMORY:
            raise InputError(
                Kind.BAD_MASK,
                f"{path} is too large: its text may have {_MOST_BYTES:,} bytes, and take "
                f"{_MOST_MEMORY:,} bytes of memory; simplify its polygons",
            )
        with MASKS.hold(needed):
            return _areas(path, json.loads(data))
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise InputError(
            Kind.BAD_MASK, f"{path} is no readable GeoJSON: {one_line(error)}"
        ) from error


def _memory_of(data: bytes) -> int:
    """Estimate what a document takes once it is parsed, by CPython's sizes of objects.

    A list has 56 bytes and 8 for each value, a dict 232, a float 24, text as many as it has.
    """
    text = len(data) * (1 if data.isascii() else 4)
    lists, dicts, values = (data.count(sign) for sign in (b"[", b"{", b","))
    return 2 * text + 88 * lists + 280 * dicts + 40 * values


def _areas(path: Path, document: Any) -> tuple[Area, ...]:
    try:
        found = list(_geometries(document))
        areas = [
            Area(polygon, name)
            for where, name, geometry in found
            for polygon in _polygons(where, geometry)
        ]
    except _MalformedError as error:
        raise InputError(Kind.BAD_MASK, f"{path}: {error}") from None
    if not areas:
        others = sorted({str(geometry.get("type")) for _, _, geometry in found})
        holds = f"only {', '.join(others)}" if others else "no features"
        raise InputError(Kind.BAD_MASK, f"{path} holds no polygon, {holds}")
    return tuple(areas)


def choose_areas(areas: Iterable[Area], classes: Collection[str] = ()) -> tuple[Area, ...]:
    """Return the areas of some classes.

    Args:
      areas: of a mask.
      classes: their names; empty for all but ``Ignore*`` and others that end in an asterisk, which
        QuPath does not look at either; ``Region*`` stays. What is left out cuts no hole into other
        areas.
    """
    if classes:
        return tuple(area for area in areas if area.name in classes)
    return tuple(area for area in areas if not _is_ignored(area.name))


def _is_ignored(name: str | None) -> bool:
    names = name.split(_BETWEEN_NAMES) if name is not None else []
    return any(part.endswith(_IGNORED) and part != _REGION for part in names)


class _MalformedError(Exception):
    """The document is malformed; the message says where."""


def _geometries(document: Any) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Yield every geometry of a document, with its place in words and its class."""
    if isinstance(document, dict) and document.get("type") == "FeatureCollection":
        features = document.get("features")
        if not isinstance(features, list):
            raise _MalformedError("the FeatureCollection has no list of features")
    elif isinstance(document, dict) and "type" in document:
        features = [document]
    elif isinstance(document, list):
        features = document
    else:
        raise _MalformedError("it is no FeatureCollection, Feature or list of features")
    for number, feature in enumerate(features, start=1):
        where = f"feature {number}"
        if not isinstance(feature, dict):
            raise _MalformedError(f"{where} is {_shown(feature)}, not an object")
        geometry = feature.get("geometry") if feature.get("type") == "Feature" else feature
        name = _class_name(feature)
        if geometry is None:
            continue  # GeoJSON allows a feature without a place
        members = [geometry]
        while members:
            member = members.pop(0)
            if not isinstance(member, dict) or not isinstance(member.get("type"), str):
                raise _MalformedError(f"{where} has the geometry {_shown(member)}")
            if member["type"] != "GeometryCollection":
                yield where, name, member
                continue
            if not isinstance(member.get("geometries"), list):
                raise _MalformedError(f"{where} has a GeometryCollection without geometries")
            members += member["geometries"]


def _class_name(feature: dict[str, Any]) -> str | None:
    """Return the class of a feature, as QuPath 0.2 to 0.6 write it."""
    properties = feature.get("properties")
    found = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(found, dict):
        names = found.get("names")
        found = (
            _BETWEEN_NAMES.join(map(str, names)) if isinstance(names, list) else found.get("name")
        )
    return found.strip() or None if isinstance(found, str) else None


def _polygons(where: str, geometry: dict[str, Any]) -> Iterator[Polygon]:
    coordinates = geometry.get("coordinates")
    if geometry["type"] == "Polygon":
        yield _polygon(where, coordinates)
    elif geometry["type"] == "MultiPolygon":
        if not isinstance(coordinates, list):
            raise _MalformedError(f"{where} has the coordinates {_shown(coordinates)}")
        for rings in coordinates:
            yield _polygon(where, rings)


def _polygon(where: str, rings: Any) -> Polygon:
    if not isinstance(rings, list) or not rings:
        raise _MalformedError(f"{where} has a polygon without rings: {_shown(rings)}")
    return tuple(_ring(where, ring) for ring in rings)


def _ring(where: str, ring: Any) -> npt.NDArray[np.float64]:
    if not isinstance(ring, list) or len(ring) < 3:
        raise _MalformedError(f"{where} has a ring of fewer than 3 points: {_shown(ring)}")
    for point in ring:
        good = isinstance(point, list) and len(point) >= 2
        if not good or not all(_is_number(value) for value in point[:2]):
            raise _MalformedError(f"{where} has the point {_shown(point)}")
    return np.array([point[:2] for point in ring], np.float64)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e9  # no slide is that large; nor is NaN


def _shown(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
