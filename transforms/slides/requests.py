"""Find the slides of globs, directories and manifests, and check them before anything runs."""

from __future__ import annotations

import csv
import dataclasses
import difflib
import io
import itertools
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.dicom_series import series_of_paths
from beamscope.transforms.slides.slide_files import left_out_text, match_slide_files
from beamscope.transforms.slides.tissue.mask_names import MaskNames
from beamscope.transforms.storage import files

# So many names are given as examples in a message.
_NAMED = 5
# A million slides have about 200 MB.
_MOST_MANIFEST_BYTES = 1 << 28
_MANIFEST_COLUMNS = ("slide_id", "uri", "mpp", "mask")


@dataclasses.dataclass(frozen=True, order=True)
class SlideRequest:
    """One slide that the user asks for.

    Attributes:
      slide_id: unique in the dataset.
      uri: what to open; for DICOM any one file of the slide.
      mpp: µm/px of level 0 where the user says it.
      mask: uri of the slide's tissue mask where the user says it.
      assume_mpp: µm/px of level 0 to assume if the slide does not say it.
      columns: further columns of the manifest, (name, text) each, for ``slides.parquet``.
    """

    slide_id: str
    uri: str
    mpp: float | None = None
    mask: str | None = None
    assume_mpp: float | None = None
    columns: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> str:
        """Identity of the slide in the dataset."""
        return self.slide_id


@dataclasses.dataclass(frozen=True)
class Found:
    """The slides that were found, and what was not used.

    Attributes:
      slides: sorted by id.
      left_out: how many files were no slides, by what they are, see `SlideFiles`.
      notes: what else a person is to be told, a line each.
    """

    slides: list[SlideRequest]
    left_out: Counter[str] = dataclasses.field(default_factory=Counter)
    notes: tuple[str, ...] = ()


def find_slides(patterns: Sequence[str]) -> Found:
    """Find the slides that globs, directories and files name.

    A directory stands for every slide below it; the files of a DICOM slide, and the companions
    of an MRXS or VMS slide, count as the one slide that they are. A slide is called after its file
    without the ending, a DICOM slide after its directory. A link that leads nowhere, and a folder
    that may not be read, count as slides: they fail when they are planned.

    Raises:
      InputError: ``no_match`` or ``duplicate_id``; the message names the pattern or the id.
    """
    paths, dicom = set[str](), set[str]()
    left_out: Counter[str] = Counter()
    for pattern in patterns:
        with files.refusals(Kind.NO_MATCH, "--input "):
            matched = match_slide_files(pattern)
        if not matched:
            others = f" (left out: {left_out_text(matched.left_out)})" if matched.left_out else ""
            raise InputError(Kind.NO_MATCH, f"--input {pattern}: matches no slide{others}")
        # Patterns may overlap: the same file twice is one slide.
        paths.update(matched.slides)
        dicom.update(matched.dicom)
        left_out.update(matched.left_out)
    slides = [SlideRequest(_name_of(path), path) for path in _once(paths)]
    slides.extend(_dicom_slides(_once(dicom)))
    return Found(_check_ids(slides, "--input"), left_out)


def read_manifest(path: str) -> list[SlideRequest]:
    """Read the slides of a CSV file with the columns ``slide_id,uri[,mpp][,mask]``, sorted by id.

    Relative paths are relative to the manifest. Further columns are kept as `SlideRequest.columns`.

    Raises:
      InputError: ``bad_manifest`` or ``duplicate_id``; the message names line, column and value.
    """
    try:
        with files.open_read(path) as file:
            data = file.read(_MOST_MANIFEST_BYTES + 1)
        if len(data) > _MOST_MANIFEST_BYTES:
            raise InputError(
                Kind.BAD_MANIFEST,
                f"--manifest {path}: it has more than {_MOST_MANIFEST_BYTES:,} bytes",
            )
        text = data.decode("utf-8-sig")
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


def assign_masks(slides: Sequence[SlideRequest], directory: str) -> Found:
    """Give each slide that has no mask yet the one in a directory that is called after it.

    A mask is called after the slide's id or after its file, ending included: ``b.geojson`` or
    ``b.tif.geojson``. A slide is no mask, neither its own nor another slide's.

    Returns:
      the slides, and a note on masks that no slide was found for. A slide without a mask stays
      without; what then becomes of it is up to ``--tissue``.

    Raises:
      InputError: ``no_match`` for a directory without masks, or with masks of other slides alone;
        ``ambiguous_mask`` for two masks of one slide.
    """
    with files.refusals(Kind.NO_MATCH, "--masks "):
        lying = files.list_files(directory, recursive=False)
    paths = {file.path.rsplit("/", 1)[-1]: file.path for file in lying}
    own = _same_files(paths, slides)
    masks = MaskNames(paths, exclude=own)
    if not len(masks) and not own:
        raise InputError(Kind.NO_MATCH, f"--masks {directory}: holds no mask")
    given = []
    for slide in slides:
        if slide.mask is None:
            name = masks.find([slide.slide_id, slide.uri.rsplit("/", 1)[-1]])
            slide = dataclasses.replace(slide, mask=paths[name] if name else None)
        given.append(slide)
    unused = masks.unused()
    if len(masks) and len(unused) == len(masks):
        without = [slide.slide_id for slide in slides if slide.mask is None]
        raise InputError(
            Kind.NO_MATCH,
            f"--masks {directory}: none of its {len(masks)} masks is called after a slide without "
            f"one; masks: {_some(unused)}; slides without: {_some(without) or 'none'}",
        )
    what = f"{len(unused)} of {len(masks)} masks are not used: {_some(unused)}"
    return Found(given, notes=(f"--masks {directory}: {what}",) if unused else ())


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:_NAMED], *(["..."] if len(names) > _NAMED else [])])


