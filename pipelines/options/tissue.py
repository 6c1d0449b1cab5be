"""Flags for tissue: how it is found, given masks, and the quality of patches."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from beamscope.pipelines.options.command_line import check_range, place
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.settings import TISSUE_MODES, SlideSettings
from beamscope.transforms.slides.tissue.mask_names import GEOJSON_SUFFIXES
from beamscope.transforms.slides.tissue.quality import DEFAULT_THRESHOLDS, REASONS, Reason

# The mask of a slide that has one, else otsu.
MASK_OR_OTSU = "mask_or_otsu"
BY_MASK = ("mask", MASK_OR_OTSU)
_DEFAULTS = SlideSettings()


def add_tissue_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("tissue")
    group.add_argument(
        "--tissue",
        choices=(*TISSUE_MODES, MASK_OR_OTSU),
        help="how to find tissue; otsu: threshold the saturation of a thumbnail (brightness on "
        "dark slides); none: take every patch in scanned areas; mask: use given masks; "
        "mask_or_otsu: use given masks, and otsu for slides without one (default: mask if masks "
        "are given, else otsu)",
    )
    group.add_argument(
        "--min_tissue",
        type=float,
        default=_DEFAULTS.min_tissue,
        metavar="FRACTION",
        help="fraction of a patch that must be tissue, 0 to 1 (default: %(default)s)",
    )
    group.add_argument(
        "--tissue_threshold",
        type=float,
        metavar="0..1",
        help="tissue is what is more saturated (brighter on dark slides) than this, from 0 to 1; "
        "higher takes less (default: by Otsu for each slide, within 0.035 and 0.08, or 0.05 and "
        "0.09 on dark slides)",
    )
    group.add_argument(
        "--min_object_um2",
        type=float,
        metavar="UM2",
        default=_DEFAULTS.min_object_um2,
        help="smaller objects are dust, no tissue, in µm² (default: %(default)g)",
    )
    group.add_argument(
        "--min_hole_um2",
        type=float,
        metavar="UM2",
        default=_DEFAULTS.min_hole_um2,
        help="smaller holes in tissue count as tissue, in µm² (default: %(default)g)",
    )
    group.add_argument(
        "--drop",
        nargs="+",
        metavar="REASON[=NUMBER]",
        help="leave out patches of poor quality, measured at 8 µm/px; white, black, grey, ink: if "
        "this fraction of the patch is (default: 0.9; 0.1 of ink); blurred: if the Laplacian's "
        "standard deviation is below this many grey levels (default: 12). ink is pen ink from "
        "green to blue, recognised on slides of H&E alone (default: nothing)",
    )
    group.add_argument(
        "--masks",
        metavar="DIR",
        type=place("--masks"),
        help="directory of masks: SLIDE_ID.geojson (from QuPath), .png or .tif; the manifest's "
        "column mask takes precedence",
    )
    group.add_argument(
        "--mask_classes",
        metavar="A,B",
        help="QuPath classes of GeoJSON masks that are tissue (default: all but Ignore*)",
    )


def check_tissue(args: argparse.Namespace) -> None:
    """Refuse numbers outside their range, and a threshold that nothing would use.

    Raises:
      InputError: ``bad_option``.
    """
    for flag, value, low, high in (
        ("--min_tissue", args.min_tissue, 0.0, 1.0),
        ("--min_object_um2", args.min_object_um2, 0.0, 1e12),
        ("--min_hole_um2", args.min_hole_um2, 0.0, 1e12),
    ):
        check_range(flag, value, low, high)
    if args.tissue_threshold is not None:
        check_range("--tissue_threshold", args.tissue_threshold, 0.0, 1.0)
        if args.tissue in ("none", "mask"):
            raise InputError(
                Kind.BAD_OPTION,
                f"--tissue_threshold {args.tissue_threshold:g}: has no effect with --tissue "
                f"{args.tissue}",
            )


def check_masks_are_wanted(args: argparse.Namespace) -> None:
    """Refuse flags about masks where tissue is found in another way.

    Raises:
      InputError: ``bad_option``.
    """
    for flag, value in (("--masks", args.masks), ("--mask_classes", args.mask_classes)):
        if value and args.tissue not in (None, *BY_MASK):
            wanted = " or ".join(BY_MASK)
            raise InputError(Kind.BAD_OPTION, f"{flag} {value}: needs --tissue {wanted}")


def check_masks_have_classes(args: argparse.Namespace, masks: Sequence[str]) -> None:
    """Refuse ``--mask_classes`` for masks that have no classes.

    Args:
      args: the parsed flags.
      masks: uris of the masks.

    Raises:
      InputError: ``bad_option``; the message names the mask.
    """
    if not args.mask_classes:
        return
    flag = f"--mask_classes {args.mask_classes}"
    if args.tissue not in BY_MASK:
        raise InputError(Kind.BAD_OPTION, f"{flag}: no masks are given")
    for mask in masks:
        if not mask.lower().endswith(GEOJSON_SUFFIXES):
            raise InputError(Kind.BAD_OPTION, f"{flag}: {mask} is an image and has no classes")


def drop_from(args: argparse.Namespace) -> tuple[tuple[Reason, float], ...]:
    """Return the reasons of ``--drop`` with their thresholds, in the order of `REASONS`.

    Raises:
      InputError: ``bad_option`` for an unknown reason, or a number outside its range.
    """
    found: dict[str, float] = {}
    for text in args.drop or ():
        name, equals, number = text.partition("=")
        if name not in REASONS:
            raise InputError(
                Kind.BAD_OPTION, f"--drop {text}: {name} is none of {', '.join(REASONS)}"
            )
        if name in found:
            raise InputError(Kind.BAD_OPTION, f"--drop {text}: {name} is given twice")
        try:
            found[name] = float(number) if equals else DEFAULT_THRESHOLDS[name]
        except ValueError as error:
            raise InputError(
                Kind.BAD_OPTION, f"--drop {text}: {number!r} is not a number"
            ) from error
        check_range(f"--drop {name}", found[name], 0.0, 1000.0 if name == "blurred" else 1.0)
    return tuple((reason, found[reason]) for reason in REASONS if reason in found)
