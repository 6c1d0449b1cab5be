"""Verify an output: the files of its dataset, its plans and parts, and its records."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from beamscope.transforms.output.checked_json import read_json
from beamscope.transforms.output.dataset import find_description
from beamscope.transforms.output.file_sums import FileSum, sums_from_json
from beamscope.transforms.output.layout import WORK_DIRECTORY, is_part, plan_of, run_record
from beamscope.transforms.output.requests_file import requests_path
from beamscope.transforms.output.sealed import DamagedError, check_sealed
from beamscope.transforms.output.shards import list_shards
from beamscope.transforms.problems import InputError, StorageError
from beamscope.transforms.storage import files
from beamscope.transforms.storage.checksums import crc32c

# Files at a time: a remote one costs a request or more.
_READERS = 16


@dataclasses.dataclass(frozen=True)
class Verification:
    """What an output holds, and what of it is not what was written.

    Attributes:
      complete: whether it has the description of a dataset.
      dataset_files: number of files that the description names.
      dataset_bytes: their size as they were written.
      plans: number of files of plans.
      parts: number of finished blocks.
      work_bytes: size of plans and parts.
      damaged: what is wrong: path and reason of each file.
    """

    complete: bool
    dataset_files: int
    dataset_bytes: int
    plans: int
    parts: int
    work_bytes: int
    damaged: tuple[DamagedError, ...]


def verify_output(root: str) -> Verification:
    """Verify all of an output.

    Files are read, unless their store has counted their checksum itself, as Google's does.

    Raises:
      OSError: the output cannot be listed.
    """
    damaged: list[DamagedError] = []
    description = None
    try:
        description = find_description(root)
    except DamagedError as error:
        damaged.append(error)
    sums = sums_from_json(description.get("files", {})) if description else []
    if description is not None:
        damaged += check_dataset(root, description)
    for path in (run_record(root), requests_path(root)):
        try:
            read_json(path)
        except DamagedError as error:
            damaged.append(error)
    work = files.list_files(files.join(root, WORK_DIRECTORY))
    plans = [file for file in work if plan_of(file.path) is not None]
    parts = [file for file in work if is_part(file.path)]
    with ThreadPoolExecutor(_READERS) as readers:
        damaged += [error for error in readers.map(_damage, [*plans, *parts]) if error]
    return Verification(
        description is not None,
        len(sums),
        sum(one.size for one in sums),
        len(plans),
        len(parts),
        sum(file.size for file in [*plans, *parts]),
        tuple(damaged),
    )


def _damage(file: files.FileInfo) -> DamagedError | None:
    try:
        check_sealed(file)
    except DamagedError as error:
        return error
    except StorageError:
        raise  # Nothing is known of the file then.
    except FileNotFoundError:
        # A job that is running has deleted or replaced it.
        return None
    except (OSError, InputError) as error:
        return DamagedError(file.path, f"it cannot be read: {error}")
    return None


def check_dataset(root: str, description: Mapping[str, Any]) -> list[DamagedError]:
    """Return what is wrong with the files of a dataset; an empty list if they are as written."""
    if "files" not in description:
        path = files.join(root, "dataset.json")
        return [DamagedError(path, "an earlier version wrote it, without checksums")]
    return check_files(root, sums_from_json(description["files"]))


def check_files(root: str, sums: Iterable[FileSum]) -> list[DamagedError]:
    """Return what is wrong with the files of a dataset; an empty list if they are as written.

    A file is read, unless its length tells already, or its store has counted its checksum. A shard
    beside them that the dataset does not have is damage too: whoever reads all shards of a folder
    would take its rows for rows of the dataset.

    Args:
      root: the output directory.
      sums: of all files of the dataset.
    """
    expected = {files.join(root, one.name): one for one in sums}
    folders = {path.rpartition("/")[0] for path in expected} | {files.join(root, "").rstrip("/")}
    found = {
        file.path: file
        for folder in sorted(folders)
        for file in files.list_files(folder, recursive=False)
    }
    with ThreadPoolExecutor(_READERS) as readers:
        check = functools.partial(_reason, found=found)
        reasons = dict(zip(expected, readers.map(check, expected.items()), strict=True))
    strange = [path for path in list_shards(root).values() if path not in expected]
    return [
        *(DamagedError(path, reason) for path, reason in reasons.items() if reason),
        *(DamagedError(path, "it is a shard that the dataset does not have") for path in strange),
    ]


def _reason(expected: tuple[str, FileSum], found: Mapping[str, files.FileInfo]) -> str | None:
    path, one = expected
    file = found.get(path)
    if file is None:
        return "it is missing"
    if file.size != one.size:
        return f"it has {file.size:,} bytes; {one.size:,} were written"
    try:
        return None if crc32c(file) == one.crc32c else "its content does not have its checksum"
    except StorageError:
        raise  # Nothing is known of the file then.
    except (OSError, InputError) as error:
        return f"it cannot be read: {error}"
