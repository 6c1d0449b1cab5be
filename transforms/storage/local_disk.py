"""Writing to a local disk that may be full, read-only, or refuse what it took a second ago."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from beamscope.transforms.problems import StorageError, UnwritableError, one_line

# What only a file that is being written can meet, or a disk that fails altogether.
_DISK_FAILS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENODEV,
    errno.ENXIO, errno.ENOTCONN,
)  # fmt: skip
# What a rename may meet on network mounts and under virus scanners, and be done a second later.
_MAY_PASS = (errno.EACCES, errno.EPERM, errno.EBUSY, errno.ESTALE, errno.EAGAIN, errno.ETXTBSY)
_TRIES = 6
_FIRST_PAUSE_S = 0.1

_log = logging.getLogger(__name__)
_said: set[str] = set()


@contextlib.contextmanager
def writing(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Turn an OSError of the body into an UnwritableError that names a path.

    Args:
      path: what is being written.
      temporary: the file that the body writes to, where it does other things as well: then only
        errors that name it, or that writing alone can meet, are turned.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if temporary is not None and not _is_of_writing(error, temporary):
            raise
        # Libraries put their own words around the system's.
        reason = os.strerror(error.errno) if error.errno else one_line(error)
        raise UnwritableError(f"{path}: {reason}") from error


def _is_of_writing(error: OSError, temporary: Path) -> bool:
    return error.errno in _DISK_FAILS or str(temporary) in str(error)


def rename(temporary: Path, target: Path) -> None:
    """Rename a file, and try it again for some seconds where it is refused.

    Raises:
      OSError: it is refused still, or for a reason that does not pass.
    """
    for count in range(1, _TRIES + 1):
        try:
            temporary.replace(target)
        except OSError as error:
            if error.errno not in _MAY_PASS or count == _TRIES:
                raise
            _say_once(target, error)
            time.sleep(_FIRST_PAUSE_S * 2 ** (count - 1))
        else:
            return


def remove(temporary: Path) -> None:
    """Delete a temporary file; where that fails too, leave it."""
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)


def _say_once(target: Path, error: OSError) -> None:
    folder = str(target.parent)
    if folder not in _said:
        _said.add(folder)
        _log.warning(
            "%s: a rename is refused (%s); it is tried again for some seconds, here and later",
            target,
            os.strerror(error.errno or 0),
        )
