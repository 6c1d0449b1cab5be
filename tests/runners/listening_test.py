"""What the processes of a job listen on: nothing, or what only this machine reaches."""

import ipaddress
import time
from pathlib import Path

import pytest

from tests.faults.job_test import children, make_folders, start
from tests.runners.fetched import fetched

LISTEN = "0A"


def family(process: int) -> list[int]:
    found = [process]
    for one in found:
        try:
            found += children(one)
        except OSError:
            continue
    return found


def listening(process: int) -> set[tuple[str, str]]:
    """The name of a process and the addresses that it listens on, by the kernel's tables."""
    sockets = set()
    try:
        command = Path(f"/proc/{process}/comm").read_text().strip()
        for entry in Path(f"/proc/{process}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
        lines = [
            line.split()
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]
        ]
    except OSError:
        return set()
    return {
        (command, line[1].partition(":")[0])
        for line in lines
        if line[3] == LISTEN and line[9] in sockets
    }


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    # Words of 32 bits, each as the processor writes it.
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    return ipaddress.ip_address(b"".join(words))


@pytest.mark.slow
@pytest.mark.parametrize("config", ["direct", "direct_parallel", "prism"])
def test_nobody_else_reaches_a_job(tmp_path, config):
    if config == "prism":
        fetched("prism")
    make_folders(tmp_path, {name: [str(n) for n in range(40)] for name in "abcd"})
    flags = ["--direct_num_workers", "2"] if config == "direct_parallel" else []
    process = start(tmp_path, "--runner_config", config, *flags)
    seen: set[tuple[str, str]] = set()
    deadline = time.monotonic() + 120
    try:
        while process.poll() is None and time.monotonic() < deadline:
            for one in family(process.pid):
                seen |= listening(one)
            time.sleep(0.05)
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, said
    if config == "direct":
        assert not seen
        return
    assert seen
    ours = {address(one) for command, one in seen if command != "prism"}
    assert ours
    assert all((getattr(one, "ipv4_mapped", None) or one).is_loopback for one in ours), ours
    # Prism itself listens on all addresses, and has no flag against it: docs/privacy.md says so.
