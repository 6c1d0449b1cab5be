"""Flags for samples of patches and films, and for their encoding."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from beamscope.pipelines.options.command_line import check_range
from beamscope.transforms.patches.encoding import ENCODINGS, Encoding
from beamscope.transforms.patches.sampling import Sample
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# The flags of these that everyone needs.
ESSENTIAL = ("sample", "sample_total", "seed", "encoding", "format")
_ENCODING = Encoding()
_LARGEST_SAMPLE = 1_000_000_000


def add_patch_arguments(parser: argparse.ArgumentParser, unit: str, item: str) -> None:
    """Add the flags of samples and encoding.

    Args:
      parser: of the job.
      unit: plural noun for the images: ``patches`` or ``films``.
      item: noun for what they come from: ``slide`` or ``source``.
    """
    group = parser.add_argument_group(f"which {unit}, and how they are written")
    group.add_argument(
        "--sample",
        type=int,
        metavar="N",
        help=f"take a random sample of N {unit} of each {item}, or all of one that has fewer; "
        "a smaller N takes a part of the same sample (default: all)",
    )
    group.add_argument(
        "--sample_total",
        type=int,
        metavar="N",
        help=f"take a random sample of N {unit} of all {item}s together, all with the same "
        "chance, or all if there are fewer; a smaller N takes a part of the same sample; every "
        f"{item} is planned before the first is read (default: all)",
    )
    group.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="another seed takes another sample (default: 0)",
    )
    group.add_argument(
        "--encoding",
        choices=ENCODINGS,
        default=_ENCODING.name,
        help="jpeg: smaller; png: loses nothing (default: %(default)s)",
    )
    group.add_argument(
        "--quality",
        type=int,
        metavar="N",
        help=f"quality of JPEG, 1 to 100; chroma is not subsampled (default: {_ENCODING.quality})",
    )


def sample_from(args: argparse.Namespace) -> Sample:
    """Return the sample, from the flags.

    Raises:
      InputError: a flag has an invalid value, or would have no effect.
    """
    total = args.sample_total
    if args.sample is not None:
        check_range("--sample", args.sample, 1, _LARGEST_SAMPLE)
    if total is not None:
        check_range("--sample_total", total, 1, _LARGEST_SAMPLE)
        if args.sample is not None:
            raise InputError(
                Kind.BAD_OPTION,
                f"give --sample {args.sample} or --sample_total {total}, not both: the one is of "
                "each slide or source, the other of all together",
            )
    if args.seed is not None:
        check_range("--seed", args.seed, 0, (1 << 63) - 1)
        if args.sample is None and total is None:
            raise InputError(Kind.BAD_OPTION, "--seed needs --sample or --sample_total")
    return Sample(args.sample, args.seed or 0, total)


def encoding_from(args: argparse.Namespace) -> Encoding:
    """Return how images are encoded, from the flags.

    Raises:
      InputError: a flag has an invalid value, or would have no effect.
    """
    if args.encoding == "png":
        if args.quality is not None:
            raise InputError(Kind.BAD_OPTION, "--quality has no effect with --encoding png")
        return Encoding("png")
    quality = _ENCODING.quality if args.quality is None else args.quality
    check_range("--quality", quality, 1, 100)
    return Encoding(args.encoding, quality)


def too_few(sample: Sample, there: int, unit: str) -> Iterator[str]:
    """Yield a sentence if there are fewer images than a sample in total was to have.

    Args:
      sample: as asked for.
      there: how many images there are.
      unit: plural noun for them.
    """
    if sample.total is not None and there < sample.total:
        yield (
            f"--sample_total {sample.total:,}: there are no more than {there:,} {unit}, so that "
            "all are taken"
        )
