"""Check a model: whether it can be loaded, called and compiled."""

from __future__ import annotations

from beamscope.transforms.checkup.checks import Check
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError


def model_check(settings: ModelSettings) -> Check:
    """Load a model, call it, compile it, and compare both."""
    try:
        embedder = Embedder.from_settings(settings)
    except InputError as error:
        return Check("model", "failed", error.message, "see docs/models.md, and check-model")
    spec = embedder.spec
    size = f"{spec.input_size} x {spec.input_size} px"
    text = f"{spec.name}: {size} to {spec.features:,} features"
    if embedder.check_cosine is not None and embedder.compile_used != "none":
        text += f", compiled by {embedder.compile_used}, cosine {embedder.check_cosine:.6f}"
    if embedder.fallback:
        return Check("model", "note", f"{text}; {embedder.fallback}", "see check-model")
    return Check("model", "ok", text)
