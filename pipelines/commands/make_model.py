"""`beamscope make-model`: write a BiT ResNet as a SavedModel with the interface of REMEDIS."""

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
    Architecture,
    find_architecture,
    load_npz,
    random_weights,
)
from beamscope.transforms.inference.cards.card import ModelCard
from beamscope.transforms.inference.cards.find_card import CARD_NAMES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        "--architecture",
        required=True,
        choices=[*ARCHITECTURES, *ALIASES],
        help="BiT ResNet: 50x1 gives 2048 features, 152x2 gives 4096 (52x2 is a misprint of 152x2)",
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
        help="local directory to write; it must be empty or not exist",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--weights",
        metavar="FILE.npz",
        type=place("--weights", local=True),
        help="weights in the layout of the official BiT files (default: random weights)",
    )
    source.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="seed of random weights (default: 0)"
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
    """Write a model with the flags of a command line.

    Raises:
      InputError: a flag, the weights or the output directory cannot be used.
    """
    parser = Parser(
        prog="beamscope make-model",
        description="Write a BiT ResNet as a SavedModel with the interface of the REMEDIS models, "
        "with random weights or those of an official BiT file.",
    )
    add_arguments(parser)
    options = parser.parse_args(argv)
    architecture = find_architecture(options.architecture)
    if options.weights is not None:
        weights = load_npz(options.weights, architecture.name)
    else:
        weights = random_weights(architecture.name, options.seed)

    # Imported here because it takes seconds: --help and bad weights should not wait for it.
    import_tensorflow()
    from beamscope.transforms.inference.bit.network import save_model

    save_model(
        options.output,
        architecture=architecture.name,
        modality=options.modality,
        weights=weights,
        signature=options.signature,
        card=_card(options, architecture).to_yaml(),
    )
    print(f"model: {Path(options.output).absolute()}")
    print(f"card: {Path(options.output).absolute() / CARD_NAMES[0]}")
    print(f"architecture: BiT ResNet {architecture.name}, {architecture.parameters():,} parameters")
    if options.weights is None:
        print(f"weights: random (seed {options.seed}); use the model for tests only")
    return 0


def _card(options: argparse.Namespace, architecture: Architecture) -> ModelCard:
    """Return the card: an official BiT file was trained in -1..1, whatever the model is called."""
    name = f"BiT ResNet {architecture.name}"
    official = options.weights is not None
    return ModelCard(
        place="",
        name=f"{name} of {Path(options.weights).name}" if official else f"{name}, random weights",
        input_size=INPUT_SIZE[options.modality],
        input_dtype="float32",
        input_range="-1..1" if official else "0..1",
        pooling="mean",
        features=architecture.features,
        source=(
            ("beamscope make-model; Kolesnikov et al., arXiv:1912.11370: BiT takes -1..1",)
            if official
            else ("beamscope make-model: random weights, called as the REMEDIS models are",)
        ),
    )
