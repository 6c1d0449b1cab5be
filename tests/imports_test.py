"""Who imports whom: no cycles between rooms, no way back from `transforms` to `pipelines`.

A room is a folder of modules. A module that lies beside other rooms, such as `slides/settings.py`,
is a room of its own, for it may stand below or above them.
"""

import ast
import collections
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAME = "beamscope"
FOLDERS = ("transforms", "pipelines")

# Modules of `transforms` that import Beam, beside `ptransforms` and `storage`, and why.
WITH_BEAM = {
    "transforms.inference.handler": "is Beam's model handler",
    "transforms.metrics": "counts by Beam's counters",
    "transforms.block_coders": "registers coders at Beam",
    "transforms.read_ahead": "is a DoFn that several PTransforms share",
}


def modules() -> dict[str, Path]:
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


def imported(path: Path, name: str) -> Iterator[str]:
    """The absolute names that a module imports, wherever in it; not those for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for statement in branch.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports by a relative name"
            # What is imported may be a module or a thing in one.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(name: str) -> set[str]:
    """The modules of ours that a module imports."""
    found = set()
    for full in imported(MODULES[name], name):
        target = full.removeprefix(f"{NAME}.")
        if target == full:
            continue
        while target and target not in MODULES:
            target = target.rpartition(".")[0]
        if target and target != name:
            found.add(target)
    return found


IMPORTS = {name: own_imports(name) for name in MODULES}


def room(name: str) -> str:
    folder = name if name in PACKAGES else name.rpartition(".")[0]
    inner = any(package.startswith(f"{folder}.") for package in PACKAGES)
    return name if inner else folder


def test_the_modules_are_found():
    assert len(MODULES) > 100
    assert "transforms.slides.readers.geometry" in IMPORTS["transforms.slides.readers.base"]
    assert room("transforms.slides.readers.native.slide") == "transforms.slides.readers.native"
    assert room("transforms.slides.settings") == "transforms.slides.settings"


def graph() -> dict[str, set[str]]:
    edges = collections.defaultdict(set)
    for name, targets in IMPORTS.items():
        edges[room(name)].update(room(target) for target in targets if room(target) != room(name))
    return edges


def cycles(edges: dict[str, set[str]]) -> list[frozenset[str]]:
    """Groups of rooms each of which reaches all of its group (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node):
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for target in sorted(edges.get(node, ())):
            if target not in order:
                visit(target)
            if target in stack:
                lowest[node] = min(lowest[node], lowest[target])
        if lowest[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[-len(group) :]
            if len(group) > 1:
                found.append(frozenset(group))

    for node in sorted(edges):
        if node not in order:
            visit(node)
    return found


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}}, []),
        ({"a": {"b"}, "b": {"a"}}, [{"a", "b"}]),
        ({"a": {"b", "d"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": {"d"}}, [{"d", "e"}, {*"abc"}]),
    ],
)
def test_cycles_are_found(edges, expected):
    assert cycles(edges) == expected


def test_no_cycles_between_rooms():
    assert cycles(graph()) == []


def test_pipelines_import_transforms_and_never_the_reverse():
    wrong = [
        f"{name} imports {target}"
        for name, targets in IMPORTS.items()
        for target in targets
        if name.startswith("transforms") and target.startswith("pipelines")
    ]
    assert not wrong


def with_beam() -> set[str]:
    return {
        name
        for name, path in MODULES.items()
        if any(full.split(".")[0] == "apache_beam" for full in imported(path, name))
    }


def may_import_beam(name: str) -> bool:
    return (
        name.startswith(("pipelines.", "transforms.storage."))
        or ".ptransforms." in name
        or name in WITH_BEAM
    )


def test_modules_that_do_the_work_import_no_beam():
    assert not [name for name in sorted(with_beam()) if not may_import_beam(name)]


def test_the_exceptions_are_needed():
    assert set(WITH_BEAM) <= with_beam()


def test_names_of_readers_import_no_reader():
    # `beamscope slides --help` lists them.
    reached, waiting = set(), ["transforms.slides.settings"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(IMPORTS[name])
    assert "transforms.slides.readers.registry" in reached
    assert not [name for name in reached if "reader.py" in str(MODULES[name]) or "native" in name]


def test_pixel_helpers_need_no_openslide():
    for name in ("pixels", "geometry", "base", "registry", "pool"):
        path = MODULES[f"transforms.slides.readers.{name}"]
        assert not [full for full in imported(path, name) if full.startswith("openslide")]
    users = [name for name in MODULES if "openslide.OpenSlide" in MODULES[name].read_text()]
    room = "transforms.slides.readers"
    assert users == [f"{room}.openslide_reader", f"{room}.openslide_surface"]
