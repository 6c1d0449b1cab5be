"""Say what is assumed of a model, and which setting changes nothing."""

from __future__ import annotations

from beamscope.pipelines.terminal.say import say
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec


def say_about_call(settings: ModelSettings, spec: ModelSpec) -> None:
    """Print and log what is assumed of a model, and which flag changes nothing."""
    said = []
    if spec.range_source == "assumed":
        said.append(
            f"input range {spec.input_range} is assumed: the model names none (--input_range, "
            "--input_mean)"
        )
    unused = not_used(settings, spec)
    if unused:
        said.append(unused)
    for text in said:
        say(f"model {spec.name}: {text}")


def not_used(settings: ModelSettings, spec: ModelSpec) -> str:
    """Return which setting of a model's answer changes nothing, and why; "" where each does."""
    if settings.output_layout is None or len(spec.output_shape) > 1:
        return ""
    return (
        f"output_layout {settings.output_layout} is not used: the model answers an image with one "
        "vector"
    )
