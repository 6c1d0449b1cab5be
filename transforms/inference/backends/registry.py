"""The model backends that there are, in the order in which they are asked for a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from beamscope.transforms.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from beamscope.transforms.inference.backends.base import Backend

# The first that opens a model has it; a model's files are of one kind, so the order seldom matters.
BACKENDS: Registry[Backend[Any]] = Registry("model backend", "beamscope.backends")
BACKENDS.register(
    "saved_model", "beamscope.transforms.inference.backends.saved_model.backend:SAVED_MODEL"
)
BACKENDS.register("onnx", "beamscope.transforms.inference.backends.onnx.backend:ONNX")


def backend_for(path: Path) -> tuple[Backend[Any] | None, list[str]]:
    """Return the first backend that opens what lies at a path, and why those before do not."""
    reasons: list[str] = []
    for backend in BACKENDS:
        reason = backend.refusal(path)
        if reason is None:
            return backend, reasons
        reasons.append(reason)
    return None, reasons


def compiler_summaries() -> dict[str, str]:
    """Return every compiler of every backend by name, with what it does for the first of them."""
    found: dict[str, str] = {}
    for backend in BACKENDS:
        for compiler in backend.compilers:
            found.setdefault(compiler.name, compiler.summary)
    return found
