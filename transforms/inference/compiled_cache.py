"""Compiled models, kept between processes in the user's cache, bounded in bytes.

An entry is a directory of files that a compiler wrote, and ``entry.json``: a header of JSON values,
and the size and CRC-32C of each file and of the header itself. It appears whole, by a rename. A
process that opens an entry holds a shared lock on its lock file, one that makes or removes it holds
that lock alone, so that of several processes that need a model one compiles it and the others wait.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import google_crc32c

from beamscope.transforms.problems import InputError
from beamscope.transforms.storage.own_folder import make_own
from beamscope.transforms.storage.user_cache import cache_directory

BOUND_VARIABLE = "BEAMSCOPE_COMPILED_GB"
# Eight BiT 152x2, or eighty 50x1.
_DEFAULT_GB = 8.0
_ENTRY = "entry.json"
_PIECE_BYTES = 4 << 20
# Whoever waits longer for another process compiles for itself.
_PATIENCE_S = 900.0
# Unequal, so that one of several is first.
_LOOK_AGAIN_S = 0.01, 0.1

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Held:
    """What a process holds.

    Attributes:
      entry: a sound entry; None where there is none.
      alone: whether this process may make it, and no other can meanwhile.
    """

    entry: Path | None
    alone: bool


@dataclasses.dataclass(frozen=True)
class CompiledCache:
    """The directory of compiled models.

    Attributes:
      directory: nobody but this user can write to it.
      max_bytes: most bytes of all entries together; 0 keeps nothing.
    """

    directory: Path
    max_bytes: int

    @contextlib.contextmanager
    def held(self, key: str) -> Iterator[Held]:
        """Hold an entry while the body opens its files, or the right to make it.

        Wait while another process makes it. A damaged entry is removed, with a line in the log.
        Mapped files outlive their entry.
        """
        entry, until = self.directory / key, time.monotonic() + _PATIENCE_S
        with self._lock_file(key) as lock:
            while True:
                if _locked(lock, fcntl.LOCK_SH) and entry.is_dir() and not self._damage(entry):
                    # So that the entry that was used least recently is known.
                    os.utime(entry / _ENTRY)
                    yield Held(entry, alone=False)
                    return
                if _locked(lock, fcntl.LOCK_EX):
                    damage = self._damage(entry) if entry.is_dir() else None
                    if entry.is_dir() and damage is None:
                        continue
                    if damage is not None:
                        _say(entry, damage)
                        shutil.rmtree(entry, ignore_errors=True)
                    yield Held(None, alone=True)
                    return
                if time.monotonic() > until:
                    yield Held(None, alone=False)
                    return
                time.sleep(random.uniform(*_LOOK_AGAIN_S))

    def partial(self, key: str) -> Path:
        """Return an empty folder for the files of an entry; the caller is `alone` with it."""
        folder = self.partial_folder(key)
        # A process that died has left it.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        return folder

    def partial_folder(self, key: str) -> Path:
        """Return the path of that folder."""
        return self.directory / f"{key}.partial"

    def keep(self, key: str, header: dict[str, Any]) -> bool:
        """Seal the files in `partial` and take them as an entry; remove others that have no room.

        Returns:
          whether they are kept: not where they alone exceed the bound.
        """
        folder, entry = self.partial_folder(key), self.directory / key
        names = sorted(path.name for path in folder.iterdir())
        files = {name: [(folder / name).stat().st_size, _crc(folder / name)] for name in names}
        content = {"header": header, "files": files}
        sealed = content | {"crc32c": google_crc32c.value(_canonical(content))}
        (folder / _ENTRY).write_text(json.dumps(sealed))
        size = sum(size for size, _ in files.values())
        if size > self.max_bytes:
            shutil.rmtree(folder, ignore_errors=True)
            return False
        shutil.rmtree(entry, ignore_errors=True)
        folder.rename(entry)
        self._make_room(key)
        return True

    def header(self, key: str) -> dict[str, Any] | None:
        """Return the header of an entry, itself verified; None where there is no sound one."""
        sealed = _sealed(self.directory / key)
        return None if sealed is None else dict(sealed["header"])

    def remove(self, key: str, reason: str) -> None:
        """Remove an entry that cannot be used, and say so, unless another process holds it."""
        if self._removed(key):
            _say(self.directory / key, reason)

    def forget(self, key: str) -> None:
        """Remove an entry, and what was to become one; the caller is `alone` with it."""
        for folder in (self.directory / key, self.partial_folder(key)):
            shutil.rmtree(folder, ignore_errors=True)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each entry, the least recently used first."""
        if not self.directory.is_dir():
            return {}
        entries = [path for path in self.directory.iterdir() if (path / _ENTRY).is_file()]
        entries = [path for path in entries if not path.name.endswith(".partial")]
        entries.sort(key=lambda path: (path / _ENTRY).stat().st_mtime_ns)
        return {path.name: sum(file.stat().st_size for file in path.iterdir()) for path in entries}

    def _damage(self, entry: Path) -> str | None:
        sealed = _sealed(entry)
        if sealed is None:
            return "its header is damaged"
        for name, (size, crc) in sealed["files"].items():
            path = entry / name
            if not path.is_file() or path.stat().st_size != size or _crc(path) != crc:
                return f"{name} is damaged"
        return None

    def _make_room(self, kept: str) -> None:
        sizes = self.sizes()
        total = sum(sizes.values())
        for key, size in sizes.items():
            if total <= self.max_bytes:
                return
            if key != kept and self._removed(key):
                total -= size

    def _removed(self, key: str) -> bool:
        with self._lock_file(key) as lock:
            if not _locked(lock, fcntl.LOCK_EX):
                return False
            shutil.rmtree(self.directory / key, ignore_errors=True)
            return True

    def _lock_file(self, key: str) -> IO[bytes]:
        return (self.directory / f"{key}.lock").open("ab")


def compiled_cache() -> CompiledCache:
    """Return the cache that the environment names; it may not exist yet."""
    text = os.environ.get(BOUND_VARIABLE)
    gigabytes = _DEFAULT_GB
    if text:
        try:
            gigabytes = max(0.0, float(text))
        except ValueError:
            _log.warning("%s must be a number of gigabytes, got %r", BOUND_VARIABLE, text)
    return CompiledCache(cache_directory() / "compiled", int(gigabytes * 1e9))


def usable_cache() -> CompiledCache | None:
    """Return the cache, made where it was not there; None, with a line in the log, where it fails.

    It is refused where others could change what is read from it.
    """
    cache = compiled_cache()
    if not cache.max_bytes:
        return None
    try:
        make_own(cache.directory)
    except (InputError, OSError) as error:
        reason = error.message if isinstance(error, InputError) else str(error)
        _log.warning("compiled models are not kept: %s", reason)
        return None
    return cache


def _locked(lock: IO[bytes], operation: int) -> bool:
    """Return whether a lock could be had at once; if not, none is held."""
    try:
        fcntl.flock(lock, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_UN)
        return False
    return True


def _say(entry: Path, reason: str) -> None:
    _log.warning("%s: %s; the model is compiled anew", entry, reason)


def _sealed(entry: Path) -> dict[str, Any] | None:
    try:
        sealed = json.loads((entry / _ENTRY).read_bytes())
        crc = sealed.pop("crc32c")
        sound = crc == google_crc32c.value(_canonical(sealed))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return sealed if sound else None


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            crc = google_crc32c.extend(crc, piece)
    return crc
