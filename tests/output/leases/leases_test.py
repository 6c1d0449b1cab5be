"""Leases of several jobs on one output: threads and processes of this machine, and stores."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from beamscope.transforms.output.leases import held as held_module
from beamscope.transforms.output.leases import lease_file, taking, work
from beamscope.transforms.output.leases.held import HeldLease, check_lease, held, release
from beamscope.transforms.output.leases.lease_file import LeaseKey
from beamscope.transforms.output.leases.work import kept_by_work
from beamscope.transforms.problems import InputError, JobStoppedError
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.s3 import s3_server

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with (
        gcs_emulator(tmp_path_factory.mktemp("gcs")) as gcs,
        s3_server(tmp_path_factory.mktemp("s3")) as s3,
    ):
        yield {"local": str(tmp_path_factory.mktemp("disk")), "gs": gcs, "s3": s3}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at a machine finds another one, as if each job ran on its own."""
    machines = iter(range(1000))
    monkeypatch.setattr(held_module, "machine_id", lambda: f"machine {next(machines)}")
    for module in (held_module, work):
        monkeypatch.setattr(module, "BEAT_SECONDS", 0.2)


def written(root: str) -> list[dict[str, object]]:
    found = files.list_files(f"{root}/.beamscope/lease/all")
    return [json.loads(files.read_bytes(file.path)) for file in found]


def forsake(lease: HeldLease) -> None:
    """Leave a lease as a process does that is killed."""
    lease.leave()


@pytest.mark.parametrize("scheme", ["local", "gs", "s3"])
@pytest.mark.usefixtures("elsewhere")
def test_the_second_is_told_who_writes_and_a_lease_is_free_again(
    stores: dict[str, str], scheme: str
) -> None:
    root = f"{stores[scheme]}/one"
    with held(root, "run 1") as first:
        pattern = r" on .* \(process \d+\) is writing it since 2"
        with pytest.raises(InputError, match=pattern) as e, held(root, "run 2"):
            raise AssertionError
        assert e.value.kind == "already_running"
        assert "\n" not in e.value.message
        check_lease(first.key)
    # At rest it names neither user nor machine.
    (left,) = written(root)
    assert left["released"] is True
    assert (left["who"], left["machine"]) == ("", "")
    with held(root, "run 2"):
        pass


@pytest.mark.parametrize("scheme", ["local", "gs", "s3"])
@pytest.mark.usefixtures("elsewhere")
def test_a_stale_lease_is_taken_over_and_its_holder_notices(
    stores: dict[str, str], scheme: str
) -> None:
    root = f"{stores[scheme]}/stale"
    with held(root, "run 1", quiet_seconds=1) as first:
        forsake(first)
        with held(root, "run 2", quiet_seconds=1) as second:
            check_lease(second.key)
            with pytest.raises(JobStoppedError, match="another start took over"):
                check_lease(first.key)


@pytest.mark.usefixtures("elsewhere")
def test_the_clock_of_a_machine_says_nothing(tmp_path: Path) -> None:
    root = str(tmp_path)
    with held(root, "run 1", quiet_seconds=1):
        (path,) = tmp_path.glob(".beamscope/lease/all/*")
        for age in (-10_000, 10_000):
            os.utime(path, (time.time() + age, time.time() + age))
            with pytest.raises(InputError, match="is writing it"), held(root, "run 2"):
                raise AssertionError


