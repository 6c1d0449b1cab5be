"""`beamscope check-model`: print how a model is called, how it compiles, and its speed."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence

from beamscope.pipelines.commands.measure_table import run_measure
from beamscope.pipelines.estimates.rates import keep_rate
from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.model import (
    add_model_arguments,
    model_settings_from,
    with_model_card,
)
from beamscope.pipelines.terminal.card_notes import say_about_card
from beamscope.pipelines.terminal.live import activities_shown
from beamscope.pipelines.terminal.model_notes import not_used
from beamscope.pipelines.terminal.quiet import start_quietly
from beamscope.transforms.inference.backends.base import Embed
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.model_settings import ModelSpec
from beamscope.transforms.inference.trial_images import structured_images

_TIMED_ROUNDS = 3


def run(argv: Sequence[str]) -> int:
    """Print how a model is called, how it compiles, and how fast it is here.

    Raises:
      InputError: a flag is wrong, or the model cannot be used.
    """
    parser = Parser(
        prog="beamscope check-model",
        description="Load a model and compile it. Print how it is called, its digest, how well the "
        "compiled model agrees with the plain call, and how fast both are on this machine.",
    )
    add_model_arguments(parser, positional=True)
    parser.add_argument(
        "--json",
        action="store_true",
        help="print it as JSON, without measuring the speed unless with --measure",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="instead, measure each way to compute the model on this machine, in each precision: "
        "images per second, memory, seconds until it is ready, and cosine with float32; "
        "beamscope plan reckons with the fastest",
    )
    args = parser.parse_args(list(argv))
    settings = with_model_card(model_settings_from(args), args)
    say_about_card(settings)
    if args.measure:
        return run_measure(settings, as_json=args.json)
    found = find_model(settings)
    with activities_shown("loading the model"):
        start_quietly(found.backend)
        loaded = found.load()
        compiled = Embedder(loaded)
    if args.json:
        print(json.dumps(_as_json(compiled), indent=2))
        return 0
    embeds: dict[str, Embed] = {"plain": loaded.embed}
    if compiled.compile_used != "none":
        embeds["compiled"] = compiled.embed
    rates = _rates(embeds, compiled)
    spec = compiled.spec
    keep_rate(
        spec.digest,
        rates.get("compiled", rates["plain"]),
        way=f"{compiled.compile_used}, {compiled.precision}",
        input_px=spec.input_size,
        features=spec.features,
    )
    lines = {**_lines(compiled), "speed": _speed(rates)}
    if unused := not_used(settings, spec):
        lines["note"] = unused
    width = max(map(len, lines))
    for label, text in lines.items():
        print(f"{label:<{width}}  {text}")
    return 0


def _lines(embedder: Embedder) -> dict[str, str]:
    spec = embedder.spec
    size = f"{spec.input_size}x{spec.input_size}"
    channels = spec.channel_order.upper() if spec.input_channels == 3 else "grey"
    order = "channels first" if spec.input_layout == "channels_first" else "channels last"
    compiler = embedder.compile_used
    if embedder.compile_detail:
        compiler += f", {embedder.compile_detail}"
    if embedder.fallback:
        compiler += f": {embedder.fallback}"
    lines = {
        "model": spec.name,
        "backend": spec.backend,
        "digest": spec.digest,
        "called": f"{spec.called}, input {spec.input_name}",
        "input": f"{spec.input_dtype} {channels} {size}, {order} (size from: {spec.size_source})",
        "range": f"{spec.input_range} (from: {spec.range_source})",
        **_normalisation(spec),
        "output": _output(spec),
        "features": str(spec.features),
        **_card(spec),
        "batch size": str(embedder.batch_size) + (" (the model's own)" if spec.fixed_batch else ""),
        "precision": embedder.precision,
        "compile": compiler,
    }
    if embedder.compile_used != "none":
        lines["cosine"] = f"{embedder.check_cosine:.6f} (lowest of a batch, against the plain call)"
    return lines


def _normalisation(spec: ModelSpec) -> dict[str, str]:
    found = {"mean": spec.input_mean, "std": spec.input_std}
    return {name: " ".join(f"{n:g}" for n in values) for name, values in found.items() if values}


def _card(spec: ModelSpec) -> dict[str, str]:
    if spec.card is None:
        return {}
    return {"card": f"{spec.card} (gave: {', '.join(spec.from_card) or 'nothing'})"}


def _output(spec: ModelSpec) -> str:
    """Return the output's shape and what becomes of it, such as `7x7x64, averaged over …`."""
    shape = "x".join(map(str, spec.output_shape))
    text = f"{spec.output_key}: {shape}" if spec.output_key else shape
    if len(spec.output_shape) == 1:
        return text
    if spec.output_layout == "channels_first":
        text += " (features first)"
    across = "height and width" if len(spec.output_shape) == 3 else "tokens"
    return (
        text
        + {
            "none": ", all numbers in one row",
            "mean": f", averaged over {across}",
            "cls": ", the first token",
            "mean_patches": f", averaged over tokens from {spec.first_patch} on (counted from 0)",
            "cls_mean_patches": f", the first token and the average of those from "
            f"{spec.first_patch} on (counted from 0)",
        }[spec.pooling]
    )


def _as_json(embedder: Embedder) -> dict[str, object]:
    return embedder.spec.to_json() | {
        "batch_size": embedder.batch_size,
        "compile": embedder.compile_used,
        "precision": embedder.precision,
        "detail": embedder.compile_detail,
        "cosine": embedder.check_cosine,
        "fallback": embedder.fallback,
    }


def _rates(embeds: Mapping[str, Embed], embedder: Embedder) -> dict[str, float]:
    """Return the images per second of each on one batch: the median of a few alternating rounds."""
    batch_size = embedder.batch_size
    seconds: dict[str, list[float]] = {name: [] for name in embeds}
    for warming in (True, *[False] * _TIMED_ROUNDS):
        for name, embed in embeds.items():
            pixels = structured_images(batch_size, embedder.spec.input_size)
            start = time.perf_counter()
            embed(pixels)
            if not warming:
                seconds[name].append(time.perf_counter() - start)
    return {name: batch_size / statistics.median(taken) for name, taken in seconds.items()}


def _speed(rates: Mapping[str, float]) -> str:
    text = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items()) + " images/s"
    if "compiled" in rates:
        text += f" ({rates['compiled'] / rates['plain']:.2f}x)"
    return text
