"""Memory that this process has freed, and its C library still holds."""

from __future__ import annotations

import ctypes
import sys


def return_freed_memory() -> None:
    """Give what is freed back to the machine, where the C library can: glibc keeps most of it.

    A step that needs a gigabyte then takes that gigabyte, and not another one.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
