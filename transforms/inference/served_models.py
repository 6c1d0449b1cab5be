"""Directories that hold models: the versions of one, as servers have them, or several models."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path

GRAPH_FILES = ("saved_model.pb", "saved_model.pbtxt")
_VERSION = re.compile(r"\d+")
_LISTED = 5


@dataclasses.dataclass(frozen=True)
class Version:
    """The version that is taken of a model.

    Attributes:
      taken: name of its directory.
      others: names of the other versions' directories, in order.
    """

    taken: str
    others: tuple[str, ...]

    def __str__(self) -> str:
        others = f", the highest of {', '.join([*self.others, self.taken])}" if self.others else ""
        return f"version {self.taken} is taken{others}"


def version_of(names: Iterable[str]) -> Version | None:
    """Return the version to take of what lies in a directory; None where it is not of versions.

    Args:
      names: of the files below it, relative, with ``/``.
    """
    versions = ["/".join(parent) for parent in _models(names)]
    if not versions or not all(map(_VERSION.fullmatch, versions)):
        return None
    *others, taken = sorted(versions, key=lambda version: (int(version), version))
    return Version(taken, tuple(others))


def several_models(uri: str, names: Iterable[str]) -> str | None:
    """Return what to do with a directory whose models lie in directories below; None for others.

    Args:
      uri: of the directory.
      names: as of `version_of`.
    """
    found = sorted("/".join(parent) for parent in _models(names))
    if not found:
        return None
    listed = ", ".join(found[:_LISTED]) + (" and more" if len(found) > _LISTED else "")
    held = f"{len(found)} models" if len(found) > 1 else "a model"
    return (
        f"is a directory with {held} in directories below ({listed}): give one of these, such as "
        f"{uri.rstrip('/')}/{found[0]}"
    )


def local_names(directory: Path) -> list[str]:
    """Return the files in a local directory, and the graphs in those right below, relative."""
    children = sorted(directory.iterdir()) if directory.is_dir() else []
    graphs = [child / name for child in children if child.is_dir() for name in GRAPH_FILES]
    found = [path for path in [*children, *graphs] if path.is_file()]
    return [path.relative_to(directory).as_posix() for path in found]


def _models(names: Iterable[str]) -> set[tuple[str, ...]]:
    """Return the directories below that hold models; none where the directory itself is one."""
    models = set()
    for name in names:
        *parent, last = name.split("/")
        if not parent and (last in GRAPH_FILES or last.endswith(".onnx")):
            return set()
        if last in GRAPH_FILES:
            models.add(tuple(parent))
    return models
