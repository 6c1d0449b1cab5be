"""Compare whole jobs with LazySlide, slide2vec and TRIDENT: one slide, one patch size, one network.

    python -m benchmarks.peers [--lazyslide PYTHON] [--slide2vec PYTHON] [--trident PYTHON]
        [--networks mean bit-50x1] [--rounds N]

Each PYTHON is that of an environment with one peer (`make bench-peers`); a peer that is not named
is left out. Each runs at its best settings on a processor. All find the tissue of one slide, read
224-px patches at 0.5 µm/px from 0.25, and embed them with BiT 50x1 with random weights or with a
mean colour. They take turns. One rate is that of the whole command, with the start of the
interpreter and imports. The other excludes all start-up: LazySlide's `feature_extraction` alone,
slide2vec and TRIDENT from the end of their first batch to that of the last, and beamscope from its
first part to its last.
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
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from beamscope.pipelines.terminal.quiet import import_tensorflow
from benchmarks.model import make_bit
from benchmarks.pipeline import make_mean

ROOT = Path(__file__).resolve().parent.parent
# PyTorch on a processor is fastest with such batches, and where freed memory is used again.
BATCH = 32
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
MAKE = {"mean": make_mean, "bit-50x1": make_bit}
# Side of the slide in level-0 pixels, and patches of a block: a cheap model needs more to be timed.
SIDES = {"mean": 16_384, "bit-50x1": 8192}
BLOCK_SIZES = {"mean": 256, "bit-50x1": 64}
# What runs in each peer's environment, and its arguments after slide, network and batch.
PEERS: dict[str, dict[str, tuple[str, ...]]] = {
    # Without loader processes: with two, which wait for ever, it did not end in 20 minutes.
    "lazyslide": {"LazySlide, fastslide": ("lazyslide_job.py", "0")},
    "slide2vec": {"slide2vec, cuCIM, 2 workers": ("slide2vec_job.py", "2")},
    "trident": {"TRIDENT": ("trident_job.py",)},
}
LEFT_OUT = {
    "lazyslide": "--lazyslide is not given",
    "slide2vec": "--slide2vec is not given",
    "trident": "it is on no package index; see make bench-peers TRIDENT=CHECKOUT",
}


class Rates(NamedTuple):
    """Patches of one run, and patches per second."""

    patches: int
    command: float
    running: float


Run = Callable[[Path, str, Path], Rates]


def beamscope(slide: Path, network: str, folder: Path, *, model: str) -> Rates:
    start = time.perf_counter()
    output = folder / "output"
    subprocess.run(
        [sys.executable, "-m", "beamscope", "slides", "--input", str(slide), "--model", model,
         "--output", str(output), "--block_size", str(BLOCK_SIZES[network])],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    rows = json.loads((output / "dataset.json").read_text())["counts"]["rows"]
    return Rates(rows, rows / seconds, rate_of_parts(output))


def rate_of_parts(output: Path) -> float:
    """Return the patches per second from the first part on disk to the last."""
    parts = sorted(
        (path.stat().st_mtime, int(path.stem.split("-")[1]))
        for path in output.glob(".beamscope/*/parts/*/*/*.arrow")
    )
    return sum(rows for _, rows in parts[1:]) / (parts[-1][0] - parts[0][0])


def peer(
    slide: Path,
    network: str,
    folder: Path,
    *,
    python: Path,
    script: str,
    arguments: tuple[str, ...],
) -> Rates:
    start = time.perf_counter()
    done = subprocess.run(
        # -P: a module of benchmarks may have the name of a library.
        [python, "-P", ROOT / "benchmarks" / script, slide, network, str(BATCH), *arguments],
        # In a folder that is deleted: cuCIM writes cufile.log into the one it is started in.
        cwd=folder, check=False, capture_output=True, text=True, env=os.environ | KEEP_MEMORY,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{script} failed:\n{done.stderr[-4000:]}")
    seconds = time.perf_counter() - start
    said = json.loads(done.stdout.splitlines()[-1])
    return Rates(said["patches"], said["patches"] / seconds, said["running"])


def runs_of(options: argparse.Namespace) -> dict[str, Run]:
    """Return how to run each peer whose environment is given, and print which are left out."""
    runs: dict[str, Run] = {}
    for name, variants in PEERS.items():
        python = getattr(options, name)
        if python is None:
            print(f"{name} is left out: {LEFT_OUT[name]}\n", flush=True)
            continue
        for variant, (script, *arguments) in variants.items():
            # Not resolved: the Python of an environment is a link.
            runs[variant] = partial(
                peer, python=Path.cwd() / python, script=script, arguments=tuple(arguments)
            )
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in PEERS:
        parser.add_argument(f"--{name}", type=Path, help="Python of its environment")
    parser.add_argument("--networks", nargs="+", choices=list(MAKE), default=list(MAKE))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    runs = runs_of(options)
    if not runs:
        parser.error(f"--{', --'.join(PEERS)}: name the environment of a peer")
    import_tensorflow()
    print("| network | job | patches | patches a second, whole command | without start-up | "
          "beamscope is, times |\n|---|---|--:|--:|--:|--:|", flush=True)  # fmt: skip
    for network in options.networks:
        compare(network, runs, options.rounds)


def compare(network: str, runs: dict[str, Run], rounds: int) -> None:
    """Let all take turns on one slide, and print the table's lines of one network."""
    from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        slide, side = root / "slide.svs", SIDES[network]
        write_sample_slide(slide, SampleSlide(side, side, islands=1, coverage=1))
        model = MAKE[network](root / network)
        everyone = {**runs, "beamscope": partial(beamscope, model=model)}
        took: dict[str, list[Rates]] = {name: [] for name in everyone}
        for _ in range(rounds):
            for name, run in everyone.items():
                with tempfile.TemporaryDirectory(dir=root) as folder:
                    took[name].append(run(slide, network, Path(folder)))
                rates = took[name][-1]
                print(f"{network}, {name}: {rates.running:,.1f}", file=sys.stderr, flush=True)
    for name, values in took.items():
        times = statistics.median(
            ours.running / theirs.running
            for ours, theirs in zip(took["beamscope"], values, strict=True)
        )
        command, running = (
            statistics.median(rates[number] for rates in values) for number in (1, 2)
        )
        print(f"| {network} | {name} | {values[0].patches:,} | {command:,.1f} | {running:,.1f} | "
              f"{times:.1f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
