"""Flags that say which slides, and how they are cut into patches."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from beamscope.pipelines.options.command_line import check_range, place
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.resolution import MAX_PLAUSIBLE_MPP, MIN_PLAUSIBLE_MPP
from beamscope.transforms.slides.requests import (
    Found,
    assign_masks,
    find_slides,
    read_manifest,
)
from beamscope.transforms.slides.settings import DOWNSCALES, READERS, TISSUE_MODES, SlideSettings
from beamscope.transforms.slides.tissue.mask_names import GEOJSON_SUFFIXES
from beamscope.transforms.storage.cache import FileCache
from beamscope.transforms.storage.own_folder import own_folder

_BY_MASK = ("mask", "mask_or_otsu")
# Of the dataclass, so that the command line and Python agree.
_DEFAULTS = SlideSettings()


def add_slide_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of slides, resolution, tissue and reading."""
    group = parser.add_argument_group("which slides")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--input",
        nargs="+",
        type=place("--input"),
        metavar="GLOB",
        help="slides, globs, or directories, which stand for every slide below them",
    )
    source.add_argument(
        "--manifest",
        metavar="FILE.csv",
        type=place("--manifest"),
        help="CSV with the columns slide_id,uri[,mpp][,mask]",
    )

    group = parser.add_argument_group("resolution and patches")
    group.add_argument(
        "--mpp",
        type=float,
        default=_DEFAULTS.mpp,
        help="resolution of the patches in µm/px (default: %(default)s)",
    )
    group.add_argument(
        "--patch_size",
        type=int,
        metavar="PX",
        help="side of a patch in pixels at that resolution (default: the model's input)",
    )
    spacing = group.add_mutually_exclusive_group()
    spacing.add_argument(
        "--stride",
        type=int,
        metavar="PX",
        help="from patch to patch, in pixels at that resolution (default: the patch size)",
    )
    spacing.add_argument(
        "--overlap",
        type=int,
        metavar="PX",
        help="of neighbouring patches, in pixels at that resolution (default: 0)",
    )
    group.add_argument(
        "--assume_mpp",
        type=float,
        metavar="MPP",
        help="µm/px of level 0 for slides that say neither mpp nor objective power "
        "(default: none; they fail with missing_mpp)",
    )
    group.add_argument(
        "--allow_implausible_mpp",
        action="store_true",
        help=f"take an mpp below {MIN_PLAUSIBLE_MPP} or above {MAX_PLAUSIBLE_MPP:g} µm/px, or one "
        "that differs by more than 5%% in x and y, as it is",
    )
    group.add_argument(
        "--allow_upsampling",
        action="store_true",
        help="enlarge slides whose level 0 is more than 5%% coarser than --mpp",
    )

    group = parser.add_argument_group("tissue")
    group.add_argument(
        "--tissue",
        choices=TISSUE_MODES,
        help="how it is found: otsu, on the saturation of a thumbnail (brightness on dark slides); "
        "none, every patch that was scanned; mask, given masks; mask_or_otsu, given masks, and "
        "otsu for slides without one (default: mask where masks are given, else otsu)",
    )
    group.add_argument(
        "--min_tissue",
        type=float,
        default=_DEFAULTS.min_tissue,
        metavar="FRACTION",
        help="of a patch that must be tissue, 0 to 1 (default: %(default)s)",
    )
    group.add_argument(
        "--masks",
        metavar="DIR",
        type=place("--masks"),
        help="masks called after slides, SLIDE_ID.geojson (as QuPath writes it) or .png, .tif; "
        "the manifest's column mask goes first",
    )
    group.add_argument(
        "--mask_classes",
        metavar="A,B",
        help="QuPath classes of GeoJSON masks that are tissue (default: all but Ignore*)",
    )

    group = parser.add_argument_group("reading")
    group.add_argument(
        "--reader",
        choices=READERS,
        default=_DEFAULTS.reader,
        help="native: tiles of JPEG-tiled TIFF slides (SVS, generic, Philips) decoded directly; "
        "auto: native where that gives what OpenSlide gives, else openslide (default: %(default)s)",
    )
    group.add_argument(
        "--downscale",
        choices=DOWNSCALES,
        default=_DEFAULTS.downscale,
        help="how what is read becomes a smaller patch; area: averaging; decoder: the JPEG decoder "
        "halves, quarters or eighths where that fits: about 1.4 times as fast, mean error 0.5 grey "
        "levels, larger on sharp slides (default: %(default)s)",
    )
    group.add_argument(
        "--block_size",
        type=int,
        default=_DEFAULTS.block_size,
        metavar="N",
        help="patches that are read, embedded and written together (default: %(default)s)",
    )
    group.add_argument(
        "--read_threads",
        type=int,
        default=4,
        metavar="N",
        help="threads of a process that read patches (default: %(default)s)",
    )
    group.add_argument(
        "--cache_gb",
        type=float,
        default=50,
        metavar="GB",
        help="room on each machine for local copies of remote slides that only OpenSlide reads, "
        "in 10^9 bytes (default: %(default)g)",
    )
    group.add_argument(
        "--cache_dir",
        metavar="DIR",
        type=place("--cache_dir", local=True),
        help="where those are kept, a directory of this user's own (default: beamscope-slides-UID "
        "in the temporary directory)",
    )


