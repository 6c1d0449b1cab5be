"""Delete files and directories anywhere; what is not there is no error."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence

from beamscope.transforms.storage import local_disk
from beamscope.transforms.storage.store import store_of
from beamscope.transforms.storage.uris import is_local, join, local_path, normalize
from beamscope.transforms.storage.writing import TEMPORARY_SUFFIX


def delete(paths: Sequence[str]) -> None:
    """Delete files; one that does not exist is no error.

    Raises:
      OSError: some of them could not be deleted.
    """
    remote: dict[str, list[str]] = {}
    for path in paths:
        if is_local(path):
            with local_disk.writing(local_path(path)):
                local_path(path).unlink(missing_ok=True)
        else:
            uri = normalize(path)
            remote.setdefault(uri.partition("://")[0], []).append(uri)
    for uris in remote.values():
        store_of(uris[0]).delete(uris)


def delete_tree(directory: str) -> None:
    """Delete a directory with everything in it; one that does not exist is no error.

    Raises:
      OSError: some of it could not be deleted.
    """
    if is_local(directory):
        if local_path(directory).is_dir():
            with local_disk.writing(local_path(directory)):
                shutil.rmtree(local_path(directory))
        return
    folder = join(normalize(directory), "")
    delete([file.path for file in store_of(folder).list(folder)])


def delete_empty(directory: str) -> None:
    """Delete a local directory if there is nothing in it; a store has no empty directories."""
    if is_local(directory):
        # It is not there, or holds something.
        with contextlib.suppress(OSError):
            local_path(directory).rmdir()


def delete_temporaries(directory: str, *, recursive: bool = False) -> None:
    """Delete the half-written files that killed writers left in a local directory.

    Args:
      directory: where they are.
      recursive: whether to look in the directories below it too.
    """
    if is_local(directory):
        pattern = f"{'**/' * recursive}.*{TEMPORARY_SUFFIX}"
        for path in local_path(directory).glob(pattern):
            path.unlink(missing_ok=True)
