"""What lies in a directory, of a disk or a store."""

from pathlib import Path

from beamscope.transforms.storage import files


def paths_in(directory: str, *, recursive: bool = True) -> list[str]:
    found = files.list_files(directory, recursive=recursive)
    return [file.path.removeprefix(f"{directory}/") for file in found]


def all_in(directory: str) -> list[str]:
    """What lies in a directory, temporary files included."""
    if not files.is_local(directory):
        return paths_in(directory)
    return sorted(path.name for path in Path(directory).rglob("*") if path.is_file())
