"""Many items are planned and embedded in waves; the dataset does not show it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beamscope.pipelines.jobs import waves
from beamscope.pipelines.jobs.waves import MOST_WAVES, in_waves
from beamscope.pipelines.main import main
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.output import parts, plans
from benchmarks.manifest import make_slides


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (0, [0]),
        (1, [1]),
        (31, [31]),
        (32, [8, 24]),
        (40, [10, 30]),
        (500, [31, 94, 375]),
        (29_018, [28, 85, 340, 1_360, 5_441, 21_764]),
        (1_000_000, [976, 2_930, 11_719, 46_875, 187_500, 750_000]),
    ],
)
def test_sizes(count: int, sizes: list[int]) -> None:
    found = in_waves(range(count))
    assert [len(wave) for wave in found] == sizes
    assert len(found) <= MOST_WAVES
    assert [item for wave in found for item in wave] == list(range(count))


def test_a_wave_is_embedded_before_the_last_slide_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_slides(tmp_path, 8)
    events: list[str] = []
    monkeypatch.setattr(waves, "FEWEST_DIVIDED", 8)
    _noted(monkeypatch, plans, "write_sealed", "plan", events)
    _noted(monkeypatch, parts, "write_sealed", "part", events)
    opened: list[object] = []
    from_settings = Embedder.from_settings.__func__  # type: ignore[attr-defined]

    def counted(cls, settings, **flags):
        opened.append(settings)
        return from_settings(cls, settings, **flags)

    monkeypatch.setattr(Embedder, "from_settings", classmethod(counted))
    job = ["slides", "--manifest", f"{tmp_path}/all.csv", "--model", f"{tmp_path}/mean"]
    job += ["--block_size=8"]
    assert main([*job, "--output", f"{tmp_path}/waves"]) == 0
    assert events == ["plan"] * 2 + ["part"] * 4 + ["plan"] * 6 + ["part"] * 12
    assert len(opened) == 1

    monkeypatch.setattr(waves, "FEWEST_DIVIDED", 9)
    assert main([*job, "--output", f"{tmp_path}/once"]) == 0
    assert tables(tmp_path / "waves") == tables(tmp_path / "once")


def _noted(monkeypatch, module, name, event, events):
    before = getattr(module, name)

    def noted(*args, **kwargs):
        events.append(event)
        return before(*args, **kwargs)

    monkeypatch.setattr(module, name, noted)


def tables(output: Path) -> list[pa.Table]:
    files = [*output.glob("embeddings/*.parquet"), output / "slides.parquet"]
    return [pq.read_table(file) for file in files]
