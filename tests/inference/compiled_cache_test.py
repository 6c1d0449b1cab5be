import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from beamscope.transforms.inference.compiled_cache import (
    CompiledCache,
    compiled_cache,
    usable_cache,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cache(tmp_path: Path) -> CompiledCache:
    return CompiledCache(tmp_path, 1000)


def keep(cache: CompiledCache, key: str, size: int = 10) -> bool:
    with cache.held(key) as held:
        assert (held.entry, held.alone) == (None, True)
        (cache.partial(key) / "model.bin").write_bytes(b"x" * size)
        return cache.keep(key, {"of": key})


def test_what_is_kept_is_found(cache: CompiledCache) -> None:
    assert keep(cache, "a")
    with cache.held("a") as held:
        assert held.entry is not None
        assert not held.alone
        assert (held.entry / "model.bin").read_bytes() == b"x" * 10
        assert cache.header("a") == {"of": "a"}
        # Others may open it at the same time, and nobody can remove it.
        with cache.held("a") as other:
            assert other.entry == held.entry
        cache.remove("a", "not wanted")
        assert list(cache.sizes()) == ["a"]
    cache.remove("a", "not wanted")
    assert not cache.sizes()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.bin", b"y" * 10, "model.bin is damaged"),
        ("model.bin", b"x" * 9, "model.bin is damaged"),
        ("model.bin", None, "model.bin is damaged"),
        ("entry.json", b"{", "its header is damaged"),
        ("entry.json", b"[]", "its header is damaged"),
        ("entry.json", b'{"header": {}, "files": {}, "crc32c": 1}', "its header is damaged"),
    ],
)
def test_a_damaged_entry_is_removed_with_a_line(
    cache: CompiledCache,
    name: str,
    content: bytes | None,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keep(cache, "a")
    path = cache.directory / "a" / name
    path.unlink() if content is None else path.write_bytes(content)
    with caplog.at_level(logging.WARNING), cache.held("a") as held:
        assert (held.entry, held.alone) == (None, True)
    assert f"{said}; the model is compiled anew" in caplog.text
    assert keep(cache, "a")


def test_the_least_recently_used_make_room(cache: CompiledCache) -> None:
    for position, key in enumerate("abc"):
        keep(cache, key, 200)
        os.utime(cache.directory / key / "entry.json", (position, position))
    with cache.held("a") as held:  # Used now, and in use.
        assert held.entry is not None
        assert keep(cache, "d", 250)
    assert list(cache.sizes()) == ["c", "a", "d"]
    assert sum(cache.sizes().values()) <= cache.max_bytes


def test_what_alone_exceeds_the_bound_is_not_kept(cache: CompiledCache) -> None:
    keep(cache, "a")
    assert not keep(cache, "b", 1001)
    assert list(cache.sizes()) == ["a"]
    assert not list(cache.directory.glob("*.partial"))


def test_what_a_killed_process_left_is_cleared(cache: CompiledCache) -> None:
    with cache.held("a"):
        (cache.partial("a") / "half").write_bytes(b"")
    assert not cache.sizes()
    assert keep(cache, "a")
    assert {path.name for path in (cache.directory / "a").iterdir()} == {"model.bin", "entry.json"}


def test_of_several_processes_one_makes_the_entry(cache: CompiledCache) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from beamscope.transforms.inference.compiled_cache import CompiledCache\n"
        f"cache = CompiledCache(Path({str(cache.directory)!r}), 1000)\n"
        "with cache.held('a') as held:\n"
        "    if held.alone:\n"
        "        (cache.partial('a') / 'model.bin').write_bytes(b'x' * 10); time.sleep(0.5)\n"
        "        cache.keep('a', {})\n"
        "print('made' if held.alone else 'found' if held.entry else 'neither')\n"
    )
    command = [sys.executable, "-c", program]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = sorted(process.communicate(timeout=120)[0].strip() for process in processes)
    assert said == ["found", "found", "made"]


def test_a_folder_that_others_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(tmp_path))
    monkeypatch.setenv("BEAMSCOPE_COMPILED_GB", "1")
    assert usable_cache() == CompiledCache(tmp_path / "compiled", 10**9)
    assert (tmp_path / "compiled").stat().st_mode & 0o777 == 0o700
    (tmp_path / "compiled").chmod(0o777)
    assert usable_cache() is None
    assert "compiled models are not kept: " in caplog.text
    (tmp_path / "compiled").chmod(0o700)
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    assert usable_cache() is None


@pytest.mark.parametrize(
    ("text", "expected"), [(None, 8e9), ("", 8e9), ("0.5", 5e8), ("0", 0), ("-1", 0), ("much", 8e9)]
)
def test_the_bound(text: str | None, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BEAMSCOPE_COMPILED_GB")
    if text is not None:
        monkeypatch.setenv("BEAMSCOPE_COMPILED_GB", text)
    assert compiled_cache().max_bytes == expected
