"""Exact search against the bandwidth of memory.

    python -m benchmarks.search [--rows N] [--features D]

Writes a dataset as a job would (Parquet shards of plain float32), reads it once so that it is in
the page cache, and searches it. It is compared in the same run, with as many threads, with reading
large arrays (the bandwidth of memory), and with Arrow and NumPy on the first shard.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from beamscope.transforms.dataset.opening import open_dataset
from beamscope.transforms.formats.columns import as_matrix
from beamscope.transforms.formats.parquet import ParquetShardWriter
from beamscope.transforms.output.schema import embedding_schema, to_record_batch
from beamscope.transforms.search.nearest import nearest
from beamscope.transforms.slides.planning.plan import ROW_SCHEMA

_GROUP = 4096
_SHARD = 250_000
_ROUNDS = 3


def write(root: Path, rows: int, features: int) -> None:
    """Write a dataset of random embeddings."""
    (root / "embeddings").mkdir()
    schema = embedding_schema(ROW_SCHEMA, features)
    count = -(-rows // _SHARD)
    shards = []
    block = np.random.default_rng(0).standard_normal((_GROUP, features), np.float32)
    done = 0
    for index in range(count):
        name = f"embeddings/embeddings-{index:05d}-of-{count:05d}.parquet"
        writer = ParquetShardWriter(root / name, schema)
        here = min(_SHARD, rows - done)
        for start in range(0, here, _GROUP):
            n = min(_GROUP, here - start)
            # Another order of the same numbers: random ones would take longer than all the rest.
            values = np.roll(block, start + done, axis=1)[:n]
            writer.write(to_record_batch(_rows(n, done + start), values, schema))
        writer.close()
        shards.append({"files": [name], "rows": here})
        done += here
    table = pa.table({"slide_id": ["s"], "status": ["done"], "shard": pa.array([0], pa.int32())})
    pq.write_table(table, root / "slides.parquet")
    description = {
        "counts": {"rows": rows, "slides": {"done": 1}},
        "schema": {field.name: str(field.type) for field in schema},
        "shards": shards,
    }
    (root / "dataset.json").write_text(json.dumps(description))


def _rows(n: int, start: int) -> pa.RecordBatch:
    numbers = np.arange(start, start + n, dtype=np.int32)
    ones = np.ones(n, np.float32)
    return pa.RecordBatch.from_arrays(
        [pa.array(["s"] * n), pa.array(numbers), pa.array(numbers), pa.array(numbers),
         pa.array(ones), pa.array(ones), pa.nulls(n, pa.string())],
        schema=ROW_SCHEMA,
    )  # fmt: skip


def bandwidth(threads: int) -> float:
    """Return bytes a second that as many threads read from memory, by products of vectors."""
    arrays = [np.ones(64 << 20, np.float32) for _ in range(threads)]

    def read(array: Any) -> None:
        for _ in range(4):
            np.vecdot(array, array)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, arrays))
        start = time.perf_counter()
        list(pool.map(read, arrays))
        return 4 * sum(array.nbytes for array in arrays) / (time.perf_counter() - start)


def by_arrow(path: Path, query: Any, k: int, threads: int) -> None:
    """Search a shard by reading row groups with Arrow and multiplying matrices."""

    def scores(group: int) -> Any:
        table = pq.ParquetFile(path).read_row_group(group, columns=["embedding"], use_threads=False)
        rows = as_matrix(table["embedding"].combine_chunks())
        return rows @ query / np.linalg.norm(rows, axis=1)

    with ThreadPoolExecutor(threads) as pool:
        groups = range(pq.read_metadata(path).num_row_groups)
        found = np.concatenate(list(pool.map(scores, groups)))
    np.argpartition(-found, k)[:k]


def timed(call: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Print bytes a second, and their ratio to the bandwidth of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--dir", help="where the dataset is written (default: a temporary one)")
    args = parser.parse_args()
    threads = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        root = Path(folder)
        write(root, args.rows, args.features)
        dataset = open_dataset(str(root))
        query = np.random.default_rng(1).standard_normal(args.features).astype(np.float32)
        size = args.rows * args.features * 4
        print(f"{args.rows:,} rows of {args.features:,} floats, {size / 1e9:.1f} GB, "
              f"{threads} threads")  # fmt: skip
        nearest(dataset, query, 20)
        for _ in range(_ROUNDS):
            memory = bandwidth(threads)
            ours = size / timed(lambda: nearest(dataset, query, 20))
            again = bandwidth(threads)
            memory = (memory + again) / 2
            print(f"memory {memory / 1e9:.1f} GB/s; search {ours / 1e9:.1f} GB/s "
                  f"({size / ours:.2f} s), {ours / memory:.2f} of it", flush=True)  # fmt: skip
        first = Path(dataset.shards[0].path)
        seconds = timed(lambda: by_arrow(first, query, 20, threads))
        arrow = min(args.rows, _SHARD) * args.features * 4 / seconds
        print(f"by Arrow and NumPy {arrow / 1e9:.1f} GB/s")


if __name__ == "__main__":
    main()
