"""`beamscope probe`: fit small models to embeddings, and show what they predict."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from tqdm import tqdm

from beamscope.pipelines.options.probe import parse
from beamscope.pipelines.terminal.quiet import import_tensorflow, quiet
from beamscope.transforms.probe.findings.found import Findings
from beamscope.transforms.probe.findings.page import both_ways, saved_sentence
from beamscope.transforms.probe.metrics.table import NAMES, TITLES
from beamscope.transforms.probe.packages import require_packages
from beamscope.transforms.probe.run import run_probe
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

_SHOWN = 4


def run(argv: Sequence[str]) -> int:
    """Probe datasets with the flags of a command line.

    Raises:
      InputError: a flag, a dataset, the labels or the splits cannot be used, or a package of the
        extra ``probe`` is missing.
    """
    settings, output, overwrite = parse(argv)
    quiet()
    require_packages()
    if files.exists(files.join(output, "dataset.json")):
        raise InputError(
            Kind.BAD_OPTION, f"--output {output}: is a dataset; give a directory of its own"
        )
    metrics = files.join(output, "metrics.json")
    if not overwrite and files.exists(metrics):
        raise InputError(Kind.EXISTS, f"--output {output}: holds an earlier run; give --overwrite")
    with files.refusals(Kind.UNWRITABLE_OUTPUT, "--output "):
        # Say so now, not after an hour; what an earlier run has written stays until then.
        trial = files.join(output, "trial.txt")
        files.write_bytes(trial, b"")
        files.delete([trial])
    if "attention" in settings.learners:
        import_tensorflow()
    started = time.monotonic()
    found = run_probe(settings, output, _say, _progress)
    print(_summary(found, output, time.monotonic() - started))
    return 0


def _say(sentence: str) -> None:
    print(f"beamscope probe: {sentence}", file=sys.stderr, flush=True)


def _progress(models: int) -> Callable[[], None]:
    bar = tqdm(total=models, unit=" models", desc="fitting", disable=None, leave=False)

    def done() -> None:
        bar.update()
        if bar.n >= models:
            bar.close()

    return done


def _summary(found: Findings, output: str, seconds: float) -> str:
    """Return what was found, a few lines."""
    units = found.units[0]
    names = NAMES[units.target.task][:_SHOWN]
    rows = [("model", "dataset", *(TITLES[name] for name in names))]
    rows += [
        (result.model, on.dataset, *(str(on.metrics[name]) for name in names))
        for result in found.results
        for on in result.on
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        f"  units     {len(units):,} of {len(set(units.groups.tolist())):,} patients or groups, "
        f"{len(found.folds)} folds",
        *(f"  {'  '.join(map(str.ljust, row, widths)).rstrip()}" for row in rows),
    ]  # fmt: skip
    for pair in found.comparisons:
        for winner, loser, saved in both_ways(pair):
            if saved.factor is not None:
                lines.append(f"  {pair.dataset}: {saved_sentence(winner, loser, saved)}")
    lines.append(f"  seconds   {seconds:.1f}")
    lines.append(f"  report    {files.join(output, 'report.html')}")
    return "\n".join(lines)
