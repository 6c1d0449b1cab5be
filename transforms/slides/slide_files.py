"""Find the files that are slides, by their endings, and DICOM files also by their magic."""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from beamscope.transforms.clutter import clutter_in, is_clutter_file, is_clutter_folder
from beamscope.transforms.storage import files

# What OpenSlide 4 opens, by the ending of the file that one names to it. QPTIFF (Akoya, Perkin
# Elmer) and BigTIFF under its own endings are plain TIFF to it.
SLIDE_ENDINGS = (".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide",
                 ".bif", ".czi", ".qptiff", ".btf", ".tf8", ".tf2")  # fmt: skip
DICOM_ENDINGS = (".dcm", ".dicom", ".dic")
# Slides of kinds that OpenSlide does not open, and companions that mean nothing alone.
UNREAD_ENDINGS = {
    ".vsi": "Olympus", ".ets": "Olympus", ".oir": "Olympus", ".isyntax": "Philips iSyntax",
    ".i2syntax": "Philips iSyntax", ".afi": "Aperio fluorescence", ".ndpis": "Hamamatsu, a list",
    ".lif": "Leica", ".lof": "Leica", ".zvi": "Zeiss", ".lsm": "Zeiss", ".nd2": "Nikon",
    ".kfb": "KFBio", ".sdpc": "Sqray", ".tmap": "UNIC", ".mds": "Motic", ".mdsx": "Motic",
    ".tron": "InteliScope", ".ims": "Imaris", ".zarr": "OME-Zarr", ".jp2": "JPEG 2000",
}  # fmt: skip
_VMS_ENDINGS = (".vms", ".vmu")
_VMS_COMPANIONS = (".jpg", ".opt")
# The index of DICOM media, which has the magic but no image.
_DICOM_INDEX = "dicomdir"
_DICOM_MAGIC_AT, _DICOM_MAGIC = 128, b"DICM"
_OTHER = "other"


@dataclasses.dataclass
class SlideFiles:
    """The files that some patterns stand for.

    Attributes:
      slides: each is a slide of its own; among them links to nowhere and folders that may not be
        read, for each to fail in its plan.
      dicom: files of DICOM slides, of which several make up one slide.
      left_out: how many files were no slides, by what they are: the name of a clutter folder, such
        as ``@eaDir``; the ending of a slide that is not read, such as ``.vsi``; ``other``.
    """

    slides: set[str] = dataclasses.field(default_factory=set)
    dicom: set[str] = dataclasses.field(default_factory=set)
    left_out: Counter[str] = dataclasses.field(default_factory=Counter)

    def take(self, path: str) -> None:
        """Take a file that was named, whatever its ending."""
        (self.dicom if _is_dicom(path) else self.slides).add(path)

    def sort_in(self, path: str) -> None:
        """Take a file out of a folder if it is a slide, or count it."""
        name = path.rsplit("/", 1)[-1]
        ending = _ending(name)
        if ending in SLIDE_ENDINGS:
            self.slides.add(path)
        elif name.lower() != _DICOM_INDEX and _is_dicom(path):
            self.dicom.add(path)
        else:
            self.left_out[ending if ending in UNREAD_ENDINGS else _OTHER] += 1

    def __bool__(self) -> bool:
        return bool(self.slides or self.dicom)


def match_slide_files(pattern: str) -> SlideFiles:
    """Find the slides that a glob, a folder or a file name stands for.

    A file is taken whatever its ending, when its name or a glob names it. A folder stands for the
    slides below it. Links to folders are followed, each folder once, so that circles end. Folders
    of deleted files, thumbnails and the like are left out, unless the name itself leads into one.

    Args:
      pattern: local or remote.
    """
    found = SlideFiles()
    if not files.is_local(pattern):
        _match_remote(pattern, found)
        return found
    # A name with brackets is first of all a name.
    if os.path.lexists(pattern):
        names: Iterator[str] = iter([pattern])
    else:
        names = _local_glob(pattern, found.left_out)
    for name in map(os.path.normpath, names):
        if not _is_folder(name):
            found.take(name)
        elif not Path(f"{name}.mrxs").exists():
            _add_folder(name, found)
    return found


def left_out_text(left_out: Counter[str]) -> str:
    """Say what was left out, for a person; '' for nothing."""
    parts = []
    for what, count in sorted(left_out.items(), key=lambda item: (item[0] == _OTHER, item[0])):
        if what == _OTHER:
            parts.append(f"{count} other {'file' if count == 1 else 'files'}")
        elif what in UNREAD_ENDINGS:
            parts.append(f"{count} {what} ({UNREAD_ENDINGS[what]}, which OpenSlide does not read)")
        else:
            parts.append(f"{count} in {what}")
    return ", ".join(parts)


def _match_remote(pattern: str, found: SlideFiles) -> None:
    paths = [file.path for file in files.match(pattern)]
    folder = files.join(pattern, "")
    is_folder = all(path.startswith(folder) for path in paths)
    # What a wildcard has found is judged by its path below the part that was named.
    named = folder if is_folder else _fixed_part(pattern)
    vms = {path.rpartition("/")[0] for path in paths if _ending(path) in _VMS_ENDINGS}
    mrxs = tuple(f"{path[: -len('.mrxs')]}/" for path in paths if _ending(path) == ".mrxs")
    for path in paths:
        if clutter := clutter_in(path.removeprefix(named)):
            found.left_out[clutter] += 1
        elif not is_folder:
            found.take(path)
        elif not (path.startswith(mrxs) or _is_vms_companion(path, path.rpartition("/")[0] in vms)):
            found.sort_in(path)