@pytest.mark.usefixtures("elsewhere")
def test_a_store_tells_at_once_that_a_lease_is_old(
    stores: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"{stores['gs']}/old"
    with held(root, "run 1", quiet_seconds=2) as first:
        forsake(first)
        time.sleep(2.1)
        monkeypatch.setattr(taking, "_LOOK_SECONDS", 1e9)  # It does not watch.
        with held(root, "run 2"):
            pass


@pytest.mark.usefixtures("elsewhere")
def test_of_many_that_take_a_stale_lease_over_one_gets_it(tmp_path: Path) -> None:
    root = str(tmp_path)
    with held(root, "run 0", quiet_seconds=1) as first:
        forsake(first)
        together = threading.Barrier(8)
        results: list[str] = []
        done = threading.Event()

        def start(number: int) -> None:
            together.wait()
            try:
                with held(root, f"run {number}", quiet_seconds=30):
                    results.append("held")
                    done.wait(60)
            except InputError:
                results.append("refused")
                if results.count("refused") == 7:
                    done.set()

        threads = [threading.Thread(target=start, args=[number]) for number in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == ["held"] + 7 * ["refused"]


def test_a_process_of_the_same_run_goes_on_at_once(tmp_path: Path) -> None:
    with held(str(tmp_path), "run 1") as first:
        forsake(first)
        with held(str(tmp_path), "run 1") as second:
            check_lease(second.key)


def test_a_dead_process_of_this_machine_is_not_waited_for(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from beamscope.transforms.output.leases.held import held
with held(sys.argv[1], "other"):
    print("held", flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="is writing it since"), held(str(tmp_path), "own"):
        raise AssertionError
    process.kill()
    process.communicate()
    with held(str(tmp_path), "own"):
        pass


@pytest.mark.usefixtures("elsewhere")
def test_workers_keep_the_lease_of_a_submitter_that_is_gone(tmp_path: Path) -> None:
    root = str(tmp_path)
    with held(root, "run 1", by_workers=True, quiet_seconds=1) as lease:
        forsake(lease)
        with kept_by_work(lease.key):
            for _ in range(2):
                with pytest.raises(InputError, match="is writing it"), held(root, "run 2"):
                    raise AssertionError
                time.sleep(1.2)
        with (
            held(root, "run 2"),
            pytest.raises(JobStoppedError, match="another start took over"),
        ):
            _work_until_stopped(lease.key)


def _work_until_stopped(key: LeaseKey) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with kept_by_work(key):
            time.sleep(0.3)


@pytest.mark.usefixtures("elsewhere")
def test_a_cloud_job_shares_the_lease_of_its_name_and_releases_it_at_its_end(
    tmp_path: Path,
) -> None:
    root = str(tmp_path)
    cloud = {"token": "cloud-x", "by_workers": True, "detached": True}
    with held(root, "run 1", **cloud) as submitted:
        submitted.leave()
    with held(root, "run 2", **cloud) as again:
        again.leave()
    assert [one["released"] for one in written(root)] == [False]
    with pytest.raises(JobStoppedError):
        check_lease(LeaseKey(root, "another"))
    release(submitted.key)
    with held(root, "run 3"):
        pass


@pytest.mark.usefixtures("elsewhere")
def test_a_holder_that_was_silent_for_too_long_ends(tmp_path: Path) -> None:
    # As in a process of its own: jobs of other tests may have left their handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(JobStoppedError, match="another start took over"):
            _hold_until_stopped(tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)


def _hold_until_stopped(root: Path) -> None:
    with held(str(root), "run 1"):
        (root / ".beamscope" / "lease" / "all" / "000002.json").write_text("{}")
        time.sleep(20)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"token": "x"}', b"\xff"])
@pytest.mark.usefixtures("elsewhere")
def test_a_damaged_lease_is_watched_and_taken_over(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_file, "QUIET_SECONDS", 0.5)
    path = tmp_path / ".beamscope" / "lease" / "all" / "000003.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with held(str(tmp_path), "run 1"):
        assert [one.name for one in path.parent.iterdir()] == ["000004.json"]


def test_slots_do_not_meet(tmp_path: Path) -> None:
    with held(str(tmp_path), "run 1", slot="part-1-of-2"), held(str(tmp_path), "run 2", slot="2"):
        pass


def test_shares_of_one_count_meet_no_other(tmp_path: Path) -> None:
    root = str(tmp_path)
    with (
        held(root, "run 1", slot="part-1-of-3"),
        held(root, "run 2", slot="part-3-of-3"),
    ):
        for slot, text in (
            (lease_file.EVERYTHING, "is writing part 1/3 of it since"),
            ("part-1-of-2", "is writing part 1/3 of it since"),
            ("part-3-of-3", "is writing part 3/3 of it since"),
        ):
            with pytest.raises(InputError, match=text) as e, held(root, "run 3", slot=slot):
                raise AssertionError
            assert e.value.kind == "already_running"
            assert "\n" not in e.value.message
        # Who was refused has left nothing that refuses others.
        with held(root, "run 4", slot="part-2-of-3"):
            pass
    with (
        held(root, "run 5"),
        pytest.raises(InputError, match="is writing it since"),
        held(root, "run 6", slot="part-1-of-3"),
    ):
        raise AssertionError


@pytest.mark.usefixtures("elsewhere")
def test_shares_of_machines_that_are_gone_are_watched_together_and_ended(tmp_path: Path) -> None:
    root, quiet = str(tmp_path), 3.0
    for number in range(1, 9):
        with (
            contextlib.suppress(KeyError),
            held(root, f"run {number}", slot=f"part-{number}-of-8", quiet_seconds=quiet) as lease,
        ):
            forsake(lease)
            raise KeyError  # as one that is killed: it does not release
    start = time.monotonic()
    with held(root, "run"):
        # One after the other would take eight times as long.
        assert quiet <= time.monotonic() - start < 8 * quiet
    for path in tmp_path.glob(".beamscope/lease/*/*.json"):
        assert json.loads(path.read_text())["released"] is True


@pytest.mark.usefixtures("elsewhere")
def test_of_two_that_begin_at_once_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, looked = str(tmp_path), []
    look = taking._wait_for_others

    def late(key: LeaseKey, own: lease_file.Lease) -> None:
        look(key, own)
        if not looked:
            # Between the first look and the creation of the lease, another begins.
            looked.append(key)
            stack.enter_context(held(root, "run 2", slot="part-1-of-2"))

    monkeypatch.setattr(taking, "_wait_for_others", late)
    with contextlib.ExitStack() as stack:
        with pytest.raises(InputError, match="part 1/2"), held(root, "run 1"):
            raise AssertionError
        (left,) = written(root)
        assert left["released"] is True