def find_slide_requests(args: argparse.Namespace) -> Found:
    """Return the slides that the flags name, each with its mask, and what was left out.

    Where ``--tissue`` is not given, it is set here: ``mask`` when there are masks, else ``otsu``.

    Raises:
      InputError: nothing matches, an id is used twice, the manifest cannot be read, or a flag about
        masks would have no effect.
    """
    _check_masks_are_wanted(args)
    found = find_slides(args.input) if args.input else Found(read_manifest(args.manifest))
    in_manifest = sum(slide.mask is not None for slide in found.slides)
    if args.masks:
        given = assign_masks(found.slides, args.masks)
        found = dataclasses.replace(found, slides=given.slides, notes=found.notes + given.notes)
    masks = [slide.mask for slide in found.slides if slide.mask is not None]
    if args.tissue is None:
        args.tissue = "mask" if masks or args.masks else _DEFAULTS.tissue
    if args.tissue not in _BY_MASK and in_manifest:
        note = f"--tissue {args.tissue}: the {in_manifest} masks of the manifest are not used"
        found = dataclasses.replace(found, notes=(*found.notes, note))
    if args.tissue in _BY_MASK and not (masks or args.masks):
        raise InputError(
            Kind.BAD_OPTION,
            f"--tissue {args.tissue}: needs --masks, or a manifest with masks in its column mask",
        )
    _check_masks_have_classes(args, masks)
    return found


def _check_masks_are_wanted(args: argparse.Namespace) -> None:
    for flag, value in (("--masks", args.masks), ("--mask_classes", args.mask_classes)):
        if value and args.tissue not in (None, *_BY_MASK):
            wanted = " or ".join(_BY_MASK)
            raise InputError(Kind.BAD_OPTION, f"{flag} {value}: needs --tissue {wanted}")


def _check_masks_have_classes(args: argparse.Namespace, masks: Sequence[str]) -> None:
    if not args.mask_classes:
        return
    flag = f"--mask_classes {args.mask_classes}"
    if args.tissue not in _BY_MASK:
        raise InputError(Kind.BAD_OPTION, f"{flag}: no masks are given")
    for mask in masks:
        if not mask.lower().endswith(GEOJSON_SUFFIXES):
            raise InputError(Kind.BAD_OPTION, f"{flag}: {mask} is an image, without classes")


def with_patch_size(model: ModelSettings, args: argparse.Namespace) -> ModelSettings:
    """The model told that its images are patches of the size asked for, where one is.

    Raises:
      InputError: ``--patch_size`` and ``--input_size`` differ.
    """
    if args.patch_size is None:
        return model
    if model.input_size not in (None, args.patch_size):
        raise InputError(
            Kind.BAD_OPTION,
            f"--patch_size {args.patch_size}: is not the --input_size {model.input_size}",
        )
    return dataclasses.replace(model, input_size=args.patch_size)


def slide_cache_from(args: argparse.Namespace) -> FileCache:
    """Where remote slides are copied to, as the flags say.

    Raises:
      InputError: a value makes no sense.
    """
    check_range("--cache_gb", args.cache_gb, 0.001, 1e6)
    directory = Path(args.cache_dir) if args.cache_dir else own_folder("slides")
    return FileCache(directory, int(args.cache_gb * 1e9), own=not args.cache_dir)


def slide_settings_from(args: argparse.Namespace, input_px: int) -> SlideSettings:
    """How the flags say that slides are cut.

    Args:
      args: the parsed flags.
      input_px: side of the images that the model takes, which is that of a patch.

    Raises:
      InputError: a value makes no sense.
    """
    if args.overlap is not None:
        check_range("--overlap", args.overlap, 0, input_px - 1)
    stride_px = args.stride if args.stride is not None else input_px - (args.overlap or 0)
    for flag, value, low, high in (
        ("--mpp", args.mpp, MIN_PLAUSIBLE_MPP, MAX_PLAUSIBLE_MPP),
        ("--stride", stride_px, 1, 65_536),
        ("--min_tissue", args.min_tissue, 0.0, 1.0),
        ("--block_size", args.block_size, 1, 65_536),
        ("--read_threads", args.read_threads, 1, 1024),
    ):
        check_range(flag, value, low, high)
    assumed = args.assume_mpp
    if assumed is not None and not (
        args.allow_implausible_mpp or MIN_PLAUSIBLE_MPP <= assumed <= MAX_PLAUSIBLE_MPP
    ):
        raise InputError(
            Kind.BAD_OPTION,
            f"--assume_mpp {assumed:g}: is not the resolution of a slide, "
            f"{MIN_PLAUSIBLE_MPP} to {MAX_PLAUSIBLE_MPP:g} µm/px",
        )
    return SlideSettings(
        mpp=args.mpp,
        patch_px=input_px,
        stride_px=stride_px,
        tissue=args.tissue or _DEFAULTS.tissue,
        min_tissue=args.min_tissue,
        mask_classes=tuple(
            sorted({name.strip() for name in (args.mask_classes or "").split(",")} - {""})
        ),
        assume_mpp=args.assume_mpp,
        allow_implausible_mpp=args.allow_implausible_mpp,
        allow_upsampling=args.allow_upsampling,
        block_size=args.block_size,
        reader=args.reader,
        downscale=args.downscale,
    )
