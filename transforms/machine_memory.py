"""The memory that this process may still take: of the machine, and of its control group.

A process that takes more is killed, which no program can catch.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

_ROOT = Path("/")


def available_memory(root: Path = _ROOT) -> int | None:
    """Return the bytes that are left, the least of all bounds; None where none is known.

    Files in the page cache count as left, for the kernel takes those back.

    Args:
      root: of the file system, ``/`` but in tests.
    """
    left = [_of_machine(root), *_of_groups(root)]
    known = [one for one in left if one is not None]
    return min(known) if known else None


def _of_machine(root: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _of_groups(root: Path) -> list[int]:
    """Return what is left to each control group, version 2 or 1, that this process is in."""
    groups: list[int] = []
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                base, names = root / "sys/fs/cgroup", ("memory.max", "memory.current")
            elif "memory" in controllers.split(","):
                base = root / "sys/fs/cgroup/memory"
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            else:
                continue
            # A container sees its own group at the root; the bounds of parents hold as well.
            folder = base / path.lstrip("/")
            for one in [folder, *folder.parents]:
                left = _left(one, *names)
                if left is not None:
                    groups.append(left)
                if one == base:
                    break
    return groups


def _left(folder: Path, limit: str, usage: str) -> int | None:
    try:
        bound, used = int((folder / limit).read_text()), int((folder / usage).read_text())
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    # No such group, or no bound: "max".
    except (OSError, ValueError):
        return None
    reclaimable = int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))
    return max(0, bound - used + reclaimable)
