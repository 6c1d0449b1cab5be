"""Look-up tables of DICOM, of the Modality LUT and the VOI LUT module (PS3.3, C.11.1 and C.11.2).

Their descriptor gives the number of entries, the first value that is mapped, and the bits of an
entry; each of them is often wrong, and the table itself tells what it is.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pydicom

from beamscope.transforms.xrays.decoding import attributes

_ALL_ENTRIES = 1 << 16  # for which the descriptor has a 0


@dataclasses.dataclass(frozen=True, eq=False)
class LookUpTable:
    """A table that maps whole numbers.

    Attributes:
      first: the value that the first entry is for; lower ones have the first entry too, and those
        above the last have the last.
      entries: int64 ``[n]``.
      white: what the greatest output would be.
    """

    first: int
    entries: npt.NDArray[np.int64]
    white: int

    def apply(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Map values, rounded to whole ones."""
        places = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return self.entries[places.astype(np.intp)].astype(np.float64)


def read_table(
    dataset: pydicom.Dataset, sequence: str, values: npt.NDArray[np.float64], *, signed: bool
) -> LookUpTable | None:
    """Read the first usable table of a sequence.

    Args:
      dataset: of the film.
      sequence: ``ModalityLUTSequence`` or ``VOILUTSequence``.
      values: the film's, which tell a negative first value where its VR is wrong.
      signed: whether the values that are mapped may be negative. The first value is signed then,
        whatever VR it was written with (PS3.3, C.11.1.1 and C.11.2.1.1).

    Returns:
      the table; None where there is none that maps anything to two outputs.
    """
    for item in items(dataset, sequence):
        descriptor = attributes.numbers(item, "LUTDescriptor")
        data, big_endian = attributes.value_bytes(item, "LUTData")
        if not descriptor or len(descriptor) < 3 or not data or any(x != x for x in descriptor):
            continue
        count, first, bits = (int(x) for x in descriptor[:3])
        entries = _entries(data, count % _ALL_ENTRIES or _ALL_ENTRIES, bits, big_endian=big_endian)
        if len(entries) == 0 or entries.min() == entries.max():
            continue
        first = _first(first, len(entries), values, signed=signed)
        return LookUpTable(first, entries, _white(int(entries.max())))
    return None


def items(dataset: pydicom.Dataset, sequence: str) -> list[pydicom.Dataset]:
    """The items of a sequence; none where it is missing, empty or damaged."""
    try:
        return list(dataset.get(sequence) or ())
    except Exception:  # noqa: BLE001 - pydicom parses it now, and raises anything
        return []


def _entries(data: bytes, count: int, bits: int, *, big_endian: bool) -> npt.NDArray[np.int64]:
    """The entries that are there: in words, or two of 8 bits to a word.

    Fewer than the descriptor says are all that there are; more are part of the table, unless they
    are zeros that fill it up.
    """
    packed = np.frombuffer(data, np.uint8)
    words = np.frombuffer(data[: len(data) // 2 * 2], ">u2" if big_endian else "<u2")
    in_bytes = len(data) in (count, count + count % 2)
    if bits <= 8 and len(data) < 2 * count and (len(words) == 0 or words.max() > 0xFF):
        in_bytes = True
    if in_bytes:
        if big_endian:
            packed = words.astype("<u2").view(np.uint8)
        return packed[:count].astype(np.int64)
    if not words[count:].any():
        words = words[:count]
    return words.astype(np.int64)


def _first(written: int, count: int, values: npt.NDArray[np.float64], *, signed: bool) -> int:
    """The first value, with the sign by which the table is for values of the film at all."""
    word = written & 0xFFFF
    negative = word - 0x10000 if word >= 0x8000 else word
    order = (negative, word) if signed or written < 0 else (word, negative)
    low, high = float(values.min()), float(values.max())
    return next((first for first in order if first <= high and low < first + count), order[0])


def _white(greatest: int) -> int:
    """The output that is white: the greatest number of as many bits as the entries need.

    The descriptor says the bits too, and some CR systems write 16 for tables of 14. A table that
    leaves half of its range empty would show a film dark, so that its entries decide.
    """
    return (1 << greatest.bit_length()) - 1
