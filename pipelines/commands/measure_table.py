"""The table of `beamscope check-model MODEL --measure`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from beamscope.pipelines.commands.measure_ways import Row, measure_ways
from beamscope.pipelines.estimates.rates import keep_rate
from beamscope.pipelines.terminal.live import activities_shown
from beamscope.pipelines.terminal.quiet import start_quietly
from beamscope.transforms.activity import doing
from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.model_files import model_digest, model_name
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_HEAD = ("way", "precision", "images/s", "memory", "ready in", "cosine")
_WIDTHS = (9, 9, 8, 8, 8, 8)


def run_measure(settings: ModelSettings, *, as_json: bool) -> int:
    """Measure each way to compute a model, print them, and keep their rates.

    Raises:
      InputError: the model cannot be used, or the settings choose a way.
    """
    for name in ("compile", "precision"):
        value = getattr(settings, name)
        if value != "auto":
            raise InputError(
                Kind.BAD_OPTION,
                f"--{name} {value}: --measure tries each of them: leave the flag out",
            )
    found = find_model(settings)
    digest = model_digest(found.path)
    rows: list[Row] = []
    if not as_json:
        print(f"model   {model_name(settings.uri)}\ndigest  {digest}\n\n{_line(_HEAD)}")
    with activities_shown("measuring the model"):
        # It tells which ways this machine has.
        start_quietly(found.backend)
        measuring = measure_ways(found, dataclasses.replace(settings, model_sha256=digest))
        while True:
            with doing(f"measuring way {len(rows) + 1}"):
                row = next(measuring, None)
            if row is None:
                break
            rows.append(row)
            if not as_json:
                print(_text(row), flush=True)
            if row.measured:
                keep_rate(
                    digest,
                    row.measured.images_per_second,
                    way=str(row.way),
                    input_px=row.measured.input_px,
                    features=row.measured.embeddings.shape[1],
                )
    if as_json:
        print(json.dumps([_as_json(row) for row in rows], indent=2))
        return 0
    print("\n" + "\n".join(_notes(rows)))
    return 0


def _notes(rows: Sequence[Row]) -> list[str]:
    done = [(row.way, row.measured) for row in rows if row.measured]
    gpus = {gpu for _, measured in done for gpu in measured.devices}
    exact = [(measured.images_per_second, way) for way, measured in done
             if way.precision == "float32"]  # fmt: skip
    _, best = max(exact, key=lambda one: one[0])
    lines = [
        "GPU: used by the ways of TensorFlow; its own memory is not in the table"
        if gpus
        else "GPU: not measured, there is none here",
        f"fastest in float32: {best.compiler}; `beamscope plan --model` reckons with it",
    ]
    lowered = [row for row in rows if row.measured and row.way.precision != "float32"]
    lines += [
        f"{row.way.precision} by {row.way.compiler} differs from float32 by a cosine of "
        f"{row.cosine:.4f}"
        for row in lowered
        if row.cosine is not None and row.cosine < 0.99
    ]
    return lines


def _text(row: Row) -> str:
    way, measured = row.way, row.measured
    if measured is None:
        return f"{way.compiler:<{_WIDTHS[0]}}  {way.precision:<{_WIDTHS[1]}}  {row.reason}"
    return _line(
        (
            way.compiler,
            way.precision,
            f"{measured.images_per_second:.1f}",
            f"{measured.peak_bytes / 1e9:.2f} GB",
            f"{measured.ready_seconds:.1f} s",
            "" if row.cosine is None else f"{row.cosine:.6f}",
        )
    )


def _line(cells: Sequence[str]) -> str:
    words = [f"{cell:<{width}}" for cell, width in zip(cells[:2], _WIDTHS[:2], strict=True)]
    numbers = [f"{cell:>{width}}" for cell, width in zip(cells[2:], _WIDTHS[2:], strict=True)]
    return "  ".join([*words, *numbers]).rstrip()


def _as_json(row: Row) -> dict[str, Any]:
    found = row.measured
    return {
        "compile": row.way.compiler,
        "precision": row.way.precision,
        "images_per_second": found and found.images_per_second,
        "peak_bytes": found and found.peak_bytes,
        "ready_seconds": found and found.ready_seconds,
        "cosine": row.cosine,
        "reason": row.reason or None,
    }
