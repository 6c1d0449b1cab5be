"""Remove from a finished output what its dataset does not need, and remember that."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

from beamscope.transforms.output.checked_json import read_json, write_json
from beamscope.transforms.output.layout import WORK_DIRECTORY, Layout, is_part, part_name
from beamscope.transforms.output.progress import rate
from beamscope.transforms.output.run_record import RunRecord
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.storage import files

_PLAN_DIRECTORY = re.compile(r"[0-9a-f]{16}")

BLOCKS, OTHER_SETTINGS, WHOLE, LOGS, TRIES = (
    "finished blocks", "work of other settings", "plans before a sample in total", "logs",
    "records of tries",
)  # fmt: skip
_IN_PLAN = {"parts": BLOCKS, "whole": WHOLE, "sample.json": WHOLE, "tries": TRIES}


@dataclasses.dataclass(frozen=True)
class Removable:
    """Files of an output that its dataset does not need.

    Attributes:
      kinds: by kind, the number of files and their size in bytes.
      places: the directories and files to delete.
      blocks: number of finished blocks among them.
      rows_per_second: at which the last of these blocks were written; None if unknown.
    """

    kinds: Mapping[str, tuple[int, int]]
    places: Sequence[str]
    blocks: int
    rows_per_second: float | None = None

    @property
    def bytes(self) -> int:
        """Return the size of all."""
        return sum(size for _, size in self.kinds.values())


@dataclasses.dataclass(frozen=True)
class Cleaned:
    """What is remembered of a cleaned output.

    Attributes:
      when: a date and time, in UTC.
      fingerprint: of the embedding whose finished blocks were removed.
    """

    when: str
    fingerprint: str

    @property
    def day(self) -> str:
        """Return the date."""
        return self.when[:10] if self.when[:1].isdigit() else self.when


def find_removable(layout: Layout) -> Removable:
    """Return what can be removed of an output; plans and records of the dataset stay."""
    root = files.join(layout.root, WORK_DIRECTORY, "")
    kinds: dict[str, tuple[int, int]] = {}
    places: dict[str, None] = {}
    written: list[tuple[float, int]] = []
    for file in files.list_files(root):
        kind, place = _kind_of(file.path.removeprefix(root), layout)
        if kind is None:
            continue
        number, size = kinds.get(kind, (0, 0))
        kinds[kind] = number + 1, size + file.size
        places[files.join(root, place)] = None
        name = part_name(file.path) if is_part(file.path) else None
        if kind == BLOCKS and name is not None:
            written.append((file.modified, name[1]))
    return Removable(kinds, tuple(places), len(written), rate(written))


def _kind_of(path: str, layout: Layout) -> tuple[str | None, str]:
    """Return the kind of a file, and what to delete it with; None for one that stays."""
    top, *below = path.split("/")
    if top == "logs":
        return LOGS, top
    if not below or not _PLAN_DIRECTORY.fullmatch(top):
        return None, ""
    if top != layout.plan_fingerprint:
        return OTHER_SETTINGS, top
    return _IN_PLAN.get(below[0]), f"{top}/{below[0]}"


def clean(layout: Layout, found: Removable) -> None:
    """Remove what was found. The caller holds the lease of the output.

    Raises:
      OSError: some of it could not be removed; the same again goes on.
    """
    if found.blocks and files.exists(layout.description):
        # First: whoever is interrupted must not leave an output that looks untouched.
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_json(cleaned_path(layout.root), {"when": now, "fingerprint": layout.fingerprint})
    for place in found.places:
        if place.endswith(".json"):
            files.delete([place])
        else:
            files.delete_tree(place)


def find_cleaned(root: str) -> Cleaned | None:
    """Return when the finished blocks of an output were removed; None if they were not."""
    path = cleaned_path(root)
    try:
        content = read_json(path)
    except DamagedError:
        # That it is there says the most.
        return Cleaned("an unknown day", "")
    return None if content is None else Cleaned(content["when"], content["fingerprint"])


def cleaned_path(root: str) -> str:
    """Return the path of the record that an output was cleaned."""
    return files.join(root, WORK_DIRECTORY, "cleaned.json")


def is_finished(record: RunRecord, layout: Layout, description: Mapping[str, Any] | None) -> bool:
    """Return whether a dataset holds all that its last start has requested.

    Args:
      record: of the last start.
      layout: of the same.
      description: of the dataset; None if there is none.
    """
    return (
        description is not None
        and description.get("fingerprint") == layout.fingerprint
        # Earlier versions did not say for how many items the dataset is.
        and description.get("items", record.items) == record.items
    )
