"""Memory that was freed is the machine's again."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Blocks below glibc's threshold for mapped ones, so that it keeps them; the last pins the heap.
PROGRAM = """
import ctypes
from beamscope.transforms.heap import return_freed_memory

def held():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
before = held()
blocks = [libc.malloc(100_000) for _ in range(2_000)]
for block in blocks:
    ctypes.memset(ctypes.c_void_p(block), 1, 100_000)
full = held() - before
for block in blocks[:-1]:
    libc.free(block)
kept = held() - before
return_freed_memory()
print(full > 150_000, kept > 150_000, held() - before < 50_000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps it")
def test_freed_memory_goes_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "True True True\n", done.stderr
