import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.inference.cards.card import parse_card
from beamscope.transforms.inference.cards.find_card import preset_card, presets


def test_the_list_has_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : len(presets()) + 1]] == list(presets())
    (optimus,) = [line for line in lines if line.startswith("h-optimus-0 ")]
    assert "mean 0.707/0.579/0.704, std 0.212/0.23/0.178" in optimus
    assert "1536      0.5    pooling" in optimus


def test_a_whole_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "uni"]) == 0
    printed = capsys.readouterr().out
    assert parse_card(printed.encode(), "preset uni") == preset_card("uni")


def test_an_unknown_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "resnet"]) == 2
    assert "resnet" in capsys.readouterr().err
