"""`beamscope make-slide`: write a sample slide for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from beamscope.pipelines.options.command_line import Parser, place
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.sample.slide import (
    DEFAULT_QUALITY,
    LEVEL_FACTORS,
    SampleSlide,
    write_sample_slide,
)

DEFAULTS = SampleSlide()


def run(argv: Sequence[str]) -> int:
    """Write a slide with the flags of a command line.

    Raises:
      InputError: a flag is wrong, or the file cannot be written.
    """
    args = vars(_parser().parse_args(list(argv)))
    output = Path(args.pop("output"))
    if args["objective_power"] == "auto":
        args["objective_power"] = _nominal_power(args["mpp"])
    slide = SampleSlide(**args)
    try:
        write_sample_slide(output, slide)
    except OSError as error:
        raise InputError(Kind.UNWRITABLE, f"--output {output}: {one_line(error)}") from error
    sizes = ", ".join(f"{width}x{height}" for width, height in slide.level_sizes)
    print(f"{output}: {sizes}, {output.stat().st_size / 1e6:.1f} MB")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="beamscope make-slide",
        description="Write a sample slide: a tiled, pyramidal, Aperio-style SVS with drawn tissue "
        "that looks like H&E. The same flags always give the same pixels.",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=place("--output", local=True),
        metavar="FILE.svs",
        help="local file",
    )

    def add(name: str, type_: Callable[[str], object], text: str, **more: object) -> None:
        default = more.pop("default", getattr(DEFAULTS, name))
        shown = f"{text} (default: {default})"
        parser.add_argument(f"--{name}", type=type_, default=default, help=shown, **more)  # type: ignore[arg-type]

    qualities = ", ".join(f"{quality} for {codec}" for codec, quality in DEFAULT_QUALITY.items())
    add("width", int, "width of level 0 in pixels")
    add("height", int, "height of level 0 in pixels")
    add("mpp", _or_none, "size of a level-0 pixel in µm, or none to leave it out of the file")
    add(
        "objective_power",
        lambda text: text if text == "auto" else _or_none(text),
        "nominal magnification; none leaves it out; auto: 10 / mpp",
        default="auto",
    )
    add("tile_size", int, "side of a tile in pixels, a multiple of 16")
    add("compression", str, "compression of the tiles", choices=list(DEFAULT_QUALITY))
    parser.add_argument(
        "--quality",
        type=int,
        help=f"quality: 1 to 100 for jpeg, decibels for jpeg2000 (default: {qualities})",
    )
    add("levels", int, "number of levels, level 0 included")
    add("level_factor", int, "downsample from one level to the next", choices=LEVEL_FACTORS)
    add("seed", int, "seed of the drawing: another seed gives another slide")
    add("islands", int, "number of pieces of tissue; 0 gives bare glass")
    add("coverage", float, "approximate fraction of the slide that is tissue; 1 leaves no glass")
    return parser


def _nominal_power(mpp: float | None) -> int | None:
    """Return the magnification that scanners state for a resolution: 40 for 0.25 µm/px."""
    if mpp is None or not 0 < mpp < 20:
        return None
    return round(10 / mpp)


def _or_none(text: str) -> float | None:
    return None if text.lower() == "none" else float(text)
