"""Flags for the slides, and for cutting them into patches."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from beamscope.pipelines.options.command_line import check_range, place
from beamscope.pipelines.options.fit import add_fit_argument, fit_of_patches
from beamscope.pipelines.options.tissue import (
    BY_MASK,
    MASK_OR_OTSU,
    add_tissue_arguments,
    check_masks_are_wanted,
    check_masks_have_classes,
    check_tissue,
    drop_from,
)
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.extra_columns import check_columns
from beamscope.transforms.slides.planning.resolution import (
    LARGEST_PATCH_MPP,
    MAX_PLAUSIBLE_MPP,
    MIN_PLAUSIBLE_MPP,
    mpp_of_magnification,
)
from beamscope.transforms.slides.requests import (
    Found,
    assign_masks,
    find_slides,
    read_manifest,
)
from beamscope.transforms.slides.settings import DOWNSCALES, READERS, SlideSettings
from beamscope.transforms.storage.cache import FileCache
from beamscope.transforms.storage.own_folder import own_folder

_LARGEST_PATCH_PX = 16_384
_LARGEST_MAGNIFICATION = 200
# The flags take their defaults from the dataclass, so that the command line and Python agree.
_DEFAULTS = SlideSettings()
_MODEL_INPUT = "the model's input"


def add_slide_arguments(parser: argparse.ArgumentParser, *, patch_size: int | None = None) -> None:
    """Add the flags for slides, resolution, tissue and reading.

    Args:
      parser: of the job.
      patch_size: default of the patch size where there is no model, to which patches are fitted.
    """
    group = parser.add_argument_group("which slides")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--input",
        nargs="+",
        type=place("--input"),
        metavar="GLOB",
        help="slides, globs, or directories (every slide below them)",
    )
    source.add_argument(
        "--manifest",
        metavar="FILE.csv",
        type=place("--manifest"),
        help="CSV with the columns slide_id,uri[,mpp][,mask]; further columns, such as patient or "
        "label, travel into slides.parquet",
    )

    group = parser.add_argument_group("resolution and patches")
    resolution = group.add_mutually_exclusive_group()
    resolution.add_argument(
        "--mpp",
        type=float,
        default=_DEFAULTS.mpp,
        help="resolution of the patches in µm/px (default: %(default)s)",
    )
    resolution.add_argument(
        "--magnification",
        type=_magnification,
        metavar="20x",
        help="the same as a nominal magnification: 10 µm/px divided by it, so that 40x is 0.25, "
        "20x is 0.5, 10x is 1 and 5x is 2 µm/px",
    )
    group.add_argument(
        "--patch_size",
        type=int,
        metavar="PX",
        default=patch_size,
        help="side of a patch in pixels at that resolution "
        f"(default: {patch_size or _MODEL_INPUT})",
    )
    if patch_size is None:
        add_fit_argument(group, "a patch")
    spacing = group.add_mutually_exclusive_group()
    spacing.add_argument(
        "--stride",
        type=int,
        metavar="PX",
        help="distance from patch to patch in pixels at that resolution (default: the patch size)",
    )
    spacing.add_argument(
        "--overlap",
        type=int,
        metavar="PX",
        help="overlap of neighbouring patches in pixels at that resolution (default: 0)",
    )
    group.add_argument(
        "--assume_mpp",
        type=float,
        metavar="MPP",
        help="µm/px of level 0 for slides without mpp and objective power "
        "(default: none; they fail with missing_mpp)",
    )
    group.add_argument(
        "--allow_implausible_mpp",
        action="store_true",
        help=f"accept an mpp below {MIN_PLAUSIBLE_MPP} or above {MAX_PLAUSIBLE_MPP:g} µm/px, or "
        "one that differs by more than 5%% between x and y",
    )
    group.add_argument(
        "--allow_upsampling",
        action="store_true",
        help="enlarge slides whose level 0 is more than 5%% coarser than --mpp",
    )

    add_tissue_arguments(parser)

    group = parser.add_argument_group("reading")
    group.add_argument(
        "--reader",
        choices=READERS,
        default=_DEFAULTS.reader,
        help="native: decode the tiles of TIFF slides directly (JPEG in SVS, generic and Philips, "
        "JPEG 2000 in SVS); "
        "auto: native if it gives the same as OpenSlide, else openslide (default: %(default)s)",
    )
    group.add_argument(
        "--downscale",
        choices=DOWNSCALES,
        default=_DEFAULTS.downscale,
        help="how to shrink a patch; area: average the pixels; decoder: let the decoder of tiles "
        "scale by 1/2, 1/4 or 1/8 where that fits: about 1.4 times as fast, JPEG 2000 more; mean "
        "error 0.5 grey levels, larger on sharp slides (default: %(default)s)",
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
        help="threads per process that read patches; they take 2 GiB for decoding at most "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--cache_gb",
        type=float,
        default=50,
        metavar="GB",
        help="disk space on each machine for local copies of remote slides that only OpenSlide "
        "reads, in 10^9 bytes (default: %(default)g)",
    )
    group.add_argument(
        "--cache_dir",
        metavar="DIR",
        type=place("--cache_dir", local=True),
        help="directory of those copies; it must belong to this user (default: "
        "beamscope-slides-UID in the temporary directory)",
    )


def find_slide_requests(args: argparse.Namespace) -> Found:
    """Return the slides that the flags name, each with its mask, and the files left out.

    If ``--tissue`` is not given, set it: ``mask`` if there are masks, else ``otsu``.

    Raises:
      InputError: nothing matches, an id is used twice, the manifest cannot be read, or a flag about
        masks would have no effect.
    """
    check_masks_are_wanted(args)
    found = find_slides(args.input) if args.input else _slides_of_manifest(args.manifest)
    if args.assume_mpp is not None:
        slides = [dataclasses.replace(s, assume_mpp=args.assume_mpp) for s in found.slides]
        found = dataclasses.replace(found, slides=slides)
    in_manifest = sum(slide.mask is not None for slide in found.slides)
    if args.masks:
        given = assign_masks(found.slides, args.masks)
        found = dataclasses.replace(found, slides=given.slides, notes=found.notes + given.notes)
    masks = [slide.mask for slide in found.slides if slide.mask is not None]
    if args.tissue is None:
        args.tissue = "mask" if masks or args.masks else _DEFAULTS.tissue
    if args.tissue not in BY_MASK and in_manifest:
        note = f"--tissue {args.tissue}: the {in_manifest} masks of the manifest are not used"
        found = dataclasses.replace(found, notes=(*found.notes, note))
    if args.tissue in BY_MASK and not (masks or args.masks):
        raise InputError(
            Kind.BAD_OPTION,
            f"--tissue {args.tissue}: needs --masks, or masks in the manifest's column mask",
        )
    check_masks_have_classes(args, masks)
    return found


def _slides_of_manifest(path: str) -> Found:
    slides = read_manifest(path)
    names = check_columns(slides, f"--manifest {path}")
    said = f"--manifest {path}: further columns for slides.parquet: {', '.join(names)}"
    return Found(slides, notes=(said,) if names else ())


def with_patch_size(model: ModelSettings, args: argparse.Namespace) -> ModelSettings:
    """Return the settings of the model, with ``--patch_size`` for one that takes any size.

    Raises:
      InputError: an invalid value.
    """
    # Before the model is loaded, which takes a while.
    _check_sizes(args)
    return dataclasses.replace(model, flexible_size=args.patch_size)


def slide_cache_from(args: argparse.Namespace) -> FileCache:
    """Return the cache for local copies of remote slides, from the flags.

    Raises:
      InputError: a flag has an invalid value.
    """
    check_range("--cache_gb", args.cache_gb, 0.001, 1e6)
    directory = Path(args.cache_dir) if args.cache_dir else own_folder("slides")
    return FileCache(directory, int(args.cache_gb * 1e9), own=not args.cache_dir)


def slide_settings_from(
    args: argparse.Namespace, input_px: int, model: ModelSettings | None = None
) -> SlideSettings:
    """Return how to cut slides into patches, from the flags.

    Args:
      args: the parsed flags.
      input_px: side of the model's input images in pixels.
      model: settings of the model, with its card; None where none is known.

    Raises:
      InputError: a flag has an invalid value.
    """
    _check_sizes(args)
    patch_px = args.patch_size or input_px
    fit = fit_of_patches(args, patch_px, input_px, model)
    if args.overlap is not None:
        check_range("--overlap", args.overlap, 0, patch_px - 1)
    stride_px = args.stride if args.stride is not None else patch_px - (args.overlap or 0)
    mpp = args.mpp if args.magnification is None else mpp_of_magnification(args.magnification)
    for flag, value, low, high in (
        ("--mpp", mpp, MIN_PLAUSIBLE_MPP, MAX_PLAUSIBLE_MPP),
        ("--stride", stride_px, 1, 65_536),
        ("--block_size", args.block_size, 1, 65_536),
        ("--read_threads", args.read_threads, 1, 1024),
    ):
        check_range(flag, value, low, high)
    check_tissue(args)
    assumed = args.assume_mpp
    if assumed is not None and not (
        args.allow_implausible_mpp or MIN_PLAUSIBLE_MPP <= assumed <= MAX_PLAUSIBLE_MPP
    ):
        raise InputError(
            Kind.BAD_OPTION,
            f"--assume_mpp must be between {MIN_PLAUSIBLE_MPP} and {MAX_PLAUSIBLE_MPP:g} µm/px, "
            f"got {assumed:g}",
        )
    return SlideSettings(
        mpp=mpp,
        patch_px=patch_px,
        stride_px=stride_px,
        tissue="mask" if args.tissue == MASK_OR_OTSU else args.tissue or _DEFAULTS.tissue,
        otsu_without_mask=args.tissue == MASK_OR_OTSU,
        min_tissue=args.min_tissue,
        tissue_threshold=args.tissue_threshold,
        min_object_um2=args.min_object_um2,
        min_hole_um2=args.min_hole_um2,
        drop=drop_from(args),
        mask_classes=tuple(
            sorted({name.strip() for name in (args.mask_classes or "").split(",")} - {""})
        ),
        allow_implausible_mpp=args.allow_implausible_mpp,
        allow_upsampling=args.allow_upsampling,
        block_size=args.block_size,
        reader=args.reader,
        downscale=args.downscale,
        fit=fit,
    )


def _check_sizes(args: argparse.Namespace) -> None:
    """Refuse a patch size outside its range, and magnifications given for µm/px."""
    if args.magnification is None:
        _check_is_no_magnification("--mpp", args.mpp)
    if args.assume_mpp is not None and not args.allow_implausible_mpp:
        _check_is_no_magnification("--assume_mpp", args.assume_mpp)
    if args.patch_size is not None:
        check_range("--patch_size", args.patch_size, 1, _LARGEST_PATCH_PX)


def _magnification(text: str) -> float:
    """Read a magnification such as ``20x`` or ``20``.

    Raises:
      InputError: ``bad_option``.
    """
    try:
        value = float(text.strip().rstrip("xX×"))
    except ValueError:
        value = 0.0
    low, high = (mpp_of_magnification(mpp) for mpp in (MAX_PLAUSIBLE_MPP, MIN_PLAUSIBLE_MPP))
    if not low <= value <= high:
        raise InputError(
            Kind.BAD_OPTION,
            f"--magnification must be between {low:g}x and {high:g}x, such as 20x; got {text}",
        )
    return value


def _check_is_no_magnification(flag: str, mpp: float) -> None:
    """Refuse a resolution that is as large as magnifications are.

    Raises:
      InputError: ``bad_option``; the message has the flag that was meant.
    """
    if not LARGEST_PATCH_MPP <= mpp <= _LARGEST_MAGNIFICATION:
        return
    meant = mpp_of_magnification(mpp)
    if flag == "--mpp":
        really = mpp_of_magnification(mpp)
        raise InputError(
            Kind.BAD_OPTION,
            f"--mpp {mpp:g}: did you mean --magnification {mpp:g}x, {meant:.3g} µm/px? "
            f"({mpp:g} µm/px are --magnification {really:.3g}x)",
        )
    raise InputError(
        Kind.BAD_OPTION,
        f"{flag} {mpp:g}: did you mean {flag} {meant:.3g}, the µm/px of {mpp:g}x? "
        "(--allow_implausible_mpp takes it as it is)",
    )
