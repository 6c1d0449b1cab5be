"""docs/models.md names all backends, compilers and poolings."""

import re
from pathlib import Path

from beamscope.transforms.inference.backends.registry import BACKENDS, compiler_summaries
from beamscope.transforms.inference.cards.card import KEYS, parse_card
from beamscope.transforms.inference.cards.find_card import preset_card, presets
from beamscope.transforms.inference.model_settings import POOLINGS

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "models.md").read_text()


def rows(first_column: str) -> list[list[str]]:
    """The rows of the table whose first column has that heading."""
    table = PAGE.split(f"\n| {first_column} |", 1)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")[2:]]


def test_every_backend_is_documented() -> None:
    expected = [
        [f"`{backend.name}`", backend.summary, ", ".join(f"`{c.name}`" for c in backend.compilers)]
        for backend in BACKENDS
    ]
    assert rows("backend") == expected


def test_every_compiler_is_documented() -> None:
    names = [re.sub("`", "", row[0]) for row in rows("`--compile`")]
    assert names == [*compiler_summaries(), "none"]


def test_every_preset_is_documented_as_its_card_says() -> None:
    listed = {row[0].strip("`"): row for row in rows("preset")}
    assert tuple(sorted(listed)) == presets()
    for name, row in listed.items():
        card = preset_card(name)
        assert f"{card.input_size} px" in row[1] or card.input_size is None or card.unconfirmed
        assert str(card.features) in row[2] or card.features is None
        assert ("not confirmed" in row[2]) == ("features" in card.unconfirmed)
        assert (f"{card.mpp:g} µm/px" in row[1]) if card.mpp and not card.unconfirmed else True


def test_every_key_of_a_card_is_documented() -> None:
    listed = {key for row in rows("key") for key in re.findall(r"`(\w+)`", row[0])}
    assert listed == set(KEYS)


def test_the_card_on_the_page_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    card = parse_card(text.encode(), "docs/models.md")
    assert (card.input_size, card.features, card.mpp) == (224, 384, 0.5)


def test_every_pooling_is_documented() -> None:
    assert {re.sub("`", "", row[0]) for row in rows("`--pooling`")} == set(POOLINGS)
