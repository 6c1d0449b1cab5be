"""Compare whole jobs with LazySlide and slide2vec: one slide, one patch size, one network.

    python -m benchmarks.peers [--python OTHER/bin/python] [--slide2vec OTHER/bin/python]
        [--rounds N]

The others have environments of their own (`make bench-peers`); who is not named is left out. All
find the tissue of one slide, read 224-px patches at 0.5 µm/px from 0.25, and embed them on the
processor with BiT 50x1 with random weights or with a mean colour. They take turns. One rate is
that of the whole command, with the start of the interpreter and imports. The other excludes all
start-up: LazySlide's `feature_extraction` alone, slide2vec from the end of its first batch to
that of its last, and beamscope from its first part to its last.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from beamscope.pipelines.terminal.quiet import import_tensorflow
from benchmarks.model import make_bit
from benchmarks.pipeline import make_mean

ROOT = Path(__file__).resolve().parent.parent
BATCH = 16
# PyTorch on a processor is fastest with larger batches, and where freed memory is used again.
SLIDE2VEC_BATCH = 32
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
# Side of the slide in level-0 pixels: timing a cheap model needs more patches.
SIDES = {"bit-50x1": 8192, "mean": 16_384}


class Rates(NamedTuple):
    """Patches per second of one run."""

    command: float
    running: float


def beamscope(slide: Path, model: str, output: Path) -> Rates:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "beamscope", "slides", "--input", str(slide),
         "--model", model, "--output", str(output), "--block_size", "64"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    rows = json.loads((output / "dataset.json").read_text())["counts"]["rows"]
    return Rates(rows / seconds, rate_of_parts(output))


def rate_of_parts(output: Path) -> float:
    """Return the patches per second from the first part on disk to the last."""
    parts = sorted(
        (path.stat().st_mtime, int(path.stem.split("-")[1]))
        for path in output.glob(".beamscope/*/parts/*/*/*.arrow")
    )
    return sum(rows for _, rows in parts[1:]) / (parts[-1][0] - parts[0][0])


def lazyslide(python: Path, slide: Path, network: str, workers: int) -> Rates:
    start = time.perf_counter()
    done = subprocess.run(
        # -P: a module of benchmarks may have the name of a library.
        [python, "-P", ROOT / "benchmarks" / "lazyslide_job.py", slide, network, str(BATCH),
         str(workers)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    said = json.loads(done.stdout.splitlines()[-1])
    return Rates(said["patches"] / seconds, said["patches"] / said["embedding"])


def slide2vec(python: Path, slide: Path, network: str) -> Rates:
    start = time.perf_counter()
    done = subprocess.run(
        [python, "-P", ROOT / "benchmarks" / "slide2vec_job.py", slide, network,
         str(SLIDE2VEC_BATCH), "2"],
        check=True, capture_output=True, text=True, env=os.environ | KEEP_MEMORY,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    said = json.loads(done.stdout.splitlines()[-1])
    return Rates(said["patches"] / seconds, said["running"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, help="Python of LazySlide's environment")
    parser.add_argument("--slide2vec", type=Path, help="Python of slide2vec's environment")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not (options.python or options.slide2vec):
        parser.error("--python or --slide2vec: name the environment of a peer")
    import_tensorflow()
    from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide

    print(
        "| network | job | patches a second, whole command | without start-up | times the first |"
    )
    print("|---|---|--:|--:|--:|")
    for network, make in {"bit-50x1": make_bit, "mean": make_mean}.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            slide, model, side = folder / "slide.svs", make(folder / network), SIDES[network]
            write_sample_slide(slide, SampleSlide(side, side, islands=1, coverage=1))
            rounds = [
                a_round(options, slide, network, model, folder / str(number))
                for number in range(options.rounds)
            ]
        for name in rounds[0]:
            ratio = statistics.median(
                each[name].running / next(iter(each.values())).running for each in rounds
            )
            command, running = (
                statistics.median(values)
                for values in zip(*(each[name] for each in rounds), strict=True)
            )
            print(
                f"| {network} | {name} | {command:,.1f} | {running:,.1f} | {ratio:.1f} |",
                flush=True,
            )


def a_round(
    options: argparse.Namespace, slide: Path, network: str, model: str, output: Path
) -> dict[str, Rates]:
    """Let each take its turn on one slide."""
    rates = {}
    if options.python:
        rates["LazySlide"] = lazyslide(options.python, slide, network, 0)
        rates["LazySlide, 2 loader processes"] = lazyslide(options.python, slide, network, 2)
    if options.slide2vec:
        rates["slide2vec, cuCIM, 2 workers"] = slide2vec(options.slide2vec, slide, network)
    return rates | {"beamscope": beamscope(slide, model, output)}


if __name__ == "__main__":
    main()
