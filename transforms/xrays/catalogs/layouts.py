"""The columns of the catalogues that are known, and of those that a user describes."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal, get_args

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

CatalogKind = Literal["mimic", "chexpert", "nih", "csv"]
CATALOG_KINDS: tuple[CatalogKind, ...] = get_args(CatalogKind)

# The columns of CheXpert's labeller, which are labels in whatever catalogue has them.
CHEXPERT_LABELS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion",
    "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
NIH_FINDINGS, NIH_VISIT = "Finding Labels", "Follow-up #"
CHEXPERT_PLANE, CHEXPERT_PROJECTION = "Frontal/Lateral", "AP/PA"


@dataclasses.dataclass(frozen=True)
class NamedColumns:
    """The columns of a ``csv`` catalogue that a user names; None for those of the usual name.

    Attributes:
      view: the view position; else ``view_position``, where there is one.
      patient: else ``patient_id``.
      study: else ``study_id``.
      labels: columns of findings; a cell is a number (1 present, 0 absent, -1 uncertain), a word
        for yes or no, or the findings themselves with ``|`` between them.
    """

    view: str | None = None
    patient: str | None = None
    study: str | None = None
    labels: tuple[str, ...] = ()

    @property
    def given(self) -> tuple[str, ...]:
        """Return every column that is named."""
        single = (self.view, self.patient, self.study)
        return (*(name for name in single if name), *self.labels)


_ROLES = tuple(field.name for field in dataclasses.fields(NamedColumns))
# A comma parts two roles only where a role follows: names of columns have commas too.
_NEXT_ROLE = re.compile(rf",\s*(?=(?:{'|'.join(_ROLES)})\s*=)")


def parse_named_columns(text: str) -> NamedColumns:
    """Read ``view=COLUMN,patient=COLUMN,study=COLUMN,labels=COLUMN|COLUMN``, in any order.

    Raises:
      InputError: ``bad_option``.
    """
    found: dict[str, str] = {}
    for item in _NEXT_ROLE.split(text.strip()):
        role, equals, column = (part.strip() for part in item.partition("="))
        if not equals or role not in _ROLES or not column:
            raise InputError(
                Kind.BAD_OPTION, f"{item!r} is not ROLE=COLUMN with a ROLE of {', '.join(_ROLES)}"
            )
        if role in found:
            raise InputError(Kind.BAD_OPTION, f"{role} is given twice")
        found[role] = column
    labels = tuple(name.strip() for name in found.pop("labels", "").split("|") if name.strip())
    named = NamedColumns(**found, labels=labels)
    if len(set(named.given)) < len(named.given):
        raise InputError(Kind.BAD_OPTION, f"{text!r} names one column twice")
    return named


@dataclasses.dataclass(frozen=True)
class Layout:
    """The columns of a catalogue by their meaning; '' where it has no such column.

    Attributes:
      required: columns without which it is not that catalogue.
      findings: label columns whose cells are findings with ``|`` between them, or numbers.
    """

    key: str
    patient: str
    study: str
    view: str
    required: tuple[str, ...]
    findings: tuple[str, ...] = ()


def layout_of(kind: CatalogKind, key_column: str, named: NamedColumns) -> Layout:
    """Return the layout of a catalogue; `key_column` and `named` are of ``csv`` alone."""
    if kind == "mimic":
        columns = ("dicom_id", "subject_id", "study_id", "ViewPosition")
        return Layout(*columns, required=columns)
    if kind == "chexpert":
        planes = (CHEXPERT_PLANE, CHEXPERT_PROJECTION)
        return Layout("Path", "", "", "", ("Path", *planes, *CHEXPERT_LABELS))
    if kind == "nih":
        key, patient, view = "Image Index", "Patient ID", "View Position"
        required = (key, NIH_FINDINGS, NIH_VISIT, patient, view)
        return Layout(key, patient, "", view, required, (NIH_FINDINGS,))
    return Layout(
        key_column,
        named.patient or "patient_id",
        named.study or "study_id",
        named.view or "view_position",
        (key_column, *named.given),
        named.labels,
    )
