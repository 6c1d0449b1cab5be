"""The speed of a model: compare the plain call of the SavedModel with the compilers.

    python -m benchmarks.model [--model DIR] [--batch_size N] [--rounds N]

All embed the same images in turn, so that other load on the machine affects all alike.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from beamscope.pipelines.terminal.quiet import import_tensorflow

COMPILED = (
    ("graph", "auto"),
    ("xla", "auto"),
    ("openvino", "auto"),
    ("graph", "bfloat16"),
    ("openvino", "bfloat16"),
    ("xla", "float16"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", help="a SavedModel (default: a new BiT 50x1 with random weights)"
    )
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    import_tensorflow()
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model or make_bit(Path(scratch) / "bit-50x1")
        print(contest(model, options.batch_size, options.rounds))


def make_bit(path: Path) -> str:
    """Write a BiT 50x1 for pathology, with random weights."""
    from beamscope.transforms.inference.bit.network import save_model
    from beamscope.transforms.inference.bit.weights import random_weights

    weights = random_weights("50x1", 0)
    save_model(str(path), architecture="50x1", modality="path", weights=weights)
    return str(path)


def contest(model: str, batch_size: int, rounds: int) -> str:
    """Return a Markdown table. A ratio is the median of the ratios within one round."""
    from beamscope.transforms.inference.embedder import Embedder
    from beamscope.transforms.inference.find_model import open_model
    from beamscope.transforms.inference.model_settings import ModelSettings
    from beamscope.transforms.inference.trial_images import structured_images
    from beamscope.transforms.problems import InputError

    loaded = open_model(ModelSettings(model, batch_size=batch_size))
    pixels = structured_images(batch_size, loaded.spec.input_size)
    calls: dict[str, Callable[[], object]] = {"plain call": lambda: loaded.embed(pixels)}
    cosines = {"plain call": 1.0}
    refused = []
    for how, precision in COMPILED:
        name = f"--compile {how}" + (f" --precision {precision}" if precision != "auto" else "")
        settings = ModelSettings(model, batch_size=batch_size, compile=how, precision=precision)
        try:
            embedder = Embedder(open_model(settings))
        except InputError as error:
            refused.append(f"{name}: {error.message}")
            continue
        calls[name] = lambda embedder=embedder: embedder.embed(pixels)
        cosines[name] = embedder.check_cosine or float("nan")
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for warming in (True, *[False] * rounds):
        for name, call in calls.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            call()
            if not warming:
                taken = time.perf_counter() - start, time.process_time() - start_cpu
                seconds[name].append(taken)
    lines = [
        "| compiled by | images a second | times plain | a core-second | times plain | cosine |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    plain = np.array(seconds["plain call"])
    for name, rows in seconds.items():
        rates = batch_size / np.median(rows, axis=0)
        ratios = np.median(plain / np.array(rows), axis=0)
        numbers = [f"{rates[0]:.1f}", f"{ratios[0]:.2f}", f"{rates[1]:.1f}", f"{ratios[1]:.2f}"]
        lines.append(f"| {name} | {' | '.join(numbers)} | {cosines[name]:.6f} |")
    return "\n".join([*lines, *refused])


if __name__ == "__main__":
    main()
