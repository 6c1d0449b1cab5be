"""A job of a whole collection in simulation: its plans and finished blocks, without any pixels.

    python -m benchmarks.collection [--slides 300 3000 29018] [--folder DIR]
        [--steps make status find parquet again tfrecord]

TCGA has 29,018 slides, and about 50 million patches of 224 px at 0.5 µm/px: 1,723 a slide. One
small slide gets as many names. Then the project's own writers write a plan of 1,723 patches and its
seven parts for each. Scaled down are the embeddings, 3 float32 instead of 2,048, so that a disk
holds them; and the maker does not wait for the disk after each file. Then the real commands run,
each in a process of its own: `beamscope status`, a start that finds nothing left to embed
(`--only embed`, which verifies every part), and the assembly of each format.

It needs some 0.8 MB a slide in DIR, and deletes all of it. With --steps it runs those alone and
keeps the files, so that a large collection is made once and each step is a command of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.manifest import job_command, make_slides, timed
from benchmarks.scale import in_new_process, peak_megabytes

PATCHES = 1_723
BLOCK_SIZE = 256


# Each step is a process of its own, and needs `make` before it.
STEPS = ("make", "status", "find", "parquet", "again", "tfrecord")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, nargs="+", default=[300, 3_000])
    parser.add_argument("--folder", help="directory with 0.8 MB for each slide")
    parser.add_argument("--steps", nargs="+", choices=STEPS, help="these only, and keep the files")
    options = parser.parse_args()
    if options.steps and not options.folder:
        parser.error("--steps keeps its files: name a directory with --folder")
    print("| slides | patches | parts | step | seconds | core-seconds | peak MB | GB there |\n"
          "|--:|--:|--:|---|--:|--:|--:|--:|", flush=True)  # fmt: skip
    for count in options.slides:
        if options.steps:
            kept = Path(options.folder) / f"collection-{count}"
            kept.mkdir(parents=True, exist_ok=True)
            run_steps(str(kept), count, options.steps)
        else:
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                run_steps(folder, count, STEPS)


def run_steps(folder: str, count: int, steps: Sequence[str]) -> None:
    """Run each step in a process of its own, and print its line when it ends."""
    job = [*job_command(folder, "all.csv"), "--block_size", str(BLOCK_SIZE)]
    assemble = [*_without_model(job), "--only", "assemble"]
    commands = {
        "status": ("status", ["status", f"{folder}/output"]),
        "find": ("find all done", [*job, "--only", "embed"]),
        "parquet": ("assemble Parquet", assemble),
        "again": ("the same command again", job),
        "tfrecord": ("assemble TFRecord", [*assemble, "--format", "tfrecord"]),
    }
    for step in steps:
        if step == "make":
            show(folder, count, "(made)", in_new_process(make_run, folder, count))
        else:
            name, command = commands[step]
            show(folder, count, name, in_new_process(timed, command))


def _without_model(command: list[str]) -> list[str]:
    place = command.index("--model")
    return command[:place] + command[place + 2 :]


def show(folder: str, count: int, step: str, took: dict[str, float]) -> None:
    parts = -(-PATCHES // BLOCK_SIZE)
    print(f"| {count:,} | {count * PATCHES:,} | {count * parts:,} | {step} | {took['wall']:,.1f} | "
          f"{took['cpu']:,.1f} | {took['peak']:,.0f} | {_gigabytes(folder):,.2f} |",
          flush=True)  # fmt: skip


def _gigabytes(folder: str) -> float:
    sizes = (
        os.stat(os.path.join(place, name)).st_blocks * 512  # noqa: PTH116, PTH118
        for place, _, names in os.walk(f"{folder}/output")
        for name in names
    )
    return sum(sizes) / 1e9


def make_run(folder: str, count: int) -> dict[str, float]:
    """Make an output with every slide planned and every block embedded, but without a dataset."""
    import numpy as np

    from beamscope.pipelines.terminal.quiet import import_tensorflow

    import_tensorflow()
    from beamscope.transforms.blocks import EmbeddingBlock
    from beamscope.transforms.output.parts import write_part
    from beamscope.transforms.output.run_record import read_run_record
    from beamscope.transforms.slides.planning.plan_file import read_picture, read_plan, write_plan
    from beamscope.transforms.slides.requests import read_manifest
    from beamscope.transforms.storage import files, writing

    root = Path(folder)
    make_slides(root, count)
    one = [*job_command(folder, "one.csv"), "--block_size", str(BLOCK_SIZE)]
    timed(one)
    writing._sync = lambda _: None
    layout = read_run_record(f"{folder}/output").layout(f"{folder}/output")
    requests = read_manifest(f"{folder}/all.csv")
    small_plan = read_plan(layout.plan(requests[0].slide_id))
    picture = read_picture(layout, small_plan)
    random = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(PATCHES)))
    places = np.arange(PATCHES, dtype=np.int32)
    start = time.perf_counter(), time.process_time()
    files.delete_tree(layout.all_item_parts(requests[0].slide_id))
    for request in requests:
        plan = dataclasses.replace(
            small_plan,
            slide_id=request.slide_id,
            uri=request.uri,
            picture=picture,
            x_level0=224 * (places % side),
            y_level0=224 * (places // side),
            tissue=random.random(PATCHES, np.float32),
        )
        write_plan(layout, request, plan)
        for block in plan.blocks():
            numbers = random.random((len(block), 3), np.float32)
            write_part(layout, EmbeddingBlock(block.key, numbers, block.rows(), len(block)))
    (root / "output" / "dataset.json").unlink()
    return {
        "wall": time.perf_counter() - start[0],
        "cpu": time.process_time() - start[1],
        "peak": peak_megabytes(),
    }


if __name__ == "__main__":
    main()
