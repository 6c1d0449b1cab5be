"""Local copies of remote files, bounded in bytes, shared by the threads and processes of a machine.

An entry is a directory that appears whole, by a rename, when every file of it has been copied. A
user of an entry holds a shared lock on its lock file; whoever makes or removes the entry holds that
lock alone. The kernel drops the locks of a process that dies.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import os
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from beamscope.transforms.metrics import count
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, UnwritableError
from beamscope.transforms.storage import files, local_disk
from beamscope.transforms.storage.own_folder import make_own

# Seconds until an entry is looked for again that others want too; unequal, so that one is first.
_LOOK_AGAIN = 0.001, 0.02


@dataclasses.dataclass(frozen=True)
class Lease:
    """A local copy that nobody removes for as long as this object, or its lock, is kept.

    Attributes:
      path: the local copy of the file, or of the directory, that was asked for.
    """

    path: Path
    _lock: IO[bytes]

    def release(self) -> None:
        """Release the copy; it stays until its room is needed."""
        self._lock.close()


@dataclasses.dataclass(frozen=True)
class FileCache:
    """A directory of local copies.

    Attributes:
      directory: many processes may share it.
      max_bytes: most bytes of all copies together.
      own: whether the directory must be one that only this user can write to.
      holds: the plural of what is copied; ``<holds>_fetched`` counts the copies.
      advice: what a user can do when there is no room.
    """

    directory: Path
    max_bytes: int
    own: bool = False
    holds: str = "slides"
    advice: str = "give more with --cache_gb"

    def lease(self, uri: str, wanted: Sequence[files.FileInfo]) -> Lease:
        """Return a local copy of a remote file with its companions, or of a directory.

        The copies lie about each other as the remote files do. Another version of a file is
        another copy.

        Args:
          uri: the file, or the directory, whose copy is wanted.
          wanted: the files to copy, all below the directory that `uri` lies in.

        Raises:
          InputError: ``cache_full`` where the copies in use leave no room for it,
            ``unsafe_folder`` where others can write to a directory that must be one's own,
            ``missing_file`` where a file has been replaced since it was listed.
          UnwritableError: the disk of the directory is full, or cannot be written to.
          OSError: a file cannot be read.
        """
        with local_disk.writing(self.directory):
            if self.own:
                make_own(self.directory)
            else:
                self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        uri = uri.rstrip("/")
        root = uri.rpartition("/")[0] + "/"
        entry = self.directory / _name(uri, wanted)
        with local_disk.writing(self.directory):
            lock = entry.with_suffix(".lock").open("ab")
        try:
            while True:
                fcntl.flock(lock, fcntl.LOCK_SH)
                if entry.is_dir():
                    break
                if not _lock_alone(lock):
                    time.sleep(random.uniform(*_LOOK_AGAIN))
                    continue
                # Another process may have made it since this one looked.
                if not entry.is_dir():
                    self._make_room(uri, sum(file.size for file in wanted))
                    self._fetch(entry, root, wanted)
                # Turning the lock into a shared one lets go of it in between: look again.
        except BaseException:
            lock.close()
            raise
        # So that the least recently used entry is known; the kernel's own clock is coarser.
        now = time.time_ns()
        os.utime(lock.name, ns=(now, now))
        return Lease(entry / uri.removeprefix(root), lock)

    def _fetch(self, entry: Path, root: str, wanted: Sequence[files.FileInfo]) -> None:
        partial = entry.with_suffix(".partial")
        # A process that died has left it; whoever holds the lock is alone with it.
        shutil.rmtree(partial, ignore_errors=True)
        try:
            for file in wanted:
                target = partial / _inside(file.path, root)
                with local_disk.writing(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                files.copy_file(file, target)
                count("bytes_fetched", file.size)
            count(f"{self.holds}_fetched")
            with local_disk.writing(entry):
                local_disk.rename(partial, entry)
        except BaseException:
            # The room may be what it failed for.
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def _make_room(self, uri: str, needed: int) -> None:
        """Remove copies that nobody uses, the least recently used first."""
        with (self.directory / "room.lock").open("ab") as room:
            fcntl.flock(room, fcntl.LOCK_EX)
            sizes = {entry: _size_of(entry) for entry in self._entries()}
            total = sum(sizes.values())
            for entry, size in sizes.items():
                if total + needed <= self.max_bytes and needed <= self._free():
                    break
                if _remove_unused(entry):
                    total -= size
            if total + needed > self.max_bytes:
                raise InputError(
                    Kind.CACHE_FULL,
                    f"{uri}: {needed:,} bytes do not fit beside {total:,} in use, of "
                    f"{self.max_bytes:,}; {self.advice}",
                )
            if needed > shutil.disk_usage(self.directory).total:
                raise InputError(
                    Kind.CACHE_FULL,
                    f"{uri}: {needed:,} bytes are more than the disk of {self.directory} holds: "
                    "choose another with --cache_dir or TMPDIR",
                )
            if needed > self._free():
                raise UnwritableError(
                    f"{self.directory}: a copy of {uri} needs {needed:,} bytes, and the disk has "
                    f"{self._free():,} left"
                )

    def _free(self) -> int:
        return shutil.disk_usage(self.directory).free

    def _entries(self) -> list[Path]:
        locks = [path for path in self.directory.glob("*.lock") if path.name != "room.lock"]
        by_use = sorted(locks, key=lambda path: path.stat().st_mtime)
        return [lock.with_suffix("") for lock in by_use if lock.with_suffix("").is_dir()]


def _lock_alone(lock: IO[bytes]) -> bool:
    """Return whether a lock could be had alone at once; if not, it is not held at all.

    Who waited for it would wait for as long as others use the entry that they made meanwhile.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_UN)
        return False
    return True


def _inside(path: str, root: str) -> str:
    """Return a file's path below the root, refusing one that would leave the entry."""
    inside = path.removeprefix(root)
    if inside.startswith("/") or ".." in inside.split("/"):
        raise InputError(Kind.UNOPENABLE, f"{path}: no file can be called like that")
    return inside


def _name(uri: str, wanted: Sequence[files.FileInfo]) -> str:
    stamps = sorted((file.path, file.size, file.version) for file in wanted)
    return hashlib.sha256(repr((uri, stamps)).encode()).hexdigest()[:24]


def _size_of(entry: Path) -> int:
    return sum(file.size for file in files.list_files(str(entry)))


def _remove_unused(entry: Path) -> bool:
    """Remove an entry unless it is in use; its lock file stays, for somebody may wait for it."""
    with entry.with_suffix(".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        shutil.rmtree(entry)
        return True
