from pathlib import Path

import pytest

from beamscope.transforms.machine_memory import available_memory

GB = 10**9
STAT = "cache 1\ninactive_file {}\ntotal_inactive_file {}\n"
V1, V2 = "9:name=systemd:/\n4:cpu,memory:{}\n0::/\n", "0::{}\n"


def group(folder: Path, version: int, limit: str, used: int, reclaimable: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for name, text in zip(names, (limit, str(used)), strict=True):
        (folder / name).write_text(f"{text}\n")
    (folder / "memory.stat").write_text(STAT.format(reclaimable, reclaimable))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with 16 GB left."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(
        f"MemTotal: 99999999 kB\nMemFree: 1 kB\nMemAvailable: {16 * GB // 1024} kB\n"
    )
    return tmp_path


def test_without_groups(root: Path) -> None:
    assert available_memory(root) == 16 * GB // 1024 * 1024


def test_nothing_is_known(tmp_path: Path) -> None:
    assert available_memory(tmp_path) is None


@pytest.mark.parametrize(
    ("version", "own", "limit", "used", "reclaimable", "left"),
    [
        (2, "/", "max", 1, 0, 16),
        (2, "/job", "max", 1, 0, 16),
        (2, "/job", str(8 * GB), 5 * GB, 0, 3),
        (2, "/job", str(8 * GB), 5 * GB, 2 * GB, 5),
        (2, "/job", str(8 * GB), 9 * GB, 0, 0),
        (2, "/job", str(64 * GB), GB, 0, 16),
        (1, "/job", "9223372036854771712", GB, 0, 16),
        (1, "/job", str(4 * GB), 3 * GB, GB, 2),
    ],
)
def test_groups(
    root: Path, version: int, own: str, limit: str, used: int, reclaimable: int, left: int
) -> None:
    (root / "proc/self/cgroup").write_text((V1 if version == 1 else V2).format(own))
    base = root / ("sys/fs/cgroup/memory" if version == 1 else "sys/fs/cgroup")
    group(base / own.lstrip("/"), version, limit, used, reclaimable)
    assert round((available_memory(root) or 0) / GB, 3) == left


def test_the_bound_of_a_parent_holds(root: Path) -> None:
    (root / "proc/self/cgroup").write_text(V2.format("/outer/inner"))
    group(root / "sys/fs/cgroup/outer", 2, str(6 * GB), 4 * GB)
    group(root / "sys/fs/cgroup/outer/inner", 2, "max", GB)
    assert available_memory(root) == 2 * GB


def test_a_container_that_sees_its_group_at_the_root(root: Path) -> None:
    (root / "proc/self/cgroup").write_text(V1.format("/docker/abc"))
    group(root / "sys/fs/cgroup/memory", 1, str(2 * GB), GB)
    assert available_memory(root) == GB


def test_of_this_machine() -> None:
    assert 0 < (available_memory() or 0) < 1 << 50
