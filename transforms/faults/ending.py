"""Whether this process is ending, so that its errors say nothing about what it works on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from beamscope.transforms.problems import JobStoppedError


class ProcessEndsError(JobStoppedError):
    """A step failed because its process is ending; another process has to do it."""


def process_ends() -> bool:
    """Return whether the interpreter of this process is shutting down.

    Threads of a runner may go on after the main thread has ended, as when a cluster drops a worker.
    Imports, thread pools and new threads then fail, whatever the item is. Python has no public flag
    for it (`sys.is_finalizing` is set later), but a thread pool refuses work from that moment on.
    """
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(int)
    except RuntimeError as error:
        # The same type says that the machine has no thread left, which is not the end.
        return "interpreter shutdown" in str(error)
    return False
