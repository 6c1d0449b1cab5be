"""Probe datasets: read them with their labels, fit, measure, and write what was found."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np

from beamscope.transforms.probe.arrays import Ints
from beamscope.transforms.probe.findings.figures import draw_curves
from beamscope.transforms.probe.findings.found import Findings
from beamscope.transforms.probe.findings.page import write_page
from beamscope.transforms.probe.findings.patch_scores import write_patch_scores
from beamscope.transforms.probe.findings.tables import (
    write_curve,
    write_metrics,
    write_predictions,
)
from beamscope.transforms.probe.learners.attention import Attention
from beamscope.transforms.probe.learners.base import Inputs, Learner
from beamscope.transforms.probe.learners.linear import Linear
from beamscope.transforms.probe.learners.neighbours import Neighbours
from beamscope.transforms.probe.rows import DatasetRows
from beamscope.transforms.probe.splits.folds import Fold, make_folds
from beamscope.transforms.probe.splits.split_file import (
    folds_of,
    known_names,
    read_back,
    read_splits,
    write_splits,
)
from beamscope.transforms.probe.study import (
    Model,
    StudySettings,
    comparisons,
    models_to_fit,
    run_study,
)
from beamscope.transforms.probe.tables.cohort import (
    Cohort,
    LabelSettings,
    join,
    keep_units,
    labels_of_dataset,
)
from beamscope.transforms.probe.tables.label_file import read_table
from beamscope.transforms.probe.units import Units
from beamscope.transforms.probe.vectors import mean_vectors, sample_patients, sampled_bags
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

LEARNERS = ("linear", "knn", "attention")
_OWN_FILE = re.compile(
    r"(metrics|splits)\.json|(predictions|curve|patch_scores.*)\.csv|curve\.png|report\.html"
)
# From here on several threads are faster than one.
_MANY_UNITS = 20_000
# A vector in memory: as float32, and scaled in float64 for training, test and scikit-learn.
_BYTES_A_FEATURE = 28


@dataclasses.dataclass(frozen=True)
class ProbeSettings:
    """What to probe.

    Attributes:
      datasets: output directories of the same items.
      labels: table of labels; None for those that the dataset holds.
      slide_table: table of patients and slide files, or None.
      label_settings: columns and policies.
      others: dataset and table of labels of each other dataset, which only tests.
      learners: kinds of models: ``linear``, ``knn``, ``attention``.
      C: of linear models; None to choose it.
      neighbours: largest k of k-NN.
      embedding: columns of embeddings; empty for all.
      slide_vectors: whether to take ``slide_embeddings.parquet`` instead of the mean of patches.
      splits: file of splits to use, or None to make folds.
      folds: number of folds.
      study: fractions, draws, resamples, seed.
      most_patches: largest number of patches of a bag; of larger bags a sample is taken.
      memory_gb: memory for vectors; of datasets that need more, a sample of patients is taken.
      patch_scores: whether to write the scores of patches of slides.
    """

    datasets: tuple[str, ...]
    labels: str | None
    label_settings: LabelSettings
    slide_table: str | None = None
    others: tuple[tuple[str, str | None], ...] = ()
    learners: tuple[str, ...] = ("linear",)
    C: float | None = None
    neighbours: int = 10
    embedding: tuple[str, ...] = ()
    slide_vectors: bool = False
    splits: str | None = None
    folds: int = 5
    study: StudySettings = dataclasses.field(default_factory=StudySettings)
    most_patches: int = 512
    memory_gb: float = 8.0
    patch_scores: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class _Source:
    """One kind of embedding of one dataset: rows, column, and what to call it."""

    rows: DatasetRows
    column: str
    name: str


def run_probe(
    settings: ProbeSettings,
    output: str,
    say: Callable[[str], None],
    progress: Callable[[int], Callable[[], None]],
) -> Findings:
    """Fit, measure, and write all files of a run.

    Args:
      settings: what to probe.
      output: directory for the files.
      say: called with each sentence about what was assumed or left out.
      progress: called with the number of models to fit; it returns a function to call after each.

    Raises:
      InputError: a dataset, the labels or the splits cannot be used.
    """
    names = short_names([*settings.datasets, *(root for root, _ in settings.others)])
    for root in settings.datasets:
        say(f"reading {root}")
    datasets = [
        DatasetRows(root, slide_vectors=settings.slide_vectors) for root in settings.datasets
    ]
    cohort = _cohort(datasets, settings)
    notes = [*cohort.notes]
    sources = _sources(datasets, names, settings)
    cohort, sampled = _bounded(cohort, sources, settings)
    notes += sampled
    others = []
    for (root, labels), name in zip(settings.others, names[len(datasets) :], strict=True):
        rows = DatasetRows(root, slide_vectors=settings.slide_vectors)
        other = _other_cohort(rows, labels, cohort, settings)
        other, sampled = _bounded(other, sources, settings)
        notes += [f"{name}: {note}" for note in (*other.notes, *sampled)]
        if shared := names_in_both(cohort.units, other.units):
            notes.append(
                f"WARNING: {len(shared):,} units or patients of {name} are called like some of "
                f"{names[0]}, such as {shared[0]}; if they are the same, models are tested on what "
                "they have seen, and the figures out of distribution are too good"
            )
        others.append((name, rows, other))
    folds, more = _folds(cohort, settings)
    notes += more
    for note in notes:
        say(note)

    models = list(_models(sources, cohort, datasets, others, settings))
    delete_earlier(output)
    splits = files.join(output, "splits.json")
    write_splits(splits, cohort.units, folds, {"seed": settings.study.seed, **cohort.columns})
    # The folds that are used are those that the file has.
    folds = read_back(splits, cohort.units)
    with _threads(len(cohort.units)):
        results = run_study(
            [model for model, _ in models],
            cohort.units,
            folds,
            [(name, other.units) for name, _, other in others],
            settings.study,
            names[0] if len(datasets) == 1 else "in distribution",
            progress(models_to_fit(settings.study, len(folds), len(models))),
        )
    columns = {results[0].on[0].dataset: cohort.columns}
    columns |= {name: other.columns for name, _, other in others}
    found = Findings(
        units=(cohort.units, *(other.units for _, _, other in others)),
        folds=folds,
        results=results,
        comparisons=list(comparisons(results, cohort.units.target.task)),
        datasets=names[: len(datasets)],
        settings=_as_json(settings),
        columns=columns,
        notes=notes,
    )
    if settings.patch_scores:
        _write_patch_scores(output, found, models, datasets, cohort)
    _write(output, found)
    return found


def _threads(units: int) -> AbstractContextManager[Any]:
    """Let small products of matrices run on one thread.

    On several, threads wait for each other for longer than they compute: a fit of 680 units of 512
    features took twenty times as long on a busy machine.
    """
    from threadpoolctl import threadpool_limits

    return cast(AbstractContextManager[Any], threadpool_limits(1 if units < _MANY_UNITS else None))


def delete_earlier(output: str) -> None:
    """Delete the files of an earlier run, so that none of them stands among those of this one."""
    lying = [file.path for file in files.list_files(output, recursive=False)]
    files.delete([path for path in lying if _OWN_FILE.fullmatch(path.rsplit("/", 1)[-1])])


def names_in_both(own: Units, other: Units) -> list[str]:
    """Return the names of units and patients that two datasets share, in order."""
    both = {*own.names, *own.patients} & {*other.names, *other.patients}
    return sorted(both)


def short_names(roots: Sequence[str]) -> list[str]:
    """Return the shortest ends of paths that tell them apart."""
    parts = [root.rstrip("/").split("/") for root in roots]
    longest = max(map(len, parts))
    for length in range(1, longest + 1):
        found = ["/".join(one[-length:]) for one in parts]
        if len(set(found)) == len(set(roots)):
            return found
    return list(roots)


def _cohort(datasets: Sequence[DatasetRows], settings: ProbeSettings) -> Cohort:
    table = (
        labels_of_dataset(datasets[0])
        if settings.labels is None
        else read_table(settings.labels, "--labels")
    )
    slides = settings.slide_table and read_table(settings.slide_table, "--slide_table")
    return join(datasets, table, settings.label_settings, slides or None)


def _other_cohort(
    rows: DatasetRows, labels: str | None, cohort: Cohort, settings: ProbeSettings
) -> Cohort:
    """Return the labelled units of another dataset, under the classes of the first."""
    table = labels_of_dataset(rows) if labels is None else read_table(labels, "--ood_labels")
    target = cohort.units.target
    own = settings.label_settings

    def there(column: str | None) -> str | None:
        # What is called otherwise there is found anew.
        return column if column in table.columns else None

    theirs = dataclasses.replace(
        own, task=target.task, key=there(own.key), unit=there(own.unit), groups=there(own.groups)
    )
    classes = target.classes if target.task == "classification" else None
    return join([rows], table, theirs, classes=classes, secondary=True)


def _sources(
    datasets: Sequence[DatasetRows], names: Sequence[str], settings: ProbeSettings
) -> list[_Source]:
    found = []
    several = len(datasets) > 1
    for rows, name in zip(datasets, names, strict=False):
        columns = settings.embedding or tuple(rows.embeddings)
        for column in columns:
            if column not in rows.embeddings:
                raise InputError(
                    Kind.BAD_OPTION,
                    f"--embedding {column}: {rows.root} has {', '.join(rows.embeddings)}",
                )
            short = column.removeprefix("embedding").removeprefix("_")
            parts = [*([name] if several else []), *([short] if short else [])]
            found.append(_Source(rows, column, " ".join(parts)))
    if "attention" in settings.learners and not all(rows.has_patches for rows in datasets):
        raise InputError(
            Kind.BAD_OPTION, "--learners attention: is for slides, whose units have many patches"
        )
    return found


def _bounded(
    cohort: Cohort,
    sources: Sequence[_Source],
    settings: ProbeSettings,
) -> tuple[Cohort, list[str]]:
    """Return the units whose vectors fit into memory, and what was left out."""
    units = cohort.units
    features = sum(source.rows.features(source.column) for source in sources)
    per_unit = len(units)
    if "attention" in settings.learners:
        for of_rows in cohort.of_rows:
            counts = np.bincount(of_rows[of_rows >= 0], minlength=len(units))
            per_unit += int(np.minimum(counts, settings.most_patches).sum())
    kept = sample_patients(
        units, per_unit, features * _BYTES_A_FEATURE, settings.memory_gb * 1e9, settings.study.seed
    )
    if len(kept) == len(units):
        return cohort, []
    smaller, renumbered = keep_units(units, cohort.of_rows, kept)
    note = (
        f"{len(kept):,} of {len(units):,} units are taken, of a random sample of patients, because "
        f"all need more than --memory_gb {settings.memory_gb:g}"
    )
    return dataclasses.replace(cohort, units=smaller, of_rows=tuple(renumbered)), [note]


def _folds(cohort: Cohort, settings: ProbeSettings) -> tuple[list[Fold], list[str]]:
    units = cohort.units
    if settings.splits is None:
        return make_folds(units.target, units.groups, settings.folds, settings.study.seed), []
    known = known_names(units)
    splits = read_splits(settings.splits, known, "--splits")
    return folds_of(splits, units, known, f"--splits {settings.splits}")


def _models(
    sources: Sequence[_Source],
    cohort: Cohort,
    datasets: Sequence[DatasetRows],
    others: Sequence[tuple[str, DatasetRows, Cohort]],
    settings: ProbeSettings,
) -> Iterable[tuple[Model, _Source]]:
    for source in sources:
        of_rows = cohort.of_rows[datasets.index(source.rows)]
        for rows in (other for _, other, _ in others):
            _check_same_features(source, rows)
        pooled: dict[bool, tuple[Inputs, tuple[Inputs, ...]]] = {}
        for name in settings.learners:
            bags = name == "attention"
            if bags not in pooled:
                pooled[bags] = (
                    _inputs(source.rows, source.column, of_rows, len(cohort.units), settings, bags),
                    tuple(
                        _inputs(
                            rows, source.column, other.of_rows[0], len(other.units), settings, bags
                        )
                        for _, rows, other in others
                    ),
                )
            title = " ".join(part for part in (source.name, name) if part)
            yield Model(title, _learner(name, settings), *pooled[bags]), source


def _check_same_features(source: _Source, rows: DatasetRows) -> None:
    if source.column not in rows.embeddings:
        raise InputError(
            Kind.BAD_OPTION,
            f"--ood {rows.root}: has no column {source.column}, but {', '.join(rows.embeddings)}",
        )
    own, theirs = source.rows.features(source.column), rows.features(source.column)
    if own != theirs:
        raise InputError(
            Kind.BAD_OPTION,
            f"--ood {rows.root}: its embeddings have {theirs} features, those of "
            f"{source.rows.root} {own}; they must come from the same model",
        )


def _inputs(
    rows: DatasetRows, column: str, of_rows: Ints, units: int, settings: ProbeSettings, bags: bool
) -> Inputs:
    if bags:
        seed = settings.study.seed
        return sampled_bags(rows, column, of_rows, units, settings.most_patches, seed)
    return mean_vectors(rows, column, of_rows, units)


def _learner(name: str, settings: ProbeSettings) -> Learner:
    if name == "linear":
        return Linear(settings.C, settings.study.seed)
    if name == "knn":
        return Neighbours(settings.neighbours)
    return Attention(seed=settings.study.seed)


def _as_json(settings: ProbeSettings) -> Mapping[str, Any]:
    found = dataclasses.asdict(settings)
    return {key: value for key, value in found.items() if value is not None}


def _write(output: str, found: Findings) -> None:
    write_predictions(files.join(output, "predictions.csv"), found)
    write_curve(files.join(output, "curve.csv"), found)
    files.write_bytes(files.join(output, "curve.png"), draw_curves(found, "png"))
    write_page(files.join(output, "report.html"), found)
    # Last: a directory that has it holds a whole run.
    write_metrics(files.join(output, "metrics.json"), found)


def _write_patch_scores(
    output: str,
    found: Findings,
    models: Sequence[tuple[Model, _Source]],
    datasets: Sequence[DatasetRows],
    cohort: Cohort,
) -> None:
    for result, (model, source) in zip(found.results, models, strict=True):
        if not source.rows.has_patches:
            continue
        alone = len(models) == 1
        name = "patch_scores.csv" if alone else f"patch_scores-{_file_name(model.name)}.csv"
        of_rows = cohort.of_rows[datasets.index(source.rows)]
        write_patch_scores(
            files.join(output, name), source.rows, source.column, of_rows, cohort.units, result
        )


def _file_name(name: str) -> str:
    return name.replace(" ", "-").replace(os.sep, "-")
