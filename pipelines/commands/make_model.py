"""`beamscope make-model`: write a BiT ResNet as a SavedModel that is called as REMEDIS's are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from beamscope.pipelines.options.command_line import Parser, place
from beamscope.pipelines.terminal.quiet import import_tensorflow
from beamscope.transforms.inference.bit.weights import (
    ALIASES,
    ARCHITECTURES,
    INPUT_SIZE,
    find_architecture,
    load_npz,
    random_weights,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        "--architecture",
        required=True,
        choices=[*ARCHITECTURES, *ALIASES],
        help="BiT ResNet: 50x1 gives 2048 features, 152x2 (or 52x2, its misprint) 4096",
    )
    parser.add_argument(
        "--modality",
        required=True,
        choices=list(INPUT_SIZE),
        help="path takes pathology patches of 224x224 pixels, cxr chest X-rays of 448x448 pixels",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        type=place("--output", local=True),
        help="local directory to write; it must not exist or be empty",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--weights",
        metavar="FILE.npz",
        type=place("--weights", local=True),
        help="weights in the layout of the official BiT files (default: random weights)",
    )
    source.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="of the random weights (default: 0)"
    )
    parser.add_argument(
        "--signature",
        metavar="NAME",
        help="name of a signature from `inputs` to `feature_map` (default: no signature)",
    )


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, got {text!r}")
    return int(text)


def run(argv: Sequence[str]) -> int:
    """Write the model that a command line describes.

    Raises:
      InputError: a flag, the weights or the place to write cannot be used.
    """
    parser = Parser(
        prog="beamscope make-model",
        description="Build a BiT ResNet as a SavedModel that is called as the REMEDIS models are, "
        "from random weights or from an official BiT file.",
    )
    add_arguments(parser)
    options = parser.parse_args(argv)
    architecture = find_architecture(options.architecture)
    if options.weights is not None:
        weights = load_npz(options.weights, architecture.name)
    else:
        weights = random_weights(architecture.name, options.seed)

    # Imported here because it takes seconds, which --help and bad weights need not wait for.
    import_tensorflow()
    from beamscope.transforms.inference.bit.network import save_model

    save_model(
        options.output,
        architecture=architecture.name,
        modality=options.modality,
        weights=weights,
        signature=options.signature,
    )
    print(f"model: {Path(options.output).absolute()}")
    print(f"architecture: BiT ResNet {architecture.name}, {architecture.parameters():,} parameters")
    if options.weights is None:
        print(f"weights: random (seed {options.seed}); they only show the plumbing")
    return 0
