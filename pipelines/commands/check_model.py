"""`beamscope check-model`: says how a SavedModel is called, and whether it compiles."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.model import add_model_arguments, model_settings_from
from beamscope.pipelines.terminal.quiet import import_tensorflow

if TYPE_CHECKING:
    from beamscope.transforms.inference.embedder import Embedder

_TIMED_ROUNDS = 3


def run(argv: Sequence[str]) -> int:
    """Prints what there is to know about a model.

    Raises:
      InputError: a flag is wrong, or the model cannot be used.
    """
    parser = Parser(
        prog="beamscope check-model",
        description="Load a SavedModel, compile it, and print how it is called, its digest, "
        "how well the compiled model agrees with the plain one, and how fast both are on this "
        "machine.",
    )
    add_model_arguments(parser, positional=True)
    parser.add_argument(
        "--json", action="store_true", help="print it as JSON, without measuring the speed"
    )
    args = parser.parse_args(list(argv))
    settings = model_settings_from(args)
    import_tensorflow()
    # TensorFlow comes with these, and --help must not wait for it.
    from beamscope.transforms.inference.backends.saved_model.loading import load
    from beamscope.transforms.inference.embedder import Embedder

    loaded = load(settings)
    compiled = Embedder(loaded)
    if args.json:
        print(json.dumps(_as_json(compiled), indent=2))
        return 0
    embedders = {
        "plain": Embedder(
            dataclasses.replace(
                loaded, settings=dataclasses.replace(settings, compile="none", precision="auto")
            )
        )
    }
    if compiled.compile_used != "none":
        embedders["compiled"] = compiled
    lines = {**_lines(compiled), "speed": _speed(embedders)}
    width = max(map(len, lines))
    for label, text in lines.items():
        print(f"{label:<{width}}  {text}")
    return 0


def _lines(embedder: Embedder) -> dict[str, str]:
    spec = embedder.spec
    size = f"{spec.input_size}x{spec.input_size}x3"
    shape = "x".join(map(str, spec.output_shape))
    output = f"{spec.output_key}: {shape}" if spec.output_key else shape
    if spec.pooling == "mean":
        output += ", averaged over height and width"
    lines = {
        "model": spec.name,
        "digest": spec.digest,
        "called": f"{spec.called}, input {spec.input_name}",
        "input": f"{spec.input_dtype} RGB {size} (size from: {spec.size_source})",
        "range": f"{spec.input_range} (from: {spec.range_source})",
        "output": output,
        "features": str(spec.features),
        "batch size": str(embedder.batch_size),
    }
    lines["precision"] = embedder.precision
    lines["compile"] = embedder.compile_used
    if embedder.compile_used != "none":
        lines["compile"] += f", variables {'frozen' if embedder.frozen else 'not frozen'}"
    if embedder.fallback:
        lines["compile"] += f": {embedder.fallback}"
    if embedder.compile_used != "none":
        lines["cosine"] = f"{embedder.check_cosine:.6f} (lowest of a batch, against the plain call)"
    return lines


def _as_json(embedder: Embedder) -> dict[str, object]:
    return embedder.spec.to_json() | {
        "batch_size": embedder.batch_size,
        "compile": embedder.compile_used,
        "precision": embedder.precision,
        "frozen": embedder.frozen,
        "cosine": embedder.check_cosine,
        "fallback": embedder.fallback,
    }


def _speed(embedders: dict[str, Embedder]) -> str:
    """Images per second of each on one batch, taken in turns; the median of a few."""
    from beamscope.transforms.inference.embedder import structured_images

    seconds: dict[str, list[float]] = {name: [] for name in embedders}
    for warming in (True, *[False] * _TIMED_ROUNDS):
        for name, embedder in embedders.items():
            pixels = structured_images(embedder.batch_size, embedder.spec.input_size)
            start = time.perf_counter()
            embedder.embed(pixels)
            if not warming:
                seconds[name].append(time.perf_counter() - start)
    rates = {
        name: embedders[name].batch_size / statistics.median(taken)
        for name, taken in seconds.items()
    }
    text = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items()) + " images/s"
    if "compiled" in rates:
        text += f" ({rates['compiled'] / rates['plain']:.2f}x)"
    return text
