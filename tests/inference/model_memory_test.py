from pathlib import Path

import numpy as np
import pytest

from beamscope.transforms.inference import model_memory
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.model_memory import Way, shortage
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError
from tests.inference import models

GB = 10**9
SMALL, LARGE, HUGE = 94 * 10**6, 929 * 10**6, 2 * GB


@pytest.mark.parametrize(
    ("way", "weights", "gigabytes", "fits"),
    [
        # BiT 152x2 beside another program in 8 GB: as OpenVINO reads it, not frozen.
        ("load", LARGE, 8, True),
        ("openvino", LARGE, 5.7, True),
        ("freeze", LARGE, 8, False),
        ("xla frozen", LARGE, 8, False),
        ("xla", LARGE, 5.7, True),
        ("open", LARGE, 2, True),
        ("open", LARGE, 1, False),
        ("load", LARGE, 2, False),
        ("freeze", LARGE, 16, True),
        ("load", SMALL, 1, True),
        ("freeze", SMALL, 2, True),
        ("openvino", HUGE, 2.9, False),
        ("openvino", HUGE, None, True),
    ],
)
def test_shortage(way: Way, weights: int, gigabytes: float | None, fits: bool) -> None:
    available = None if gigabytes is None else int(gigabytes * GB)
    assert (shortage(way, weights, available) is None) == fits


def test_shortage_says_how_much() -> None:
    assert shortage("xla frozen", LARGE, 3 * GB) == (
        "it needs about 16.8 GB of memory, and 3.0 GB are left"
    )


def uri_on(machine_gb: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(model_memory, "available_memory", lambda: int(machine_gb * GB))
    return models.save(tmp_path / "m", models.vectors)


@pytest.mark.parametrize(
    ("gigabytes", "used", "detail"),
    [
        (8, "openvino", "variables frozen"),
        (0.7, "xla", "variables not frozen: it needs about 1.0 GB of memory, and 0.7 GB are left"),
        (0.4, "none", ""),
    ],
)
def test_the_way_is_chosen_by_memory(
    gigabytes: float,
    used: str,
    detail: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    how = "openvino" if used == "openvino" else "xla"
    uri = uri_on(gigabytes, tmp_path, monkeypatch)
    embedder = Embedder.from_settings(ModelSettings(uri, batch_size=4, compile=how))
    assert (embedder.compile_used, embedder.compile_detail) == (used, detail)
    if used == "none":
        assert embedder.fallback == (
            "compiling (xla) failed: it needs about 0.5 GB of memory, and 0.4 GB are left; "
            "the plain call is used"
        )
    pixels = models.noise(3)
    np.testing.assert_allclose(embedder.embed(pixels), models.expected(pixels), atol=1e-5)


def test_a_model_that_cannot_be_loaded_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = uri_on(0.2, tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"model m: it needs about 0\.3 GB of memory"):
        Embedder.from_settings(ModelSettings(uri, batch_size=4))