def _same_files(paths: Mapping[str, str], slides: Iterable[SlideRequest]) -> set[str]:
    """Return the names of those files that are slides, under whatever path."""
    uris = {slide.uri for slide in slides}
    known = {key for uri in uris if (key := _file_key(uri)) is not None}
    return {
        name for name, path in paths.items() if path in uris or _file_key(path) in known
    }  # fmt: skip


def _file_key(path: str) -> tuple[int, int] | None:
    if not files.is_local(path):
        return None
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _check_columns(path: str, columns: list[str]) -> None:
    missing = [name for name in _MANIFEST_COLUMNS[:2] if name not in columns]
    if missing:
        raise InputError(
            Kind.BAD_MANIFEST,
            f"--manifest {path}: has no column {missing[0]!r}; its columns are "
            "slide_id,uri[,mpp][,mask] and any further ones",
        )
    # Further columns may have any name but one that is meant for one of these.
    for name in columns:
        meant = None if name in _MANIFEST_COLUMNS else _meant(name, columns)
        if meant:
            raise InputError(
                Kind.BAD_MANIFEST,
                f"--manifest {path}: did you mean {meant} by the column {name!r}? Rename it; the "
                "columns are slide_id,uri[,mpp][,mask] and any further ones",
            )
    twice = [name for name in _MANIFEST_COLUMNS if columns.count(name) > 1]
    if twice:
        raise InputError(Kind.BAD_MANIFEST, f"--manifest {path}: has two columns {twice[0]!r}")


def _meant(name: str, columns: Collection[str]) -> str | None:
    """Return the column, not there by itself, that a name nearly is; None for a further column."""
    plain = re.sub(r"[\W_]", "", name).casefold()
    for known in (known for known in _MANIFEST_COLUMNS if known not in columns):
        # One other letter makes more of a difference in a short name.
        alike = 0.66 if known == "mpp" else 0.8
        if difflib.SequenceMatcher(None, plain, known.replace("_", "")).ratio() >= alike:
            return known
    return None


def _manifest_row(path: str, line: int, row: dict[str | None, str | None]) -> SlideRequest:
    where = f"--manifest {path}, line {line}"
    if None in row or None in row.values():
        raise InputError(Kind.BAD_MANIFEST, f"{where}: does not have as many fields as the header")
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
    further = tuple((name, values[name]) for name in values if name not in _MANIFEST_COLUMNS)
    try:
        return SlideRequest(
            values["slide_id"],
            _beside(path, values["uri"]),
            mpp,
            _beside(path, mask) if mask else None,
            columns=further,
        )
    except InputError as error:
        raise InputError(error.kind, f"{where}: {error.message}") from error


def _beside(manifest: str, uri: str) -> str:
    uri = files.normalize(uri)
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


def _name_of(path: str) -> str:
    name = path.rstrip("/").rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] or name


def _once(paths: Collection[str]) -> list[str]:
    """Return the paths, sorted. Of several that lead to one file of one name the shortest stays."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        by_name[path.rsplit("/", 1)[-1]].append(path)
    kept: list[str] = []
    for alike in by_name.values():
        real: dict[str, str] = {}
        for path in alike:
            local = len(alike) > 1 and files.is_local(path)
            real.setdefault(os.path.realpath(path) if local else path, path)
        kept.extend(real.values())
    return sorted(kept)


def _dicom_slides(paths: Sequence[str]) -> Iterator[SlideRequest]:
    """Yield one slide for each series of a folder; its other files are found from any of them."""
    folders: dict[str, dict[str, str]] = defaultdict(dict)
    paths = sorted(paths)
    for path, series in zip(paths, series_of_paths(paths), strict=True):
        # A file without one is a series of its own.
        name = series or path.rsplit("/", 1)[-1]
        folders[path.rpartition("/")[0]].setdefault(name, path)
    for folder, first_of in folders.items():
        name = Path(folder).resolve().name if files.is_local(folder) else folder.rpartition("/")[2]
        for series, path in first_of.items():
            yield SlideRequest(name if len(first_of) == 1 else f"{name}/{series}", path)
