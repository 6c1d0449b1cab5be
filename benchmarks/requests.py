"""The requests that a job of many slides sends to a store when it is resumed, or asked for.

    python -m benchmarks.requests [--slides 20 60 300 …] [--store gs|s3]

As `benchmarks.manifest`, but the output and the slides are in the emulator of the tests, which
counts what it is asked. The slides but one are a few bytes: nobody opens what is planned and
embedded. It counts for `beamscope status`, for a start that finds nothing left to embed (`--only
embed`), for a task of an array likewise (`--part 1/2`), and for the plain command, which assembles
the dataset. Lists are counted in pages of 1,000 names, as a real store gives them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import tempfile
from pathlib import Path

from beamscope.pipelines.main import main as beamscope
from beamscope.transforms.slides.requests import read_manifest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.storage import files
from benchmarks.manifest import copy_results, job_command
from benchmarks.pipeline import make_mean
from tests.gcs import gcs_emulator
from tests.s3 import s3_server
from tests.traffic import Traffic, counted_traffic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, nargs="+", default=[20, 60, 300])
    parser.add_argument("--store", choices=("gs", "s3"), default="gs")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print("| slides | command | pages of lists | stat | ranges | whole | put, delete | "
          "beside lists | MB read |")  # fmt: skip
    print("|--:|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for count in options.slides:
        with tempfile.TemporaryDirectory() as folder, _store(options.store, folder) as bucket:
            root = make_remote_run(folder, bucket, count)
            resume = job_command(folder, "all.csv", root)
            for name, command in (
                ("status, no index yet", ["status", root]),
                ("`--only embed`, no index yet", [*resume, "--only", "embed"]),
                ("status", ["status", root]),
                ("`--only embed`", [*resume, "--only", "embed"]),
                ("`--part 1/2`", [*resume, "--part", "1/2"]),
                ("the plain command, which assembles", resume),
            ):
                show(count, name, traffic_of(command))


def _store(kind: str, folder: str) -> contextlib.AbstractContextManager[str]:
    if kind == "gs":
        return gcs_emulator(Path(folder))
    return s3_server(Path(folder), counted=True)


def show(count: int, name: str, traffic: Traffic) -> None:
    asked, size = traffic.requests, traffic.bytes
    read = sum(size[kind] for kind in ("stat", "range", "whole", "other"))
    changed = asked["put"] + asked["delete"]
    print(f"| {count:,} | {name} | {traffic.pages:,} | {asked['stat']:,} | {asked['range']:,} | "
          f"{asked['whole']:,} | {changed:,} | {traffic.beside_listings:,} | {read / 1e6:,.2f} |",
          flush=True)  # fmt: skip


def traffic_of(command: list[str]) -> Traffic:
    """Run a command in this process, and return what it asked the store."""
    said = io.StringIO()
    with (
        counted_traffic() as traffic,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(said),
    ):
        status = beamscope(command)
    assert status == 0, (command, said.getvalue())
    return traffic


def make_remote_run(folder: str, bucket: str, count: int) -> str:
    """Make an output in a bucket as `manifest.make_run` does; return it. Manifests are local."""
    local = Path(folder)
    make_mean(local / "mean")
    small = SampleSlide(1024, 1024, islands=1, coverage=1, mpp=0.5, levels=1)
    write_sample_slide(local / "slide.svs", small)
    lines = []
    for number in range(count):
        uri = f"{bucket}/slides/s{number:06d}.svs"
        lines.append(f"s{number:06d},{uri}\n")
        files.write_bytes(uri, b"one" if number else (local / "slide.svs").read_bytes())
    for name, some in (("one.csv", lines[:1]), ("all.csv", lines)):
        (local / name).write_text("slide_id,uri\n" + "".join(some))
    root = f"{bucket}/output"
    traffic_of(job_command(folder, "one.csv", root))
    first, *others = read_manifest(f"{folder}/all.csv")
    copy_results(root, first, others)
    files.delete([f"{root}/dataset.json"])
    return root


if __name__ == "__main__":
    main()
