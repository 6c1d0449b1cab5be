"""Keep compiled models in a test's own cache, which tests do not do otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from beamscope.transforms.inference.backends.saved_model import compilers
from beamscope.transforms.inference.backends.saved_model.backend import SavedModelBackend
from beamscope.transforms.inference.model_settings import ModelSettings


def keep_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of compiled models, which are kept as on a machine without GPU."""
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BEAMSCOPE_COMPILED_GB", "1")
    monkeypatch.setattr(compilers, "_GPU_DEVICES", ())
    return tmp_path / "cache" / "compiled"


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that gets each model that this process loads with TensorFlow from now on."""
    loaded: list[Path] = []
    load = SavedModelBackend.load

    def counted(self: SavedModelBackend, path: Path, settings: ModelSettings) -> Any:
        loaded.append(path)
        return load(self, path, settings)

    monkeypatch.setattr(SavedModelBackend, "load", counted)
    return loaded
