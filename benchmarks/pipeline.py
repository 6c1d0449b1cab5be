"""How much of the bare loops' speed the whole job keeps, start-up aside.

    python -m benchmarks.pipeline [--side PX] [--rounds N]

With BiT 50x1 the job is held against the compiled model on patches that are in memory; with a model
that costs next to nothing, against the reader alone with as many threads. The job's speed is
that between its first and its last part. All take turns, and the ratio is the median of rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.model import make_bit
from pipelines.quiet import import_tensorflow

THREADS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=12_000, help="of the slide, level-0 pixels")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    import_tensorflow()
    from transforms.slides.sample.slide import SampleSlide, write_sample_slide

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        slide = folder / "slide.svs"
        write_sample_slide(slide, SampleSlide(options.side, options.side, islands=1, coverage=1))
        rows = [
            *compare(folder, slide, make_bit(folder / "bit-50x1"), 64, options.rounds, "model"),
            *compare(folder, slide, make_mean(folder / "mean"), 64, options.rounds, "reader"),
        ]
    print("| job with | patches a second | bare loop | of the bare loop |\n|---|--:|--:|--:|")
    print("\n".join(rows))


def make_mean(path: Path) -> str:
    """A model that answers the mean colour of a patch."""
    import tensorflow as tf

    class MeanColour(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 224, 224, 3], tf.float32)])
        def __call__(self, images):
            return tf.reduce_mean(images, axis=[1, 2])

    tf.saved_model.save(MeanColour(), str(path))
    return str(path)


def compare(
    folder: Path, slide: Path, model: str, block_size: int, rounds: int, bare: str
) -> list[str]:
    """The job and the bare loop that limits it, in turn; one row of the table."""
    loop = (
        bare_model(slide, model, block_size) if bare == "model" else bare_reader(slide, block_size)
    )
    jobs, loops = [], []
    for number in range(rounds):
        jobs.append(job(folder / f"{bare}-{number}", slide, model, block_size))
        loops.append(loop())
    ratio = statistics.median(a / b for a, b in zip(jobs, loops, strict=True))
    name = {"model": "BiT 50x1", "reader": "mean colour"}[bare]
    what = {"model": "compiled model", "reader": f"reader, {THREADS} threads"}[bare]
    return [
        f"| {name} | {statistics.median(jobs):.1f} | {statistics.median(loops):.1f} ({what}) | "
        f"{ratio:.2f} |"
    ]


def job(output: Path, slide: Path, model: str, block_size: int) -> float:
    """Patches a second of the whole job, from its first part to its last."""
    from pipelines.main import main as beamscope

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = beamscope(["slides", "--input", str(slide), "--model", model, "--output",
                            str(output), "--block_size", str(block_size), "--read_threads",
                            str(THREADS)])  # fmt: skip
    assert status == 0
    parts = sorted(
        (path.stat().st_mtime_ns, int(path.stem.split("-")[1]))
        for path in output.glob(".beamscope/*/parts/*/*.arrow")
    )
    return sum(rows for _, rows in parts[1:]) / ((parts[-1][0] - parts[0][0]) / 1e9)


def planned_blocks(slide: Path, block_size: int):
    from transforms.slides.planner import plan_slide
    from transforms.slides.settings import SlideSettings
    from transforms.slides.sources import SlideRequest

    plan = plan_slide(SlideRequest("slide", str(slide)), SlideSettings(block_size=block_size))
    return list(plan.blocks())


def bare_model(slide: Path, model: str, block_size: int):
    """A loop of the compiled model over a block that is in memory; patches a second."""
    from transforms.inference.compiled import Embedder, structured_images
    from transforms.inference.model_settings import ModelSettings

    embedder = Embedder.from_settings(ModelSettings(model))
    pixels = structured_images(block_size, embedder.spec.input_size)
    count = len(planned_blocks(slide, block_size)) - 1
    embedder.embed(pixels)

    def loop() -> float:
        start = time.perf_counter()
        for _ in range(count):
            embedder.embed(pixels)
        return count * block_size / (time.perf_counter() - start)

    return loop


def bare_reader(slide: Path, block_size: int):
    """A loop of the reader over the slide's blocks; patches a second."""
    from transforms.slides.open_slides import open_patches
    from transforms.slides.read_block import read_block

    blocks = planned_blocks(slide, block_size)
    threads = ThreadPoolExecutor(THREADS)

    def loop() -> float:
        read_patches = open_patches(blocks[0].uri, blocks[0].reader)
        read_block(blocks[0], read_patches, threads)
        start = time.perf_counter()
        patches = sum(len(read_block(block, read_patches, threads).pixels) for block in blocks[1:])
        return patches / (time.perf_counter() - start)

    return loop


if __name__ == "__main__":
    main()
