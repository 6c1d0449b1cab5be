"""`beamscope make-slide`: writes a sample slide to try things on."""

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
    """Writes the slide that a command line describes.

    Raises:
      InputError: what the user can put right: a flag, or the place to write.
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
        description="Write a sample slide: a tiled, pyramidal, Aperio-style SVS of drawn tissue "
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
    add("width", int, "of level 0, px")
    add("height", int, "of level 0, px")
    add("mpp", _or_none, "size of a level-0 pixel in µm, or none to leave it out of the file")
    add(
        "objective_power",
        lambda text: text if text == "auto" else _or_none(text),
        "nominal magnification, none to leave it out, or auto: 10 / mpp",
        default="auto",
    )
    add("tile_size", int, "px, a multiple of 16")
    add("compression", str, "of the tiles", choices=list(DEFAULT_QUALITY))
    parser.add_argument(
        "--quality",
        type=int,
        help=f"1 to 100 for jpeg, decibels for jpeg2000 (default: {qualities})",
    )
    add("levels", int, "of the pyramid, level 0 included")
    add("level_factor", int, "from one level to the next", choices=LEVEL_FACTORS)
    add("seed", int, "another seed, another slide")
    add("islands", int, "pieces of tissue; 0 for bare glass")
    add("coverage", float, "fraction of the slide that is tissue, roughly; 1 leaves no glass")
    return parser


def _nominal_power(mpp: float | None) -> int | None:
    """What scanners call 40x is 0.25 µm a pixel, and so on."""
    if mpp is None or not 0 < mpp < 20:
        return None
    return round(10 / mpp)


def _or_none(text: str) -> float | None:
    return None if text.lower() == "none" else float(text)
