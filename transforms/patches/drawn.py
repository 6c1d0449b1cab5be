"""What a sample in total was drawn from, so that a later start need not draw it again.

A store would be asked for every whole plan. So the file of the sample's end has a digest of all
whole plans, and the plan of an item's part says from which whole plan and which end it was taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from beamscope.transforms.output.layout import Layout, file_name
from beamscope.transforms.output.plans import content_digest, plan_digest
from beamscope.transforms.patches.total import SampleEnd
from beamscope.transforms.patches.whole_plans import sample_end
from beamscope.transforms.storage import files

# In the header of the plan of an item's part.
DRAWN = "drawn"


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A sample that was drawn from whole plans that still hold.

    Attributes:
      end: where it ends.
      wholes: digest of each whole plan, by the item as `file_name` writes it.
    """

    end: SampleEnd
    wholes: Mapping[str, str]

    def holds_for(self, header: Mapping[str, Any], item_id: str) -> bool:
        """Return whether the plan of an item's part was taken from this sample."""
        whole = self.wholes.get(file_name(item_id), "")
        return bool(whole) and header.get(DRAWN) == _drawn(whole, self.end)


def set_digest(wholes: Mapping[str, str]) -> str:
    """Return a digest of whole plans, of which each item has one."""
    return content_digest(sorted(wholes.items()))


def digests_in(headers: Mapping[str, Mapping[str, Any]], items: Iterable[str]) -> dict[str, str]:
    """Return the digest of each item's plan, by its name; empty where one is not known.

    Args:
      headers: of plans, by the item as `file_name` writes it.
      items: ids.
    """
    names = [file_name(item) for item in items]
    found = {name: headers.get(name, {}).get("digest", "") for name in names}
    return found if all(found.values()) else {}


def drawn_now(layout: Layout, item_id: str) -> dict[str, Any]:
    """Return what the header of an item's plan says of the sample; nothing of an output on a disk.

    Raises:
      DamagedError, FileNotFoundError: as `sample_end`.
    """
    if files.is_local(layout.root):
        return {}
    return {DRAWN: _drawn(plan_digest(layout.whole.plan(item_id)), sample_end(layout))}


def _drawn(whole: str, end: SampleEnd) -> list[Any]:
    return [whole, end.last_hash, end.last_item]
