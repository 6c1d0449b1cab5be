"""Say how a process died."""

from __future__ import annotations

import signal


def death(status: int) -> str:
    """Return in words how a process died, by its status, which is that of a signal if negative."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    why = ", as the kernel does when memory runs out" if name == "SIGKILL" else ""
    return f"was killed by {name}{why}"
