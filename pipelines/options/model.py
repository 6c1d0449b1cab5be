"""The options that say which model embeds, and how it is called."""

from __future__ import annotations

import argparse

from beamscope.transforms.inference.model_settings import (
    COMPILE_CHOICES,
    INPUT_DTYPES,
    INPUT_RANGES,
    PRECISIONS,
    ModelSettings,
)

# Of the dataclass, so that the command line and Python agree.
_DEFAULTS = ModelSettings(uri="")


def add_model_arguments(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, *, positional: bool = False
) -> None:
    """Adds the options; the directory is ``--model``, or positional where it is the subject."""
    directory = "directory of a TensorFlow 2 SavedModel, local or gs://"
    if positional:
        parser.add_argument("model", metavar="DIR", help=directory)
    else:
        parser.add_argument("--model", metavar="DIR", required=True, help=directory)
    parser.add_argument(
        "--signature",
        metavar="NAME",
        help="signature to call (default: the model object where it can be called, else "
        "serving_default, else the only one)",
    )
    parser.add_argument(
        "--output_key",
        metavar="KEY",
        help="which output to take from a model with several (default: the only one)",
    )
    parser.add_argument(
        "--input_size",
        metavar="PIXELS",
        type=int,
        help="height and width of the model's input in pixels (default: 224 for REMEDIS path "
        "models, 448 for cxr ones, else what the model says)",
    )
    parser.add_argument(
        "--input_dtype",
        choices=INPUT_DTYPES,
        help="which input to use of a model that takes several dtypes (default: the first)",
    )
    parser.add_argument(
        "--input_range",
        choices=tuple(INPUT_RANGES),
        help="what black to white becomes; write --input_range=-1..1 with the equals sign "
        "(default: 0..255 for uint8 inputs, 0..1 for floats)",
    )
    parser.add_argument(
        "--batch_size",
        metavar="N",
        type=int,
        default=_DEFAULTS.batch_size,
        help="images per call of the model; larger ones suit a GPU (default: %(default)s)",
    )
    parser.add_argument(
        "--compile",
        choices=COMPILE_CHOICES,
        default=_DEFAULTS.compile,
        help="openvino: variables frozen to constants, compiled by OpenVINO for the processor; "
        "xla: frozen, compiled by XLA; graph: frozen only; none: the model's own function; auto: "
        "xla where there is a GPU, else openvino where it is installed, else xla "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=_DEFAULTS.precision,
        help="of the model's arithmetic; bfloat16: on processors that have it, by openvino or "
        "graph; float16: on GPUs, by xla; both are faster, and the cosine with float32 is told; "
        "auto: float32 (default: %(default)s)",
    )


def model_settings_from(args: argparse.Namespace) -> ModelSettings:
    """The settings that the options say; raises InputError (``bad_option``) with the value."""
    return ModelSettings(
        uri=args.model,
        signature=args.signature,
        output_key=args.output_key,
        input_size=args.input_size,
        input_dtype=args.input_dtype,
        input_range=args.input_range,
        batch_size=args.batch_size,
        compile=args.compile,
        precision=args.precision,
    )
