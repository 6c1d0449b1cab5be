"""Flags for the films, how to read them, and their catalogue."""

from __future__ import annotations

import argparse

from beamscope.pipelines.options.command_line import check_range, place
from beamscope.pipelines.options.sources import add_limit_arguments, limits_from
from beamscope.pipelines.terminal.say import note
from beamscope.transforms.extra_columns import check_extra_names
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.remedis import parse_remedis_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from beamscope.transforms.xrays.catalogs.catalog import UNKNOWN_VIEW
from beamscope.transforms.xrays.catalogs.layouts import (
    CATALOG_KINDS,
    NamedColumns,
    parse_named_columns,
)
from beamscope.transforms.xrays.decoding.dicom import check_keep_tags
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from beamscope.transforms.xrays.decoding.preprocess import Preprocess, PreprocessKind
from beamscope.transforms.xrays.reading.film_block import TABLE_SCHEMA, FilmSettings
from beamscope.transforms.xrays.settings import CatalogFile, XraySettings

# The flags take their defaults from the dataclasses, so that the command line and Python agree.
_DECODE = DecodeSettings()
_PREPROCESS = Preprocess(size=224)
_SETTINGS = XraySettings(FilmSettings(_PREPROCESS))


def add_xray_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags for films, decoding, preprocessing, catalogues and limits."""
    group = parser.add_argument_group("which films")
    group.add_argument(
        "--input",
        nargs="+",
        type=place("--input"),
        required=True,
        metavar="GLOB",
        help=".zip, .tar, .tar.gz and .tgz archives, .jpg, .jpeg, .png and .dcm files, DICOM files "
        "without an extension, directories of these, or globs; local, gs:// or s3://",
    )
    group.add_argument(
        "--views",
        metavar="PA,AP",
        help="view positions to keep, from the catalogue, else from the DICOM file; UNKNOWN keeps "
        "films without one (default: all)",
    )

    group = parser.add_argument_group("catalogue")
    group.add_argument(
        "--catalog",
        choices=CATALOG_KINDS,
        help="layout of --catalog_file: MIMIC-CXR-JPG's metadata, CheXpert's train or valid, "
        "ChestX-ray14's Data_Entry, or any CSV",
    )
    group.add_argument(
        "--catalog_file",
        metavar="FILE",
        type=place("--catalog_file"),
        help="CSV, plain or .gz, local, gs:// or s3://",
    )
    group.add_argument(
        "--catalog_key",
        metavar="COLUMN",
        help="for --catalog csv: the column that names the film by the end of its path; "
        "leading slashes, a drive, gs:// and the case of the extension (.PNG) do not matter",
    )
    group.add_argument(
        "--catalog_columns",
        metavar="ROLE=COLUMN,…",
        help="for --catalog csv: view=COLUMN, patient=COLUMN, study=COLUMN, and "
        "labels=COLUMN|COLUMN|...; a label is a number (1 present, 0 absent, -1 uncertain), yes or "
        "no, or findings separated by |; --views then uses the view column (default: "
        "view=view_position,patient=patient_id,study=study_id, if the catalogue has them)",
    )

    group = parser.add_argument_group("decoding and preprocessing")
    group.add_argument(
        "--preprocess",
        choices=("remedis", "resize", "pad"),
        help="remedis: central crop of 0.875, then the bicubic resize of TensorFlow 1; resize: "
        "resize the whole film to a square; pad: keep the film's proportions and pad with black "
        "(default: remedis for models with a REMEDIS name, else resize)",
    )
    group.add_argument(
        "--equalize",
        choices=("auto", "always", "never"),
        default=_PREPROCESS.equalize,
        help="histogram equalisation; auto: only of films from DICOM, because the JPEGs of the "
        "public collections are already equalised (default: auto)",
    )
    group.add_argument(
        "--window",
        choices=("auto", "dicom", "minmax"),
        default=_DECODE.window,
        help="how to reduce more than 8 bits to 8; dicom: use the file's VOI LUT or window; "
        "minmax: scale from the lowest to the highest value; auto: dicom, unless that shows almost "
        "nothing (default: auto)",
    )
    group.add_argument(
        "--keep_tags",
        metavar="NAME,NAME",
        help="keywords of DICOM attributes to copy into the rows; no other attribute is copied "
        "except view, modality, photometric interpretation and size (default: none)",
    )
    group.add_argument(
        "--block_size",
        type=int,
        default=_SETTINGS.block_size,
        metavar="N",
        help="films that are read, embedded and written together (default: %(default)s)",
    )
    group.add_argument(
        "--read_threads",
        type=int,
        default=4,
        metavar="N",
        help="threads that decode the films of a block; they take 2 GiB for that at most "
        "(default: %(default)s)",
    )

    add_limit_arguments(parser, "film")


def xray_settings_from(
    args: argparse.Namespace, model: ModelSettings, input_px: int
) -> XraySettings:
    """Return how to read films, from the flags.

    Args:
      args: the parsed flags.
      model: settings of the model; its name decides the default of ``--preprocess``.
      input_px: side of the model's input images in pixels.

    Raises:
      InputError: a flag has an invalid value, or the catalogue cannot be used.
    """
    for flag, value, low, high in (
        ("--block_size", args.block_size, 1, 65_536),
        ("--read_threads", args.read_threads, 1, 1024),
    ):
        check_range(flag, value, low, high)
    limits = limits_from(args)
    keep_tags = tuple(_names(args.keep_tags))
    try:
        check_keep_tags(keep_tags)
    except InputError as error:
        raise InputError(error.kind, f"--keep_tags {args.keep_tags}: {error.message}") from error
    named: PreprocessKind = "remedis" if parse_remedis_name(model.uri) else "resize"
    preprocess = Preprocess(input_px, args.preprocess or named, args.equalize)
    if model.card_resize is not None:
        note(
            f"resize: {model.card_resize} of the model card is not used: films are prepared by "
            f"--preprocess {preprocess.kind}"
        )
    views = frozenset(name.upper() for name in _names(args.views))
    catalog = _catalog_from(args)
    _check_views(views, catalog)
    decode = DecodeSettings(args.window, keep_tags, limits)
    films = FilmSettings(preprocess, decode, views, args.read_threads)
    return XraySettings(films, catalog, args.block_size)


def _catalog_from(args: argparse.Namespace) -> CatalogFile | None:
    if (args.catalog is None) != (args.catalog_file is None):
        given = (
            f"--catalog {args.catalog}" if args.catalog else f"--catalog_file {args.catalog_file}"
        )
        raise InputError(
            Kind.BAD_OPTION,
            f"{given}: --catalog and --catalog_file go together: give both or neither",
        )
    if (args.catalog == "csv") != (args.catalog_key is not None):
        raise InputError(
            Kind.BAD_OPTION, "--catalog csv and --catalog_key go together: give both or neither"
        )
    named = NamedColumns()
    if args.catalog_columns is not None:
        if args.catalog != "csv":
            raise InputError(Kind.BAD_OPTION, "--catalog_columns needs --catalog csv")
        try:
            named = parse_named_columns(args.catalog_columns)
        except InputError as error:
            raise InputError(error.kind, f"--catalog_columns: {error.message}") from error
    if args.catalog is None:
        return None
    catalog = CatalogFile(args.catalog, args.catalog_file, args.catalog_key or "", named)
    try:
        with files.refusals(Kind.UNREADABLE_CATALOG):
            names = catalog.load().extra_names()
        check_extra_names(names, TABLE_SCHEMA.names, args.catalog_file, "images.parquet")
    except InputError as error:
        raise InputError(error.kind, f"--catalog_file {error.message}") from error
    return catalog


def _check_views(views: frozenset[str], catalog: CatalogFile | None) -> None:
    """Refuse views of which the catalogue has not one row.

    Raises:
      InputError: ``no_match``; the message names the views that there are.
    """
    # Films that no row names a view for count by their own, or as UNKNOWN.
    if not views or UNKNOWN_VIEW in views or catalog is None:
        return
    there = catalog.load().count_views()
    there.pop(UNKNOWN_VIEW, None)
    if there and not views & there.keys():
        found = ", ".join(f"{view} ({count:,})" for view, count in sorted(there.items()))
        raise InputError(
            Kind.NO_MATCH,
            f"--views {','.join(sorted(views))}: no row of the catalogue is of these views; "
            f"it has {found}",
        )


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]
