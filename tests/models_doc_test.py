"""docs/models.md names all backends, compilers and poolings."""

import re
from pathlib import Path

from beamscope.transforms.inference.backends.registry import BACKENDS, compiler_summaries
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


def test_every_pooling_is_documented() -> None:
    assert {re.sub("`", "", row[0]) for row in rows("`--pooling`")} == set(POOLINGS)
