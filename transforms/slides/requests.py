"""Which slides: globs, directories and manifests, checked before anything runs."""

from __future__ import annotations

import csv
import dataclasses
import glob
import io
import itertools
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import pydicom

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.tissue.masks import GEOJSON_SUFFIXES, IMAGE_SUFFIXES, find_mask
from beamscope.transforms.storage import files

# What OpenSlide 4 opens, by the ending of the file that one names to it.
_ENDINGS = (".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif",
            ".czi")  # fmt: skip
_DICOM_ENDING = ".dcm"
MASK_SUFFIXES = GEOJSON_SUFFIXES + IMAGE_SUFFIXES
_MANIFEST_COLUMNS = ("slide_id", "uri", "mpp", "mask")


@dataclasses.dataclass(frozen=True, order=True)
class SlideRequest:
    """One slide that the user asks for.

    Attributes:
      slide_id: unique in the dataset.
      uri: what to open; for DICOM any one file of the slide.
      mpp: µm/px of level 0 where the user says it.
      mask: uri of the slide's tissue mask where the user says it.
    """

    slide_id: str
    uri: str
    mpp: float | None = None
    mask: str | None = None

    @property
    def id(self) -> str:
        """Identity of the slide in the dataset."""
        return self.slide_id


def find_slides(patterns: Sequence[str]) -> list[SlideRequest]:
    """The slides that globs, directories and files name, sorted by id.

    A directory stands for every slide below it; the files of a DICOM slide, and the companions
    of an MRXS or VMS slide, count as the one slide that they are. A slide is called after its file
    without the ending, a DICOM slide after its directory.

    Raises:
      InputError: ``no_match`` or ``duplicate_id``; the message names the pattern or the id.
    """
    paths: set[str] = set()
    for pattern in patterns:
        matched = _match(pattern)
        if not matched:
            raise InputError(Kind.NO_MATCH, f"--input {pattern}: matches no slide")
        # Patterns may overlap: the same file twice is one slide.
        paths.update(matched)
    return _check_ids(_slides_among(paths), "--input")


