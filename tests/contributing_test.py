"""The recipes in CONTRIBUTING.md name existing files and tests."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
RECIPES = re.findall(r"^### (Add [^\n]*)\n(.*?)(?=^#|\Z)", PAGE, re.M | re.S)
FOLDERS = ("transforms/", "pipelines/", "tests/", "docs/", "runner_configs/", "containers/")


def named(text):
    """Every path in backquotes that is of a folder of the repository."""
    return [path for path in re.findall(r"`([\w./{}]+)`", text) if path.startswith(FOLDERS)]


def test_there_are_the_recipes():
    titles = [title for title, _ in RECIPES]
    for thing in ("reader", "model backend", "format", "catalogue", "runner config", "job"):
        assert any(thing in title for title in titles), thing


@pytest.mark.parametrize(("title", "text"), RECIPES)
def test_every_file_that_is_named_is_there(title, text):
    paths = named(text)
    assert paths
    for path in paths:
        # A file that the recipe makes has a NAME; its folder is there already, or is made too.
        place = ROOT / path.partition("NAME")[0] if "NAME" in path else ROOT / path
        assert (place if place.exists() else place.parent).is_dir() or place.exists(), path
        if "NAME" not in path:
            assert place.exists(), path


@pytest.mark.parametrize(("title", "text"), RECIPES)
def test_every_recipe_has_a_proof_that_is_a_test(title, text):
    (proof,) = re.findall(r"^Proof: `(tests/[\w/]+_test\.py)`", text, re.M)
    assert "def test_" in (ROOT / proof).read_text() or "class Test" in (ROOT / proof).read_text()
