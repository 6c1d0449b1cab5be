"""The outcome of a check, as a line for a person and as JSON."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

# note: a job runs, but slower, or not with all of its options.
State = Literal["ok", "note", "failed"]


@dataclasses.dataclass(frozen=True)
class Check:
    """A check and what it found.

    Attributes:
      name: what was checked, in a word or two.
      state: whether a job can run.
      text: what was found.
      remedy: what helps; empty if nothing is wrong.
    """

    name: str
    state: State
    text: str
    remedy: str = ""

    def text_line(self, width: int) -> str:
        """Return one line, with names in a column of a width."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.state:<6}  {self.name:<{width}}  {self.text}{remedy}"

    def to_json(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        return dataclasses.asdict(self)