def read_manifest(path: str) -> list[SlideRequest]:
    """The slides of a CSV file with the columns ``slide_id,uri[,mpp][,mask]``, sorted by id.

    Relative paths are relative to the manifest.

    Raises:
      InputError: ``bad_manifest`` or ``duplicate_id``; the message names line, column and value.
    """
    try:
        text = files.read_bytes(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Kind.BAD_MANIFEST, f"--manifest {path}: {one_line(error)}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        _check_columns(path, columns)
        slides = [_manifest_row(path, reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(
            Kind.BAD_MANIFEST, f"--manifest {path}, line {reader.line_num}: {error}"
        ) from error
    if not slides:
        raise InputError(Kind.BAD_MANIFEST, f"--manifest {path}: names no slide")
    return _check_ids(slides, f"--manifest {path}")


def assign_masks(slides: Iterable[SlideRequest], directory: str) -> list[SlideRequest]:
    """The slides, each that has no mask yet with the one in a directory that is called after it.

    Raises:
      InputError: ``no_match`` for a directory without files, ``ambiguous_mask`` for two masks of
        one slide. A slide without a mask stays without, and fails when it is planned.
    """
    names_of: dict[str, list[str]] = defaultdict(list)
    for file in files.list_files(directory, recursive=False):
        name = file.path.rsplit("/", 1)[-1]
        for suffix in MASK_SUFFIXES:
            if name.lower().endswith(suffix):
                names_of[name[: -len(suffix)]].append(name)
    if not names_of:
        raise InputError(Kind.NO_MATCH, f"--masks {directory}: holds no mask")
    return [
        dataclasses.replace(
            slide,
            mask=files.join(directory, find_mask(names_of[slide.slide_id], slide.slide_id)),
        )
        if slide.mask is None and slide.slide_id in names_of
        else slide
        for slide in slides
    ]


def _check_columns(path: str, columns: list[str]) -> None:
    missing = [name for name in _MANIFEST_COLUMNS[:2] if name not in columns]
    unknown = [name for name in columns if name not in _MANIFEST_COLUMNS]
    if missing or unknown:
        what = (
            f"has no column {missing[0]!r}" if missing else f"has an unknown column {unknown[0]!r}"
        )
        raise InputError(
            Kind.BAD_MANIFEST,
            f"--manifest {path}: {what}; its columns are slide_id,uri[,mpp][,mask]",
        )


def _manifest_row(path: str, line: int, row: dict[str | None, str | None]) -> SlideRequest:
    where = f"--manifest {path}, line {line}"
    if None in row or None in row.values():
        raise InputError(Kind.BAD_MANIFEST, f"{where}: has not as many fields as the header")
    values = {name: (value or "").strip() for name, value in row.items() if name is not None}
    for name in _MANIFEST_COLUMNS[:2]:
        if not values[name]:
            raise InputError(Kind.BAD_MANIFEST, f"{where}: {name} is empty")
    mpp = None
    if values.get("mpp"):
        try:
            mpp = float(values["mpp"])
        except ValueError as error:
            raise InputError(
                Kind.BAD_MANIFEST, f"{where}: mpp {values['mpp']!r} is not a number"
            ) from error
    mask = values.get("mask")
    return SlideRequest(
        values["slide_id"],
        _beside(path, values["uri"]),
        mpp,
        _beside(path, mask) if mask else None,
    )


def _beside(manifest: str, uri: str) -> str:
    if not files.is_local(uri) or Path(uri).is_absolute():
        return uri
    return files.join(manifest.rsplit("/", 1)[0], uri) if "/" in manifest else uri


def _check_ids(slides: Iterable[SlideRequest], flag: str) -> list[SlideRequest]:
    ordered = sorted(slides, key=lambda slide: (slide.slide_id, slide.uri))
    for slide in ordered:
        if not (slide.slide_id + slide.uri).isprintable():
            # Tables hold Unicode text; a name in another encoding, or on two lines, is none.
            raise InputError(
                Kind.BAD_NAME, f"{flag}: the name {slide.uri!a} is not printable Unicode; rename it"
            )
    for one, other in itertools.pairwise(ordered):
        if one.slide_id == other.slide_id:
            raise InputError(
                Kind.DUPLICATE_ID,
                f"{flag}: slide id {one.slide_id!r} is used twice, for {one.uri} and {other.uri}; "
                "a manifest can name them apart",
            )
    return ordered


def _match(pattern: str) -> list[str]:
    """The files that may be slides, or DICOM files of one, among what a pattern names."""
    if not files.is_local(pattern):
        return [file.path for file in files.match(pattern)]
    # A name with brackets is first of all a name.
    names = [pattern] if Path(pattern).exists() else glob.glob(pattern, recursive=True)  # noqa: PTH207
    found = []
    for name in map(os.path.normpath, names):
        if not Path(name).is_dir():
            found.append(name)
        elif not Path(f"{name}.mrxs").exists():
            below = [file.path for file in files.list_files(name)]
            found.extend(path for path in below if _looks_like_slide(path))
    return found


def _looks_like_slide(path: str) -> bool:
    name = path.rsplit("/", 1)[-1].lower()
    return name.endswith((*_ENDINGS, _DICOM_ENDING)) and not name.startswith(".")


def _slides_among(paths: Collection[str]) -> Iterator[SlideRequest]:
    """One slide a file, but one for all the DICOM files of a series."""
    dicoms = [path for path in paths if path.lower().endswith(_DICOM_ENDING)]
    for path in set(paths) - set(dicoms):
        name = path.rstrip("/").rsplit("/", 1)[-1]
        yield SlideRequest(name.rsplit(".", 1)[0] or name, path)
    yield from _dicom_slides(dicoms)


def _dicom_slides(paths: Sequence[str]) -> Iterator[SlideRequest]:
    """A DICOM slide is a series; OpenSlide finds its other files from any one of them."""
    folders: dict[str, dict[str, str]] = defaultdict(dict)
    for path in sorted(paths):
        folders[path.rpartition("/")[0]].setdefault(_series(path), path)
    for folder, first_of in folders.items():
        name = Path(folder).resolve().name if files.is_local(folder) else folder.rpartition("/")[2]
        for series, path in first_of.items():
            yield SlideRequest(name if len(first_of) == 1 else f"{name}/{series}", path)


def _series(path: str) -> str:
    """The series that a DICOM file belongs to; a file that is none counts as one of its own."""
    try:
        with files.open_read(path) as file:
            header = pydicom.dcmread(
                file, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"]
            )
        return str(header.SeriesInstanceUID)
    except (pydicom.errors.InvalidDicomError, AttributeError, OSError):
        return path.rsplit("/", 1)[-1]
