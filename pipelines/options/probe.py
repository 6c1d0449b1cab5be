"""The flags of `beamscope probe`, with their checks."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence

from beamscope.pipelines.options.command_line import Parser, check_range, place
from beamscope.transforms.probe.run import LEARNERS, ProbeSettings
from beamscope.transforms.probe.study import StudySettings
from beamscope.transforms.probe.tables.cohort import LabelSettings
from beamscope.transforms.probe.tables.targets import (
    BLANK_POLICIES,
    UNCERTAIN_POLICIES,
    Policy,
)
from beamscope.transforms.probe.target import TASKS
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_STUDY = StudySettings()


def probe_parser() -> Parser:
    """Return the parser of the command."""
    parser = Parser(
        prog="beamscope probe",
        description="Fit small models to the embeddings of a dataset. Show how well they predict a "
        "label, and from how many labels. Folds keep a patient on one side; intervals come from a "
        "bootstrap over patients.",
        essential=(
            "datasets", "output", "labels", "target", "groups", "group_pattern", "slide_table",
            "ood", "ood_labels", "learners", "C", "fractions", "overwrite",
        ),
        examples=(
            "beamscope probe OUTPUT --labels labels.csv --groups patient --output PROBE",
            "beamscope probe OUTPUT --labels clini.csv --slide_table slides.csv --target KRAS "
            "--learners linear,attention --output PROBE",
            "beamscope probe WITH_A WITH_B --labels labels.csv --ood OTHER --ood_labels other.csv "
            "--output PROBE",
        ),
    )  # fmt: skip
    _add_data(parser.add_argument_group("data"))
    _add_labels(parser.add_argument_group("labels"))
    _add_models(parser.add_argument_group("models and measurement"))
    return parser


def _add_data(add: argparse._ArgumentGroup) -> None:
    add.add_argument(
        "datasets",
        nargs="+",
        metavar="DATASET",
        type=place("DATASET"),
        help="output directory of a job; several hold the same items, embedded in other ways, and "
        "are compared",
    )
    add.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        type=place("--output"),
        help="directory for metrics.json, predictions.csv, curve.csv, splits.json, report.html",
    )
    add.add_argument(
        "--labels",
        metavar="FILE",
        type=place("--labels"),
        help="CSV or TSV with a column that names slides, films or patients, and one of labels "
        "(default: the labels that the dataset holds)",
    )
    add.add_argument(
        "--slide_table",
        metavar="FILE",
        type=place("--slide_table"),
        help="CSV of patients and slide files, where labels are of patients (STAMP's slide table)",
    )
    add.add_argument(
        "--splits",
        metavar="FILE|DIR",
        type=place("--splits"),
        help="folds to use: an earlier splits.json, Patho-Bench's k=all.tsv, CLAM's folder of "
        "splits_0.csv …, or a CSV with a column `fold`",
    )
    add.add_argument(
        "--ood",
        action="append",
        default=[],
        metavar="DATASET",
        type=place("--ood"),
        help="another dataset, of the same model, that only tests; may be given several times",
    )
    add.add_argument(
        "--ood_labels",
        action="append",
        default=[],
        metavar="FILE",
        type=place("--ood_labels"),
        help="its labels, under the same column; once for each --ood (default: what it holds)",
    )
    add.add_argument("--overwrite", action="store_true", help="replace an earlier run in --output")


def _add_labels(add: argparse._ArgumentGroup) -> None:
    add.add_argument(
        "--target",
        type=_names,
        default=(),
        metavar="COLUMN[,COLUMN]",
        help="column of labels; several make a multi-label task (default: `label` or `target`)",
    )
    add.add_argument(
        "--task",
        choices=TASKS,
        help="default: by the values of the target: text, whole numbers "
        "and several columns are classes, other numbers regression",
    )
    add.add_argument("--time", metavar="COLUMN", help="for survival: time to event or censoring")
    add.add_argument("--event", metavar="COLUMN", help="for survival: 1 event, 0 censored")
    add.add_argument(
        "--key",
        metavar="COLUMN",
        help="column that names slides, films or patients (default: the "
        "one with the most names of the dataset)",
    )
    add.add_argument(
        "--unit",
        metavar="COLUMN",
        help="predict once for all rows with one value here, such as a case (default: the key)",
    )
    add.add_argument(
        "--groups",
        metavar="COLUMN",
        help="column of patients, who are never split between training "
        "and test (default: a column called patient, case_id or the like)",
    )
    add.add_argument(
        "--group_pattern",
        metavar="REGEX",
        help="regular expression that takes the patient from the key, such as '(person[0-9]+)_'",
    )
    add.add_argument(
        "--uncertain",
        choices=UNCERTAIN_POLICIES,
        help="what CheXpert's -1 becomes: u_ignore "
        "unknown, u_zeros absent, u_ones present, u_multiclass a class of its own",
    )
    add.add_argument(
        "--blank",
        choices=BLANK_POLICIES,
        default=Policy().blank,
        help="what a blank label means: leave_out unknown, absent 0 (default: %(default)s)",
    )


def _add_models(add: argparse._ArgumentGroup) -> None:
    add.add_argument(
        "--learners",
        type=_names,
        default=("linear",),
        metavar="NAMES",
        help="kinds of models, compared side by side: linear (logistic regression, ridge or Cox), "
        "knn, attention (bags of patches of slides) (default: linear)",
    )
    add.add_argument(
        "--C",
        type=_strength,
        metavar="C",
        help="inverse strength of the penalty of linear models, "
        "or nested: chosen inside the training units (default: nested)",
    )
    add.add_argument(
        "--neighbors",
        type=int,
        default=10,
        metavar="K",
        help="largest number of neighbours of knn (default: %(default)s)",
    )
    add.add_argument(
        "--embedding",
        type=_names,
        default=(),
        metavar="COLUMNS",
        help="columns of embeddings, compared side by side (default: all)",
    )
    add.add_argument(
        "--slide_vectors",
        action="store_true",
        help="take slide_embeddings.parquet, which "
        "`beamscope slide-vectors` makes, instead of the mean of a slide's patches",
    )
    add.add_argument("--folds", type=int, default=5, metavar="N", help="default: %(default)s")
    add.add_argument(
        "--fractions",
        type=_percentages,
        default=_STUDY.fractions,
        metavar="PERCENTS",
        help="parts of the labels that train, for the curve (default: 1,3,10,30,100)",
    )
    add.add_argument(
        "--draws",
        type=int,
        default=_STUDY.draws,
        metavar="N",
        help="draws of each part below 100 %% (default: %(default)s)",
    )
    add.add_argument(
        "--bootstrap",
        type=int,
        default=_STUDY.resamples,
        metavar="N",
        help="resamples of patients for intervals (default: %(default)s)",
    )
    add.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    add.add_argument(
        "--max_patches",
        type=int,
        default=512,
        metavar="N",
        help="patches of a bag for attention; of more a sample is taken (default: %(default)s)",
    )
    add.add_argument(
        "--memory_gb",
        type=float,
        default=8.0,
        metavar="GB",
        help="memory for vectors; of a dataset "
        "that needs more, a sample of patients is taken, and said (default: %(default)s)",
    )
    add.add_argument(
        "--no_patch_scores",
        action="store_true",
        help="do not write the scores of the patches of slides",
    )


def probe_settings(args: argparse.Namespace) -> ProbeSettings:
    """Return the settings that a command line asks for.

    Raises:
      InputError: a flag has a wrong value, or flags do not go together.
    """
    for name in args.learners:
        if name not in LEARNERS:
            raise InputError(Kind.BAD_OPTION, f"--learners {name}: there are {', '.join(LEARNERS)}")
    if len(args.ood_labels) > len(args.ood):
        raise InputError(
            Kind.BAD_OPTION,
            f"--ood_labels: given {len(args.ood_labels)} times, --ood {len(args.ood)} times",
        )
    if args.ood_labels and len(args.ood_labels) < len(args.ood):
        raise InputError(
            Kind.BAD_OPTION, "--ood_labels must be given once for each --ood, or never"
        )
    survival = args.time is not None or args.event is not None or args.task == "survival"
    if survival and args.target:
        raise InputError(Kind.BAD_OPTION, "--target: survival takes --time and --event instead")
    if survival and (args.time is None or args.event is None):
        raise InputError(Kind.BAD_OPTION, "survival needs both --time and --event")
    if survival and args.task not in (None, "survival"):
        raise InputError(Kind.BAD_OPTION, f"--task {args.task}: takes no --time and --event")
    if survival and "knn" in args.learners:
        raise InputError(Kind.BAD_OPTION, "--learners knn: does not do survival")
    if args.task not in (None, "multilabel") and len(args.target) > 1:
        raise InputError(Kind.BAD_OPTION, f"--task {args.task}: takes one --target")
    if args.groups and args.group_pattern:
        raise InputError(Kind.BAD_OPTION, "--groups and --group_pattern exclude each other")
    if args.slide_vectors and "attention" in args.learners:
        raise InputError(Kind.BAD_OPTION, "--slide_vectors: attention takes patches")
    if args.splits is not None and args.folds != 5:
        raise InputError(Kind.BAD_OPTION, "--folds: --splits says how many folds there are")
    check_range("--folds", args.folds, 2, 1000)
    check_range("--draws", args.draws, 1, 10_000)
    check_range("--bootstrap", args.bootstrap, 100, 1_000_000)
    check_range("--neighbors", args.neighbors, 1, 1_000_000)
    check_range("--max_patches", args.max_patches, 1, 1_000_000)
    check_range("--memory_gb", args.memory_gb, 0.001, 1e6)
    check_range("--seed", args.seed, 0, 2**32 - 1)
    labels = args.ood_labels or [None] * len(args.ood)
    return ProbeSettings(
        datasets=tuple(args.datasets),
        labels=args.labels,
        slide_table=args.slide_table,
        label_settings=LabelSettings(
            args.target, args.time, args.event, args.task, args.key, args.unit, args.groups,
            _pattern(args.group_pattern), Policy(args.uncertain, args.blank),
        ),
        others=tuple(zip(args.ood, labels, strict=True)),
        learners=tuple(dict.fromkeys(args.learners)),
        C=args.C,
        neighbours=args.neighbors,
        embedding=args.embedding,
        slide_vectors=args.slide_vectors,
        splits=args.splits,
        folds=args.folds,
        study=StudySettings(args.fractions, args.draws, args.bootstrap, args.seed),
        most_patches=args.max_patches,
        memory_gb=args.memory_gb,
        patch_scores=not args.no_patch_scores,
    )  # fmt: skip


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _pattern(text: str | None) -> str | None:
    if text is not None:
        try:
            re.compile(text)
        except re.error as error:
            raise InputError(Kind.BAD_OPTION, f"--group_pattern {text}: {error}") from error
    return text


def _strength(text: str) -> float | None:
    if text == "nested":
        return None
    return _number(text, lambda value: value > 0, "must be above 0, or nested")


def _percentages(text: str) -> tuple[float, ...]:
    found = [_number(part, lambda value: 0 < value <= 100, "each must be above 0 and at most 100")
             for part in _names(text)]  # fmt: skip
    if not found:
        raise argparse.ArgumentTypeError("must be numbers such as 1,10,100")
    return tuple(sorted({value / 100 for value in found}))


def _number(text: str, allowed: Callable[[float], bool], rule: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not allowed(value):
        raise argparse.ArgumentTypeError(f"{rule}, got {text!r}")
    return value


def parse(argv: Sequence[str]) -> tuple[ProbeSettings, str, bool]:
    """Return settings, output directory, and whether to replace an earlier run.

    Raises:
      InputError: a flag is wrong.
    """
    args = probe_parser().parse_args(list(argv))
    return probe_settings(args), args.output, args.overwrite
