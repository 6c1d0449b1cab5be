"""Keep compiled models in a test's own cache, which tests do not do otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from beamscope.transforms.inference.backends.saved_model import compilers


def keep_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of compiled models, which are kept as on a machine without GPU."""
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BEAMSCOPE_COMPILED_GB", "1")
    monkeypatch.setattr(compilers, "_GPU_DEVICES", ())
    return tmp_path / "cache" / "compiled"
