"""Decode damaged films, and read damaged sources of films as a job does."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.archives.read_source import SourceReader, list_members
from beamscope.transforms.sources.reading.members import ImageStream, read_images
from beamscope.transforms.sources.sources import Source, archive_kind
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.names import FILM_NAMES
from beamscope.transforms.xrays.reading.film_block import FilmReading, FilmSettings

LIMITS = Limits()
_TOLERANCE = 2
_TWELVE_BITS = "jpeg_12.jpg"


def decode(path: str) -> dict[str, Any]:
    """Decode the film of a file."""
    try:
        film = decode_film(Path(path).read_bytes(), DecodeSettings())
    except InputError as error:
        return _row(error)
    return {"kind": "film", "size": film.pixels.shape}


def compare(path: str, original: str) -> dict[str, Any]:
    """Decode a damaged film; one that looks otherwise than before must be what its bytes say.

    Returns:
      the kind of its problem; or ``same``; ``proven``, where Pillow reads the same pixels;
      ``dicom``, which has no checksum and where another reader would have to know all of it; or
      ``unproven``.
    """
    data = Path(path).read_bytes()
    try:
        film = decode_film(data, DecodeSettings())
    except InputError as error:
        return _row(error)
    if np.array_equal(film.pixels, _original(original)):
        return {"kind": "same"}
    if film.origin == "dicom":
        return {"kind": "dicom"}
    if original.endswith(_TWELVE_BITS):
        # Pillow reads 8 bits alone.
        wide = np.asarray(imagecodecs.jpeg8_decode(data)).astype(float)
        seen = np.rint(wide * (255 / 4095)).astype(np.uint8)
    else:
        with Image.open(io.BytesIO(data)) as image:
            seen = np.asarray(image.convert("L"))
    alike = seen.shape == film.pixels.shape
    if alike and np.abs(seen.astype(int) - film.pixels).max() <= _TOLERANCE:
        return {"kind": "proven"}
    return {"kind": "unproven"}


@functools.lru_cache(maxsize=64)
def _original(path: str) -> np.ndarray:
    return decode_film(Path(path).read_bytes(), DecodeSettings()).pixels


def read_source(path: str, original: str | None = None, threads: int = 4) -> dict[str, Any]:
    """List an archive or folder, and read all of it.

    Returns:
      how many films were ``read``, the kinds of the problems, and members that have other bytes
      than before, though the archive does not (``unproven``).
    """
    kind = "directory" if Path(path).is_dir() else archive_kind(path)
    source = Source("source", path, kind)
    reading = FilmReading(FilmSettings(Preprocess(64), DecodeSettings(), threads=threads))
    problems = []
    read = 0
    if kind == "tgz":
        stream = ImageStream(source, 16, reading)
        count = 0
        for _, block in stream:
            read += len(block.pixels)
            count += len(block.pixels) + len(block.problems) + block.left_out
            problems += block.problems
        assert count == stream.count, (count, stream.count)
        problems += stream.archive_problems
    else:
        listing = list_members(source, LIMITS, FILM_NAMES)
        problems = [*listing.problems, *listing.archive_problems]
        block = read_images(source, listing.members, reading)
        assert len(block.pixels) + len(block.problems) == len(listing.members)
        read = len(block.pixels)
        problems += block.problems
    for problem in problems:
        assert problem.kind != Kind.DEFECT, problem
        assert "\n" not in problem.message, problem
    unproven = [] if original is None or kind == "tgz" else _changed(source, original)
    return {
        "kind": "done",
        "read": read,
        "kinds": sorted({str(problem.kind) for problem in problems}),
        "problems": len(problems),
        "messages": sorted({problem.message for problem in problems})[:3],
        "unproven": unproven,
    }


def _changed(source: Source, original: str) -> list[str]:
    """Return members that are read, and are neither as before nor the bytes at their place."""
    before = _members(Source("source", original, source.kind))
    data = Path(source.uri).read_bytes()
    changed = []
    for member in list_members(source, LIMITS, FILM_NAMES).members:
        with contextlib.closing(SourceReader(source, LIMITS)) as reader:
            try:
                content = reader.read_member(member)
            except InputError:
                continue
        if content in before:
            continue
        # A tar has no checksum of its members.
        if source.kind == "tar" and data[member.offset : member.offset + member.size] == content:
            continue
        changed.append(member.name)
    return changed


def _members(source: Source) -> set[bytes]:
    with contextlib.closing(SourceReader(source, LIMITS)) as reader:
        return {reader.read_member(m) for m in list_members(source, LIMITS, FILM_NAMES).members}


def _row(error: InputError) -> dict[str, Any]:
    assert error.kind != Kind.DEFECT, error
    assert "\n" not in error.message, error
    return {"kind": error.kind, "message": error.message}


def decode_image(path: str) -> dict[str, Any]:
    """Decode an image that is no film."""
    from beamscope.transforms.images.decode import decode_image as decode

    try:
        picture = decode(Path(path).read_bytes(), LIMITS)
    except InputError as error:
        return _row(error)
    return {"kind": "image", "size": picture.pixels.shape}


def read_as_nobody(path: str) -> dict[str, Any]:
    """Read a folder as a user without rights; the process has no others afterwards."""
    if os.geteuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)
    return read_source(path)
