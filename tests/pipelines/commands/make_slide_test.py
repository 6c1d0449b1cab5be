from pathlib import Path

import openslide
import pytest

from beamscope.pipelines.main import main

SMALL = ["--width", "600", "--height", "400", "--levels", "2"]


@pytest.mark.parametrize(
    ("flags", "properties"),
    [
        ([], {"openslide.mpp-x": "0.25", "openslide.objective-power": "40"}),
        (["--mpp", "0.5"], {"openslide.mpp-x": "0.5", "openslide.objective-power": "20"}),
        (["--mpp", "0.2281"], {"openslide.mpp-x": "0.2281", "openslide.objective-power": "44"}),
        (["--mpp", "none"], {"openslide.mpp-x": None, "openslide.objective-power": None}),
        (
            ["--mpp", "none", "--objective_power", "20"],
            {"openslide.mpp-x": None, "openslide.objective-power": "20"},
        ),
        (
            ["--tile_size", "240", "--level_factor", "2"],
            {
                "openslide.level[0].tile-width": "240",
                "openslide.level[1].width": "300",
                "openslide.level[1].height": "200",
            },
        ),
    ],
)
def test_flags_reach_the_file(
    tmp_path: Path, flags: list[str], properties: dict[str, str | None]
) -> None:
    output = tmp_path / "sample.svs"
    assert main(["make-slide", "--output", str(output), *SMALL, *flags]) == 0
    slide = openslide.OpenSlide(output)
    assert slide.dimensions == (600, 400)
    assert {name: slide.properties.get(name) for name in properties} == properties
    assert [path.name for path in tmp_path.iterdir()] == ["sample.svs"]


def test_prints_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["make-slide", "--output", str(tmp_path / "a.svs"), *SMALL])
    out = capsys.readouterr().out
    assert "a.svs: 600x400, 150x100, 0." in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--tile_size", "100"], ["tile_size=100", "multiple of 16"]),
        (["--levels", "9"], ["levels=9"]),
        (["--coverage", "2"], ["coverage=2"]),
        (["--mpp", "-1"], ["mpp=-1"]),
        (["--mpp", "0"], ["mpp=0"]),
        (["--mpp", "nan"], ["mpp=nan"]),
        (["--output", "/nowhere/at/all.svs"], ["/nowhere/at/all.svs"]),
    ],
)
def test_flags_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: list[str]
) -> None:
    assert main(["make-slide", "--output", str(tmp_path / "a.svs"), *SMALL, *flags]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "flags", [["--sed", "3"], ["--compression", "png"], ["--seed", "x"], ["--mpp", "wide"]]
)
def test_usage_errors(tmp_path: Path, flags: list[str]) -> None:
    assert main(["make-slide", "--output", str(tmp_path / "a.svs"), *flags]) == 2
    assert not list(tmp_path.iterdir())
