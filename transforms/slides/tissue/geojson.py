"""Polygons out of GeoJSON as QuPath writes it (RFC 7946, but in pixels)."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.tissue.polygons import Polygon


def read_polygons(path: Path) -> tuple[Polygon, ...]:
    """Every polygon of a file: a FeatureCollection, one Feature, a list of them, or gzipped.

    Points and lines among them are left out.

    Raises:
      InputError: ``bad_mask`` for what is no GeoJSON, is malformed, or holds no polygon; the
        message says in which feature, counted from 1.
    """
    try:
        data = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            data = gzip.decompress(data)
        document = json.loads(data)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise InputError(
            Kind.BAD_MASK, f"{path} is no readable GeoJSON: {one_line(error)}"
        ) from error
    try:
        geometries = list(_geometries(document))
        polygons = [polygon for geometry in geometries for polygon in _polygons(*geometry)]
    except _MalformedError as error:
        raise InputError(Kind.BAD_MASK, f"{path}: {error}") from None
    if not polygons:
        others = sorted({str(geometry.get("type")) for _, geometry in geometries})
        holds = f"only {', '.join(others)}" if others else "no features"
        raise InputError(Kind.BAD_MASK, f"{path} holds no polygon, {holds}")
    return tuple(polygons)


class _MalformedError(Exception):
    """What is wrong with the document, and where."""


def _geometries(document: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every geometry of a document, with the words that say where it is."""
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
        if geometry is None:
            continue  # GeoJSON allows a feature without a place
        members = [geometry]
        while members:
            member = members.pop(0)
            if not isinstance(member, dict) or not isinstance(member.get("type"), str):
                raise _MalformedError(f"{where} has the geometry {_shown(member)}")
            if member["type"] != "GeometryCollection":
                yield where, member
                continue
            if not isinstance(member.get("geometries"), list):
                raise _MalformedError(f"{where} has a GeometryCollection without geometries")
            members += member["geometries"]


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