def _add_folder(top: str, found: SlideFiles) -> None:
    for folder, names in _walk(top, found):
        has_vms = any(_ending(name) in _VMS_ENDINGS for name in names)
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118
            if is_clutter_file(name) or name.startswith("."):
                found.left_out["hidden files"] += 1
            elif not _is_vms_companion(name, has_vms):
                found.sort_in(path)


def _walk(top: str, found: SlideFiles) -> Iterator[tuple[str, list[str]]]:
    """Yield every folder below one, with the names of its files; linked folders come last.

    A folder that cannot be read is taken for a slide. Clutter is counted.
    """
    seen: set[tuple[int, int]] = set()
    folders, linked = [top], list[str]()
    while folders or linked:
        folder = folders.pop() if folders else linked.pop(0)
        try:
            status = os.stat(folder)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            found.slides.add(folder)
            continue
        names, below = list[str](), list[str]()
        mrxs = {Path(entry.name).stem for entry in entries if _ending(entry.name) == ".mrxs"}
        for entry in entries:
            kind = _kind(entry)
            if kind == "folder" and is_clutter_folder(entry.name):
                found.left_out[entry.name] += _count_files(entry.path)
            elif kind == "folder" and _ending(entry.name) in UNREAD_ENDINGS:
                found.left_out[_ending(entry.name)] += 1
            elif kind == "folder" and entry.name not in mrxs:
                (linked if entry.is_symlink() else below).append(entry.path)
            elif kind == "nowhere" and _ending(entry.name) in (*SLIDE_ENDINGS, *DICOM_ENDINGS, ""):
                # The name of a folder, too, mostly has no ending.
                found.slides.add(entry.path)
            elif kind in ("file", "nowhere"):
                names.append(entry.name)
        folders.extend(reversed(below))
        yield folder, names


def _count_files(folder: str) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:
        return False


def _kind(entry: os.DirEntry[str]) -> str:
    """Return ``folder``, ``file``, ``device``, or ``nowhere`` for a link that leads nowhere."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        return "device" if os.path.exists(entry.path) else "nowhere"  # noqa: PTH110
    except OSError:
        return "nowhere"


def _local_glob(pattern: str, left_out: Counter[str]) -> Iterator[str]:
    """Yield the paths that a glob matches. Unlike Python's, it ends where links form a circle."""
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate([*parts, "*"]) if set("*?[") & set(part))
    if fixed == len(parts):
        return
    for path, relative in _below(str(Path(*parts[:fixed])), parts[fixed:], ()):
        if clutter := clutter_in("/".join(relative)):
            left_out[clutter] += 1
        elif is_clutter_folder(relative[-1]):
            left_out[relative[-1]] += _count_files(path)
        else:
            yield path


def _below(
    folder: str, parts: Sequence[str], relative: tuple[str, ...], seen: frozenset[str] = frozenset()
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the paths in a folder that match, each with its path below the fixed part."""
    part, *rest = parts
    if part == "**":
        real = os.path.realpath(folder)
        if real in seen:
            return
        inside = seen | {real}
        if not rest:
            # All below it, which is what a folder stands for.
            yield folder, relative or (".",)
            return
        yield from _below(folder, rest, relative)
        match: Callable[[str], bool] = _is_visible
    else:
        match = _matcher(part)
    for name in _names(folder):
        if not match(name):
            continue
        path, place = os.path.join(folder, name), (*relative, name)  # noqa: PTH118
        if part == "**":
            if _is_folder(path):
                yield from _below(path, parts, place, inside)
        elif not rest:
            yield path, place
        elif _is_folder(path):
            yield from _below(path, rest, place)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return []


def _matcher(part: str) -> Callable[[str], bool]:
    hidden = part.startswith(".")
    return lambda name: (hidden or _is_visible(name)) and fnmatch.fnmatchcase(name, part)


def _is_visible(name: str) -> bool:
    return not name.startswith(".")


def _fixed_part(pattern: str) -> str:
    """Return the folders of a pattern before its first wildcard."""
    first = min((at for mark in "*?[" if (at := pattern.find(mark)) >= 0), default=len(pattern))
    return pattern[: pattern.rfind("/", 0, first) + 1]


def _is_vms_companion(name: str, beside_vms: bool) -> bool:
    return beside_vms and _ending(name) in _VMS_COMPANIONS


def _ending(name: str) -> str:
    """Return the ending of a name in small letters; a number, as in a UID, is none."""
    stem, dot, ending = name.rsplit("/", 1)[-1].rpartition(".")
    return f".{ending.lower()}" if dot and stem and not ending.isdigit() else ""


def _is_dicom(path: str) -> bool:
    """Return whether a file is DICOM: by its ending, else by its magic (PS3.10, 7.1)."""
    ending = _ending(path)
    if ending in DICOM_ENDINGS:
        return True
    if ending:
        return False
    try:
        with files.open_read(path) as file:
            return file.read(_DICOM_MAGIC_AT + len(_DICOM_MAGIC))[_DICOM_MAGIC_AT:] == _DICOM_MAGIC
    except OSError:
        return False
