"""Numbers of DICOM attributes, whatever VR they were written with.

pydicom gives a value by its VR, and raises where the text of a number is none. Writers confuse US
with SS, leave optional attributes empty, and put text where a number belongs; one such attribute is
no reason to lose a film. So the bytes of a value are read here.
"""

from __future__ import annotations

import math
import re

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement

# The attributes that are decimal text (VR DS or IS) when no VR says otherwise.
_TEXT = frozenset(
    {"RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "NumberOfFrames"}
)
_BINARY = {"US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "FL": "f4", "FD": "f8", "OW": "u2"}
# A code string (VR CS).
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")


def numbers(dataset: pydicom.Dataset, keyword: str | int) -> list[float] | None:
    """Read the numbers of an attribute.

    Returns:
      finite numbers; NaN in place of one that cannot be read; None where the attribute is missing
      or empty.
    """
    element = _raw(dataset, keyword)
    if element is None:
        return None
    if isinstance(element, RawDataElement):
        value = element.value or b""
        text = element.VR in ("DS", "IS", "CS", "LO", "SH", "ST", "LT", "UT", "AS")
        if text or (keyword in _TEXT and element.VR not in _BINARY):
            return _from_text(value.decode("latin-1"))
        kind = np.dtype(_BINARY.get(element.VR or "", "u2"))
        kind = kind.newbyteorder("<" if element.is_little_endian else ">")
        found = np.frombuffer(value[: len(value) // kind.itemsize * kind.itemsize], kind)
        if len(found) == 0 and value:
            return [float(value[0])] if len(value) == 1 else [math.nan]
        return [float(x) if math.isfinite(x) else math.nan for x in found] or None
    values = (
        element.value
        if isinstance(element.value, (list, pydicom.multival.MultiValue))
        else [element.value]
    )
    return _from_text("\\".join("" if x is None else str(x) for x in values))


def number(dataset: pydicom.Dataset, keyword: str | int) -> float | None:
    """The first number of an attribute; see `numbers`."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def whole_number(dataset: pydicom.Dataset, keyword: str | int) -> int | None:
    """The first number of an attribute, where it is a whole one of 0 or more; else None."""
    value = number(dataset, keyword)
    return int(value) if value is not None and value >= 0 and value == int(value) else None


def value_bytes(dataset: pydicom.Dataset, keyword: str) -> tuple[bytes, bool]:
    """The bytes of a binary attribute, and whether their words are big endian.

    Bytes that were written as bytes (VR OB) have no order.
    """
    element = _raw(dataset, keyword)
    if not isinstance(element, RawDataElement):
        return b"", False
    return element.value or b"", not element.is_little_endian and element.VR != "OB"


def is_empty(dataset: pydicom.Dataset, keyword: str) -> bool:
    """Whether an attribute is missing, or holds nothing but padding."""
    element = _raw(dataset, keyword)
    value = element.value if element is not None else None
    return not (value.strip(b" \0") if isinstance(value, bytes) else str(value or "").strip(" \0"))


def code(dataset: pydicom.Dataset, keyword: str) -> str | None:
    """A code string; None where it is missing or holds anything else, which might name someone."""
    element = _raw(dataset, keyword)
    if element is None:
        return None
    value = element.value
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    elif isinstance(value, pydicom.multival.MultiValue):
        value = "\\".join(map(str, value))
    text = str(value or "").strip(" \0").upper()
    return text if _CODE.fullmatch(text) else None


def _raw(
    dataset: pydicom.Dataset, keyword: str | int
) -> RawDataElement | pydicom.DataElement | None:
    if keyword not in dataset:
        return None
    try:
        return dataset.get_item(keyword)
    except Exception:  # noqa: BLE001 - pydicom converts empty values here, by whatever VR they have
        return None


def _from_text(text: str) -> list[float] | None:
    parts = [part.strip(" \0\t\r\n") for part in text.split("\\")]
    return [_to_float(part) for part in parts] if any(parts) else None


def _to_float(text: str) -> float:
    try:
        value = float(text if "_" not in text else "")  # Python alone takes 1_000 for a number
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
