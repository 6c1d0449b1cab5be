"""Write parts and shards of many embeddings: measure rows per core-second, and peak memory.

    python -m benchmarks.scale [--rows N] [--folder DIR]

Write random embeddings of 2,048 float32 as parts of 256 rows, like the job, and assemble them into
each format. Each line comes from its own process, so that its peak memory is its own; rows per
core-second count the CPU time of that process without imports. At full size (--rows 1000000) it
needs 13 GB in DIR, for the parts and one shard at a time, and deletes them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

FEATURES = 2_048
ROWS_PER_PART = 256
# Parts of a slide of average size.
PARTS_PER_SLIDE = 32
FORMATS = ("parquet", "tfrecord", "tfrecord.gz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=81_920)
    parser.add_argument("--folder", default=None, help="directory with 13 KB of free space per row")
    options = parser.parse_args()
    sizes = [options.rows // 16, options.rows // 4, options.rows]
    print("| step | rows | rows a core-second | rows a second | peak MB | of it imports |")
    print("|---|--:|--:|--:|--:|--:|", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for rows in sizes:
            show("parts", write_parts, str(Path(folder) / f"parts-{rows}"), rows)
        for extension in FORMATS:
            for rows in sizes:
                show(extension, assemble, str(Path(folder) / f"parts-{rows}"), extension)


def show(step: str, work: Callable[..., dict[str, float]], *arguments: object) -> None:
    """Run one step in a new process, and print its line of the table."""
    took = in_new_process(work, *arguments)
    print(
        f"| {step} | {took['rows']:,.0f} | {took['rows'] / took['cpu']:,.0f} | "
        f"{took['rows'] / took['wall']:,.0f} | {took['peak']:,.0f} | {took['imports']:,.0f} |",
        flush=True,
    )


def in_new_process(work: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """Call a function in a new process, and return its result."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as process:
        return process.submit(work, *arguments).result()


def write_parts(root: str, rows: int) -> dict[str, float]:
    """Write parts of random embeddings; making the embeddings is not counted."""
    import numpy as np

    from beamscope.transforms.blocks import BlockKey, EmbeddingBlock
    from beamscope.transforms.output.parts import write_part

    imports = peak_megabytes()
    random = np.random.default_rng(0)
    layout = layout_of(root)
    cpu = wall = 0.0
    parts = []
    for slide_id, indices in slides(rows):
        for index in indices:
            embeddings = random.standard_normal((ROWS_PER_PART, FEATURES), np.float32)
            block = EmbeddingBlock(
                BlockKey(slide_id, index), embeddings, row_batch(slide_id), ROWS_PER_PART
            )
            start = time.process_time(), time.perf_counter()
            part = write_part(layout, block)
            cpu += time.process_time() - start[0]
            wall += time.perf_counter() - start[1]
            parts.append((slide_id, part.path))
    (Path(root) / "parts.json").write_text(json.dumps(parts))
    return figures(len(parts) * ROWS_PER_PART, cpu, wall, imports)


def assemble(root: str, extension: str) -> dict[str, float]:
    """Cut shards and stream the parts into them; delete each shard after it is written."""
    from beamscope.transforms.output.shards import ShardFormat, cut_shards, write_shard
    from beamscope.transforms.slides.planning.plan import ROW_SCHEMA

    if extension != "parquet":
        from beamscope.pipelines.terminal.quiet import import_tensorflow

        import_tensorflow()
        import tfx_bsl.coders.example_coder  # noqa: F401
    imports = peak_megabytes()
    parts = json.loads((Path(root) / "parts.json").read_text())
    layout = layout_of(root)
    shard_format = ShardFormat((extension,))
    paths_of: dict[str, list[str]] = {}
    start = time.process_time(), time.perf_counter()
    for slide_id, path in parts:
        paths_of.setdefault(slide_id, []).append(path)
    count = shard_format.count(len(parts) * ROWS_PER_PART)
    shard_of = cut_shards(
        ((slide_id, ROWS_PER_PART * len(paths)) for slide_id, paths in paths_of.items()), count
    )
    rows = 0
    for shard in range(count):
        inside = [path for slide, path in parts if shard_of[slide] == shard]
        written, _ = write_shard(
            layout, shard, count, inside, ROW_SCHEMA, FEATURES, shard_format, metadata={}
        )
        rows += written
        Path(layout.shard(shard, count, extension)).unlink()
    cpu, wall = time.process_time() - start[0], time.perf_counter() - start[1]
    return figures(rows, cpu, wall, imports)


def slides(rows: int) -> Iterator[tuple[str, range]]:
    """Return the ids of slides, and the blocks of each."""
    parts = -(-rows // ROWS_PER_PART)
    for number, first in enumerate(range(0, parts, PARTS_PER_SLIDE)):
        yield f"slide-{number:05d}", range(min(PARTS_PER_SLIDE, parts - first))


def row_batch(slide_id: str) -> Any:
    import numpy as np
    import pyarrow as pa

    from beamscope.transforms.slides.planning.plan import ROW_SCHEMA

    n = ROWS_PER_PART
    numbers = np.arange(n, dtype=np.int32)
    columns = [[slide_id] * n, numbers, numbers, np.full(n, 448, np.int32)]
    columns += [np.full(n, 0.5, np.float32), np.ones(n, np.float32)]
    return pa.RecordBatch.from_arrays(
        [pa.array(column) for column in columns],
        schema=ROW_SCHEMA,
    )


def layout_of(root: str) -> Any:
    from beamscope.transforms.output.layout import Layout

    return Layout(root, "plan", "benchmark")


def figures(rows: int, cpu: float, wall: float, imports: float) -> dict[str, float]:
    peak = peak_megabytes()
    return {"rows": rows, "cpu": cpu, "wall": wall, "peak": peak, "imports": imports}


def peak_megabytes(who: int = resource.RUSAGE_SELF) -> float:
    """Return the peak memory of this process, which Linux gives in KB and macOS in bytes."""
    peak = resource.getrusage(who).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    main()
