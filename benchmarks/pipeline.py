"""Compare the speed of the whole job, without start-up, with bare loops.

    python -m benchmarks.pipeline [--side PX] [--rounds N]

With BiT 50x1, compare the job with the compiled model on patches in memory. With a very cheap
model, compare it with the reader alone with as many threads. The job's speed is measured between
its first and its last part. All take turns, and the ratio is the median of the rounds.

Then run the same jobs as separate commands, to measure the time until the first block is embedded.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from beamscope.pipelines.terminal.quiet import import_tensorflow
from benchmarks.model import make_bit

THREADS = 4
# Names of the same slide for the job of the cheap model, because one slide is read in a second.
NAMES = 6
BLOCK_SIZE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--side", type=int, default=12_000, help="side of the slide in level-0 pixels"
    )
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    import_tensorflow()
    from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "many").mkdir()
        slide = folder / "slide.svs"
        write_sample_slide(slide, SampleSlide(options.side, options.side, islands=1, coverage=1))
        many = [folder / "many" / f"{number}.svs" for number in range(NAMES)]
        for name in many:
            os.link(slide, name)
        bit, mean = make_bit(folder / "bit-50x1"), make_mean(folder / "mean")
        rows = [
            compare(folder, [slide], bit, 64, options.rounds, "model"),
            compare(folder, many, mean, BLOCK_SIZE, options.rounds, "reader"),
        ]
        starts = [first_block(folder / f"start-{Path(model).name}", slide, model)
                  for model in (bit, mean)]  # fmt: skip
    print("| job with | patches a second | bare loop | of the bare loop | in core-seconds |")
    print("|---|--:|--:|--:|--:|\n" + "\n".join(rows))
    print("\n| seconds from the command to | BiT 50x1 | mean colour |\n|---|--:|--:|")
    for what in starts[0]:
        print(f"| {what} | {' | '.join(f'{start[what]:.1f}' for start in starts)} |")


def make_mean(path: Path) -> str:
    """Write a model that returns the mean colour of a patch."""
    import tensorflow as tf

    class MeanColour(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 224, 224, 3], tf.float32)])
        def __call__(self, images):
            # Average rows first, as vectors. Over axes 1 and 2 at once, XLA adds number by number,
            # and the mean then takes a fifth of the time of reading.
            rows = tf.reduce_mean(tf.reshape(images, [-1, 224, 224 * 3]), axis=1)
            return tf.reduce_mean(tf.reshape(rows, [-1, 224, 3]), axis=1)

    tf.saved_model.save(MeanColour(), str(path))
    return str(path)


def compare(
    folder: Path, slides: list[Path], model: str, block_size: int, rounds: int, bare: str
) -> str:
    """Run the job and the bare loop that limits it, in turn; return one row of the table."""
    loop = (
        bare_model(slides, model, block_size)
        if bare == "model"
        else bare_reader(slides, block_size)
    )
    jobs, loops = [], []
    for number in range(rounds):
        jobs.append(job(folder / f"{bare}-{number}", slides[0], len(slides), model, block_size))
        loops.append(loop())
    wall, cpu = (
        statistics.median(a[clock] / b[clock] for a, b in zip(jobs, loops, strict=True))
        for clock in (0, 1)
    )
    name = {"model": "BiT 50x1", "reader": "mean colour"}[bare]
    what = {"model": "compiled model", "reader": f"reader, {THREADS} threads"}[bare]
    speeds = [statistics.median(speed for speed, _ in each) for each in (jobs, loops)]
    return f"| {name} | {speeds[0]:,.1f} | {speeds[1]:,.1f} ({what}) | {wall:.2f} | {cpu:.2f} |"


def job(output: Path, slide: Path, names: int, model: str, block_size: int) -> tuple[float, float]:
    """Return patches per second and per core-second of the job, from its first part to its last."""
    from beamscope.pipelines.main import main as beamscope

    clocks = []
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        clocked_parts(clocks),
    ):
        flags = command(output, slide if names == 1 else slide.parent, model)
        status = beamscope([*flags, "--block_size", str(block_size)])
    assert status == 0
    patches = sum(rows for rows, _, _ in clocks[1:])
    return patches / (clocks[-1][1] - clocks[0][1]), patches / (clocks[-1][2] - clocks[0][2])


@contextlib.contextmanager
def clocked_parts(clocks: list[tuple[int, float, float]]):
    """Record rows, time and the process's CPU time whenever a part is written."""
    import beamscope.transforms.output.ptransforms.write_parts as module

    write_part = module.write_part

    def write_and_note(layout, block):
        part = write_part(layout, block)
        clocks.append((part.planned, time.perf_counter(), time.process_time()))
        return part

    module.write_part = write_and_note
    try:
        yield
    finally:
        module.write_part = write_part


def command(output: Path, slides: Path, model: str) -> list[str]:
    return ["slides", "--input", str(slides), "--model", model, "--output", str(output),
            "--read_threads", str(THREADS)]  # fmt: skip


def first_block(output: Path, slide: Path, model: str) -> dict[str, float]:
    """Return the seconds from the start of a command to each file, up to its first part."""
    start = time.time()
    subprocess.run(
        [sys.executable, "-m", "beamscope", *command(output, slide, model)],
        check=True,
        capture_output=True,
    )

    def first(pattern: str) -> float:
        return min(path.stat().st_mtime for path in output.glob(pattern)) - start

    return {
        "a checked command line and model": first(".beamscope/run.json"),
        "the slide's plan": first(".beamscope/*/plans/*.arrow"),
        "the first block's embeddings": first(".beamscope/*/parts/*/*/*.arrow"),
    }


def planned_blocks(slides: list[Path], block_size: int):
    from beamscope.transforms.slides.planning.planner import plan_slide
    from beamscope.transforms.slides.requests import SlideRequest
    from beamscope.transforms.slides.settings import SlideSettings

    settings = SlideSettings(block_size=block_size)
    plans = [plan_slide(SlideRequest(slide.stem, str(slide)), settings) for slide in slides]
    return [block for plan in plans for block in plan.blocks()]


def bare_model(slides: list[Path], model: str, block_size: int):
    """Run the compiled model over a block in memory; return patches per (core-)second."""
    from beamscope.transforms.inference.embedder import Embedder
    from beamscope.transforms.inference.model_settings import ModelSettings
    from beamscope.transforms.inference.trial_images import structured_images

    embedder = Embedder.from_settings(ModelSettings(model))
    pixels = structured_images(block_size, embedder.spec.input_size)
    count = len(planned_blocks(slides, block_size)) - 1
    embedder.embed(pixels)

    def loop() -> tuple[float, float]:
        start = time.perf_counter(), time.process_time()
        for _ in range(count):
            embedder.embed(pixels)
        return rates(count * block_size, start)

    return loop


def bare_reader(slides: list[Path], block_size: int):
    """Run the reader over the slides' blocks; return patches per (core-)second."""
    from beamscope.transforms.slides.read_block import read_block
    from beamscope.transforms.slides.readers.pool import open_planned

    blocks = planned_blocks(slides, block_size)
    threads = ThreadPoolExecutor(THREADS)

    def read(block) -> int:
        return len(read_block(block, open_planned(block.reader, block.uri), threads).pixels)

    def loop() -> tuple[float, float]:
        read(blocks[0])
        start = time.perf_counter(), time.process_time()
        patches = sum(map(read, blocks[1:]))
        return rates(patches, start)

    return loop


def rates(patches: int, start: tuple[float, float]) -> tuple[float, float]:
    return patches / (time.perf_counter() - start[0]), patches / (time.process_time() - start[1])


if __name__ == "__main__":
    main()
