"""The cost of resuming a job of many slides, and of asking for its status.

    python -m benchmarks.manifest [--slides 300 3000 …] [--folder DIR]

One small slide of 16 patches gets as many names as there are slides. It is planned and embedded
under one name. The project's own writers then write the plans and parts (four each) of the others.
Then the real commands run, each in its own process: `beamscope slides` finds all parts and
assembles the dataset, and `beamscope status` shows its progress.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import os
import resource
import tempfile
import time
from pathlib import Path

from benchmarks.scale import in_new_process, peak_megabytes

BLOCK_SIZE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, nargs="+", default=[300, 3_000])
    parser.add_argument(
        "--folder", default=None, help="directory with 40 KB of free space per slide"
    )
    options = parser.parse_args()
    print("| slides | parts | resume: seconds | core-seconds | ms a slide | peak MB | "
          "status: seconds | peak MB |\n|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)  # fmt: skip
    for count in options.slides:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            made = in_new_process(make_run, folder, count)
            resume = in_new_process(timed, job_command(folder, "all.csv"))
            status = in_new_process(timed, ["status", f"{folder}/output"])
            print(
                f"| {count:,} | {made['parts']:,} | {resume['wall']:.1f} | {resume['cpu']:.1f} | "
                f"{1000 * resume['wall'] / count:.1f} | {resume['peak']:,.0f} | "
                f"{status['wall']:.1f} | {status['peak']:,.0f} |",
                flush=True,
            )


def job_command(folder: str, manifest: str, output: str = "") -> list[str]:
    return ["slides", "--manifest", f"{folder}/{manifest}", "--model", f"{folder}/mean",
            "--output", output or f"{folder}/output",
            "--block_size", str(BLOCK_SIZE)]  # fmt: skip


def timed(command: list[str]) -> dict[str, float]:
    """Run a command; return its seconds, imports included, and its peak memory.

    A job runs in a child of the process that was started, which holds nothing.
    """
    start = time.perf_counter()
    from beamscope.pipelines.main import main as beamscope

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = beamscope(command)
    assert status == 0
    wall = time.perf_counter() - start
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = time.process_time() + child.ru_utime + child.ru_stime
    peak = max(peak_megabytes(), peak_megabytes(resource.RUSAGE_CHILDREN))
    return {"wall": wall, "cpu": busy, "peak": peak}


def make_slides(root: Path, count: int) -> None:
    """Write a cheap model, and one small slide under many names, listed in all.csv."""
    from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
    from benchmarks.pipeline import make_mean

    make_mean(root / "mean")
    small = SampleSlide(1024, 1024, islands=1, coverage=1, mpp=0.5, levels=1)
    write_sample_slide(root / "slide.svs", small)
    (root / "slides").mkdir()
    lines = []
    for number in range(count):
        lines.append(f"s{number:06d},slides/s{number:06d}.svs\n")
        os.link(root / "slide.svs", root / "slides" / f"s{number:06d}.svs")
    for name, some in (("one.csv", lines[:1]), ("all.csv", lines)):
        (root / name).write_text("slide_id,uri\n" + "".join(some))


def make_run(folder: str, count: int) -> dict[str, float]:
    """Make an output with every slide planned and every block embedded, but without a dataset."""
    from beamscope.pipelines.terminal.quiet import import_tensorflow

    import_tensorflow()
    from beamscope.transforms.slides.requests import read_manifest

    root = Path(folder)
    make_slides(root, count)
    timed(job_command(folder, "one.csv"))
    first, *others = read_manifest(f"{folder}/all.csv")
    parts = copy_results(f"{folder}/output", first, others)
    (root / "output" / "dataset.json").unlink()
    return {"parts": parts * count}


def copy_results(output: str, first, others) -> int:
    """Copy the first slide's plan and parts to the others; return the parts of each."""
    from beamscope.transforms.blocks import EmbeddingBlock
    from beamscope.transforms.output.parts import read_part, write_part
    from beamscope.transforms.output.run_record import read_run_record
    from beamscope.transforms.output.schema import embedding_matrix
    from beamscope.transforms.slides.planning.plan_file import read_picture, read_plan, write_plan
    from beamscope.transforms.storage import files

    layout = read_run_record(output).layout(output)
    plan = read_plan(layout.plan(first.slide_id))
    plan = dataclasses.replace(plan, picture=read_picture(layout, plan))
    parts = [layout.part(block.key, len(block)) for block in plan.blocks()]
    embeddings = [embedding_matrix(next(iter(read_part(path)))) for path in parts]
    for request in others:
        same = dataclasses.replace(plan, slide_id=request.slide_id, uri=request.uri)
        if plan.version is not None:
            same = dataclasses.replace(same, version=files.stat(request.uri).version)
        write_plan(layout, request, same)
        for block, numbers in zip(same.blocks(), embeddings, strict=True):
            write_part(layout, EmbeddingBlock(block.key, numbers, block.rows(), len(block)))
    return len(parts)


if __name__ == "__main__":
    main()
