"""The files of a DICOM slide: those of one series in one folder, a level each as a rule."""

from __future__ import annotations

import contextlib
import functools
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from beamscope.transforms.problems import InputError, StorageError
from beamscope.transforms.storage import files
from beamscope.transforms.storage.byte_source import ByteSource, LocalSource, as_file
from beamscope.transforms.storage.remote_source import RemoteSource
from beamscope.transforms.storage.store import FileInfo, Version

_SERIES = 0x0020000E
# Of headers: a store answers each in some 50 ms, whatever it holds.
_AT_ONCE = 16
# Headers that a process keeps the series of: some 20 MB.
_MOST_KNOWN = 1 << 16


# What pydicom raises for a file that is damaged, besides an error of its own for no DICOM.
_DAMAGED = (
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)


class NoDicomError(Exception):
    """A file that is no DICOM, or a damaged one."""


@contextlib.contextmanager
def reading_dicom() -> Iterator[None]:
    """Let pydicom take values as they are, without warnings that quote them.

    Raises:
      NoDicomError: in the place of what pydicom raises.
    """
    # It takes more than half a second to import, and most slides are no DICOM.
    import pydicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        yield
    except (pydicom.errors.InvalidDicomError, *_DAMAGED) as error:
        raise NoDicomError(f"{type(error).__name__} in its header") from error


def source_of(file: FileInfo) -> ByteSource:
    """Return the bytes of a file that a listing found; nothing is asked of a store.

    Raises:
      InputError: ``missing_file`` or ``unopenable``, of a local file.
    """
    return LocalSource(file.path) if files.is_local(file.path) else RemoteSource.of(file)


def series_of(found: Sequence[FileInfo]) -> list[str | None]:
    """Return the series that each file belongs to; None for what is no DICOM, or cannot be read.

    A process reads the header of a file once.

    Raises:
      UnavailableError: a store does not answer.
    """
    if len(found) < 2:
        return [_series(file) for file in found]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dicom-series") as threads:
        return list(threads.map(_series, found))


def series_of_paths(paths: Sequence[str]) -> list[str | None]:
    """Return the series that each file belongs to; None for what is no DICOM, or cannot be read.

    Raises:
      UnavailableError: a store does not answer.
    """

    def ask(path: str) -> str | None:
        try:
            return _series(files.stat(path))
        except StorageError:
            raise
        except OSError:
            return None

    if len(paths) < 2:
        return [ask(path) for path in paths]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dicom-series") as threads:
        return list(threads.map(ask, paths))


def files_of_series(uri: str) -> list[FileInfo]:
    """Return the files of the folder that belong to the series of one of them, sorted by path.

    Raises:
      OSError: the file is not there, or cannot be read; or the folder cannot be listed.
      InputError: likewise.
    """
    file = files.stat(uri)
    (series,) = series_of([file])
    if series is None:
        return [file]
    folder = uri.rpartition("/")[0] if "/" in uri else "."
    beside = [other for other in files.list_files(folder, recursive=False) if other.path != uri]
    alike = [other for other, its in zip(beside, series_of(beside), strict=True) if its == series]
    return sorted([file, *alike])


def _series(file: FileInfo) -> str | None:
    known = _known(file.path, file.size, file.modified if file.version is None else file.version)
    if not known:
        known.append(_series_in(file))
    return known[0]


@functools.lru_cache(maxsize=_MOST_KNOWN)
def _known(path: str, size: int, state: float | Version) -> list[str | None]:
    """Return where the series of a file in one state is kept."""
    del path, size, state
    return []


def _series_in(file: FileInfo) -> str | None:
    try:
        source = source_of(file)
    except InputError:
        return None
    try:
        with reading_dicom():
            from pydicom.filereader import read_partial

            header = read_partial(
                as_file(source),
                stop_when=lambda tag, vr, length: tag > _SERIES,  # noqa: ARG005
                specific_tags=[_SERIES],
            )
            return str(header.SeriesInstanceUID)
    except (NoDicomError, InputError):
        return None
    finally:
        source.close()
