"""Compare one job with two models with two jobs with one model each.

    python -m benchmarks.several_models [--side PX] [--rounds N] [--only cheap|dear]

Two cheap models show what reading once saves; a cheap and a dear one, what is left of that where a
model takes most of the time. A first round that does not count imports the libraries and fills the
cache of compiled models; the jobs then take turns in this process. A ratio is the median of the
ratios within one round.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from beamscope.pipelines.terminal.quiet import import_tensorflow
from benchmarks.model import make_bit
from benchmarks.pipeline import make_mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--side", type=int, default=12_000, help="side of the slide in level-0 pixels"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("cheap", "dear"), help="one row of the table")
    options = parser.parse_args()
    import_tensorflow()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        slides = make_slides(folder, options.side)
        mean = f"mean={make_mean(folder / 'mean')}"
        rows = []
        if options.only != "dear":
            models = mean, f"upper={make_upper_rows(folder / 'upper')}"
            rows.append(compare(folder, slides["large"], "mean and upper rows", models, options))
        if options.only != "cheap":
            models = mean, f"bit={make_bit(folder / 'bit-50x1')}"
            what = "mean colour and BiT 50x1"
            rows.append(compare(folder, slides["small"], what, models, options))
    print("| models | patches | two jobs | one job | times, clock | times, core-seconds |")
    print("|---|--:|--:|--:|--:|--:|\n" + "\n".join(rows))


def make_slides(folder: Path, side: int) -> dict[str, Path]:
    """Draw a slide for cheap models, and one with a quarter of its patches for a dear one."""
    from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide

    slides = {}
    for name, length in (("large", side), ("small", side // 2)):
        slides[name] = folder / f"{name}.svs"
        write_sample_slide(slides[name], SampleSlide(length, length, islands=1, coverage=1))
    return slides


def make_upper_rows(path: Path) -> str:
    """Write a model that returns the mean brightness of the upper rows of a patch, by column."""
    import tensorflow as tf

    class UpperRows(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 224, 224, 3], tf.float32)])
        def __call__(self, images):
            return tf.reshape(tf.reduce_mean(images[:, :8], axis=1), [-1, 224 * 3])

    tf.saved_model.save(UpperRows(), str(path))
    return str(path)


def compare(
    folder: Path, slide: Path, what: str, models: Sequence[str], options: argparse.Namespace
) -> str:
    """Run both kinds in turn; return one row of the table."""
    apart, together, patches = [], [], 0
    for round_number in range(options.rounds + 1):
        two = [job(folder / "two", slide, [model]) for model in models]
        one = job(folder / "one", slide, models)
        if round_number:
            apart.append((sum(wall for wall, _, _ in two), sum(cpu for _, cpu, _ in two)))
            together.append(one[:2])
        patches = one[2]
    times = [
        statistics.median(a[clock] / b[clock] for a, b in zip(apart, together, strict=True))
        for clock in (0, 1)
    ]
    seconds = [statistics.median(wall for wall, _ in each) for each in (apart, together)]
    return (
        f"| {what} | {patches:,} | {seconds[0]:.1f} s | {seconds[1]:.1f} s "
        f"| {times[0]:.2f} | {times[1]:.2f} |"
    )


def job(output: Path, slide: Path, models: Sequence[str]) -> tuple[float, float, int]:
    """Run a job; return its seconds, core-seconds and number of patches."""
    import beamscope
    from beamscope.pipelines.main import main as command

    shutil.rmtree(output, ignore_errors=True)
    flags = [word for model in models for word in ("--model", model)]
    start, busy = time.monotonic(), sum(os.times()[:4])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = command(["slides", "--input", str(slide), "--output", str(output), *flags])
    assert status == 0
    wall, cpu = time.monotonic() - start, sum(os.times()[:4]) - busy
    rows = sum(table.num_rows for table in beamscope.open_dataset(output).tables())
    return wall, cpu, rows


if __name__ == "__main__":
    main()
