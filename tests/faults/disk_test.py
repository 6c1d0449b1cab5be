"""Local disks that are full, read-only or refuse a rename: a line, and the same command goes on."""

import errno
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.storage import files, local_disk
from tests.faults.hostile import ENTRY_POINTS
from tests.faults.job_test import ROOT, command, embedded, make_folders, registered
from tests.gcs import gcs_emulator

__all__ = ["registered"]
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
GOES_ON = "what is done is kept, and the same command goes on from there"


def may_mount() -> bool:
    try:
        tried = subprocess.run(
            [*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
        )
    except FileNotFoundError:
        return False
    return tried.returncode == 0


mounts = pytest.mark.skipif(not may_mount(), reason="nobody may mount a small disk on this machine")


@pytest.fixture
def slides(tmp_path):
    """Three small slides, a model, and what lets a process find its backend."""
    (tmp_path / "in").mkdir()
    spec = SampleSlide(width=400, height=300, mpp=0.5)
    for name in "abc":
        write_sample_slide(tmp_path / "in" / f"{name}.svs", spec)
    described = tmp_path / "entry" / "hostile-1.dist-info"
    described.mkdir(parents=True)
    (described / "entry_points.txt").write_text(ENTRY_POINTS)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1\n")
    (tmp_path / "model.brightness").write_text("a model")
    return tmp_path


def slide_job(where, root, output, *more):
    return shlex.join([sys.executable, "-m", "beamscope", "slides", "--input", f"{where}/in/*.svs",
            "--model", f"{root}/model.brightness", "--output", output, "--compile", "none",
            "--block_size", "256", "--mpp", "0.5", "--tissue", "none", *more])  # fmt: skip


def bash(root, script, *, mounting=True):
    """Runs a script, which may mount what it wants, and returns what it says."""
    path = os.pathsep.join([str(ROOT), str(root / "entry")])
    done = subprocess.run(
        [*(NAMESPACE if mounting else []), "bash", "-c", f"set -u\n{script}"],
        cwd=root, env={**os.environ, "PYTHONPATH": path}, text=True, check=True, timeout=500,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def tables(output):
    return {path.name: pq.read_table(path).to_pylist() for path in output.rglob("*.parquet")}


@mounts
@pytest.mark.slow
def test_a_disk_that_is_full_again_and_again(slides):
    # A disk that has room for a picture more, then for some parts, and last for nearly all.
    said = bash(slides, f"""
        mkdir out whole; mount -t tmpfs -o size=8k none out
        for size in 8 100 600 800 1000 8000; do
            mount -o remount,size=${{size}}k out
            {slide_job(slides, slides, "out")}; echo "status $?"
        done
        find out -name '*beamscope-tmp*'; cp -r out/. whole
        {slide_job(slides, slides, "undisturbed")}
    """)  # fmt: skip
    assert set(re.findall(r"status (\d+)", said)) == {"0", "1"}
    full = re.findall(r"beamscope slides: cannot write: (\S+): No space left on device; (.*)", said)
    assert len(full) == said.count("status 1") >= 4
    assert {what for _, what in full} == {GOES_ON}
    places = " ".join(place for place, _ in full)
    # Which file meets the end depends on the sizes of all that came before.
    for place in ("out/.beamscope/r", "/qc/", "/parts/"):
        assert place in places
    assert "beamscope-tmp" not in said
    whole, undisturbed = tables(slides / "whole"), tables(slides / "undisturbed")
    assert len(whole) == 3
    assert whole == undisturbed
    for name in "abc":
        picture = f"qc/{name}.jpg"
        assert (slides / "whole" / picture).read_bytes() == (
            slides / "undisturbed" / picture
        ).read_bytes()


@mounts
@pytest.mark.slow
def test_a_disk_that_becomes_read_only(slides):
    job = slide_job(slides, slides, "out")
    said = bash(slides, f"""
        mkdir out whole; mount -t tmpfs -o size=720k none out
        {job}; echo "status $?"
        mount -o remount,ro,size=9m out
        {job}; echo "status $?"
        mount -o remount,rw,size=9m out
        {job}; echo "status $?"; cp -r out/. whole
    """)  # fmt: skip
    assert re.findall(r"status (\d)", said) == ["1", "2", "0"]
    assert re.search(r"--output out: cannot be \w+.*: out/.beamscope/\S+: Read-only file sys", said)
    assert len(tables(slides / "whole")["slides.parquet"]) == 3


@pytest.mark.slow
def test_a_limit_to_the_size_of_files(slides):
    # As with quotas, only large files meet it: the shard.
    job = slide_job(slides, slides, "out")
    said = bash(slides, f"(ulimit -f 40; {job}); echo status $?; {job}; echo status $?",
                mounting=False)  # fmt: skip
    assert re.findall(r"status (\d)", said) == ["1", "0"]
    assert re.search(r"cannot write: \S+: File too large; what is done is kept", said)


@mounts
@pytest.mark.slow
def test_a_small_disk_for_local_copies(slides, tmp_path_factory):
    with gcs_emulator(tmp_path_factory.mktemp("gcs")) as bucket:
        for path in (slides / "in").iterdir():
            files.write_bytes(f"{bucket}/in/{path.name}", path.read_bytes())
        files.write_bytes(f"{bucket}/model.brightness", bytes(300_000))
        read = ("--reader", "openslide", "--cache_dir", "cache")
        job = slide_job(bucket, slides, "out", *read)
        fetching = slide_job(slides, bucket, "other", "--reader", "openslide")
        said = bash(slides, f"""
            mkdir cache tmp
            mount -t tmpfs -o size=80k none cache; mount -t tmpfs -o size=80k none tmp
            {job}; echo "status $?"
            TMPDIR=tmp {fetching}; echo "status $?"
            mount -o remount,size=9m cache; mount -o remount,size=9m tmp
            {job}; echo "status $?"
            dd status=none if=/dev/zero of=tmp/other bs=1k count=9100
            TMPDIR=tmp {fetching}; echo "status $?"
        """)  # fmt: skip
    assert re.findall(r"status (\d)", said) == ["1", "2", "0", "2"]
    assert f"cannot write: cache: a copy of {bucket}/in/b.svs needs 78,038 bytes, and the" in said
    assert said.count(GOES_ON) == 1
    refused = f"beamscope slides: {bucket}/model.brightness: 300,000 bytes are more than the disk"
    assert refused in said
    assert f"beamscope slides: model {slides}/tmp/beamscope-models-" in said
    assert not list((slides / "out").glob("**/*.partial"))


def test_a_rename_that_is_refused_for_a_while(tmp_path, registered, monkeypatch, caplog):
    make_folders(tmp_path, {"a": ["0", "1", "2"]})
    refused = refuse_renames(monkeypatch, 3)
    assert main(command(tmp_path)) == 0
    assert embedded(tmp_path) == {("a", f"{n}.png") for n in "012"}
    assert len(refused) == 3
    told = [record for record in caplog.records if "rename is refused" in record.getMessage()]
    assert len(told) == 1


def test_a_rename_that_is_refused_for_good(tmp_path, registered, monkeypatch, capsys):
    make_folders(tmp_path, {"a": ["0", "1", "2"]})
    with monkeypatch.context() as patched:
        refuse_renames(patched, 1e9, among="/parts/")
        assert main(command(tmp_path)) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("beamscope hostile: ")]
    assert "cannot write: " in line
    assert "000000-2-2-0.arrow: Permission denied; " in line
    assert line.endswith(GOES_ON)
    # Nothing is left of it, and the same command goes on.
    assert not list(tmp_path.glob("out/**/.*beamscope-tmp"))
    assert main(command(tmp_path)) == 0
    assert embedded(tmp_path) == {("a", f"{n}.png") for n in "012"}
    assert "an earlier start had done part of the work" in capsys.readouterr().out


def refuse_renames(monkeypatch, times, among=""):
    """Refuses renames as some network disks do; no disk of this machine can be made to."""
    refused = []
    replace = Path.replace

    def refuse(path, target):
        if among in str(target) and len(refused) < times:
            refused.append(path)
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path), None, target)
        return replace(path, target)

    monkeypatch.setattr(local_disk, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(local_disk, "_said", set())
    monkeypatch.setattr(Path, "replace", refuse)
    return refused
