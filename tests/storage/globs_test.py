import glob
import os
from pathlib import Path

import pytest

from beamscope.transforms.storage.globs import compile_glob, fixed_part, has_wildcard

NAMES = ("a.svs", "b.svs", "c[1].svs", "c1.svs", "-.svs", "d/a.svs", "d/e/b.svs", "d/e/!x", "]y")


@pytest.mark.parametrize(
    "pattern",
    ["*", "*.svs", "**", "**/*", "**/*.svs", "d/**", "d/**/*.svs", "?.svs", "[ab].svs", "[!a].svs",
     "[a-b].svs", "[b-a].svs", "c[1].svs", "c[[]1].svs", "[", "d/*/*.svs", "d/e/[!]x]*", "[]]y",
     "[-a].svs", "[a-].svs", "a.svs", "none", "*/a.svs", "d/[e]/*", "d[/]a.svs", "a**.svs",
     "**/e/**", "d/e/!*"],
)  # fmt: skip
def test_matches_what_a_local_glob_does(pattern: str, tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    local = glob.glob(pattern, root_dir=tmp_path, recursive=True)  # noqa: PTH207
    expected = sorted(name for name in local if (tmp_path / name).is_file())
    matches = compile_glob(pattern).fullmatch
    assert sorted(filter(matches, NAMES)) == sorted(map(os.path.normpath, expected))


@pytest.mark.parametrize(
    ("pattern", "fixed", "wildcard"),
    [("a/b*.svs", "a/b", True), ("a[1]/b", "a", True), ("?", "", True), ("a/b", "a/b", False)],
)
def test_fixed_part(pattern: str, fixed: str, wildcard: bool) -> None:
    assert fixed_part(pattern) == fixed
    assert has_wildcard(pattern) is wildcard
