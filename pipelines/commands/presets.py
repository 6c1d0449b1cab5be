"""`beamscope presets`: the public models whose cards come with beamscope."""

from __future__ import annotations

from collections.abc import Sequence

from beamscope.pipelines.options.command_line import Parser
from beamscope.transforms.inference.cards.card import ModelCard
from beamscope.transforms.inference.cards.find_card import preset_card, presets

_HEAD = ("preset", "input", "values", "pooling", "features", "µm/px", "not confirmed")


def run(argv: Sequence[str]) -> int:
    """List the presets, or print the card of one.

    Raises:
      InputError: there is no such preset.
    """
    parser = Parser(
        prog="beamscope presets",
        description="List the public models whose cards come with beamscope, for --preset. The "
        "weights do not come with it: get them from their makers, under their terms.",
    )
    parser.add_argument(
        "preset", nargs="?", choices=presets(), metavar="NAME", help="print the whole card of one"
    )
    args = parser.parse_args(list(argv))
    if args.preset is not None:
        print(preset_card(args.preset).to_yaml().decode(), end="")
        return 0
    rows = [_HEAD, *(_row(name, preset_card(name)) for name in presets())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    print("\n-: the model's makers name none. `beamscope presets NAME` prints sources and licence.")
    return 0


def _row(name: str, card: ModelCard) -> tuple[str, ...]:
    values = card.input_range or "-"
    if card.input_mean is not None and card.input_std is not None:
        mean, std = (
            "/".join(f"{value:.3g}" for value in numbers)
            for numbers in (card.input_mean, card.input_std)
        )
        values += f", mean {mean}, std {std}"
    said = (card.input_size, values, card.pooling, card.features, card.mpp)
    unconfirmed = ", ".join(card.unconfirmed)
    return (name, *("-" if value is None else str(value) for value in said), unconfirmed)
